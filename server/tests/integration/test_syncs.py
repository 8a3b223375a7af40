"""Syncs over the real memory service: counters, checkpoints, interruption, cancelling, one at a time."""

from __future__ import annotations

import asyncio
from datetime import timedelta

import pytest

from devlore.problems import Conflict, Invalid, NotFound, Unavailable
from devlore.types import Connection, ConnectionDraft, Sync
from devlore_server.integration.connector import Failure
from devlore_server.integration.jobs import SyncJobs
from devlore_server.integration.progress import FAILURES_KEPT
from devlore_server.integration.service import IntegrationService
from devlore_server.integration.store import connections
from devlore_server.integration.syncs import REPORT_SECONDS
from devlore_server.kit.auth import Principal
from devlore_server.kit.db import Database, rows
from devlore_server.memory.service import MemoryService
from devlore_server.memory.store.listing import Filters
from tests.integration.conftest import ended, until
from tests.integration.scripted import Scripted


@pytest.fixture
def source() -> Scripted:
    return Scripted("a", "b", "c", "d", "e")


@pytest.fixture
def service(database: Database, memories: MemoryService, source: Scripted) -> IntegrationService:
    return IntegrationService(database, memories, connectors={"scripted": source})


@pytest.fixture
async def connection(service: IntegrationService, who: Principal) -> Connection:
    return (await service.connect(who, ConnectionDraft(connector="scripted")))[0]


async def titles(memories: MemoryService, who: Principal) -> list[str]:
    return sorted(one.title for one in await memories.page(who, Filters(), 200))


async def run(service: IntegrationService, who: Principal, connection: Connection, *, full: bool = False) -> Sync:
    """Queue a sync and have the worker run it to its end."""
    return await ended(service, who, await service.sync(who, connection.id, full=full))


@pytest.mark.usefixtures("worker")
async def test_a_sync_counts_what_it_does(
    service: IntegrationService, memories: MemoryService, who: Principal, connection: Connection, source: Scripted
) -> None:
    source.failures = [Failure("x", "unreadable")]
    first = await run(service, who, connection)
    assert (first.state, first.total, first.done, first.created) == ("done", 5, 5, 5)
    assert (first.failed, [failure.model_dump() for failure in first.failures]) == (
        1,
        [{"item": "x", "reason": "unreadable"}],
    )
    assert first.started_at
    assert first.finished_at
    assert await titles(memories, who) == ["a", "b", "c", "d", "e"]
    shown = await service.get(who, connection.id)
    assert shown.checkpoint == {"done": 5}
    assert shown.last_synced_at == first.finished_at
    source.names.append("f")
    second = await run(service, who, connection)
    assert (second.total, second.created, second.unchanged) == (1, 1, 0)
    assert [one.id for one in await service.page_syncs(who, connection.id, 10)] == [second.id, first.id]


@pytest.mark.usefixtures("worker")
async def test_a_full_sync_repeats_nothing_visible_and_deletes_what_is_gone(
    service: IntegrationService, memories: MemoryService, who: Principal, connection: Connection, source: Scripted
) -> None:
    await run(service, who, connection)
    source.names = ["a", "c", "e"]
    full = await run(service, who, connection, full=True)
    assert (full.unchanged, full.created, full.updated, full.deleted) == (3, 0, 0, 2)
    assert await titles(memories, who) == ["a", "c", "e"]
    assert {one.version for one in await memories.page(who, Filters(), 10)} == {1}


@pytest.mark.usefixtures("worker")
async def test_what_another_connection_still_has_is_not_deleted(
    service: IntegrationService, memories: MemoryService, who: Principal, connection: Connection, source: Scripted
) -> None:
    twin, _ = await service.connect(who, ConnectionDraft(connector="scripted", config={"place": "elsewhere"}))
    await run(service, who, connection)
    await run(service, who, twin)
    source.names = ["a"]
    assert (await run(service, who, connection, full=True)).deleted == 0
    assert await titles(memories, who) == ["a", "b", "c", "d", "e"]
    assert (await run(service, who, twin, full=True)).deleted == 4
    assert await titles(memories, who) == ["a"]


async def test_one_sync_at_a_time_and_asking_again_answers_it(
    service: IntegrationService, who: Principal, connection: Connection
) -> None:
    first = await service.sync(who, connection.id)
    assert first.state == "queued"
    assert (await service.sync(who, connection.id)).id == first.id
    assert (await service.sync(who, connection.id, full=True)).id == first.id
    both = await asyncio.gather(*(service.sync(who, connection.id) for _ in range(8)))
    assert {one.id for one in both} == {first.id}


@pytest.mark.usefixtures("worker")
async def test_a_full_sync_is_refused_while_one_runs(
    service: IntegrationService, who: Principal, connection: Connection, source: Scripted
) -> None:
    source.gate.clear()
    sync = await running(service, who, connection)
    with pytest.raises(Conflict) as refused:
        await service.sync(who, connection.id, full=True)
    assert refused.value.extra["sync_id"] == str(sync.id)
    source.gate.set()
    assert (await ended(service, who, sync)).state == "done"


