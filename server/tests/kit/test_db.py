"""Transactions carry who is asking, nothing of it outlives them, and dead connections are replaced unnoticed."""

from __future__ import annotations

import asyncio
from typing import LiteralString

import psycopg
import pytest

from devlore.problems import Unavailable
from devlore_server.kit.auth import NIL, Principal
from devlore_server.kit.db import Connection, Database, row, rows, system
from devlore_server.kit.ids import new_id

CONTEXT: LiteralString = (
    "SELECT current_setting('app.organisation') o, current_setting('app.person') p, current_setting('app.teams') t"
)
NOBODY = {"o": str(NIL), "p": str(NIL), "t": "{}"}
STORE: LiteralString = """
    INSERT INTO memory.checkpoint (organisation_id, connection_id, checkpoint, updated_at)
    VALUES (%s, %s, '{}', now())"""
COUNT: LiteralString = "SELECT count(*) AS n FROM memory.checkpoint"


async def count(connection: Connection) -> int:
    found = await row(connection, COUNT)
    return int(found["n"]) if found else 0


async def kill_all(owner_url: str) -> None:
    """End every connection to this test's database, as a restart of PostgreSQL would."""
    async with await psycopg.AsyncConnection.connect(owner_url, autocommit=True) as connection:
        await connection.execute(
            "SELECT pg_terminate_backend(pid, 30000) FROM pg_stat_activity"
            " WHERE datname = current_database() AND pid <> pg_backend_pid()"
        )


async def test_a_transaction_knows_who_is_asking(database: Database, who: Principal) -> None:
    async with database.transaction(who) as connection:
        found = await row(connection, CONTEXT)
    assert found == {"o": str(who.organisation), "p": str(who.person), "t": "{" + str(next(iter(who.teams))) + "}"}


async def test_a_caller_in_several_teams_and_in_none(database: Database, who: Principal) -> None:
    teams = frozenset(new_id() for _ in range(3))
    query: LiteralString = "SELECT current_setting('app.teams')::uuid[] AS teams"
    for these in (teams, frozenset[object]()):
        async with database.transaction(Principal(who.organisation, who.person, these)) as connection:  # type: ignore[arg-type]
            found = await row(connection, query)
        assert found is not None
        assert set(found["teams"]) == these


@pytest.mark.parametrize("end", ["commit", "error", "cancel"])
async def test_the_next_transaction_on_the_connection_is_nobody(database_url: str, who: Principal, end: str) -> None:
    database = Database(database_url, max_size=1)
    await database.open()
    inside = asyncio.Event()

    async def use() -> None:
        async with database.transaction(who):
            inside.set()
            if end == "error":
                raise LookupError
            if end == "cancel":
                await asyncio.Event().wait()

    task = asyncio.create_task(use())
    await inside.wait()
    if end == "cancel":
        task.cancel()
    await asyncio.wait([task])
    async with database.transaction(None) as connection:
        assert await row(connection, CONTEXT) == NOBODY
    await database.close()


async def test_it_commits_on_leaving_and_rolls_back_on_an_exception(database: Database, who: Principal) -> None:
    async with database.transaction(who) as connection:
        await connection.execute(STORE, (who.organisation, new_id()))
    with pytest.raises(LookupError):
        async with database.transaction(who) as connection:
            await connection.execute(STORE, (who.organisation, new_id()))
            raise LookupError
    async with database.transaction(who) as connection:
        assert await count(connection) == 1


async def test_a_snapshot_sees_one_moment_and_writes_nothing(database: Database, who: Principal) -> None:
    async with database.transaction(who, snapshot=True) as reading:
        assert await count(reading) == 0
        async with database.transaction(who) as writing:
            await writing.execute(STORE, (who.organisation, new_id()))
        assert await count(reading) == 0
        with pytest.raises(psycopg.errors.ReadOnlySqlTransaction):
            await reading.execute(STORE, (who.organisation, new_id()))
    async with database.transaction(who) as connection:
        assert await count(connection) == 1


async def test_the_server_itself_works_within_one_organisation(database: Database, who: Principal) -> None:
    async with database.transaction(system(who.organisation)) as connection:
        assert await row(connection, CONTEXT) == NOBODY | {"o": str(who.organisation)}
    with pytest.raises(ValueError, match="organisation"):
        system(NIL)


async def test_rows_come_as_dicts_in_order(database: Database) -> None:
    async with database.transaction(None) as connection:
        assert await rows(connection, "SELECT n FROM generate_series(1, 3) n") == [{"n": 1}, {"n": 2}, {"n": 3}]
        assert await row(connection, "SELECT 1 WHERE false") is None


