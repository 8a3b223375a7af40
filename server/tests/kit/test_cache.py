"""What is not the same for both caches: the room of the local one, Redis going away, and how keys are made."""

from __future__ import annotations

from uuid import UUID

import pytest
from hypothesis import given
from hypothesis import strategies as st
from structlog.testing import capture_logs

from devlore.problems import Unavailable
from devlore_server.kit.auth import NIL
from devlore_server.kit.cache import Key, LocalCache, RedisCache, connect, tenant_key
from devlore_server.kit.line import LeftAlone, Line
from tests.instance import own_redis
from tests.kit.hanging import Clock, connections, hanging

ORGANISATION = UUID(int=7)


def key(name: object) -> Key:
    return tenant_key(ORGANISATION, "test", name)


@pytest.mark.parametrize("organisation", [None, NIL, "00000000-0000-7000-8000-000000000001", 7])
def test_there_is_no_key_without_an_organisation(organisation: object) -> None:
    with pytest.raises(ValueError, match="organisation"):
        tenant_key(organisation, "test")  # type: ignore[arg-type]


@pytest.mark.parametrize("area", ["", "a:b", "a b", "{x}", "-"])
def test_an_area_is_a_word(area: str) -> None:
    with pytest.raises(ValueError, match="area"):
        tenant_key(ORGANISATION, area)


def test_a_key_can_be_read() -> None:
    assert tenant_key(ORGANISATION, "query-vector", "minilm", 3) == f"devlore:{{{ORGANISATION}}}:query-vector:minilm:3"


parts = st.lists(st.text(alphabet="a:~{}-é\ud800", max_size=4) | st.text(min_size=60, max_size=70), max_size=3)


@given(one=parts, two=parts)
def test_two_lists_of_parts_never_share_a_key(one: list[str], two: list[str]) -> None:
    assert (key_of(one) == key_of(two)) is (one == two)


def key_of(parts: list[str]) -> Key:
    return tenant_key(ORGANISATION, "test", *parts)


@given(parts=parts)
def test_a_key_is_short_and_plain(parts: list[str]) -> None:
    made = key_of(parts)
    assert made.isascii()
    assert made.isprintable()
    assert len(made) < 300


async def test_the_least_recently_used_goes_first() -> None:
    cache = LocalCache(most_bytes=3 * 1_200)
    for name in ("a", "b", "c"):
        await cache.put(key(name), b"x" * 1_000, 60)
    await cache.get(key("a"))
    await cache.put(key("d"), b"x" * 1_000, 60)
    assert [await cache.get(key(name)) is not None for name in "abcd"] == [True, False, True, True]


async def test_what_is_larger_than_the_cache_is_not_kept() -> None:
    cache = LocalCache(most_bytes=1_000)
    await cache.put(key("small"), b"x" * 100, 60)
    await cache.put(key("large"), b"x" * 1_000, 60)
    assert await cache.get(key("large")) is None
    assert await cache.get(key("small")) is not None


async def test_room_is_given_back() -> None:
    cache = LocalCache(most_bytes=10_000)
    for round_ in range(1_000):
        await cache.put(key(round_ % 5), b"x" * 1_000, 60)
        await cache.drop(key(round_ % 3))
    assert cache._size == sum(len(value) + 200 for _, value in cache._entries.values())
    assert cache._size <= 10_000


async def test_time_is_injected() -> None:
    now = 100.0
    cache = LocalCache(clock=lambda: now)
    await cache.put(key("a"), b"x", 10)
    now = 109.9
    assert await cache.get(key("a")) == b"x"
    now = 110.0
    assert await cache.get(key("a")) is None


async def test_a_cache_that_is_away_misses_and_does_not_promise() -> None:
    cache = RedisCache(Line(connect("redis://127.0.0.1:1")))
    await cache.put(key("a"), b"x", 60)
    assert await cache.get(key("a")) is None
    with pytest.raises(Unavailable):
        await cache.pop(key("a"))
    with pytest.raises(Unavailable):
        await cache.drop(key("a"))
    with pytest.raises(Exception, match=r"\S"):
        await cache.ping()


async def test_a_cache_that_hangs_is_waited_for_once_a_second_not_at_each_look() -> None:
    clock = Clock()
    with own_redis() as (url, process), capture_logs() as lines:
        line = Line(connect(url, patience=10), clock=clock)
        cache = RedisCache(line)
        await cache.put(key("a"), b"x", 60)
        with hanging(process, line):
            for _ in range(2):
                assert await cache.get(key("a")) is None
                for _ in range(10):
                    with pytest.raises(Unavailable) as refused:
                        await cache.read(key("a"))
                    assert isinstance(refused.value.__cause__, LeftAlone)
                    with pytest.raises(Unavailable):
                        await cache.claim(key("b"), 60)
                clock.pause()
        assert await cache.get(key("a")) == b"x"
        assert await cache.claim(key("b"), 60)
        assert connections(url) == 3
        assert [line["event"] for line in lines] == ["cache_away", "cache_back"]
        line.close()
