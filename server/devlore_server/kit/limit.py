"""Rate limits: GCRA over several demands at once, in Redis (one Lua call) or in this process, with the same answers."""

from __future__ import annotations

import hashlib
import time
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass
from typing import Protocol, cast

import structlog
from redis.exceptions import RedisError, ResponseError

from devlore_server.kit.line import Line, Reply, Word

_log = structlog.get_logger("devlore.limit")
_MICRO = 1_000_000


@dataclass(frozen=True, slots=True)
class Policy:
    """``quota`` units per ``window`` seconds, all of which may be spent at once (the burst)."""

    name: str
    quota: int
    window: int = 60

    def __post_init__(self) -> None:
        if not 0 < self.quota <= self.window * _MICRO:
            raise ValueError("a quota is between 1 and one unit per microsecond")

    @property
    def interval(self) -> int:
        """Whole microseconds one unit takes to come back: whole, so that both twins count exactly alike."""
        return self.window * _MICRO // self.quota


@dataclass(frozen=True, slots=True)
class Demand:
    """``cost`` units of a policy, taken from the account ``key`` names (made by ``kit.cache.tenant_key``)."""

    key: str
    policy: Policy
    cost: int = 1

    def __post_init__(self) -> None:
        if not 0 < self.cost <= self.policy.quota:
            raise ValueError(f"a cost of {self.cost} can never pass the policy {self.policy.name}")


@dataclass(frozen=True, slots=True)
class Verdict:
    """What became of one demand; seconds are rounded up. ``retry_after`` is 0 for a demand that had room."""

    policy: Policy
    allowed: bool
    remaining: int
    reset: int
    retry_after: int


class Limiter(Protocol):
    """Takes units from accounts."""

    async def take(self, demands: Sequence[Demand]) -> list[Verdict]:
        """Take every demand, or none when one of them has no room; a verdict per demand, in order."""
        ...

    async def give_back(self, demands: Sequence[Demand]) -> None:
        """Return what ``take`` took, because it turned out that it does not count; never fails."""
        ...

    async def ping(self) -> None:
        """Raise when the accounts cannot be reached."""
        ...


