"""The hop to a service in another process, against a real HTTP server on loopback."""

from __future__ import annotations

import asyncio
import socket
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager, suppress
from typing import Any

import httpx2
import pytest
import uvicorn
from starlette.types import ASGIApp, Receive, Scope, Send

from devlore.problems import NotFound
from devlore_server.gateway.individual import PRINCIPAL, Individual
from devlore_server.gateway.proxy import Proxy, destination
from devlore_server.gateway.upstream import UpstreamAway
from devlore_server.kit.auth import Visitor, verify
from devlore_server.kit.clock import utc_now
from devlore_server.kit.http import BodyLimit, RequestId, admit, problem_response
from devlore_server.kit.telemetry import REGISTRY, Measured

SECRET = b"thirty-two bytes of shared secret"
NOWHERE = problem_response(NotFound())


class Upstream:
    """A service that notes what reaches it and answers as told."""

    def __init__(self) -> None:
        self.requests: list[dict[str, Any]] = []
        self.pause: asyncio.Event | None = None

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            return
        body, more = b"", True
        while more:
            message = await receive()
            if message["type"] == "http.disconnect":
                return
            body += message.get("body", b"")
            more = message.get("more_body", False)
        path = scope["raw_path"].decode() + ("?" + scope["query_string"].decode() if scope["query_string"] else "")
        headers = [(k.decode(), v.decode()) for k, v in scope["headers"]]
        self.requests.append({"method": scope["method"], "path": path, "headers": headers, "body": body})
        answer = [(b"content-type", b"text/plain"), (b"etag", b'"7"'), (b"keep-alive", b"timeout=9"), (b"x-a", b"1")]
        await send({"type": "http.response.start", "status": 203, "headers": answer})
        await send({"type": "http.response.body", "body": b"first ", "more_body": True})
        if self.pause is not None:
            await self.pause.wait()
        await send({"type": "http.response.body", "body": b"second"})


async def listening(app: ASGIApp) -> AsyncIterator[str]:
    server = uvicorn.Server(uvicorn.Config(app, log_level="error", lifespan="off"))
    with socket.create_server(("127.0.0.1", 0)) as bound:
        serving = asyncio.create_task(server.serve(sockets=[bound]))
        yield f"http://127.0.0.1:{bound.getsockname()[1]}"
        server.should_exit = True
        await serving


@pytest.fixture
def upstream() -> Upstream:
    return Upstream()


@pytest.fixture
async def address(upstream: Upstream) -> AsyncIterator[str]:
    async for url in listening(upstream):
        yield url


@pytest.fixture
async def proxy(address: str) -> AsyncIterator[Proxy]:
    made = Proxy({"memory": address}, SECRET)
    yield made
    await made.close()


@pytest.fixture
async def api(proxy: Proxy) -> AsyncIterator[httpx2.AsyncClient]:
    app = RequestId(BodyLimit(Individual(proxy.around(NOWHERE)), limit=1_000))
    async for url in listening(app):
        async with httpx2.AsyncClient(base_url=url, trust_env=False, timeout=10) as client:
            yield client


async def test_a_request_arrives_whole_and_its_answer_too(api: httpx2.AsyncClient, upstream: Upstream) -> None:
    answer = await api.post("/v1/memories?wait=indexed&tag=a%2Fb", content=b'{"title": 1}', headers={"X-B": "2"})
    assert (answer.status_code, answer.content, answer.headers["etag"]) == (203, b"first second", '"7"')
    assert answer.headers["x-a"] == "1"
    [seen] = upstream.requests
    assert (seen["method"], seen["path"], seen["body"]) == (
        "POST",
        "/v1/memories?wait=indexed&tag=a%2Fb",
        b'{"title": 1}',
    )
    assert ("x-b", "2") in seen["headers"]


async def test_an_encoded_path_is_not_decoded_on_the_way(api: httpx2.AsyncClient, upstream: Upstream) -> None:
    await api.get("/v1/memories/a%20b%3Fc")
    assert upstream.requests[0]["path"] == "/v1/memories/a%20b%3Fc"


