"""Consumers: they get everything, remember how far they came, and can be waited for and reset."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence

import psycopg
import pytest

from devlore.events import Event
from devlore_server.kit.auth import Principal
from devlore_server.kit.db import Database
from devlore_server.kit.log import START, Consumer, Cursors, EventLog, Position, PostgresCursors, Tail
from devlore_server.kit.log import consumer as consuming
from devlore_server.kit.telemetry import REGISTRY
from tests.kit.log.tailing import CREATED, Seen, Watched, event, everything, running, until, write


async def test_a_consumer_gets_what_was_written_before_and_after_it_started(log: EventLog, who: Principal) -> None:
    seen = Seen()
    await write(log, who, event(who))
    async with running(Consumer(log, "any", CREATED, seen.apply)):
        await seen.upto(1)
        await write(log, who, event(who))
        await seen.upto(2)
    assert seen.ids == [one.id for one in await everything(log)]


async def test_notify_wakes_a_consumer_long_before_its_poll(
    log: EventLog, who: Principal, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(consuming, "POLL_SECONDS", 60)
    seen = Seen()
    async with running(Consumer(log, "any", CREATED, seen.apply)) as consumer:
        await write(log, who, event(who))
        assert await consumer.wait_for(await log.head(), 20)
        await write(log, who, event(who))
        assert await consumer.wait_for(await log.head(), 20)


async def test_what_is_committed_wakes_those_who_take_it(log: EventLog) -> None:
    """A writer that knows no types wakes everybody: nobody may sleep through what was meant for them."""
    wakes = {taken: asyncio.Event() for taken in ("memory.created", "memory.purged")}
    for taken, wake in wakes.items():
        log.watch(wake, [taken, "memory.restored"])

    def woken(*types: str) -> list[str]:
        log.notify(*types)
        found = [taken for taken, wake in wakes.items() if wake.is_set()]
        for wake in wakes.values():
            wake.clear()
        return found

    assert woken("memory.created") == ["memory.created"]
    assert woken("memory.updated") == []
    assert woken("memory.updated", "memory.restored") == woken() == list(wakes)
    log.unwatch(wakes["memory.created"])
    assert woken() == ["memory.purged"]


async def test_what_another_process_writes_without_a_hint_is_found_by_the_poll(
    log: EventLog, database_url: str, who: Principal
) -> None:
    seen, elsewhere = Seen(), Database(database_url)
    await elsewhere.open()
    async with running(Consumer(log, "any", CREATED, seen.apply)):
        await write(log, who, event(who))
        await seen.upto(1)
        await write(EventLog(elsewhere), who, event(who))
        await seen.upto(2)
    await elsewhere.close()


async def test_a_consumer_goes_on_where_it_stopped(log: EventLog, who: Principal) -> None:
    for _ in range(2):
        seen = Seen()
        await write(log, who, event(who), event(who))
        async with running(Consumer(log, "any", CREATED, seen.apply)) as consumer:
            assert await consumer.wait_for(await log.head(), 20)
        assert len(seen.ids) == 2


async def test_consumers_have_a_cursor_each(log: EventLog, who: Principal) -> None:
    one, two = Seen(), Seen()
    await write(log, who, event(who))
    async with running(Consumer(log, "one", CREATED, one.apply)), running(Consumer(log, "two", CREATED, two.apply)):
        await one.upto(1)
        await two.upto(1)
    assert one.ids == two.ids


async def test_batches_grow_while_there_is_a_queue_and_never_beyond_the_limit(log: EventLog, who: Principal) -> None:
    await write(log, who, *[event(who) for _ in range(300)])
    seen = Seen()
    async with running(Consumer(log, "any", CREATED, seen.apply, busy_batch=64)):
        await seen.upto(300)
    assert [len(batch) for batch in seen.batches] == [1, 4, 16, 64, 64, 64, 64, 23]


async def test_an_idle_consumer_starts_with_one_event_again(log: EventLog, who: Principal) -> None:
    seen = Seen()
    async with running(Consumer(log, "any", CREATED, seen.apply)) as consumer:
        for _ in range(2):
            await write(log, who, *[event(who) for _ in range(20)])
            assert await consumer.wait_for(await log.head(), 20)
            await until(lambda: consumer._limit == 1)
    assert [len(batch) for batch in seen.batches] == [1, 4, 15, 1, 4, 15]


async def test_events_that_follow_closely_are_gathered_until_somebody_waits_for_them(
    database: Database, who: Principal, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(consuming, "REST_SECONDS", 60)
    log, seen = Watched(database), Seen()
    async with running(Consumer(log, "any", CREATED, seen.apply)) as consumer:
        await write(log, who, event(who))
        await seen.upto(1)
        await until(lambda: 1 in log.looks and log.looks[-1] == 0)
        for _ in range(3):
            await write(log, who, event(who))
            await asyncio.sleep(0.05)
        assert len(seen.ids) == 1
        assert await consumer.wait_for(await log.head(), 20)
        await write(log, who, event(who))
        waiting = asyncio.create_task(consumer.wait_for(Position(2**62, 0), 60))
        await seen.upto(5)
        waiting.cancel()
    assert [len(batch) for batch in seen.batches] == [1, 3, 1]


async def test_events_of_other_types_are_gathered_too(
    log: EventLog, who: Principal, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A consumer that has nothing to do with them must not remember each of them by a transaction of its own."""
    monkeypatch.setattr(consuming, "REST_SECONDS", 60)
    stored: list[Position] = []

    class Counting(PostgresCursors):
        async def store(self, name: str, position: Position) -> None:
            stored.append(position)
            await super().store(name, position)

    async with running(Consumer(log, "any", CREATED, Seen().apply, cursors=Counting(log.database))) as consumer:
        await write(log, who, event(who, "memory.updated"))
        await until(lambda: bool(stored))
        for _ in range(4):
            await write(log, who, event(who, "memory.updated"))
            await asyncio.sleep(0.05)
        assert await consumer.wait_for(await log.head(), 20)
    assert len(stored) == 2
    assert stored[-1] == await log.head()