async def test_dead_connections_in_the_pool_are_not_noticed(database_url: str, owner_url: str, who: Principal) -> None:
    database = Database(database_url, min_size=4, max_size=4)
    await database.open()
    await kill_all(owner_url)
    for _ in range(8):
        async with database.transaction(who) as connection:
            assert await count(connection) == 0
    await database.close()


async def test_a_connection_that_dies_in_a_transaction_is_an_error(
    database: Database, owner_url: str, who: Principal
) -> None:
    with pytest.raises(psycopg.OperationalError):
        async with database.transaction(who) as connection:
            await kill_all(owner_url)
            await count(connection)
    async with database.transaction(who) as connection:
        assert await count(connection) == 0


async def test_a_database_that_does_not_answer_is_unavailable(
    database: Database, owner_url: str, who: Principal, postgres: str
) -> None:
    name = psycopg.conninfo.conninfo_to_dict(owner_url)["dbname"]
    with psycopg.connect(postgres, autocommit=True) as boss:
        boss.execute(f'ALTER DATABASE "{name}" ALLOW_CONNECTIONS false')  # type: ignore[arg-type]
        await kill_held(boss, str(name))
        database._pool.timeout = 0.2
        with pytest.raises(Unavailable):
            async with database.transaction(who):
                pass
        with pytest.raises((psycopg.OperationalError, Unavailable)):
            await database.ping()
        boss.execute(f'ALTER DATABASE "{name}" ALLOW_CONNECTIONS true')  # type: ignore[arg-type]


async def kill_held(boss: psycopg.Connection[tuple[object, ...]], name: str) -> None:
    boss.execute("SELECT pg_terminate_backend(pid, 30000) FROM pg_stat_activity WHERE datname = %s", (name,))


async def test_a_cancellation_that_meets_its_connection_is_not_lost(database_url: str) -> None:
    """A consumer asked to end while it queued for a connection went on for ever, and a shutdown waited for it."""
    database = Database(database_url, max_size=1)
    await database.open()
    ended = [await _cancelled_after(ticks, database) for ticks in range(10)]
    assert ended == [True] * 10
    async with asyncio.timeout(20), database.transaction(None) as connection:
        assert await row(connection, "SELECT 1 AS one") == {"one": 1}, "the connection went back to the pool"
    await database.close()


async def test_a_cancellation_that_meets_the_opened_pool_is_not_lost(database_url: str) -> None:
    """A process told to stop in the moment it reached PostgreSQL would start all the same."""
    for ticks in range(10):
        database = Database(database_url, max_size=1)
        opened = asyncio.create_task(_opened_for_ever(database))
        while (full := getattr(database._pool, "_pool_full_event", None)) is None or not full.is_set():
            await asyncio.sleep(0)
        for _ in range(ticks):
            await asyncio.sleep(0)
        opened.cancel()
        _, going_on = await asyncio.wait([opened], timeout=10)
        assert not going_on, ticks
        await database.close()


async def _opened_for_ever(database: Database) -> None:
    await database.open()
    await asyncio.Event().wait()


async def test_a_pool_whose_opening_was_cancelled_is_closed() -> None:
    database = Database("postgresql://postgres@127.0.0.1:1/nothing")
    opening = asyncio.create_task(database.open())
    while getattr(database._pool, "_pool_full_event", None) is None:
        await asyncio.sleep(0)
    opening.cancel()
    await asyncio.wait([opening])
    assert opening.cancelled()
    assert database._pool.closed


async def _cancelled_after(ticks: int, database: Database) -> bool:
    """Whether a task that waits for the only connection ends when cancelled so many turns of the loop after it is its.

    No input or output happens in these turns, so each number of them is the same moment every time.
    """

    async def use() -> None:
        async with database.transaction(None):
            pass
        await asyncio.Event().wait()

    async with database.transaction(None):
        using = asyncio.create_task(use())
        while not _queued(database):
            await asyncio.sleep(0)
    while _queued(database):
        await asyncio.sleep(0)
    for _ in range(ticks):
        await asyncio.sleep(0)
    using.cancel()
    _, going_on = await asyncio.wait([using], timeout=10)
    using.cancel()
    await asyncio.wait([using])
    return not going_on


def _queued(database: Database) -> int:
    return database._pool.get_stats().get("requests_waiting", 0)
