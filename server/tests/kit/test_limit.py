"""What is not the same for both limiters: the clock and the room of the local one, and Redis going away."""

from __future__ import annotations

import asyncio

import pytest
from hypothesis import given
from hypothesis import strategies as st
from structlog.testing import capture_logs

from devlore_server.kit.cache import connect
from devlore_server.kit.limit import Demand, FallbackLimiter, LocalLimiter, Policy, RedisLimiter
from devlore_server.kit.line import Line
from tests.instance import own_redis
from tests.kit import hanging

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


async def test_without_redis_the_process_counts_itself() -> None:
    nowhere = Line(connect("redis://127.0.0.1:1"))
    limiter = FallbackLimiter(RedisLimiter(nowhere), LocalLimiter())
    policy = Policy("p", 3, 3_600)
    answers = [(await limiter.take([Demand("k", policy)]))[0].allowed for _ in range(5)]
    assert answers == [True, True, True, False, False]
    with pytest.raises(OSError):
        await limiter.ping()


async def test_while_redis_hangs_the_process_counts_itself_and_says_so_once() -> None:
    clock, policy = hanging.Clock(), Policy("p", 30, 3_600)
    with own_redis() as (url, process), capture_logs() as lines:
        line = Line(connect(url, patience=10), clock=clock)
        limiter = FallbackLimiter(RedisLimiter(line), LocalLimiter())

        async def ten() -> int:
            taken = await asyncio.gather(*(limiter.take([Demand("k", policy)]) for _ in range(10)))
            return sum(verdict.allowed for (verdict,) in taken)

        assert await ten() == 10
        with hanging.hanging(process, line):
            for _ in range(2):
                assert await ten() == 10
                assert (await limiter.take([Demand("k", policy, 5)]))[0].allowed
                clock.pause()
            assert await ten() == 0, "never open"
            clock.pause()
        # Redis carries out what reached it while it hung: the ten that found out, and one a second.
        assert (await limiter.take([Demand("k", policy)]))[0].remaining == 30 - 10 - 10 - 1 - 1 - 1
        assert hanging.connections(url) == 4
        assert [line["event"] for line in lines] == ["shared_limits_away", "shared_limits_back"]
        line.close()


async def test_what_was_taken_while_redis_was_away_is_given_back_where_it_was_taken() -> None:
    with own_redis() as (url, process):
        line = Line(connect(url, patience=10))
        limiter, policy = FallbackLimiter(RedisLimiter(line), LocalLimiter()), Policy("p", 1, 3_600)
        process.kill()
        process.wait()
        for _ in range(3):
            assert (await limiter.take([Demand("k", policy)]))[0].allowed
            assert not (await limiter.take([Demand("k", policy)]))[0].allowed
            await limiter.give_back([Demand("k", policy)])
        line.close()


async def test_giving_back_never_fails() -> None:
    await RedisLimiter(Line(connect("redis://127.0.0.1:1"))).give_back([Demand("k", Policy("p", 1))])


async def test_a_redis_that_refuses_is_asked_again_and_said_once(redis_url: str) -> None:
    redis, policy = connect(redis_url, patience=10), Policy("p", 10, 3_600)
    line = Line(redis)
    limiter = FallbackLimiter(RedisLimiter(line), LocalLimiter())
    await redis.set("k", b"not a number")
    with capture_logs() as lines:
        taken = [(await limiter.take([Demand("k", policy)]))[0].remaining for _ in range(3)]
        await redis.delete("k")
        taken.append((await limiter.take([Demand("k", policy)]))[0].remaining)
    assert taken == [9, 8, 7, 9]
    assert [line["event"] for line in lines] == ["shared_limits_away", "shared_limits_back"]
    line.close()
    await redis.aclose()


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
