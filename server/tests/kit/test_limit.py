"""What is not the same for both limiters: the clock and the room of the local one, and Redis going away."""

from __future__ import annotations

from collections.abc import Sequence

import pytest
from hypothesis import given
from hypothesis import strategies as st

from devlore_server.kit.cache import connect
from devlore_server.kit.limit import Demand, FallbackLimiter, LocalLimiter, Policy, RedisLimiter, Verdict
from devlore_server.kit.line import Line

SECOND = 1_000_000


class Clock:
    """Microseconds, moved by hand."""

    def __init__(self) -> None:
        self.now = 1_000 * SECOND

    def __call__(self) -> int:
        return self.now


@given(
    quota=st.integers(1, 50),
    window=st.integers(1, 60),
    steps=st.lists(st.tuples(st.integers(0, 3 * SECOND), st.integers(1, 5)), max_size=40),
)
async def test_never_more_than_the_policy_allows(quota: int, window: int, steps: list[tuple[int, int]]) -> None:
    clock, policy = Clock(), Policy("p", quota, window)
    limiter = LocalLimiter(clock=clock)
    taken: list[tuple[int, int]] = []
    for pause, wanted in steps:
        clock.now += pause
        cost = min(wanted, quota)
        (verdict,) = await limiter.take([Demand("k", policy, cost)])
        if verdict.allowed:
            taken.append((clock.now, cost))
        # GCRA's promise: in any stretch of time, at most a burst and what has come back since its start.
        for start, _ in taken:
            spent = sum(cost for at, cost in taken if at >= start)
            assert spent <= quota + (clock.now - start) // policy.interval


async def test_refused_is_not_charged() -> None:
    clock = Clock()
    limiter, policy = LocalLimiter(clock=clock), Policy("p", 2, 2)
    for _ in range(50):
        await limiter.take([Demand("k", policy)])
    clock.now += SECOND
    (verdict,) = await limiter.take([Demand("k", policy)])
    assert verdict.allowed


async def test_retrying_when_told_to_is_enough() -> None:
    clock = Clock()
    limiter, policy = LocalLimiter(clock=clock), Policy("p", 7, 60)
    await limiter.take([Demand("k", policy, 7)])
    (refused,) = await limiter.take([Demand("k", policy, 3)])
    assert not refused.allowed
    clock.now += refused.retry_after * SECOND
    (passed,) = await limiter.take([Demand("k", policy, 3)])
    assert passed.allowed


async def test_full_accounts_are_forgotten_and_empty_ones_are_not() -> None:
    clock = Clock()
    limiter, policy = LocalLimiter(most=100, clock=clock), Policy("p", 10, 1_000)
    await limiter.take([Demand("spent", policy, 10)])
    for number in range(1_000):
        await limiter.take([Demand(str(number), policy)])
    assert len(limiter._full_at) <= 101
    (verdict,) = await limiter.take([Demand("spent", policy)])
    assert not verdict.allowed


async def test_accounts_that_are_full_again_make_room() -> None:
    clock = Clock()
    limiter, policy = LocalLimiter(most=10, clock=clock), Policy("p", 10, 1)
    for number in range(11):
        clock.now += SECOND
        await limiter.take([Demand(str(number), policy)])
    assert len(limiter._full_at) == 1


def test_impossible_policies_and_demands_are_refused() -> None:
    with pytest.raises(ValueError, match="quota"):
        Policy("none", 0)
    with pytest.raises(ValueError, match="quota"):
        Policy("wild", 2_000_000, 1)
    for cost in (0, -1, 4):
        with pytest.raises(ValueError, match="cost"):
            Demand("k", Policy("p", 3), cost)


class Away:
    """Shared accounts that do not answer; counts how often they were asked."""

    def __init__(self) -> None:
        self.asked = 0

    async def take(self, demands: Sequence[Demand]) -> list[Verdict]:
        self.asked += 1
        raise ConnectionError

    async def ping(self) -> None:
        raise ConnectionError


async def test_without_redis_the_process_counts_itself() -> None:
    nowhere = Line(connect("redis://127.0.0.1:1"))
    limiter = FallbackLimiter(RedisLimiter(nowhere), LocalLimiter(), pause=60)
    policy = Policy("p", 3, 3_600)
    answers = [(await limiter.take([Demand("k", policy)]))[0].allowed for _ in range(5)]
    assert answers == [True, True, True, False, False]
    with pytest.raises(Exception, match=r"\S"):
        await limiter.ping()


async def test_redis_that_is_away_is_left_alone_for_a_moment() -> None:
    away = Away()
    limiter = FallbackLimiter(away, LocalLimiter(), pause=60)
    for _ in range(10):
        await limiter.take([Demand("k", Policy("p", 100))])
    assert away.asked == 1
    eager = FallbackLimiter(away, LocalLimiter(), pause=0)
    await eager.take([Demand("k", Policy("p", 100))])
    await eager.take([Demand("k", Policy("p", 100))])
    assert away.asked == 3


async def test_redis_is_used_again_when_it_is_back(redis_url: str) -> None:
    redis = connect(redis_url, patience=10)
    line = Line(redis)
    shared, policy = RedisLimiter(line), Policy("p", 2, 3_600)
    limiter = FallbackLimiter(shared, LocalLimiter())
    await shared.take([Demand("k", policy)])
    (verdict,) = await limiter.take([Demand("k", policy)])
    assert verdict.remaining == 0
    assert await redis.pttl("k") > 0
    line.close()
    await redis.aclose()
