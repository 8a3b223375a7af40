"""A key makes a POST safe to repeat: over real PostgreSQL, with requests that race, fail, hang and die."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from typing import Any

import httpx2
import psycopg
import pytest
from hypothesis import given
from hypothesis import strategies as st
from starlette.requests import Request
from starlette.responses import JSONResponse, Response, StreamingResponse
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from devlore_server.gateway.idempotency import IdempotencyKeys, read_key
from devlore_server.gateway.individual import Individual
from devlore_server.gateway.jobs import forget_expired, keep_forgetting
from devlore_server.kit.auth import Principal
from devlore_server.kit.db import Database
from devlore_server.kit.http import BodyLimit, CatchAll
from devlore_server.kit.ids import new_id

Handler = Callable[[Request], Awaitable[Response]]
SECRET = b"a secret of the tests"


class Service:
    """An application that counts its runs; ``handle`` says what a run does."""

    def __init__(self, handle: Handler | None = None) -> None:
        self.runs = 0
        self.bodies: list[bytes] = []
        self.handle = handle or self.count

    async def count(self, request: Request) -> Response:
        self.bodies.append(await request.body())
        return JSONResponse({"run": self.runs}, 201, {"Location": f"/v1/things/{self.runs}", "ETag": '"1"'})

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        self.runs += 1
        response = await self.handle(Request(scope, receive))
        await response(scope, receive, send)


@pytest.fixture
def service() -> Service:
    return Service()


def guarded(service: ASGIApp, database: Database, who: Principal, **options: Any) -> ASGIApp:
    keys = IdempotencyKeys(service, database=database, **{"secret": SECRET, **options})
    return CatchAll(BodyLimit(Individual(keys, principal=who), limit=4 << 20))


def client_of(app: ASGIApp) -> httpx2.AsyncClient:
    return httpx2.AsyncClient(transport=httpx2.ASGITransport(app), base_url="http://localhost")


@pytest.fixture
async def client(service: Service, database: Database, who: Principal) -> AsyncIterator[httpx2.AsyncClient]:
    async with client_of(guarded(service, database, who)) as client:
        yield client


async def post(client: httpx2.AsyncClient, key: str, body: bytes = b"{}", path: str = "/v1/things") -> httpx2.Response:
    return await client.post(path, content=body, headers={"Idempotency-Key": key})


async def test_a_repeated_request_gets_the_first_answer(client: httpx2.AsyncClient, service: Service) -> None:
    first = await post(client, "k1")
    again = await post(client, "k1")
    assert (first.status_code, first.json()) == (201, {"run": 1})
    assert "idempotency-replayed" not in first.headers
    assert (again.status_code, again.content) == (first.status_code, first.content)
    assert again.headers["idempotency-replayed"] == "true"
    assert {n: again.headers[n] for n in ("location", "etag", "content-type", "content-length")} == {
        n: first.headers[n] for n in ("location", "etag", "content-type", "content-length")
    }
    assert service.runs == 1


async def test_the_service_gets_the_body_whole(client: httpx2.AsyncClient, service: Service) -> None:
    async def pieces() -> AsyncIterator[bytes]:
        for number in range(10):
            yield bytes([number]) * 1_000

    await client.post("/v1/things", content=pieces(), headers={"Idempotency-Key": "k"})
    assert service.bodies == [b"".join(bytes([number]) * 1_000 for number in range(10))]


@pytest.mark.parametrize(
    ("body", "path"), [(b'{"other": 1}', "/v1/things"), (b"{}", "/v1/others"), (b"{}", "/v1/things?wait=indexed")]
)
async def test_another_request_under_the_key_is_refused(
    client: httpx2.AsyncClient, service: Service, body: bytes, path: str
) -> None:
    await post(client, "k1")
    answer = await post(client, "k1", body, path)
    assert (answer.status_code, answer.json()["code"]) == (422, "idempotency-mismatch")
    assert service.runs == 1


async def test_without_a_key_every_request_runs(client: httpx2.AsyncClient, service: Service) -> None:
    for _ in range(3):
        await client.post("/v1/things", content=b"{}")
    assert service.runs == 3


async def test_only_posts_have_keys_and_reads_need_none(client: httpx2.AsyncClient, service: Service) -> None:
    for _ in range(2):
        await client.get("/v1/things", headers={"Idempotency-Key": "k"})
        await client.patch("/v1/things/1", headers={"Idempotency-Key": "k"})
        await post(client, "k", path="/v1/search")
    assert service.runs == 6


@pytest.mark.parametrize("key", ["", "x" * 256, "ключ".encode(), "a b", '"unclosed', '""', '"é"'.encode(), "a\tb"])
async def test_a_bad_key_is_malformed(client: httpx2.AsyncClient, service: Service, key: str | bytes) -> None:
    value = key if isinstance(key, bytes) else key.encode()
    answer = await client.post("/v1/things", headers=[(b"Idempotency-Key", value)])
    assert (answer.status_code, answer.json()["code"]) == (400, "malformed")
    assert service.runs == 0


async def test_two_keys_are_malformed(client: httpx2.AsyncClient) -> None:
    headers = [("Idempotency-Key", "a"), ("Idempotency-Key", "b")]
    assert (await client.post("/v1/things", headers=headers)).status_code == 400


async def test_quoted_and_bare_keys_are_the_same(client: httpx2.AsyncClient, service: Service) -> None:
    await post(client, "8e03978e-40d5")
    answer = await post(client, '"8e03978e-40d5"')
    assert answer.headers["idempotency-replayed"] == "true"
    assert read_key([b'"a \\"b\\" \\\\"']) == 'a "b" \\'


@given(value=st.binary(max_size=300))
def test_a_key_is_read_or_refused_and_nothing_else(value: bytes) -> None:
    try:
        key = read_key([value])
    except Exception as problem:
        assert type(problem).__name__ == "Malformed"
    else:
        assert 1 <= len(key) <= 255
        assert key.isascii()
        assert key.isprintable()


async def test_of_many_at_once_one_runs(database: Database, who: Principal) -> None:
    others = asyncio.Event()

    async def slow(_request: Request) -> Response:
        await others.wait()
        return JSONResponse({"done": True})

    service = Service(slow)
    async with client_of(guarded(service, database, who)) as client:
        asked = asyncio.as_completed([post(client, "k") for _ in range(12)])
        answers = [await next(asked) for _ in range(11)]
        others.set()
        assert (await next(asked)).status_code == 200
        assert service.runs == 1
        assert [answer.status_code for answer in answers] == [409] * 11
        assert answers[0].json()["code"] == "in-progress"
        assert answers[0].headers["retry-after"] == "1"
        assert (await post(client, "k")).json() == {"done": True}
    assert service.runs == 1


async def test_two_gateways_run_a_request_once(database_url: str, who: Principal) -> None:
    async def slow(_request: Request) -> Response:
        await asyncio.sleep(0.3)
        return JSONResponse({})

    service, databases = Service(slow), [Database(database_url, max_size=3) for _ in range(2)]
    for database in databases:
        await database.open()
    clients = [client_of(guarded(service, database, who)) for database in databases]
    answers = await asyncio.gather(*(post(clients[number % 2], "k") for number in range(8)))
    # On a busy machine a late one finds the first done and is given its answer: still one run.
    assert {answer.status_code for answer in answers} <= {200, 409}
    assert service.runs == 1
    for client, database in zip(clients, databases, strict=True):
        await client.aclose()
        await database.close()


async def test_connections_that_died_cost_no_answer(
    client: httpx2.AsyncClient, service: Service, owner_url: str
) -> None:
    await post(client, "k1")
    with psycopg.connect(owner_url, autocommit=True) as owner:
        owner.execute(
            "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE datname = current_database()"
            " AND usename = 'devlore_app'"
        )
    assert (await post(client, "k1")).headers["idempotency-replayed"] == "true"
    assert (await post(client, "k2")).status_code == 201
    assert service.runs == 2


async def test_people_do_not_share_keys(
    service: Service, database: Database, who: Principal, other: Principal, stranger: Principal
) -> None:
    for person in (who, other, stranger):
        async with client_of(guarded(service, database, person)) as client:
            answer = await post(client, "k", str(person.person).encode())
            assert answer.status_code == 201
    assert service.runs == 3


@pytest.mark.parametrize("status", [500, 503, 401, 403, 408, 425, 429])
async def test_what_may_pass_later_frees_the_key(database: Database, who: Principal, status: int) -> None:
    async def failing_first(_request: Request) -> Response:
        return JSONResponse({}, status if service.runs == 1 else 201)

    service = Service(failing_first)
    async with client_of(guarded(service, database, who)) as client:
        assert [(await post(client, "k")).status_code for _ in range(3)] == [status, 201, 201]
    assert service.runs == 2


@pytest.mark.parametrize("status", [200, 204, 400, 404, 409, 422])
async def test_every_other_answer_is_kept(database: Database, who: Principal, status: int) -> None:
    async def answer(_request: Request) -> Response:
        return Response(status_code=status)

    service = Service(answer)
    async with client_of(guarded(service, database, who)) as client:
        assert [(await post(client, "k")).status_code for _ in range(2)] == [status, status]
    assert service.runs == 1


async def test_a_crash_of_the_service_frees_the_key(database: Database, who: Principal) -> None:
    async def crashing_first(_request: Request) -> Response:
        if service.runs == 1:
            raise RuntimeError
        return JSONResponse({})

    service = Service(crashing_first)
    async with client_of(guarded(service, database, who)) as client:
        assert [(await post(client, "k")).status_code for _ in range(2)] == [500, 200]


async def test_a_long_answer_is_streamed_and_kept(database: Database, who: Principal) -> None:
    async def stream(_request: Request) -> Response:
        async def lines() -> AsyncIterator[bytes]:
            for number in range(100):
                yield f"{number}\n".encode()

        return StreamingResponse(lines(), media_type="application/x-ndjson")

    service = Service(stream)
    async with client_of(guarded(service, database, who)) as client:
        first, again = await post(client, "k"), await post(client, "k")
    assert first.content == again.content
    assert again.headers["content-type"] == "application/x-ndjson"
    assert service.runs == 1


async def test_an_answer_too_large_to_keep_is_not_run_again(database: Database, who: Principal) -> None:
    async def large(_request: Request) -> Response:
        return Response(b"x" * 2_000)

    service = Service(large)
    async with client_of(guarded(service, database, who, largest=1_000)) as client:
        assert len((await post(client, "k")).content) == 2_000
        again = await post(client, "k")
    assert (again.status_code, again.json()["code"]) == (409, "conflict")
    assert again.json()["original_status"] == 200
    assert service.runs == 1


async def test_a_body_over_the_limit_claims_nothing(client: httpx2.AsyncClient, service: Service) -> None:
    assert (await post(client, "k", b"x" * (4 << 20) + b"x")).status_code == 413
    assert (await post(client, "k", b"x" * (4 << 20))).status_code == 201
    assert service.runs == 1


async def test_a_sender_who_leaves_claims_nothing(service: Service, database: Database, who: Principal) -> None:
    incoming: list[Message] = [
        {"type": "http.request", "body": b"half", "more_body": True},
        {"type": "http.disconnect"},
    ]

    async def receive() -> Message:
        return incoming.pop(0)

    async def send(_message: Message) -> None:
        raise AssertionError("nobody is there")

    headers = [(b"idempotency-key", b"k")]
    scope = {"type": "http", "method": "POST", "path": "/v1/things", "query_string": b"", "headers": headers}
    await guarded(service, database, who)(scope, receive, send)
    assert service.runs == 0


async def test_without_the_database_nothing_runs(service: Service, database: Database, who: Principal) -> None:
    async with client_of(guarded(service, database, who)) as client:
        await database.close()
        answer = await post(client, "k")
    assert answer.status_code == 503
    assert service.runs == 0


async def test_the_answer_leaves_even_when_it_cannot_be_kept(
    database: Database, who: Principal, owner_url: str
) -> None:
    async def lose_the_table(_request: Request) -> Response:
        with psycopg.connect(owner_url, autocommit=True) as owner:
            owner.execute("ALTER TABLE gateway.idempotency RENAME TO lost")
        return JSONResponse({"done": True})

    async with client_of(guarded(Service(lose_the_table), database, who)) as client:
        answer = await post(client, "k")
    assert (answer.status_code, answer.json()) == (200, {"done": True})


async def test_expired_keys_of_everybody_are_forgotten(
    service: Service, database: Database, who: Principal, stranger: Principal, owner_url: str
) -> None:
    for person in (who, stranger):
        for kept_for in (0.01, 3_600):
            async with client_of(guarded(service, database, person, kept_for=kept_for)) as client:
                await post(client, new_id().hex)
    await asyncio.sleep(0.05)
    assert await forget_expired(database) == 2
    assert await forget_expired(database) == 0
    with psycopg.connect(owner_url) as owner:
        counted = owner.execute("SELECT count(*) FROM gateway.idempotency").fetchone()
    assert counted == (2,)


async def test_forgetting_goes_on_when_the_database_is_away(database: Database) -> None:
    await database.close()
    job = asyncio.create_task(keep_forgetting(database, every=0.01))
    await asyncio.sleep(0.1)
    assert not job.done()
    job.cancel()


async def test_row_level_security_alone_keeps_keys_apart(
    service: Service, database: Database, who: Principal, other: Principal, stranger: Principal
) -> None:
    async with client_of(guarded(service, database, who)) as client:
        await post(client, "k")
    for person, seen in ((who, 1), (other, 0), (stranger, 0), (None, 0)):
        async with database.transaction(person) as connection:
            cursor = await connection.execute("SELECT key FROM gateway.idempotency")
            assert len(await cursor.fetchall()) == seen
    async with database.transaction(stranger) as connection:
        cursor = await connection.execute("DELETE FROM gateway.idempotency")
        assert cursor.rowcount == 0
