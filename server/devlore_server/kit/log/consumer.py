"""A consumer of the log: reads on from its cursor, applies batches, retries, sets aside what cannot be applied."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from contextlib import suppress
from time import monotonic
from typing import Any, LiteralString

import psycopg
import structlog
from prometheus_client import Gauge
from psycopg_pool import PoolClosed, PoolTimeout, TooManyRequests
from redis.exceptions import RedisError

from devlore.events import Event
from devlore.problems import Unavailable
from devlore_server.kit.auth import Principal
from devlore_server.kit.db import row, system
from devlore_server.kit.log.cursors import Cursors, PostgresCursors
from devlore_server.kit.log.event_log import START, EventLog, Pause, Position, Tail
from devlore_server.kit.telemetry.metrics import REGISTRY

POLL_SECONDS = 1.0
"""The longest an event waits when no hint arrives."""
REST_SECONDS = 0.1
"""How long a consumer lets events gather after it has caught up, unless somebody waits for it."""
_WITHHELD_SECONDS = (0.002, 0.1)
_BACKOFF_SECONDS = (0.05, 5.0)
_ATTEMPTS = 3
_GROWTH = 4
_LAG_COUNTED = 1_000
_LAG_EVERY_SECONDS = 1.0
_ERROR_CHARACTERS = 500

_LAG = Gauge(
    "devlore_log_lag_events",
    "Events a consumer has still to apply; counted up to 1,000, estimated beyond.",
    ["consumer"],
    registry=REGISTRY,
)
_PARKED = Gauge(
    "devlore_log_parked_events",
    "Events a consumer could not apply and has set aside.",
    ["consumer"],
    registry=REGISTRY,
)
_said = structlog.get_logger(__name__)

_PARK: LiteralString = """
    INSERT INTO log.parked (organisation_id, consumer, event_id, error, attempts)
    SELECT organisation_id, %(consumer)s, id, %(error)s, %(attempts)s FROM log.event
    WHERE organisation_id = %(organisation)s AND id = %(event)s
    ON CONFLICT (organisation_id, consumer, event_id)
    DO UPDATE SET error = excluded.error, attempts = parked.attempts + excluded.attempts, parked_at = now()"""

_UNPARK: LiteralString = "DELETE FROM log.parked WHERE organisation_id = %s AND consumer = %s AND event_id = %s"


class _ResetMeanwhile(Exception):
    """The cursor was reset while a batch was being applied: what was read no longer counts."""


class Consumer:
    """Applies every event of ``types`` at least once, in order, and remembers how far it has come.

    ``apply`` gets a batch and must be idempotent by ``(subject, version)``. When it raises because something is away
    (``Unavailable``, a lost connection) the batch is tried again until it works. When it raises anything else the batch
    is halved until the one event that cannot be applied is found and set aside (parked); the others go on. What is
    parked is tried again at every start: after a mended program, nobody needs to ask for it.

    The first event after a quiet time is applied at once. Those that follow it closely are gathered (``REST_SECONDS``):
    applying and remembering each by itself would take more of the machine than the writes they come from.
    """

    def __init__(
        self,
        log: EventLog,
        name: str,
        types: Sequence[str],
        apply: Callable[[list[Event]], Awaitable[None]],
        *,
        cursors: Cursors | None = None,
        busy_batch: int = 64,
    ) -> None:
        self.name = name
        self._log = log
        self._types = list(types)
        self._handler = apply
        self._cursors = cursors or PostgresCursors(log.database)
        self._busy_batch = busy_batch
        self._position = START
        self._loaded = False
        self._limit = 1
        self._resets = 0
        self._moved = asyncio.Event()
        self._waiting = 0
        self._hurry = asyncio.Event()
        self._storing = asyncio.Lock()
        self._lag_counted_at = 0.0

    @property
    def position(self) -> Position:
        """Everything at or before this has been applied (or parked)."""
        return self._position

    async def run(self) -> None:
        """Tail the log for ever; outlives restarts of PostgreSQL. Cancel it to stop."""
        wake = asyncio.Event()
        self._log.watch(wake, self._types)
        withheld, failed = Pause(*_WITHHELD_SECONDS), Pause(*_BACKOFF_SECONDS)
        rested_at = self._position
        retried = False
        try:
            while True:
                wake.clear()
                try:
                    if not retried:
                        await self._retry_parked()
                        retried = True
                    tail, full = await self._step()
                except _ResetMeanwhile:
                    continue
                except Exception as error:
                    # Whatever it is, a consumer that stops would go unnoticed; one that retries shows as lag.
                    _said.warning("consumer_cannot_go_on", consumer=self.name, error=_describe(error))
                    await asyncio.sleep(failed.longer())
                    continue
                failed.reset()
                if tail.events:
                    withheld.reset()
                if full:
                    continue
                if self._position != rested_at:
                    await _at_most(REST_SECONDS, self._hurry)
                    rested_at = self._position
                    continue
                self._limit = 1  # after a quiet time the first event is to be seen soonest
                await _at_most(withheld.longer() if tail.withheld else POLL_SECONDS, wake)
        finally:
            self._log.unwatch(wake)

    async def wait_for(self, position: Position, timeout: float) -> bool:
        """Wait until ``position`` has been applied; False when that takes longer than ``timeout`` seconds."""
        self._waiting += 1
        self._hurry.set()
        self._log.wake()
        try:
            async with asyncio.timeout(timeout):
                while self._position < position:
                    await self._moved.wait()
        except TimeoutError:
            return False
        finally:
            self._waiting -= 1
            if not self._waiting:
                self._hurry.clear()
        return True

    async def reset(self, position: Position = START) -> None:
        """Go on from ``position``, which may be behind: what follows it is applied again."""
        # Once to stop the batch under way, once more for one that began before the new position was stored.
        self._resets += 1
        async with self._storing:
            await self._cursors.store(self.name, position)
            self._resets += 1
            self._loaded = True
            self._move(position)
        self._log.wake()

    async def lag(self) -> int:
        """How many events wait to be applied: counted among the next 1,000, estimated beyond; 0 only when none does."""
        await self._load()
        query: LiteralString = "SELECT log.lag(%s, %s, %s, %s) AS lag"
        parameters = (str(self._position.xid), self._position.seq, self._types, _LAG_COUNTED)
        async with self._log.database.transaction(None) as connection:
            found = await row(connection, query, parameters)
        return int(found["lag"]) if found else 0

    async def lag_seen(self, who: Principal) -> int:
        """How many of the waiting events ``who`` may know of; counted up to 1,000."""
        await self._load()
        query: LiteralString = (
            "SELECT count(*) AS lag FROM (SELECT FROM log.event e WHERE e.organisation_id = %s"
            " AND (e.xid, e.seq) > (%s::xid8, %s) AND e.type = ANY (%s) AND e.audience = ANY (%s) LIMIT %s) AS waiting"
        )
        place = (str(self._position.xid), self._position.seq)
        async with self._log.database.transaction(who) as connection:
            found = await row(connection, query, (who.organisation, *place, self._types, who.audiences, _LAG_COUNTED))
        return int(found["lag"]) if found else 0

    async def parked(self) -> int:
        """How many events are set aside because they could not be applied."""
        async with self._log.database.transaction(None) as connection:
            found = await row(connection, "SELECT log.parked_count(%s) AS parked", (self.name,))
        return int(found["parked"]) if found else 0

    async def _retry_parked(self) -> None:
        """Apply the parked events again, one by one; those that work now are no longer parked.

        Raises what says that something is away: then nothing has been found out about the event.
        """
        done, waiting = 0, await self._log.parked(self.name)
        for event in waiting:
            try:
                await self._handler([event])
            except Exception as error:
                if away(error):
                    raise
                _said.warning("event_stays_parked", consumer=self.name, event_id=str(event.id), error=_describe(error))
                continue
            async with self._log.database.transaction(system(event.organisation_id)) as connection:
                await connection.execute(_UNPARK, (event.organisation_id, self.name, event.id))
            done += 1
        _PARKED.labels(self.name).set(len(waiting) - done)

    async def _load(self) -> None:
        if not self._loaded:
            resets = self._resets
            impossible = await self._log.adopt()
            position = await self._cursors.load(self.name)
            if position.xid >= impossible:
                # The database was restored from a dump, the cursor is of the one before.
                _said.warning("consumer_starts_over", consumer=self.name, cursor=position)
                position = START
            if resets == self._resets:
                self._move(position)
                self._loaded = True

    async def _step(self) -> tuple[Tail, bool]:
        """Read one batch, apply it, move on; what was read, and whether that was as much as a batch holds."""
        await self._load()
        resets = self._resets
        tail = await self._log.tail(self._position, self._types, self._limit)
        full = len(tail.events) == self._limit
        if tail.events:
            await self._apply([event for _, event in tail.events], resets)
        reached = tail.events[-1][0] if tail.events else self._position
        if not full:
            # Events of other types need not be looked at again.
            reached = max(reached, tail.settled)
        if reached != self._position:
            async with self._storing:
                self._unless_reset(resets)
                await self._cursors.store(self.name, reached)
        self._unless_reset(resets)
        self._move(reached)
        if full:
            self._limit = min(self._limit * _GROWTH, self._busy_batch)
        await self._measure(full or tail.withheld)
        return tail, full

    async def _measure(self, behind: bool) -> None:
        if not behind:
            _LAG.labels(self.name).set(0)
        elif monotonic() - self._lag_counted_at >= _LAG_EVERY_SECONDS:
            self._lag_counted_at = monotonic()
            _LAG.labels(self.name).set(await self.lag())

    async def _apply(self, events: list[Event], resets: int) -> None:
        """Apply a batch; halve it when it fails, park the event that fails alone."""
        attempts = _ATTEMPTS if len(events) == 1 else 1
        try:
            await self._attempt(events, attempts, resets)
        except _ResetMeanwhile:
            raise
        except Exception as error:
            if len(events) == 1:
                await self._park(events[0], error)
                return
            middle = len(events) // 2
            await self._apply(events[:middle], resets)
            await self._apply(events[middle:], resets)

    async def _attempt(self, events: list[Event], attempts: int, resets: int) -> None:
        """Try ``attempts`` times; a resource that is away does not count, that is waited for."""
        pause = Pause(*_BACKOFF_SECONDS)
        while True:
            self._unless_reset(resets)
            try:
                return await self._handler(events)
            except Exception as error:
                if not away(error):
                    attempts -= 1
                    if attempts == 0:
                        raise
                _said.warning("consumer_retries", consumer=self.name, events=len(events), error=_describe(error))
            await asyncio.sleep(pause.longer())

    async def _park(self, event: Event, error: Exception) -> None:
        _said.error("event_parked", consumer=self.name, event_id=str(event.id), type=event.type, error=_describe(error))
        parameters = {
            "consumer": self.name,
            "error": f"{type(error).__name__}: {error}"[:_ERROR_CHARACTERS].replace("\0", ""),
            "attempts": _ATTEMPTS,
            "organisation": event.organisation_id,
            "event": event.id,
        }
        async with self._log.database.transaction(system(event.organisation_id)) as connection:
            await connection.execute(_PARK, parameters)
        _PARKED.labels(self.name).set(await self.parked())

    def _unless_reset(self, resets: int) -> None:
        if resets != self._resets:
            raise _ResetMeanwhile

    def _move(self, position: Position) -> None:
        self._position = position
        self._moved.set()
        self._moved = asyncio.Event()


async def _at_most(seconds: float, event: asyncio.Event) -> None:
    """Wait for an event, but not longer than that."""
    # Not wait_for: in Python 3.11 it swallows a cancellation that meets the wake-up.
    with suppress(TimeoutError):
        async with asyncio.timeout(seconds):
            await event.wait()


def away(error: BaseException) -> bool:
    """Whether an error says that something does not answer right now, rather than that the input cannot be handled."""
    if isinstance(error, psycopg.OperationalError):
        # 54 (program limit exceeded) is the row's fault, however often it is tried.
        return not (error.sqlstate or "").startswith("54")
    waits = (Unavailable, psycopg.InterfaceError, PoolClosed, PoolTimeout, TooManyRequests, RedisError, OSError)
    return isinstance(error, waits)


def _describe(error: Exception) -> str:
    """The class and nothing else: a message may quote what a tenant wrote."""
    state: Any = getattr(error, "sqlstate", None)
    return f"{type(error).__name__}({state})" if state else type(error).__name__
