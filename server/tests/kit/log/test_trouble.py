"""What goes wrong: poison is parked, what is away is waited for, a killed PostgreSQL loses nothing."""

from __future__ import annotations

import asyncio
import os
import signal
from contextlib import suppress
from pathlib import Path
from typing import LiteralString
from uuid import UUID

import psycopg
import pytest

from devlore.events import Event
from devlore.problems import Unavailable
from devlore_server.kit import migrate
from devlore_server.kit.auth import Principal
from devlore_server.kit.db import Database, rows
from devlore_server.kit.embedded import EmbeddedPostgres
from devlore_server.kit.log import Consumer, EventLog, Position, away
from devlore_server.kit.telemetry import REGISTRY
from tests.kit.log.tailing import CREATED, Apply, Seen, event, running, write


def failing(seen: Seen, poisonous: set[UUID], calls: list[int]) -> Apply:
    async def apply(events: list[Event]) -> None:
        calls.append(len(events))
        if any(one.id in poisonous for one in events):
            raise ValueError("cannot read \0 this")
        await seen.apply(events)

    return apply


@pytest.mark.usefixtures("quick")
async def test_a_poison_event_is_found_and_parked_and_the_others_go_on(log: EventLog, who: Principal) -> None:
    seen, calls = Seen(), list[int]()
    written = [event(who) for _ in range(100)]
    poisonous = {written[0].id, written[50].id, written[99].id}
    await write(log, who, *written)
    async with running(Consumer(log, "picky", CREATED, failing(seen, poisonous, calls))) as consumer:
        assert await consumer.wait_for(await log.head(), 20)
    assert seen.ids == [one.id for one in written if one.id not in poisonous]
    assert await consumer.parked() == 3
    assert REGISTRY.get_sample_value("devlore_log_parked_events", {"consumer": "picky"}) == 3
    # Halving finds the one in 64 with a dozen calls, not 64; the one alone is tried three times.
    assert len(calls) < 40


@pytest.mark.usefixtures("quick")
async def test_a_parked_event_belongs_to_its_organisation(
    log: EventLog, who: Principal, stranger: Principal, database: Database
) -> None:
    await write(log, who, poison := event(who))
    async with running(Consumer(log, "picky", CREATED, failing(Seen(), {poison.id}, []))) as consumer:
        assert await consumer.wait_for(await log.head(), 20)
    query: LiteralString = "SELECT consumer, event_id, error, attempts FROM log.parked"
    async with database.transaction(who) as connection:
        assert await rows(connection, query) == [
            {"consumer": "picky", "event_id": poison.id, "error": "ValueError: cannot read  this", "attempts": 3}
        ]
    async with database.transaction(stranger) as connection:
        assert await rows(connection, query) == []


@pytest.mark.usefixtures("quick")
async def test_parked_events_are_applied_at_the_next_start_once_what_was_wrong_is_mended(
    log: EventLog, who: Principal
) -> None:
    seen, poisonous = Seen(), set[UUID]()
    written = [event(who) for _ in range(3)]
    poisonous.update(one.id for one in written[:2])
    await write(log, who, *written)
    async with running(Consumer(log, "picky", CREATED, failing(seen, poisonous, []))) as consumer:
        assert await consumer.wait_for(await log.head(), 20)
    assert seen.ids == [written[2].id]
    poisonous.remove(written[0].id)
    async with running(Consumer(log, "picky", CREATED, failing(seen, poisonous, []))) as consumer:
        await seen.upto(2)
        await write(log, who, later := event(who))
        assert await consumer.wait_for(await log.head(), 20)
        assert await consumer.parked() == 1
        assert REGISTRY.get_sample_value("devlore_log_parked_events", {"consumer": "picky"}) == 1
    assert seen.ids == [written[2].id, written[0].id, later.id]


@pytest.mark.usefixtures("quick")
async def test_what_is_away_at_the_start_is_waited_for_before_parked_events_are_judged(
    log: EventLog, who: Principal
) -> None:
    seen, calls = Seen(), 0
    await write(log, who, parked := event(who))
    async with running(Consumer(log, "picky", CREATED, failing(Seen(), {parked.id}, []))) as consumer:
        assert await consumer.wait_for(await log.head(), 20)

    async def away_at_first(events: list[Event]) -> None:
        nonlocal calls
        calls += 1
        if calls < 3:
            raise Unavailable("The embedder does not answer.")
        await seen.apply(events)

    async with running(Consumer(log, "picky", CREATED, away_at_first)) as consumer:
        await seen.upto(1)
        await write(log, who, event(who))
        assert await consumer.wait_for(await log.head(), 20)
        assert await consumer.parked() == 0
    assert seen.ids[0] == parked.id


@pytest.mark.usefixtures("quick")
async def test_a_resource_that_is_away_is_waited_for_and_nothing_is_parked(log: EventLog, who: Principal) -> None:
    seen, refusals = Seen(), 10

    async def apply(events: list[Event]) -> None:
        nonlocal refusals
        if refusals:
            refusals -= 1
            raise Unavailable
        await seen.apply(events)

    await write(log, who, event(who))
    async with running(Consumer(log, "patient", CREATED, apply)) as consumer:
        await seen.upto(1)
    assert await consumer.parked() == 0


