"""One suite for both caches: bytes in Redis and bytes in this process behave alike."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator

import pytest

from devlore.problems import Unavailable
from devlore_server.kit.auth import Principal
from devlore_server.kit.cache import Cache, Key, LocalCache, RedisCache, connect, tenant_key, visitor_key
from devlore_server.kit.line import Line


@pytest.fixture(params=["redis", "local"])
async def cache(request: pytest.FixtureRequest) -> AsyncIterator[Cache]:
    if request.param == "local":
        yield LocalCache()
        return
    line = Line(connect(request.getfixturevalue("redis_url"), patience=10))
    yield RedisCache(line)
    line.close()


@pytest.fixture
def key(who: Principal) -> Key:
    return tenant_key(who.organisation, "test", "a")


async def test_a_value_comes_back_as_it_was(cache: Cache, key: Key) -> None:
    value = bytes(range(256)) * 10
    await cache.put(key, value, 60)
    assert await cache.get(key) == value
    assert await cache.get(key) == value


async def test_what_was_never_put_is_not_there(cache: Cache, key: Key) -> None:
    assert await cache.get(key) is None
    assert await cache.pop(key) is None
    await cache.drop(key)


async def test_an_empty_value_is_a_value(cache: Cache, key: Key) -> None:
    await cache.put(key, b"", 60)
    assert await cache.get(key) == b""


async def test_the_last_value_counts(cache: Cache, key: Key) -> None:
    await cache.put(key, b"one", 60)
    await cache.put(key, b"two", 60)
    assert await cache.get(key) == b"two"


async def test_values_run_out(cache: Cache, key: Key) -> None:
    await cache.put(key, b"long", 60)
    assert await cache.get(key) == b"long"
    await cache.put(key, b"short", 0.05)
    await asyncio.sleep(0.1)
    assert await cache.get(key) is None


@pytest.mark.parametrize("ttl", [0, -1])
async def test_no_time_is_not_kept(cache: Cache, key: Key, ttl: float) -> None:
    await cache.put(key, b"before", 60)
    await cache.put(key, b"after", ttl)
    assert await cache.get(key) is None


async def test_a_popped_value_goes_to_one(cache: Cache, key: Key) -> None:
    await cache.put(key, b"ticket", 60)
    taken = await asyncio.gather(*(cache.pop(key) for _ in range(20)))
    assert sorted(taken, key=str) == [b"ticket", *[None] * 19] or taken.count(b"ticket") == 1


async def test_a_key_is_claimed_once_until_the_claim_runs_out(cache: Cache, key: Key, who: Principal) -> None:
    claims = await asyncio.gather(*(cache.claim(key, 60) for _ in range(20)))
    assert sorted(claims) == [False] * 19 + [True]
    short = tenant_key(who.organisation, "test", "short")
    assert await cache.claim(short, 0.05)
    await asyncio.sleep(0.1)
    assert await cache.claim(short, 60)


async def test_dropped_values_are_gone(cache: Cache, key: Key, who: Principal) -> None:
    other = tenant_key(who.organisation, "test", "b")
    kept = tenant_key(who.organisation, "test", "c")
    for one in (key, other, kept):
        await cache.put(one, b"x", 60)
    await cache.drop(key, other)
    assert [await cache.get(one) for one in (key, other, kept)] == [None, None, b"x"]
    await cache.drop()


async def test_organisations_do_not_meet(cache: Cache, who: Principal, stranger: Principal) -> None:
    await cache.put(tenant_key(who.organisation, "test", "same"), b"ours", 60)
    assert await cache.get(tenant_key(stranger.organisation, "test", "same")) is None


async def test_only_keys_of_an_organisation_are_taken(cache: Cache) -> None:
    plain = "devlore:anything"
    with pytest.raises(TypeError, match="tenant_key"):
        await cache.put(plain, b"x", 60)  # type: ignore[arg-type]
    with pytest.raises(TypeError, match="tenant_key"):
        await cache.get(plain)  # type: ignore[arg-type]
    await cache.ping()


async def test_reading_tells_nothing_there_from_nobody_to_ask(cache: Cache, key: Key) -> None:
    assert await cache.read(key) is None
    await cache.put(key, b"x", 10)
    assert await cache.read(key) == b"x"


async def test_a_cache_that_is_away_does_not_read_as_empty(key: Key) -> None:
    away = RedisCache(Line(connect("redis://127.0.0.1:1")))
    assert await away.get(key) is None
    with pytest.raises(Unavailable):
        await away.read(key)
    with pytest.raises(Unavailable):
        await away.claim(key, 60)


def test_a_visitors_account_is_nobodys_of_an_organisation(who: Principal) -> None:
    account = visitor_key("attempts", "192.0.2.0/24")
    assert account != visitor_key("attempts", "192.0.2.0")
    assert account != visitor_key("other", "192.0.2.0/24")
    assert not account.startswith(tenant_key(who.organisation, "attempts").split("}", maxsplit=1)[0])
    assert "192.0.2.0/24" not in account, "a separator in a name could make two names one"
    with pytest.raises(ValueError, match="area"):
        visitor_key("a:b", "x")