async def running(service: IntegrationService, who: Principal, connection: Connection, done: int = 2) -> Sync:
    """A sync that has stored its first batch and waits at the gate."""
    sync = await service.sync(who, connection.id)
    async with asyncio.timeout(10):
        while sync.state != "running" or sync.done < done:
            await asyncio.sleep(0.02)
            sync = await service.get_sync(who, sync.id)
    return sync


@pytest.mark.usefixtures("worker")
async def test_counters_move_while_it_runs_and_it_can_be_stopped(
    service: IntegrationService, memories: MemoryService, who: Principal, connection: Connection, source: Scripted
) -> None:
    source.gate.clear()
    sync = await running(service, who, connection)
    assert (sync.total, sync.done, sync.created) == (5, 2, 2)
    await service.cancel_sync(who, sync.id)
    source.gate.set()
    stopped = await ended(service, who, sync)
    assert (stopped.state, stopped.done) == ("cancelled", 2)
    assert await titles(memories, who) == ["a", "b"]
    again = await run(service, who, connection)
    assert (again.state, again.total, again.created) == ("done", 3, 3)
    await service.cancel_sync(who, again.id)
    assert (await service.get_sync(who, again.id)).state == "done"


async def test_a_queued_sync_is_cancelled_at_once(
    service: IntegrationService, who: Principal, connection: Connection
) -> None:
    sync = await service.sync(who, connection.id)
    await service.cancel_sync(who, sync.id)
    assert (await service.get_sync(who, sync.id)).state == "cancelled"
    assert await service.syncs.waiting() == []


async def test_a_worker_that_goes_down_in_order_leaves_its_sync_to_the_next(
    service: IntegrationService, memories: MemoryService, who: Principal, connection: Connection, source: Scripted
) -> None:
    source.gate.clear()
    worker = asyncio.create_task(SyncJobs(service, alone=True).run())
    sync = await running(service, who, connection)
    worker.cancel()
    await asyncio.gather(worker, return_exceptions=True)
    assert (await service.get_sync(who, sync.id)).state == "queued"
    source.gate.set()
    second = asyncio.create_task(SyncJobs(service, alone=False).run())
    resumed = await ended(service, who, sync)
    second.cancel()
    await asyncio.gather(second, return_exceptions=True)
    assert source.pulls == [None, {"done": 2, "whole": True}]
    assert (resumed.state, resumed.total, resumed.done, resumed.created) == ("done", 5, 5, 5)
    assert await titles(memories, who) == ["a", "b", "c", "d", "e"]


async def test_a_sync_whose_worker_was_killed_is_continued(
    service: IntegrationService, database: Database, memories: MemoryService, who: Principal, connection: Connection,
    source: Scripted,
) -> None:  # fmt: skip
    """A killed worker writes nothing any more: its row says running, and its checkpoint stands."""
    source.gate.clear()
    sync = await service.sync(who, connection.id)
    (owned,) = await service.syncs.waiting()
    claimed = await service.syncs.claim(owned)
    assert claimed is not None
    killed = asyncio.create_task(service.syncs.perform(owned, claimed))

    async def told() -> bool:
        return (await service.get_sync(who, sync.id)).done == 2

    await until(told)
    successor = IntegrationService(database, memories, connectors={"scripted": source})
    assert await successor.syncs.waiting() == []
    assert await successor.syncs.claim(owned) is None
    taken = await successor.syncs.claim(owned, dead_after=timedelta(seconds=-5))
    assert taken is not None
    source.gate.set()
    await successor.syncs.perform(owned, taken)
    done = await service.get_sync(who, sync.id)
    assert (done.state, done.done) == ("done", 5)
    await killed
    # The old worker has noticed, or ended in vain: the row is its successor's.
    assert await service.get_sync(who, sync.id) == done
    assert await titles(memories, who) == ["a", "b", "c", "d", "e"]
    assert {one.version for one in await memories.page(who, Filters(), 10)} == {1}


async def test_a_worker_that_is_alone_continues_at_once_after_a_crash(
    service: IntegrationService, who: Principal, connection: Connection
) -> None:
    sync = await service.sync(who, connection.id)
    (owned,) = await service.syncs.waiting()
    assert await service.syncs.claim(owned) is not None  # and then the process is killed
    worker = asyncio.create_task(SyncJobs(service, alone=True).run())
    assert (await ended(service, who, sync, within=12)).state == "done"  # others wait for 15 s
    worker.cancel()
    await asyncio.gather(worker, return_exceptions=True)


@pytest.mark.usefixtures("worker")
async def test_what_may_pass_is_tried_again_from_the_checkpoint(
    service: IntegrationService, memories: MemoryService, who: Principal, connection: Connection, source: Scripted
) -> None:
    source.errors = [Unavailable("away"), ConnectionResetError("the database went away")]
    sync = await run(service, who, connection)
    assert (sync.state, sync.total, sync.done, sync.created) == ("done", 5, 5, 5)
    assert [pulled["done"] if pulled else 0 for pulled in source.pulls] == [0, 2, 4]
    assert await titles(memories, who) == ["a", "b", "c", "d", "e"]