class LocalLimiter:
    """Accounts in this process. ``clock`` counts microseconds and never goes back."""

    def __init__(self, *, most: int = 100_000, clock: Callable[[], int] = lambda: time.monotonic_ns() // 1_000) -> None:
        self._full_at: dict[str, int] = {}
        self._most = most
        self._clock = clock

    async def take(self, demands: Sequence[Demand]) -> list[Verdict]:
        # No await from reading to writing: the event loop makes it atomic.
        now = self._clock()
        starts = [max(now, self._full_at.get(demand.key, now)) for demand in demands]
        ends = [start + demand.cost * demand.policy.interval for start, demand in zip(starts, demands, strict=True)]
        excess = [_excess(end, demand, now) for end, demand in zip(ends, demands, strict=True)]
        passed = all(over <= 0 for over in excess)
        if passed:
            for demand, end in zip(demands, ends, strict=True):
                self._full_at[demand.key] = end
            if len(self._full_at) > self._most:
                self._forget(now)
        after = ends if passed else starts
        return [
            _verdict(demand, passed, at - now, over) for demand, at, over in zip(demands, after, excess, strict=True)
        ]

    async def give_back(self, demands: Sequence[Demand]) -> None:
        for demand in demands:
            if demand.key in self._full_at:
                self._full_at[demand.key] -= demand.cost * demand.policy.interval

    async def ping(self) -> None:
        """This process always reaches itself."""

    def _forget(self, now: int) -> None:
        """Drop accounts that are full again; if that is not enough, those closest to it (they lose least)."""
        kept = {key: full_at for key, full_at in self._full_at.items() if full_at > now}
        if len(kept) > self._most:
            hardest = sorted(kept.items(), key=lambda item: item[1], reverse=True)
            kept = dict(hardest[: self._most // 2])
        self._full_at = kept


def _excess(end: int, demand: Demand, now: int) -> int:
    """Microseconds until there is room; not positive when there is."""
    return end - demand.policy.interval * demand.policy.quota - now


def _verdict(demand: Demand, passed: bool, until_full: int, excess: int) -> Verdict:
    policy = demand.policy
    remaining = (policy.interval * policy.quota - until_full) // policy.interval
    return Verdict(
        policy=policy,
        allowed=passed,
        remaining=max(0, remaining),
        reset=-(-until_full // _MICRO),
        retry_after=max(0, -(-excess // _MICRO)),
    )


class _Script:
    """A Lua script, which Redis knows by its digest once it has run."""

    def __init__(self, text: str) -> None:
        self.text = text
        self.digest = hashlib.sha1(text.encode(), usedforsecurity=False).hexdigest()


# Time is Redis's own, so that servers with different clocks share one account. Redis holds the moment each account is
# full again; a key expires at that moment, so an idle account costs nothing.
_TAKE = _Script("""
local clock = redis.call('TIME')
local now = clock[1] * 1000000 + clock[2]
local starts, ends, excess, passed = {}, {}, {}, 1
for i, key in ipairs(KEYS) do
    local interval, quota, cost = tonumber(ARGV[3 * i - 2]), tonumber(ARGV[3 * i - 1]), tonumber(ARGV[3 * i])
    starts[i] = math.max(now, tonumber(redis.call('GET', key) or now))
    ends[i] = starts[i] + cost * interval
    excess[i] = ends[i] - interval * quota - now
    if excess[i] > 0 then passed = 0 end
end
local answer = {passed}
for i, key in ipairs(KEYS) do
    local at = starts[i]
    if passed == 1 then
        at = ends[i]
        redis.call('SET', key, string.format('%.0f', at), 'PX', math.ceil((at - now) / 1000))
    end
    answer[2 * i] = at - now
    answer[2 * i + 1] = excess[i]
end
return answer
""")


# A demand whose account has run full (and so is gone) meanwhile has nothing to return.
_GIVE_BACK = _Script("""
local clock = redis.call('TIME')
local now = clock[1] * 1000000 + clock[2]
for i, key in ipairs(KEYS) do
    local at = (tonumber(redis.call('GET', key) or 0)) - tonumber(ARGV[i])
    if at > now then
        redis.call('SET', key, string.format('%.0f', at), 'PX', math.ceil((at - now) / 1000))
    else
        redis.call('DEL', key)
    end
end
""")


class RedisLimiter:
    """Accounts in Redis, shared by every gateway; one round trip for all demands."""

    def __init__(self, line: Line) -> None:
        self._line = line

    async def take(self, demands: Sequence[Demand]) -> list[Verdict]:
        if not demands:
            return []
        arguments = [value for d in demands for value in (d.policy.interval, d.policy.quota, d.cost)]
        reply = await self._run(_TAKE, demands, arguments)
        passed, *numbers = cast(list[int], reply)
        return [_verdict(demand, bool(passed), numbers[2 * i], numbers[2 * i + 1]) for i, demand in enumerate(demands)]

    async def give_back(self, demands: Sequence[Demand]) -> None:
        if not demands:
            return
        arguments = [demand.cost * demand.policy.interval for demand in demands]
        with suppress(RedisError, OSError):
            await self._run(_GIVE_BACK, demands, arguments)

    async def ping(self) -> None:
        await self._line.ping()

    async def _run(self, script: _Script, demands: Sequence[Demand], arguments: Sequence[int]) -> Reply:
        words: tuple[Word, ...] = (len(demands), *(demand.key for demand in demands), *arguments)
        try:
            return await self._line.ask("EVALSHA", script.digest, *words)
        except ResponseError as error:
            if not str(error).startswith("NOSCRIPT"):
                raise
            return await self._line.ask("EVAL", script.text, *words)


class FallbackLimiter:
    """The shared accounts; while they are away this process's own (each gateway then allows a quota: never open)."""

    def __init__(self, shared: Limiter, own: Limiter) -> None:
        self._shared = shared
        self._own = own
        self._away = False

    async def take(self, demands: Sequence[Demand]) -> list[Verdict]:
        try:
            verdicts = await self._shared.take(demands)
        except (RedisError, OSError) as error:
            if not self._away:
                _log.warning("shared_limits_away", error=type(error).__name__)
            self._away = True
            return await self._own.take(demands)
        if self._away:
            _log.info("shared_limits_back")
        self._away = False
        return verdicts

    async def give_back(self, demands: Sequence[Demand]) -> None:
        await (self._own if self._away else self._shared).give_back(demands)

    async def ping(self) -> None:
        await self._shared.ping()