@pytest.mark.usefixtures("quick")
async def test_a_passing_mistake_is_tried_again_and_not_parked(log: EventLog, who: Principal) -> None:
    seen, mistakes = Seen(), 2

    async def apply(events: list[Event]) -> None:
        nonlocal mistakes
        if mistakes:
            mistakes -= 1
            raise ValueError
        await seen.apply(events)

    await write(log, who, event(who))
    async with running(Consumer(log, "patient", CREATED, apply)) as consumer:
        await seen.upto(1)
    assert await consumer.parked() == 0


@pytest.mark.usefixtures("quick")
async def test_a_poison_event_purged_meanwhile_is_not_parked(log: EventLog, who: Principal) -> None:
    await write(log, who, poison := event(who))

    async def apply(events: list[Event]) -> None:
        async with log.database.transaction(who) as connection:
            await connection.execute("DELETE FROM log.event WHERE id = %s", (poison.id,))
        raise ValueError

    head = await log.head()
    async with running(Consumer(log, "picky", CREATED, apply)) as consumer:
        assert await consumer.wait_for(head, 20)
    assert await consumer.parked() == 0


@pytest.mark.parametrize(
    ("error", "expected"),
    [
        (Unavailable(), True),
        (ConnectionRefusedError(), True),
        (psycopg.errors.AdminShutdown(), True),
        (psycopg.InterfaceError(), True),
        (psycopg.errors.ProgramLimitExceeded(), False),
        (psycopg.errors.UniqueViolation(), False),
        (KeyError(), False),
    ],
)
def test_what_is_away_and_what_is_wrong(error: Exception, expected: bool) -> None:
    assert away(error) is expected


@pytest.mark.usefixtures("quick")
async def test_nothing_is_lost_when_postgres_is_killed_and_comes_back(home: Path, who: Principal) -> None:
    postgres = EmbeddedPostgres(home, durable=False)
    url = await asyncio.to_thread(postgres.start)
    await migrate.migrate(url)
    database = Database(migrate.app_url(url), max_size=4)
    await database.open()
    log, seen, acknowledged = EventLog(database), Seen(), list[UUID]()

    async def write_some(count: int) -> None:
        while count:
            one = event(who)
            with suppress(psycopg.OperationalError, Unavailable):
                await write(log, who, one)
                acknowledged.append(one.id)
                count -= 1

    try:
        async with running(Consumer(log, "any", CREATED, seen.apply)) as consumer:
            await write_some(20)
            for _ in range(2):
                writing = asyncio.create_task(write_some(40))
                await seen.upto(len(acknowledged) + 5)
                os.kill(postgres.pid() or 0, signal.SIGKILL)
                await asyncio.to_thread(postgres.start)
                async with asyncio.timeout(30):
                    await writing
            assert await consumer.wait_for(await log.head(), 20)
    finally:
        await database.close()
        await asyncio.to_thread(postgres.stop)
    assert len(acknowledged) == 100
    assert set(acknowledged) <= set(seen.ids)


# A database restored from a dump numbers its transactions from the start again


async def as_if_restored(owner_url: str) -> Position:
    """Give the events and cursors of this database numbers as they come from a server that had lived longer."""
    later: LiteralString = "SET xid = ((xid::text::bigint) + 1000000000)::text::xid8"
    async with await psycopg.AsyncConnection.connect(owner_url, autocommit=True) as connection:
        await connection.execute(f"UPDATE log.event {later}")  # type: ignore[arg-type]
        await connection.execute(f"UPDATE log.consumer {later}")  # type: ignore[arg-type]
        found = await (await connection.execute("SELECT max(xid)::text::bigint, max(seq) FROM log.event")).fetchone()
    assert found is not None
    return Position(*found)


class Kept:
    """A cursor outside the database, which no restore brings in line."""

    def __init__(self, position: Position) -> None:
        self.position = position

    async def load(self, name: str) -> Position:
        return self.position

    async def store(self, name: str, position: Position) -> None:
        self.position = position


@pytest.mark.parametrize("outside", [False, True], ids=["cursor in the database", "cursor outside"])
async def test_after_a_restore_nothing_is_missed(log: EventLog, owner_url: str, who: Principal, outside: bool) -> None:
    old = [event(who, n=n) for n in range(3)]
    await write(log, who, *old)
    async with running(Consumer(log, "any", CREATED, Seen().apply)) as consumer:
        assert await consumer.wait_for(await log.head(), 20)
    cursor = await as_if_restored(owner_url)
    seen, new = Seen(), event(who, n=3)
    cursors = Kept(cursor) if outside else None
    async with running(Consumer(log, "any", CREATED, seen.apply, cursors=cursors)) as consumer:
        await write(log, who, new)
        await seen.upto(4)
        assert await consumer.wait_for(await log.head(), 20)
    assert seen.ids == [one.id for one in [*old, new]]


async def test_a_log_that_was_not_restored_is_left_alone(log: EventLog, who: Principal) -> None:
    await write(log, who, event(who))
    before = await log.head()
    await log.adopt()
    assert await log.head() == before