@pytest.mark.usefixtures("worker")
async def test_what_will_not_pass_fails_the_sync_in_its_own_words(
    service: IntegrationService, who: Principal, connection: Connection, source: Scripted
) -> None:
    source.errors = [Invalid("The folder is gone.")]
    sync = await run(service, who, connection)
    assert (sync.state, sync.error, sync.done) == ("failed", "The folder is gone.", 2)
    assert (await service.get(who, connection.id)).last_synced_at is None
    assert (await run(service, who, connection)).state == "done"


@pytest.mark.usefixtures("worker")
async def test_failures_are_counted_beyond_those_kept(
    service: IntegrationService, who: Principal, connection: Connection, source: Scripted
) -> None:
    source.failures = [Failure(f"f{number}", "bad\0") for number in range(FAILURES_KEPT + 50)]
    sync = await run(service, who, connection)
    assert (sync.state, sync.failed, len(sync.failures)) == ("done", FAILURES_KEPT + 50, FAILURES_KEPT)


@pytest.mark.usefixtures("worker")
async def test_disconnecting_ends_the_sync_and_keeps_the_memories(
    service: IntegrationService,
    database: Database,
    memories: MemoryService,
    who: Principal,
    connection: Connection,
    source: Scripted,
) -> None:
    source.gate.clear()
    await running(service, who, connection)
    await service.disconnect(who, connection.id)
    await asyncio.sleep(REPORT_SECONDS * 1.5)
    source.gate.set()

    async def forgotten() -> bool:
        return await memories.checkpoint(who, connection.id) is None

    await until(forgotten)
    assert await titles(memories, who) == ["a", "b"]
    async with database.transaction(who) as transaction:
        assert await rows(transaction, "SELECT external_id FROM integration.item") == []
    again, new = await service.connect(who, ConnectionDraft(connector="scripted"))
    assert new
    sync = await run(service, who, again)
    assert (sync.unchanged, sync.created) == (2, 3)


@pytest.mark.usefixtures("worker")
async def test_only_the_last_syncs_are_kept(
    service: IntegrationService, who: Principal, connection: Connection, source: Scripted
) -> None:
    source.names = []
    for _ in range(53):
        last = await run(service, who, connection)
    kept = await service.page_syncs(who, connection.id, 100)
    assert len(kept) == 50
    assert kept[0].id == last.id


@pytest.mark.usefixtures("worker")
async def test_a_watched_connection_is_synced_at_first_and_at_every_change(
    service: IntegrationService, memories: MemoryService, who: Principal, source: Scripted
) -> None:
    connection, _ = await service.connect(who, ConnectionDraft(connector="scripted", watch=True))
    await reached(memories, who, ["a", "b", "c", "d", "e"])
    (first,) = await service.page_syncs(who, connection.id, 10)
    await ended(service, who, first)
    source.gate.clear()
    source.names += ["f", "g", "h"]
    source.changed.set()
    await reached(memories, who, ["a", "b", "c", "d", "e", "f", "g"])
    # A change while a sync runs is not missed.
    source.names.append("i")
    source.changed.set()
    await asyncio.sleep(0.1)
    source.gate.set()
    await reached(memories, who, list("abcdefghi"))
    await service.disconnect(who, connection.id)

    async def left() -> bool:
        return source.watched == 0

    await until(left)


async def reached(memories: MemoryService, who: Principal, expected: list[str]) -> None:
    async def there() -> bool:
        return await titles(memories, who) == expected

    await until(there)


@pytest.mark.parametrize("errors", [[], [Invalid("no")]], ids=["a batch is stored", "its sync ends"])
@pytest.mark.usefixtures("worker")
async def test_removing_a_connection_while_something_is_written_below_it_locks_neither_out(
    service: IntegrationService,
    database: Database,
    who: Principal,
    connection: Connection,
    source: Scripted,
    errors: list[Exception],
) -> None:
    """Both write the connection and what hangs on it; the second waits for the first and finds what is left."""

    async def reached() -> bool:
        return (await service.get(who, connection.id)).checkpoint == {"done": 2}

    async def waiting(many: int) -> bool:
        query = "SELECT FROM pg_stat_activity WHERE datname = current_database() AND wait_event_type = 'Lock'"
        async with database.transaction(who) as transaction:
            return len(await rows(transaction, query)) == many

    source.gate.clear()
    source.errors = errors
    await service.sync(who, connection.id)
    await until(reached)
    async with database.transaction(who) as holding:
        await connections.find(holding, who, connection.id, lock=True)
        removing = asyncio.create_task(service.disconnect(who, connection.id))
        await until(lambda: waiting(1))
        source.gate.set()
        await until(lambda: waiting(2))
    await removing
    with pytest.raises(NotFound):
        await service.sync(who, connection.id)