async def test_headers_of_one_connection_stay_on_it(api: httpx2.AsyncClient, upstream: Upstream) -> None:
    sent = {"Connection": "keep-alive, X-Private", "X-Private": "1", "TE": "trailers", "Proxy-Authorization": "x"}
    answer = await api.get("/v1/memories", headers=sent)
    arrived = {name for name, _ in upstream.requests[0]["headers"]}
    assert not arrived & {"x-private", "te", "proxy-authorization"}
    assert "keep-alive" not in answer.headers


async def test_the_caller_is_signed_and_cannot_sign_for_himself(api: httpx2.AsyncClient, upstream: Upstream) -> None:
    await api.get("/v1/memories", headers={"Devlore-Principal": "forged"})
    signatures = [value for name, value in upstream.requests[0]["headers"] if name == "devlore-principal"]
    assert [verify(value, SECRET, utc_now(), "GET", b"/v1/memories").caller for value in signatures] == [PRINCIPAL]


async def test_a_visitor_goes_on_as_nobody_from_somewhere(proxy: Proxy, upstream: Upstream) -> None:
    async def visiting(scope: Scope, receive: Receive, send: Send) -> None:
        admit(scope, Visitor("192.0.2.0/24"))
        await proxy.around(NOWHERE)(scope, receive, send)

    async with httpx2.AsyncClient(transport=httpx2.ASGITransport(visiting), base_url="http://localhost") as client:
        assert (await client.get("/v1/memories")).status_code == 203
    [signature] = [value for name, value in upstream.requests[0]["headers"] if name == "devlore-principal"]
    assert verify(signature, SECRET, utc_now(), "GET", b"/v1/memories").caller == Visitor("192.0.2.0/24")


async def test_no_credential_and_no_address_goes_further_than_the_gateway(
    api: httpx2.AsyncClient, upstream: Upstream
) -> None:
    sent = {
        "Authorization": "Bearer secret",
        "Cookie": "__Host-devlore=secret",
        "X-Forwarded-For": "203.0.113.9",
        "Forwarded": "for=203.0.113.9",
        "X-Real-IP": "203.0.113.9",
        "Via": "1.1 203.0.113.9",
    }
    await api.get("/v1/memories", headers=sent)
    assert "secret" not in str(upstream.requests[0])
    assert "203.0.113.9" not in str(upstream.requests[0])


async def test_the_request_id_goes_along(api: httpx2.AsyncClient, upstream: Upstream) -> None:
    answer = await api.get("/v1/memories", headers={"X-Request-Id": "my-request-1"})
    assert answer.headers["x-request-id"] == "my-request-1"
    assert ("x-request-id", "my-request-1") in upstream.requests[0]["headers"]


async def test_an_answer_is_passed_on_as_it_comes(api: httpx2.AsyncClient, upstream: Upstream) -> None:
    upstream.pause = asyncio.Event()
    async with api.stream("GET", "/v1/memories/export") as answer:
        pieces = answer.aiter_raw()
        assert await anext(pieces) == b"first "  # while the service has not finished
        upstream.pause.set()
        assert await anext(pieces) == b"second"


async def test_a_body_is_passed_on_as_it_comes_and_cut_at_the_limit(
    api: httpx2.AsyncClient, upstream: Upstream
) -> None:
    async def unannounced() -> AsyncIterator[bytes]:
        yield b"x" * 600
        yield b"x" * 600

    answer = await api.post("/v1/memories", content=unannounced())
    assert (answer.status_code, answer.json()["code"]) == (413, "too-large")
    assert upstream.requests == []


@pytest.mark.parametrize("path", ["/internal/memories/count", "/v2/memories", "/", "/v1/memoriesX", "/v1/search"])
async def test_other_paths_go_nowhere(api: httpx2.AsyncClient, upstream: Upstream, path: str) -> None:
    answer = await api.get(path)
    assert (answer.status_code, answer.json()["code"]) == (404, "not-found")
    assert upstream.requests == []


@pytest.mark.parametrize(
    "target",
    [
        "/v1/memories/../../internal/memories/count",
        "/v1/memories/%2e%2e/%2E%2e/internal/memories/count",
        "/v1/memories/./x",
        "/v1/memories/..",
    ],
)
async def test_a_path_that_climbs_goes_nowhere(api: httpx2.AsyncClient, upstream: Upstream, target: str) -> None:
    """Sent by hand: every client tidies such a path before it leaves."""
    reader, writer = await asyncio.open_connection(api.base_url.host, api.base_url.port)
    writer.write(f"GET {target} HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n".encode())
    answer = await reader.read()
    writer.close()
    assert answer.startswith(b"HTTP/1.1 404 ")
    assert upstream.requests == []


