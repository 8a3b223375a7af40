"""The log itself: events come back as written, in order, and none is missed whatever the order of commits."""

from __future__ import annotations

import asyncio
import random
from collections.abc import Sequence
from typing import Any, LiteralString
from uuid import UUID

import psycopg
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from devlore_server.kit.auth import Principal
from devlore_server.kit.db import Connection, Database, rows
from devlore_server.kit.log import START, Consumer, EventLog
from tests.kit.log.tailing import ALL, CREATED, Seen, event, everything, running, write


async def test_an_event_comes_back_as_it_was_written(log: EventLog, who: Principal) -> None:
    written = event(who, title="naïve 漢字 \U0001f600", nested={"a": [1, 2.5, None, True]})
    await write(log, who, written)
    assert await everything(log) == [written]


async def test_events_of_one_append_keep_their_order(log: EventLog, who: Principal) -> None:
    written = [event(who, n=n) for n in range(300)]
    await write(log, who, *written)
    assert [one.data["n"] for one in await everything(log)] == list(range(300))


async def test_appending_nothing_is_allowed(log: EventLog, who: Principal) -> None:
    await write(log, who)
    assert await log.head() == START


async def test_a_rolled_back_event_never_happened(log: EventLog, who: Principal) -> None:
    with pytest.raises(LookupError):
        async with log.database.transaction(who) as connection:
            await log.append(connection, [event(who)])
            raise LookupError
    assert await everything(log) == []


async def test_an_event_of_another_organisation_is_refused(log: EventLog, who: Principal, stranger: Principal) -> None:
    with pytest.raises(psycopg.errors.InsufficientPrivilege):
        await write(log, who, event(stranger))


async def test_read_starts_after_the_position_and_stops_at_the_limit(log: EventLog, who: Principal) -> None:
    await write(log, who, *[event(who, n=n) for n in range(3)])
    await write(log, who, event(who, n=3))
    first = await log.read(START, ALL, 2)
    rest = await log.read(first[-1][0], ALL, 10)
    assert [one.data["n"] for _, one in first] == [0, 1]
    assert [one.data["n"] for _, one in rest] == [2, 3]
    assert rest[-1][0] == await log.head()


async def test_read_gives_only_the_types_asked_for(log: EventLog, who: Principal) -> None:
    await write(log, who, event(who), event(who, "memory.updated"))
    assert [one.type for _, one in await log.read(START, ["memory.updated"], 10)] == ["memory.updated"]


async def test_read_serves_every_organisation(log: EventLog, who: Principal, stranger: Principal) -> None:
    await write(log, who, event(who))
    await write(log, stranger, event(stranger))
    assert {one.organisation_id for one in await everything(log)} == {who.organisation, stranger.organisation}


async def test_a_committed_event_is_withheld_while_an_older_transaction_is_open(log: EventLog, who: Principal) -> None:
    async with log.database.transaction(who) as slow:
        await log.append(slow, [event(who, n=1)])
        await write(log, who, event(who, n=2))
        tail = await log.tail(START, ALL, 10)
        assert tail.events == [] and tail.withheld
    assert [one.data["n"] for one in await everything(log)] == [1, 2]
    assert not (await log.tail(START, ALL, 10)).withheld


# No event is missed, in whatever order transactions commit

Step = tuple[int, str]


def schedules() -> st.SearchStrategy[list[Step]]:
    """Interleavings of up to five writers that each append once or twice and then commit, and of a reader."""
    lives = st.lists(st.sampled_from([["append", "end"], ["append", "append", "end"]]), min_size=2, max_size=5)

    def interleave(steps: list[list[str]]) -> st.SearchStrategy[list[Step]]:
        turns = [writer for writer, life in enumerate(steps) for _ in life] + [-1] * 4

        def place(order: Sequence[int]) -> list[Step]:
            left = [iter(life) for life in steps]
            return [(writer, "read" if writer < 0 else next(left[writer])) for writer in order]

        return st.permutations(turns).map(place)

    return lives.flatmap(interleave)


