"""One suite for both limiters: the accounts in Redis and those in this process answer alike."""

from __future__ import annotations

import asyncio
import math
import time
from collections.abc import AsyncIterator

import pytest

from devlore_server.kit.cache import connect
from devlore_server.kit.ids import new_id
from devlore_server.kit.limit import Demand, Limiter, LocalLimiter, Policy, RedisLimiter
from devlore_server.kit.line import Line

HOURLY = Policy("hourly", 100, 3_600)


@pytest.fixture(params=["redis", "local"])
async def limiter(request: pytest.FixtureRequest) -> AsyncIterator[Limiter]:
    if request.param == "local":
        yield LocalLimiter()
        return
    line = Line(connect(request.getfixturevalue("redis_url"), patience=10))
    yield RedisLimiter(line)
    line.close()


@pytest.fixture
def key() -> str:
    return new_id().hex


async def allowed(limiter: Limiter, *demands: Demand) -> bool:
    verdicts = await limiter.take(demands)
    assert len({verdict.allowed for verdict in verdicts}) == 1
    return verdicts[0].allowed


async def test_a_quota_is_exact_however_many_ask_at_once(limiter: Limiter, key: str) -> None:
    answers = await asyncio.gather(*(allowed(limiter, Demand(key, HOURLY)) for _ in range(2_000)))
    assert sum(answers) == 100


@pytest.mark.parametrize("quota", [1, 3, 7, 99, 1_000])
async def test_a_burst_of_any_quota_is_exact(limiter: Limiter, key: str, quota: int) -> None:
    policy = Policy("odd", quota, 1_000_000)
    answers = await asyncio.gather(*(allowed(limiter, Demand(key, policy)) for _ in range(quota + 5)))
    assert sum(answers) == quota


async def test_verdicts_count_down(limiter: Limiter, key: str) -> None:
    policy = Policy("minute", 3, 60)
    started = time.monotonic()
    seen = [(await limiter.take([Demand(key, policy)]))[0] for _ in range(4)]
    passed = time.monotonic() - started
    assert [verdict.remaining for verdict in seen] == [2, 1, 0, 0]
    assert [verdict.allowed for verdict in seen] == [True, True, True, False]
    for verdict, reset in zip(seen, (20, 40, 60, 60), strict=True):
        assert math.ceil(reset - passed) <= verdict.reset <= reset
    assert [verdict.retry_after for verdict in seen[:3]] == [0, 0, 0]
    assert math.ceil(20 - passed) <= seen[3].retry_after <= 20


async def test_costs_are_taken_whole_or_not_at_all(limiter: Limiter, key: str) -> None:
    policy = Policy("minute", 10, 3_600)
    assert await allowed(limiter, Demand(key, policy, 8))
    assert not await allowed(limiter, Demand(key, policy, 3))
    assert await allowed(limiter, Demand(key, policy, 2))
    assert not await allowed(limiter, Demand(key, policy, 1))


async def test_all_demands_pass_or_none_is_taken(limiter: Limiter, key: str) -> None:
    narrow, wide = Policy("person", 2, 3_600), Policy("organisation", 10, 3_600)
    both = [Demand(key + "p", narrow), Demand(key + "o", wide)]
    assert await allowed(limiter, *both)
    assert await allowed(limiter, *both)
    person, organisation = await limiter.take(both)
    assert (person.allowed, organisation.allowed) == (False, False)
    assert (person.remaining, organisation.remaining) == (0, 8)
    assert person.retry_after > 0
    assert organisation.retry_after == 0


async def test_room_comes_back(limiter: Limiter, key: str) -> None:
    slow, fast = Policy("slow", 600, 60), Policy("fast", 20, 1)
    assert await allowed(limiter, Demand(key, slow, 600))
    assert not await allowed(limiter, Demand(key, slow, 600))
    await asyncio.sleep(0.5)
    assert await allowed(limiter, Demand(key, slow, 4))
    assert await allowed(limiter, Demand(key + "fast", fast, 20))
    await asyncio.sleep(1.1)
    assert await allowed(limiter, Demand(key + "fast", fast, 20))


async def test_accounts_are_apart(limiter: Limiter, key: str) -> None:
    once = Policy("once", 1, 3_600)
    assert await allowed(limiter, Demand(key + "a", once))
    assert await allowed(limiter, Demand(key + "b", once))
    assert not await allowed(limiter, Demand(key + "a", once))


async def test_nothing_demanded_is_nothing_taken(limiter: Limiter) -> None:
    assert await limiter.take([]) == []
    await limiter.ping()


async def test_what_is_given_back_can_be_taken_again(limiter: Limiter, key: str) -> None:
    policy = Policy("minute", 3, 3_600)
    assert await allowed(limiter, Demand(key, policy, 3))
    assert not await allowed(limiter, Demand(key, policy))
    await limiter.give_back([Demand(key, policy, 2)])
    assert [await allowed(limiter, Demand(key, policy)) for _ in range(3)] == [True, True, False]


async def test_nobody_gets_more_back_than_an_account_holds(limiter: Limiter, key: str) -> None:
    policy = Policy("minute", 3, 3_600)
    await limiter.give_back([Demand(key, policy, 3)])
    assert await allowed(limiter, Demand(key, policy))
    for _ in range(3):
        await limiter.give_back([Demand(key, policy, 3)])
    assert [await allowed(limiter, Demand(key, policy)) for _ in range(4)] == [True, True, True, False]