async def test_half_a_request_does_not_pass_for_a_whole_one(api: httpx2.AsyncClient, upstream: Upstream) -> None:
    _, writer = await asyncio.open_connection(api.base_url.host, api.base_url.port)
    head = "POST /v1/memories HTTP/1.1\r\nHost: localhost\r\nTransfer-Encoding: chunked\r\n\r\n"
    writer.write(head.encode() + b"2\r\n[1\r\n")
    await writer.drain()
    await asyncio.sleep(0.1)
    writer.close()
    await asyncio.sleep(0.1)
    assert upstream.requests == []
    assert (await api.get("/v1/memories")).status_code == 203, "the next one is served"


async def test_metrics_know_a_proxied_path_by_its_template(proxy: Proxy) -> None:
    async for url in listening(Measured(Individual(proxy.around(NOWHERE)))):
        async with httpx2.AsyncClient(base_url=url, trust_env=False, timeout=30) as client:
            await client.get("/v1/memories/0197-a-path-of-its-own")
    names = {sample.labels.get("route") for family in REGISTRY.collect() for sample in family.samples}
    assert "/v1/memories*" in names
    assert not any("0197" in (name or "") for name in names)


async def test_a_dead_service_is_a_problem_that_names_it(api: httpx2.AsyncClient, proxy: Proxy) -> None:
    with socket.socket() as closed:
        closed.bind(("127.0.0.1", 0))
        dead = Proxy({"memory": f"http://127.0.0.1:{closed.getsockname()[1]}"}, SECRET)
        async for url in listening(Individual(dead.around(NOWHERE))):
            async with httpx2.AsyncClient(trust_env=False, timeout=30) as client:
                answer = await client.get(url + "/v1/memories")
        assert (answer.status_code, answer.json()["code"]) == (503, "unavailable")
        assert "memory" in answer.json()["detail"]
        with pytest.raises(UpstreamAway):
            await dead.ping("memory")
        await dead.close()