async def naive(connection: Connection, after: int) -> list[tuple[int, UUID]]:
    """What a reader with a plain ``seq >`` cursor would get: the mistake the log's order avoids."""
    query: LiteralString = "SELECT seq, id FROM log.event WHERE seq > %s ORDER BY seq"
    return [(found["seq"], found["id"]) for found in await rows(connection, query, (after,))]


async def play(log: EventLog, who: Principal, schedule: list[Step]) -> tuple[list[UUID], list[UUID], list[UUID]]:
    """Run a schedule; returns the ids written, those a tail read, and those a naive reader read, each in its order."""
    written: list[UUID] = []
    tailed: list[UUID] = []
    naively: list[UUID] = []
    position, last = (await log.head()), 0
    begin = position
    open_: dict[int, tuple[Any, Connection]] = {}

    async def look() -> None:
        nonlocal position, last
        for found, one in await log.read(position, ALL, 2):
            position = found
            tailed.append(one.id)
        async with log.database.transaction(who) as connection:
            for seq, id_ in await naive(connection, last):
                last = seq
                naively.append(id_)

    async with log.database.transaction(who) as connection:
        last = max((seq for seq, _ in await naive(connection, 0)), default=0)
    for writer, step in schedule:
        if step == "read":
            await look()
        elif step == "append":
            if writer not in open_:
                context = log.database.transaction(who)
                open_[writer] = context, await context.__aenter__()
            one = event(who)
            written.append(one.id)
            await log.append(open_[writer][1], [one])
        else:
            await open_.pop(writer)[0].__aexit__(None, None, None)
    for _ in schedule:
        await look()
    assert [one.id for _, one in await log.read(begin, ALL, 1000)] == tailed
    return written, tailed, naively


async def test_no_interleaving_of_commits_makes_a_reader_miss_an_event(database_url: str, who: Principal) -> None:
    missed_naively = 0

    def every_example() -> None:
        with asyncio.Runner() as runner:
            database = Database(database_url, min_size=7, max_size=7)
            runner.run(database.open())

            @settings(max_examples=40, deadline=None, suppress_health_check=list(HealthCheck), derandomize=True)
            @given(schedule=schedules())
            def one_example(schedule: list[Step]) -> None:
                nonlocal missed_naively
                written, tailed, naively = runner.run(play(EventLog(database), who, schedule))
                assert sorted(tailed) == sorted(written)
                missed_naively += len(written) - len(naively)

            one_example()
            runner.run(database.close())

    # Hypothesis calls plain functions, so it gets a thread with a loop of its own.
    await asyncio.to_thread(every_example)
    # The test can tell a right reader from a wrong one.
    assert missed_naively > 0


async def test_consumers_see_everything_many_concurrent_writers_commit(database_url: str, who: Principal) -> None:
    database = Database(database_url, max_size=16)
    await database.open()
    log, seen, naively = EventLog(database), Seen(), set[UUID]()
    written: list[UUID] = []
    chance = random.Random(7)

    async def writer() -> None:
        for _ in range(20):
            some = [event(who) for _ in range(chance.randint(1, 3))]
            async with database.transaction(who) as connection:
                await log.append(connection, some)
                # Other writers commit in between, so events become visible out of their order.
                await asyncio.sleep(chance.random() / 200)
            log.notify()
            written.extend(one.id for one in some)

    async def naive_reader() -> None:
        last = 0
        while True:
            async with database.transaction(who) as connection:
                for seq, id_ in await naive(connection, last):
                    last = seq
                    naively.add(id_)

    async with running(Consumer(log, "stress", CREATED, seen.apply)) as consumer:
        reading = asyncio.create_task(naive_reader())
        await asyncio.gather(*[writer() for _ in range(10)])
        assert await consumer.wait_for(await log.head(), 20)
        reading.cancel()
        await asyncio.wait([reading])
    await database.close()
    assert set(seen.ids) == set(written)
    assert len(seen.ids) == len(written)
    assert len(naively) < len(written)
