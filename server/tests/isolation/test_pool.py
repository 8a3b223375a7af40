"""A pool of two, and people whose requests break off at any moment: no connection keeps anybody's context."""

from __future__ import annotations

import asyncio
import random
from collections.abc import Callable, Coroutine
from contextlib import suppress
from typing import Any

import pytest
from psycopg import AsyncConnection
from psycopg.pq import TransactionStatus

from devlore.types import MemoryDraft, Privacy
from devlore_server.kit.auth import NIL, Principal
from devlore_server.kit.db import Database, row, rows
from devlore_server.kit.ids import new_id
from devlore_server.kit.log import EventLog
from devlore_server.kit.migrate import app_url
from devlore_server.memory.service import MemoryService
from tests.isolation.probes import FULL, TALLY, Leaks

ROUNDS = 40 if FULL else 4
AT_ONCE = 60
pytestmark = pytest.mark.timeout(600 if FULL else 120)
SEEN = "SELECT DISTINCT organisation_id FROM memory.memory"
CONTEXT = (
    "SELECT current_setting('app.organisation') AS organisation, current_setting('app.person') AS person,"
    " current_setting('app.teams') AS teams"
)
NOBODY = {"organisation": str(NIL), "person": str(NIL), "teams": "{}"}
Work = Callable[[Database, Principal], Coroutine[Any, Any, set[object]]]


async def two_reads(database: Database, who: Principal) -> set[object]:
    async with database.transaction(who) as connection:
        first = await rows(connection, SEEN)
        await asyncio.sleep(0)
        return {one["organisation_id"] for one in [*first, *await rows(connection, SEEN)]}


async def a_slow_read(database: Database, who: Principal) -> set[object]:
    async with database.transaction(who, snapshot=True) as connection:
        await connection.execute("SELECT pg_sleep(0.002)")
        return {one["organisation_id"] for one in await rows(connection, SEEN)}


async def a_failure(database: Database, who: Principal) -> set[object]:
    with suppress(ZeroDivisionError):
        async with database.transaction(who) as connection:
            await rows(connection, SEEN)
            raise ZeroDivisionError
    return set()


async def one_statement(database: Database, who: Principal) -> set[object]:
    found = await database.tuples(
        "SELECT m.organisation_id FROM memory.visible(%s, %s, %s, %s) AS m",
        (who.organisation, who.person, [], [await _any_id(database)]),
    )
    return {one[0] for one in found}


async def a_write(database: Database, who: Principal) -> set[object]:
    memories = MemoryService(database, EventLog(database))
    made = await memories.create(who, MemoryDraft(title=f"of {who.organisation}", privacy=Privacy.PUBLIC))
    return {made.memory.organisation_id}


async def _any_id(database: Database) -> object:
    found = await database.statement("SELECT memory_id FROM (VALUES (gen_random_uuid())) AS v(memory_id)")
    assert found is not None
    return found["memory_id"]


WORK: tuple[Work, ...] = (two_reads, a_slow_read, a_failure, one_statement, a_write)


@pytest.mark.parametrize("seed", range(ROUNDS))
async def test_no_connection_keeps_a_context(scratch_url: str, seed: int) -> None:
    leaks, chance = Leaks("pool of two"), random.Random(seed)
    database = Database(app_url(scratch_url), min_size=2, max_size=2)
    # Sixty wait for two: on a slow machine longer than a caller may.
    database._pool.timeout = 60
    await database.open()
    try:
        people = [Principal(new_id(), new_id()) for _ in range(5)]
        for who in people:
            await a_write(database, who)
        tasks: dict[asyncio.Task[set[object]], Principal] = {}
        for _ in range(AT_ONCE):
            who, work = chance.choice(people), chance.choice(WORK)
            tasks[asyncio.create_task(work(database, who))] = who
        broken_off = await _break_off(list(tasks), chance)
        for task, who in tasks.items():
            if not task.cancelled() and task.exception() is None:
                leaks.same(task.result() - {who.organisation}, set(), "somebody sees another organisation")
        unexpected = [task.exception() for task in tasks if not task.cancelled() and task.exception() is not None]
        assert unexpected == []
        assert broken_off > AT_ONCE // 10
        TALLY.noted["cancellations"] += broken_off
        await _inspect(database, leaks)
        leaks.same(await _seen_by_nobody(database), [], "nobody sees rows")
    finally:
        await database.close()
    leaks.assert_none()


async def _break_off(tasks: list[asyncio.Task[set[object]]], chance: random.Random) -> int:
    """Cancel about two in three at random moments, also twice; how many ended by it."""
    for task in chance.sample(tasks, 2 * len(tasks) // 3):
        for _ in range(chance.randrange(4)):
            await asyncio.sleep(0)
        await asyncio.sleep(chance.random() * 0.004)
        task.cancel()
        if chance.random() < 0.2:
            await asyncio.sleep(0)
            task.cancel()
    await asyncio.wait(tasks, timeout=60)
    assert all(task.done() for task in tasks)
    return sum(task.cancelled() for task in tasks)


async def _inspect(database: Database, leaks: Leaks) -> None:
    """Both connections of the pool, at the same time: idle, in no transaction, for nobody."""
    async with asyncio.timeout(20):
        held: list[AsyncConnection[tuple[object, ...]]] = [await database._pool.getconn() for _ in range(2)]
    try:
        for connection in held:
            leaks.same(connection.info.transaction_status, TransactionStatus.IDLE, "a transaction goes on")
            leaks.same(connection.autocommit, True, "a statement begins a transaction that nobody ends")
            leaks.same(await row(connection, CONTEXT), NOBODY, "a session is for somebody")
            await connection.set_autocommit(False)
            leaks.same(await row(connection, CONTEXT), NOBODY, "a transaction begins for somebody")
            await connection.rollback()
            await connection.set_autocommit(True)
    finally:
        for connection in held:
            await database._pool.putconn(connection)


async def _seen_by_nobody(database: Database) -> list[object]:
    async with database.transaction(None) as connection:
        return list(await rows(connection, SEEN))
