"""Shared by the tests of the log: events to write, and an ``apply`` that remembers."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from contextlib import asynccontextmanager, suppress
from datetime import UTC, datetime
from typing import Any
from uuid import UUID

from devlore.events import Event
from devlore_server.kit.auth import Principal
from devlore_server.kit.db import Database
from devlore_server.kit.ids import new_id
from devlore_server.kit.log import START, Consumer, EventLog, Position, Tail

ALL = ["memory.created", "memory.updated", "search.near_duplicates_found"]
CREATED = ["memory.created"]
Apply = Callable[[list[Event]], Awaitable[None]]


def event(who: Principal, type: Any = "memory.created", **data: Any) -> Event:
    return Event(
        id=new_id(),
        type=type,
        organisation_id=who.organisation,
        subject=new_id(),
        version=1,
        audience=who.organisation,
        occurred_at=datetime(2026, 1, 2, 3, 4, 5, 678901, tzinfo=UTC),
        data=data,
    )


async def write(log: EventLog, who: Principal, *events: Event) -> None:
    async with log.database.transaction(who) as connection:
        await log.append(connection, events)
    log.notify()


async def everything(log: EventLog, limit: int = 1000) -> list[Event]:
    return [event for _, event in await log.read(START, ALL, limit)]


class Seen:
    """Remembers what it was given; ``upto`` waits until it was given a number of different events."""

    def __init__(self) -> None:
        self.batches: list[list[Event]] = []
        self.ids: list[UUID] = []
        self._more = asyncio.Event()

    async def apply(self, events: list[Event]) -> None:
        self.batches.append(events)
        self.ids += [one.id for one in events]
        self._more.set()

    async def upto(self, count: int) -> None:
        async with asyncio.timeout(20):
            while len(set(self.ids)) < count:
                self._more.clear()
                await self._more.wait()


class Watched(EventLog):
    """Remembers how many events each look at the log found."""

    def __init__(self, database: Database) -> None:
        super().__init__(database)
        self.looks: list[int] = []

    async def tail(self, after: Position, types: Sequence[str], limit: int) -> Tail:
        found = await super().tail(after, types, limit)
        self.looks.append(len(found.events))
        return found


async def until(holds: Callable[[], bool]) -> None:
    """Wait until something of this process holds."""
    async with asyncio.timeout(20):
        while not holds():
            await asyncio.sleep(0.01)


@asynccontextmanager
async def running(consumer: Consumer) -> AsyncIterator[Consumer]:
    task = asyncio.create_task(consumer.run())
    try:
        yield consumer
    finally:
        task.cancel()
        with suppress(asyncio.CancelledError):
            await task
