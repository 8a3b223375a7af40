"""A forwarded header is good once: also where several replicas of a service share a Redis."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from datetime import timedelta

import httpx2
import pytest
from starlette.responses import JSONResponse
from starlette.types import Receive, Scope, Send

from devlore_server.kit.auth import HEADER, LIFETIME, SKEW, Caller, Principal, Visitor, sign
from devlore_server.kit.cache import Cache, Key, LocalCache, RedisCache, connect
from devlore_server.kit.clock import utc_now
from devlore_server.kit.http import SignedCallers
from devlore_server.kit.line import Line
from tests.instance import own_redis
from tests.kit.hanging import Clock, connections, hanging

SECRET = b"the secret of the gateway and its services"
PATH = "/v1/memories"


@pytest.fixture
async def shared(redis_url: str) -> AsyncIterator[Cache]:
    line = Line(connect(redis_url, patience=10))
    yield RedisCache(line)
    line.close()


def replica(shared: Cache | None, reads: tuple[str, ...] = ()) -> SignedCallers:
    async def answer(scope: Scope, receive: Receive, send: Send) -> None:
        await JSONResponse("done")(scope, receive, send)

    return SignedCallers(answer, secret=SECRET, shared=shared, reads=reads)


async def ask(service: SignedCallers, header: str, method: str = "POST", path: str = PATH, body: bytes = b"{}") -> int:
    transport = httpx2.ASGITransport(service)
    async with httpx2.AsyncClient(transport=transport, base_url="http://memory.test") as http:
        return (await http.request(method, path, headers={HEADER: header}, content=body)).status_code


def header(caller: Caller, method: str = "POST", path: str = PATH) -> str:
    return sign(caller, SECRET, utc_now(), method, path.encode())


async def test_what_one_replica_has_taken_no_other_takes(shared: Cache, who: Principal) -> None:
    one, two = replica(shared), replica(shared)
    taken = header(who)
    assert await ask(one, taken) == 200
    assert [await ask(service, taken, body=b'{"another": "body"}') for service in (one, two)] == [401, 401]
    assert await ask(two, header(who)) == 200, "the next request has a header of its own"
    visitor = header(Visitor("192.0.2.0/24"))
    assert [await ask(one, visitor), await ask(two, visitor)] == [200, 401]


async def test_of_many_replicas_at_once_one_takes_it(shared: Cache, who: Principal) -> None:
    taken = header(who)
    answers = await asyncio.gather(*(ask(replica(shared), taken, "DELETE") for _ in range(1)))
    assert answers == [401], "it was signed for another method"
    answers = await asyncio.gather(*(ask(replica(shared), taken) for _ in range(12)))
    assert sorted(answers) == [200] + [401] * 11


async def test_what_only_reads_asks_nobody(who: Principal) -> None:
    cache = _Counted()
    one, two = replica(cache, ("/v1/search",)), replica(cache, ("/v1/search",))
    got, found = header(who, "GET"), header(who, path="/v1/search")
    assert [await ask(service, got, "GET") for service in (one, two)] == [200, 200]
    assert [await ask(service, found, path="/v1/search") for service in (one, two)] == [200, 200]
    assert cache.claims == 0
    assert [await ask(one, got, "GET"), await ask(one, found, path="/v1/search")] == [401, 401]
    assert await ask(one, header(who)) == 200 and cache.claims == 1


async def test_while_redis_hangs_each_replica_takes_it_once_and_waits_once_a_second(who: Principal) -> None:
    clock = Clock()
    with own_redis() as (url, process):
        lines = [Line(connect(url, patience=10), clock=clock) for _ in range(2)]
        one, two = (replica(RedisCache(line)) for line in lines)
        with hanging(process, *lines):
            taken = header(who)
            assert [await ask(service, taken) for service in (one, two, one, two)] == [200, 200, 401, 401]
            assert [await ask(one, header(who)) for _ in range(10)] == [200] * 10
        assert connections(url) == 2, "one of each replica, whatever was asked of it"
        clock.pause()
        taken = header(who)
        assert [await ask(service, taken) for service in (one, two)] == [200, 401], "it is back"
        for line in lines:
            line.close()


async def test_a_claim_outlives_the_header(shared: Cache, who: Principal) -> None:
    assert LIFETIME + SKEW <= 15, "what is read off a wire is worth little after that"
    old = sign(who, SECRET, utc_now() - timedelta(seconds=LIFETIME), "POST", PATH.encode())
    assert await ask(replica(shared), old) == 401


class _Counted(LocalCache):
    def __init__(self) -> None:
        super().__init__()
        self.claims = 0

    async def claim(self, key: Key, ttl: float) -> bool:
        self.claims += 1
        return await super().claim(key, ttl)
