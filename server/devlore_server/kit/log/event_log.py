"""The log itself: appended in the writer's transaction, read in commit-safe order.

Order is ``(xid, seq)``. A reader takes only events whose transaction is older than every transaction still open
(``xid < pg_snapshot_xmin(pg_current_snapshot())``): a transaction that commits late can then never put an event behind
a cursor that has passed it. The price: one open writing transaction holds back everything that began after it.
"""

from __future__ import annotations

import asyncio
from collections.abc import Collection, Sequence
from contextlib import aclosing, suppress
from dataclasses import dataclass
from typing import LiteralString, NamedTuple
from uuid import UUID

import structlog
from pydantic import TypeAdapter
from redis.exceptions import RedisError

from devlore.events import Event
from devlore_server.kit.db import Connection, Database, Row, row, rows
from devlore_server.kit.log.hint import Hint

_RECONNECT_SECONDS = (0.05, 5.0)
_PUBLISH_SECONDS = 1.0
_said = structlog.get_logger(__name__)
_events = TypeAdapter(list[Event])

_ENDS: LiteralString = """
    SELECT settled_xid::text::bigint, settled_seq, head_xid::text::bigint, head_seq FROM log.ends()"""
_READ: LiteralString = """
    SELECT ends.settled_xid::text::bigint, ends.settled_seq, ends.head_xid::text::bigint, ends.head_seq,
        e.xid::text::bigint AS xid, e.seq, e.id, e.type, e.organisation_id, e.subject, e.version, e.audience,
        e.occurred_at, e.data
    FROM log.ends() AS ends LEFT JOIN log.read_after(%s, %s, %s, %s) AS e ON true ORDER BY e.xid, e.seq"""

_READ_PARKED: LiteralString = """
    SELECT id, type, organisation_id, subject, version, audience, occurred_at, data FROM log.read_parked(%s)"""


class Pause:
    """How long to wait before the next try: twice as long each time, up to a longest."""

    def __init__(self, shortest: float, longest: float) -> None:
        self._shortest, self._longest = shortest, longest
        self._next = shortest

    def longer(self) -> float:
        """The seconds to wait now."""
        now, self._next = self._next, min(self._next * 2, self._longest)
        return now

    def reset(self) -> None:
        """Start again from the shortest."""
        self._next = self._shortest


class Position(NamedTuple):
    """A place in the log: the event at it and all before it have been read. ``(0, 0)`` is before the first event.

    Always that of an event, never "whatever is older than this transaction": a transaction's number that reached no
    disk is given out again after a crash, a committed event's is not.
    """

    xid: int
    seq: int


START = Position(0, 0)


@dataclass(frozen=True, slots=True)
class Tail:
    """What a read found, and where the log ended just before it.

    ``head`` is the last committed event, ``settled`` the last that nothing can overtake any more.
    """

    events: list[tuple[Position, Event]]
    settled: Position
    head: Position

    @property
    def withheld(self) -> bool:
        """Whether a committed event waits for an older transaction that is still open."""
        return self.head > self.settled


