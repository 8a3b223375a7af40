"""The bare middlewares, against bare ASGI applications and against a real socket where the wire matters."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from typing import Any

import httpx2
import pytest
import structlog
import uvicorn
from starlette.requests import Request
from starlette.responses import PlainTextResponse, Response, StreamingResponse
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from devlore.problems import TooLarge
from devlore_server.kit.http import BodyLimit, CatchAll, RequestId, SecurityHeaders, request_id_of

Handler = Callable[[Request], Awaitable[Response]]


def answering(handler: Handler) -> ASGIApp:
    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        response = await handler(Request(scope, receive))
        await response(scope, receive, send)

    return app


async def echo(request: Request) -> Response:
    return PlainTextResponse(str(len(await request.body())))


async def ask(app: ASGIApp, method: str = "GET", **options: Any) -> httpx2.Response:
    async with httpx2.AsyncClient(transport=httpx2.ASGITransport(app), base_url="http://localhost") as client:
        return await client.request(method, "/", **options)


async def pieces(count: int, size: int) -> AsyncIterator[bytes]:
    for _ in range(count):
        yield b"x" * size


async def test_a_request_gets_an_id_that_logs_and_answer_share() -> None:
    seen: dict[str, Any] = {}

    async def look(request: Request) -> Response:
        seen["scope"] = request_id_of(request.scope)
        seen["context"] = structlog.contextvars.get_contextvars()["request_id"]
        return PlainTextResponse("")

    answer = await ask(RequestId(answering(look)))
    assert answer.headers["x-request-id"] == seen["scope"] == seen["context"]
    assert len(answer.headers["x-request-id"]) == 32


@pytest.mark.parametrize(
    ("given", "taken"),
    [
        ("0195f0a8-7c1e-7000-8000-000000000000", True),
        ("trace_1.2-abc", True),
        ("short", False),
        ("x" * 65, False),
        ("with space in", False),
        ("line\tbreak-and-more", False),
        ("<script>alert(1)", False),
    ],
)
async def test_only_a_harmless_request_id_is_taken_over(given: str, taken: bool) -> None:
    answer = await ask(RequestId(answering(echo)), headers={"x-request-id": given})
    assert (answer.headers["x-request-id"] == given) is taken


async def test_two_requests_do_not_share_their_context() -> None:
    left: list[dict[str, Any]] = []

    async def look(_request: Request) -> Response:
        left.append(dict(structlog.contextvars.get_contextvars()))
        structlog.contextvars.bind_contextvars(person="somebody")
        return PlainTextResponse("")

    app = RequestId(answering(look))
    await ask(app)
    await ask(app)
    assert all("person" not in context for context in left)


async def test_answers_say_what_browsers_should_know() -> None:
    answer = await ask(SecurityHeaders(answering(echo)))
    assert answer.headers["x-content-type-options"] == "nosniff"
    assert "default-src 'none'" in answer.headers["content-security-policy"]
    assert answer.headers["cache-control"] == "no-store"


async def test_an_answer_keeps_its_own_words() -> None:
    async def own(_request: Request) -> Response:
        headers = {"Content-Security-Policy": "default-src 'self'", "Cache-Control": "max-age=60"}
        return PlainTextResponse("", headers=headers)

    async def tagged(_request: Request) -> Response:
        return PlainTextResponse("", headers={"ETag": '"3"'})

    answer = await ask(SecurityHeaders(answering(own)))
    assert answer.headers.get_list("content-security-policy") == ["default-src 'self'"]
    assert answer.headers.get_list("cache-control") == ["max-age=60"]
    assert (await ask(SecurityHeaders(answering(tagged)))).headers["cache-control"] == "private, no-cache"


async def test_a_body_up_to_the_limit_passes() -> None:
    app = BodyLimit(answering(echo), limit=100)
    assert (await ask(app, "POST", content=b"x" * 100)).text == "100"
    assert (await ask(app, "POST", content=pieces(10, 10))).text == "100"
    assert (await ask(app, "POST")).text == "0"


async def test_a_body_over_the_limit_is_refused_before_it_is_read() -> None:
    async def unreachable(_request: Request) -> Response:
        raise AssertionError("the application ran")

    answer = await ask(BodyLimit(answering(unreachable), limit=100), "POST", content=b"x" * 101)
    assert answer.status_code == 413
    assert answer.json()["limit"] == 100
    assert answer.headers["connection"] == "close"


async def test_a_body_of_unknown_length_is_counted() -> None:
    read = 0

    async def count(request: Request) -> Response:
        nonlocal read
        async for piece in request.stream():
            read += len(piece)
        return PlainTextResponse("never")

    answer = await ask(BodyLimit(answering(count), limit=100), "POST", content=pieces(1_000, 30))
    assert answer.status_code == 413
    assert read <= 100


async def test_a_lie_about_the_length_is_counted_too() -> None:
    app = BodyLimit(answering(echo), limit=100)
    answer = await ask(app, "POST", content=pieces(10, 30), headers={"content-length": "10"})
    assert answer.status_code == 413


@pytest.mark.parametrize("length", ["-1", "1e3", "", "12, 12", "²"])
async def test_a_length_that_is_no_number_is_malformed(length: str) -> None:
    messages: list[Message] = []

    async def keep(message: Message) -> None:
        messages.append(message)

    async def never() -> Message:
        raise AssertionError("the body was read")

    scope = {"type": "http", "method": "POST", "path": "/", "headers": [(b"content-length", length.encode())]}
    await BodyLimit(answering(echo))(scope, never, keep)
    assert messages[0]["status"] == 400


async def test_some_paths_take_more() -> None:
    app = BodyLimit(answering(echo), limit=10, larger={"/": 1_000})
    assert (await ask(app, "POST", content=b"x" * 999)).status_code == 200
    assert (await ask(app, "POST", content=b"x" * 1_001)).status_code == 413


async def test_a_body_that_stalls_is_given_up() -> None:
    async def stalling() -> AsyncIterator[bytes]:
        yield b"x"
        await asyncio.sleep(5)

    answer = await ask(BodyLimit(answering(echo), patience=0.05), "POST", content=stalling())
    assert answer.status_code == 408
    assert answer.json()["code"] == "too-slow"


async def test_waiting_for_the_disconnect_is_not_stalling() -> None:
    async def slow_answer(request: Request) -> Response:
        await request.body()

        async def lines() -> AsyncIterator[bytes]:
            for _ in range(3):
                await asyncio.sleep(0.05)
                yield b"line\n"

        return StreamingResponse(lines())

    answer = await ask(BodyLimit(answering(slow_answer), patience=0.05), "POST", content=b"x")
    assert answer.text == "line\n" * 3


async def test_a_limit_passed_after_the_answer_began_closes_it() -> None:
    async def early(scope: Scope, receive: Receive, send: Send) -> None:
        await send({"type": "http.response.start", "status": 200, "headers": []})
        while (await receive()).get("more_body"):
            pass

    with pytest.raises(TooLarge):
        await ask(BodyLimit(early, limit=10), "POST", content=pieces(10, 10))


async def test_the_last_catch_answers_once() -> None:
    async def broken(_scope: Scope, _receive: Receive, _send: Send) -> None:
        raise KeyError("secret")

    answer = await ask(RequestId(CatchAll(broken)))
    assert answer.status_code == 500
    assert answer.json()["request_id"] == answer.headers["x-request-id"]
    assert "secret" not in answer.text


async def test_half_an_answer_is_not_continued() -> None:
    async def breaks_off(_scope: Scope, _receive: Receive, send: Send) -> None:
        await send({"type": "http.response.start", "status": 200, "headers": []})
        await send({"type": "http.response.body", "body": b"half", "more_body": True})
        raise KeyError

    with pytest.raises(KeyError):
        await ask(CatchAll(breaks_off))


async def test_other_protocols_pass_untouched() -> None:
    seen: list[str] = []

    async def lifespan(scope: Scope, _receive: Receive, _send: Send) -> None:
        seen.append(scope["type"])

    async def nothing(*_: Any) -> Any:
        raise AssertionError

    for guarded in (RequestId(lifespan), SecurityHeaders(lifespan), BodyLimit(lifespan), CatchAll(lifespan)):
        await guarded({"type": "lifespan"}, nothing, nothing)
    assert seen == ["lifespan"] * 4


@pytest.fixture
async def port() -> AsyncIterator[int]:
    """A real server with a limit of 1,000 bytes."""
    app = RequestId(CatchAll(BodyLimit(answering(echo), limit=1_000)))
    server = uvicorn.Server(uvicorn.Config(app, port=0, log_level="error", lifespan="off"))
    task = asyncio.create_task(server.serve())
    while not server.started:
        await asyncio.sleep(0.01)
    yield server.servers[0].sockets[0].getsockname()[1]
    server.should_exit = True
    await task


async def on_the_wire(port: int, sent: bytes) -> bytes:
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    writer.write(sent)
    await writer.drain()
    answer = await asyncio.wait_for(reader.readuntil(b"\r\n\r\n"), 20)
    writer.close()
    return answer


async def test_chunked_bodies_are_counted_on_the_wire(port: int) -> None:
    head = b"POST / HTTP/1.1\r\nHost: localhost\r\nTransfer-Encoding: chunked\r\n\r\n"
    chunk = b"64\r\n" + b"x" * 100 + b"\r\n"
    assert (await on_the_wire(port, head + chunk * 10 + b"0\r\n\r\n")).startswith(b"HTTP/1.1 200")
    assert (await on_the_wire(port, head + chunk * 11)).startswith(b"HTTP/1.1 413")


async def test_a_large_announcement_is_refused_on_the_wire_without_sending_it(port: int) -> None:
    head = b"POST / HTTP/1.1\r\nHost: localhost\r\nContent-Length: 999999999999\r\n\r\n"
    assert (await on_the_wire(port, head)).startswith(b"HTTP/1.1 413")