async def test_a_service_that_dies_in_the_middle_cuts_the_answer(api: httpx2.AsyncClient) -> None:
    async def half(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readuntil(b"\r\n\r\n")
        writer.write(b"HTTP/1.1 200 OK\r\ncontent-length: 100\r\n\r\nhalf")
        await writer.drain()
        writer.close()

    server = await asyncio.start_server(half, "127.0.0.1", 0)
    cut = Proxy({"memory": f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}"}, SECRET)
    async for url in listening(Individual(cut.around(NOWHERE))):
        async with httpx2.AsyncClient(trust_env=False, timeout=30) as client:
            with pytest.raises(httpx2.RemoteProtocolError), suppress(AssertionError):
                await client.get(url + "/v1/memories")
    await cut.close()
    server.close()


@asynccontextmanager
async def through(
    handle: Callable[[asyncio.StreamReader, asyncio.StreamWriter], Awaitable[None]],
) -> AsyncIterator[httpx2.AsyncClient]:
    """A client of a gateway whose memory service is ``handle``."""
    server = await asyncio.start_server(handle, "127.0.0.1", 0)
    proxy = Proxy({"memory": f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}"}, SECRET)
    async for url in listening(RequestId(Individual(proxy.around(NOWHERE)))):
        async with httpx2.AsyncClient(base_url=url, trust_env=False, timeout=10) as client:
            yield client
    await proxy.close()
    server.close()


@pytest.mark.parametrize(
    ("method", "raw"),
    [
        ("GET", b"HTTP/1.1 200 OK\r\ncontent-length: 0\r\n\r\n"),
        ("GET", b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n0\r\n\r\n"),
        ("GET", b'HTTP/1.1 304 Not Modified\r\netag: "1"\r\n\r\n'),
        ("DELETE", b"HTTP/1.1 204 No Content\r\n\r\n"),
        ("HEAD", b"HTTP/1.1 200 OK\r\ncontent-length: 12\r\n\r\n"),
    ],
)
async def test_an_answer_without_a_body_is_a_whole_one(method: str, raw: bytes) -> None:
    async def empty(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with suppress(asyncio.IncompleteReadError):
            while await reader.readuntil(b"\r\n\r\n"):
                writer.write(raw)
        writer.close()

    async with through(empty) as client:
        for _ in range(2):
            answer = await client.request(method, "/v1/memories/1")
            assert (answer.status_code, answer.content) == (int(raw.split()[1]), b"")
        if method == "HEAD":
            assert answer.headers["content-length"] == "12"


async def test_what_both_processes_say_is_said_once() -> None:
    async def talkative(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readuntil(b"\r\n\r\n")
        said = b"date: Mon, 01 Jan 2001 00:00:00 GMT\r\nx-request-id: theirs\r\n"
        writer.write(b"HTTP/1.1 200 OK\r\n" + said + b"content-length: 0\r\n\r\n")
        await writer.drain()
        writer.close()

    async with through(talkative) as client:
        answer = await client.get("/v1/memories", headers={"X-Request-Id": "my-request-1"})
    assert answer.headers.get_list("x-request-id") == ["my-request-1"]
    [date] = answer.headers.get_list("date")
    assert "2001" not in date


async def test_an_answer_nobody_waits_for_is_given_up() -> None:
    gone = asyncio.Event()

    async def endless(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readuntil(b"\r\n\r\n")
        writer.write(b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n")
        with suppress(ConnectionError):
            while not reader.at_eof():
                writer.write(b"5\r\nhello\r\n")
                await writer.drain()
                await asyncio.sleep(0.01)
        gone.set()
        writer.close()

    async with through(endless) as client:
        async with client.stream("GET", "/v1/memories/export") as answer:
            assert await anext(answer.aiter_raw())
        await asyncio.wait_for(gone.wait(), 10)


@pytest.mark.parametrize(
    "framing",
    [
        "Content-Length: 5\r\nTransfer-Encoding: chunked",
        "Transfer-Encoding: chunked\r\nContent-Length: 5",
        "Content-Length: 5\r\nContent-Length: 6",
        "Transfer-Encoding: xchunked",
        "Transfer-Encoding: chunked, identity",
    ],
)
async def test_a_body_framed_in_two_ways_goes_nowhere(
    api: httpx2.AsyncClient, upstream: Upstream, framing: str
) -> None:
    """Request smuggling (RFC 9112 §11.2): what two readers could cut at two places."""
    reader, writer = await asyncio.open_connection(api.base_url.host, api.base_url.port)
    body = "0\r\n\r\nGET /v1/memories/smuggled HTTP/1.1\r\nHost: localhost\r\n\r\n"
    writer.write(f"POST /v1/memories HTTP/1.1\r\nHost: localhost\r\n{framing}\r\n\r\n{body}".encode())
    answer = await asyncio.wait_for(reader.read(), 10)
    writer.close()
    assert answer.startswith(b"HTTP/1.1 400 ")
    assert upstream.requests == []


@pytest.mark.parametrize(
    ("path", "role"),
    [
        ("/v1/memories", "memory"),
        ("/v1/memories/0197/links/3", "memory"),
        ("/v1/memories/0197/similar", "search"),
        ("/v1/tags", "memory"),
        ("/v1/projects", "memory"),
        ("/v1/search", "search"),
        ("/v1/search/rebuild", "search"),
        ("/v1/connections/1/sync", "integration"),
        ("/v1/syncs/1", "integration"),
        ("/v1/organisations/1/members/2", "identity"),
        ("/v1/teams", "identity"),
        ("/v1/people/1", "identity"),
        ("/v1/invitations/look", "identity"),
        ("/v1/sessions/current", "identity"),
        ("/v1/identity/jwks", "identity"),
        ("/v1/keys/1", "identity"),
        ("/v1/audit", "identity"),
        ("/signin", "identity"),
        ("/pages/pages.js", "identity"),
        ("/v1/policies/secrets", "memory"),
    ],
)
def test_each_path_has_its_role(path: str, role: str) -> None:
    found = destination(path)
    assert found is not None
    assert found.role == role