class EventLog:
    """The log of one database; ``hint`` carries wake-ups to other processes."""

    def __init__(self, database: Database, hint: Hint | None = None) -> None:
        self.database = database
        self._hint = hint
        self._wakes: dict[asyncio.Event, frozenset[str]] = {}
        self._publishing: asyncio.Task[None] | None = None
        self._publish_again = False

    async def append(self, connection: Connection, events: Sequence[Event]) -> None:
        """Append in the caller's transaction, in order, as one statement; call ``notify`` after the commit."""
        if events:
            await connection.execute("SELECT log.append(%s::jsonb)", (encoded(events),))

    async def forget(self, connection: Connection, organisation: UUID, subject: UUID) -> None:
        """Delete every event of an erased subject, parked ones too, in the caller's transaction."""
        await connection.execute(
            "DELETE FROM log.event WHERE organisation_id = %s AND subject = %s", (organisation, subject)
        )

    async def forget_kind(self, connection: Connection, organisation: UUID, kind: str) -> None:
        """Delete every event ``kind.…`` of an organisation, parked ones too, in the caller's transaction."""
        await connection.execute(
            "DELETE FROM log.event WHERE organisation_id = %s AND starts_with(type, %s)", (organisation, f"{kind}.")
        )

    async def purged(self, connection: Connection, organisation: UUID, subjects: Sequence[UUID]) -> dict[UUID, int]:
        """The version each erased subject among ``subjects`` was erased at."""
        found = await rows(
            connection,
            "SELECT subject, max(version) AS version FROM log.event"
            " WHERE organisation_id = %s AND subject = ANY (%s) AND type = 'memory.purged' GROUP BY subject",
            (organisation, list(subjects)),
        )
        return {one["subject"]: one["version"] for one in found}

    async def read(self, after: Position, types: Sequence[str], limit: int) -> list[tuple[Position, Event]]:
        """Up to ``limit`` events of ``types``, of all organisations, after ``after``, that nothing can overtake."""
        return (await self.tail(after, types, limit)).events

    async def tail(self, after: Position, types: Sequence[str], limit: int) -> Tail:
        """``read``, with the ends of the log: when fewer than ``limit`` came, none up to ``settled`` is missing."""
        # One statement sees one moment: what is settled in it is among what it reads.
        found = await self.database.read(_READ, (str(after.xid), after.seq, list(types), limit))
        if not found:
            return Tail([], START, START)
        settled, head = _ends_of(found[0])
        events = [(Position(one["xid"], one["seq"]), _event_of(one)) for one in found if one["id"] is not None]
        return Tail(events, settled, head)

    async def head(self) -> Position:
        """The position of the last committed event."""
        found = await self.database.statement(_ENDS)
        return START if found is None else _ends_of(found)[1]

    async def adopt(self) -> int:
        """Make a log that was restored from a dump readable; returns a transaction no position has reached."""
        async with self.database.transaction(None) as connection:
            found = await row(connection, "SELECT log.adopt()::text::bigint AS next")
        return int(found["next"]) if found else 0

    async def parked(self, consumer: str) -> list[Event]:
        """The events a consumer has set aside, of all organisations, oldest first."""
        async with self.database.transaction(None) as connection:
            found = await rows(connection, _READ_PARKED, (consumer,))
        return [_event_of(one) for one in found]

    def notify(self, *types: str) -> None:
        """Say that something was committed: wakes this process's tails, and others' by the hint; never waits.

        Of ``types`` only, where the writer knows: then those that wait for nothing of it sleep on in this process.
        """
        self.wake(*types)
        if self._hint is None:
            return
        if self._publishing is None or self._publishing.done():
            self._publishing = asyncio.get_running_loop().create_task(self._publish(self._hint))
        else:
            self._publish_again = True

    def wake(self, *types: str) -> None:
        """Let this process's tails look at the log now; with ``types``, those of them that take any of these."""
        for wake, wanted in self._wakes.items():
            if not types or not wanted.isdisjoint(types):
                wake.set()

    async def listen(self) -> None:
        """Turn the hints of other processes into wake-ups, for ever; returns at once when there is no hint."""
        if self._hint is None:
            return
        pause = Pause(*_RECONNECT_SECONDS)
        while True:
            try:
                async with aclosing(self._hint.wakes()) as wakes:
                    async for _ in wakes:
                        pause.reset()
                        self.wake()
            except (RedisError, OSError) as error:
                _said.warning("log_hint_away", error=type(error).__name__)
            # What was missed in between is picked up by the next poll at the latest.
            await asyncio.sleep(pause.longer())

    def watch(self, wake: asyncio.Event, types: Collection[str]) -> None:
        """Set ``wake`` at every ``notify`` of these types from now on."""
        self._wakes[wake] = frozenset(types)

    def unwatch(self, wake: asyncio.Event) -> None:
        self._wakes.pop(wake, None)

    async def _publish(self, hint: Hint) -> None:
        again = True
        while again:
            self._publish_again = False
            with suppress(RedisError, OSError, TimeoutError):
                async with asyncio.timeout(_PUBLISH_SECONDS):
                    await hint.publish()
            again = self._publish_again


def encoded(events: Sequence[Event]) -> str:
    """Events as SQL's ``log.append`` takes them: for a statement that writes them with what they tell of."""
    return _events.dump_json(list(events)).decode()


def _ends_of(found: Row) -> tuple[Position, Position]:
    """The positions of the last settled and the last committed event."""
    return Position(found["settled_xid"], found["settled_seq"]), Position(found["head_xid"], found["head_seq"])


def _event_of(found: Row) -> Event:
    return Event.model_construct(**{name: found[name] for name in Event.model_fields})