async def test_a_gathered_event_comes_by_itself(log: EventLog, who: Principal, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(consuming, "POLL_SECONDS", 60)
    seen = Seen()
    async with running(Consumer(log, "any", CREATED, seen.apply)):
        for count in range(1, 4):
            await write(log, who, event(who))
            await seen.upto(count)


async def test_events_of_other_types_are_passed_over(log: EventLog, who: Principal) -> None:
    seen = Seen()
    await write(log, who, event(who), event(who, "memory.updated"))
    async with running(Consumer(log, "any", CREATED, seen.apply)) as consumer:
        assert await consumer.wait_for(await log.head(), 20)
    assert len(seen.ids) == 1
    assert await PostgresCursors(log.database).load("any") == await log.head()


async def test_an_idle_log_is_not_written_to(log: EventLog, who: Principal, owner_url: str) -> None:
    await write(log, who, event(who, "memory.updated"))
    with psycopg.connect(owner_url, autocommit=True) as connection:
        async with running(Consumer(log, "any", CREATED, Seen().apply)) as consumer:
            assert await consumer.wait_for(await log.head(), 20)
            transaction = "SELECT pg_snapshot_xmax(pg_current_snapshot())"
            before = connection.execute(transaction).fetchone()
            for _ in range(5):
                log.notify()
                await asyncio.sleep(0.02)
            assert connection.execute(transaction).fetchone() == before


async def test_wait_for_gives_up_after_its_timeout(log: EventLog, who: Principal) -> None:
    consumer = Consumer(log, "any", CREATED, Seen().apply)
    await write(log, who, event(who))
    assert not await consumer.wait_for(await log.head(), 0.05)


async def test_wait_for_waits_for_an_event_that_an_open_transaction_withholds(
    log: EventLog, who: Principal, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(consuming, "POLL_SECONDS", 60)
    seen = Seen()
    async with running(Consumer(log, "any", CREATED, seen.apply)) as consumer:
        async with log.database.transaction(who) as slow:
            await log.append(slow, [event(who)])
            await write(log, who, event(who))
            head = await log.head()
            assert not await consumer.wait_for(head, 0.2)
        assert await consumer.wait_for(head, 20)
    assert len(seen.ids) == 2


async def test_wait_for_an_empty_log_is_over_at_once(log: EventLog) -> None:
    assert await Consumer(log, "any", CREATED, Seen().apply).wait_for(await log.head(), 0)


async def test_reset_applies_everything_again(log: EventLog, who: Principal) -> None:
    seen = Seen()
    await write(log, who, *[event(who) for _ in range(5)])
    async with running(Consumer(log, "any", CREATED, seen.apply)) as consumer:
        assert await consumer.wait_for(await log.head(), 20)
        await consumer.reset()
        assert consumer.position == START
        assert await consumer.wait_for(await log.head(), 20)
    assert len(seen.ids) == 10
    assert await PostgresCursors(log.database).load("any") == await log.head()


async def test_reset_in_the_middle_of_a_batch_wins(log: EventLog, who: Principal) -> None:
    seen, inside, go_on = Seen(), asyncio.Event(), asyncio.Event()

    async def slow(events: list[Event]) -> None:
        inside.set()
        await go_on.wait()
        await seen.apply(events)

    await write(log, who, event(who))
    async with running(Consumer(log, "any", CREATED, slow)) as consumer:
        await inside.wait()
        await consumer.reset()
        go_on.set()
        assert await consumer.wait_for(await log.head(), 20)
    assert len(seen.ids) == 2


async def test_reset_wins_over_a_look_at_the_log_that_began_while_it_was_being_stored(
    database: Database, who: Principal
) -> None:
    looking, go_on = asyncio.Event(), asyncio.Event()
    go_on.set()

    class Slow(EventLog):
        async def tail(self, after: Position, types: Sequence[str], limit: int) -> Tail:
            began_late = not go_on.is_set()
            found = await super().tail(after, types, limit)
            if began_late:
                looking.set()
                await go_on.wait()
            return found

    class Late(PostgresCursors):
        async def store(self, name: str, position: Position) -> None:
            if position == START:
                go_on.clear()
                log.wake()
                await looking.wait()
            await super().store(name, position)

    log, seen = Slow(database), Seen()
    await write(log, who, *[event(who) for _ in range(5)])
    async with running(Consumer(log, "any", CREATED, seen.apply, cursors=Late(database))) as consumer:
        assert await consumer.wait_for(await log.head(), 20)
        await consumer.reset()
        go_on.set()
        assert await consumer.wait_for(await log.head(), 20)
    assert len(seen.ids) == 10


async def test_reset_to_the_head_skips_what_was_before(log: EventLog, who: Principal) -> None:
    seen = Seen()
    await write(log, who, event(who))
    consumer = Consumer(log, "any", CREATED, seen.apply)
    await consumer.reset(await log.head())
    async with running(consumer):
        await write(log, who, late := event(who))
        await seen.upto(1)
    assert seen.ids == [late.id]


async def test_lag_counts_what_waits(log: EventLog, who: Principal) -> None:
    consumer = Consumer(log, "lagging", CREATED, Seen().apply)
    await write(log, who, event(who), event(who), event(who, "memory.updated"))
    assert await consumer.lag() == 2
    async with running(consumer):
        assert await consumer.wait_for(await log.head(), 20)
    assert await consumer.lag() == 0
    assert REGISTRY.get_sample_value("devlore_log_lag_events", {"consumer": "lagging"}) == 0


async def test_a_long_lag_is_estimated_without_reading_it(log: EventLog, who: Principal) -> None:
    waiting = Consumer(log, "far behind", CREATED, Seen().apply)
    for _ in range(3):
        await write(log, who, *(event(who) if n % 2 else event(who, "memory.updated") for n in range(1_000)))
    assert 1_400 <= await waiting.lag() <= 1_600
    all_types = Consumer(log, "behind with all", [*CREATED, "memory.updated"], Seen().apply)
    assert 2_900 <= await all_types.lag() <= 3_100


async def test_lag_is_zero_only_when_nothing_waits(log: EventLog, who: Principal) -> None:
    """What waits may lie far behind a thousand events that are none of this consumer's."""
    waiting = Consumer(log, "patient", CREATED, Seen().apply)
    await write(log, who, *(event(who, "memory.updated") for _ in range(1_000)))
    await write(log, who, event(who))
    assert await waiting.lag() >= 1
    await waiting.reset(await log.head())
    assert await waiting.lag() == 0


async def test_cursors_can_live_elsewhere(log: EventLog, who: Principal) -> None:
    class Memory:
        kept: dict[str, Position] = {}

        async def load(self, name: str) -> Position:
            return self.kept.get(name, START)

        async def store(self, name: str, position: Position) -> None:
            self.kept[name] = position

    cursors: Cursors = Memory()
    await write(log, who, event(who))
    async with running(Consumer(log, "any", CREATED, Seen().apply, cursors=cursors)) as consumer:
        assert await consumer.wait_for(await log.head(), 20)
    assert Memory.kept == {"any": await log.head()}
    assert await PostgresCursors(log.database).load("any") == START


async def test_a_cursor_lost_after_its_batch_only_repeats_events(log: EventLog, who: Principal) -> None:
    class Forgetful(PostgresCursors):
        failures = 1

        async def store(self, name: str, position: Position) -> None:
            if self.failures:
                self.failures -= 1
                raise psycopg.OperationalError("gone")
            await super().store(name, position)

    seen = Seen()
    await write(log, who, event(who), event(who))
    async with running(Consumer(log, "any", CREATED, seen.apply, cursors=Forgetful(log.database))) as consumer:
        assert await consumer.wait_for(await log.head(), 20)
    assert set(seen.ids) == {one.id for one in await everything(log)}
    assert len(seen.ids) == 3
