"""One statement in one round trip: its context ends with it, and a connection that died under it is replaced."""

from __future__ import annotations

import asyncio
from typing import LiteralString

import psycopg
import pytest
from psycopg.pq import TransactionStatus

from devlore.problems import Unavailable
from devlore_server.kit.auth import NIL, Principal
from devlore_server.kit.db import Database, row

WHO = "SELECT current_setting('app.organisation') AS organisation"
BECOME = "SELECT set_config('app.organisation', %(organisation)s, true) AS organisation"


async def test_it_answers_with_its_first_row(database: Database) -> None:
    assert await database.statement("SELECT n FROM generate_series(%(first)s, 9) AS n", {"first": 3}) == {"n": 3}
    assert await database.statement("SELECT 1 AS n WHERE false") is None


async def test_its_context_ends_with_it(database_url: str, who: Principal) -> None:
    database = Database(database_url, max_size=1)
    await database.open()
    became = await database.statement(BECOME, {"organisation": str(who.organisation)})
    assert became == {"organisation": str(who.organisation)}
    assert await database.statement(WHO) == {"organisation": str(NIL)}
    async with database.transaction(None) as connection:
        assert await row(connection, WHO) == {"organisation": str(NIL)}
    await database.close()


async def test_transactions_after_it_still_roll_back(database_url: str, who: Principal) -> None:
    database = Database(database_url, max_size=1)
    await database.open()
    await database.statement("SELECT 1")
    with pytest.raises(RuntimeError):
        async with database.transaction(who) as connection:
            await connection.execute("SELECT set_config('app.left_behind', 'yes', false)")
            raise RuntimeError
    found = await database.statement("SELECT coalesce(current_setting('app.left_behind', true), '') AS left")
    assert found == {"left": ""}
    await database.close()


async def test_it_survives_connections_that_died(database: Database, owner_url: str) -> None:
    await database.statement("SELECT 1")
    with psycopg.connect(owner_url, autocommit=True) as owner:
        owner.execute(
            "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE datname = current_database()"
            " AND usename = 'devlore_app'"
        )
    assert await database.statement("SELECT 1 AS n") == {"n": 1}


async def test_a_mistake_is_not_repeated_as_if_the_database_were_away(database: Database) -> None:
    with pytest.raises(psycopg.errors.DivisionByZero):
        await database.statement("SELECT 1 / 0")
    assert await database.statement("SELECT 1 AS n") == {"n": 1}


async def test_a_lock_that_is_not_to_be_had_is_not_waited_for_again(database: Database, owner_url: str) -> None:
    """The connection is fine: sending it again would only hold the caller up, eleven times over."""
    take: LiteralString = "SELECT pg_advisory_xact_lock(7), set_config('lock_timeout', '50ms', true)"
    wait: LiteralString = (
        "SELECT nextval('public.tries'), set_config('lock_timeout', '50ms', true), pg_advisory_xact_lock(7)"
    )
    with psycopg.connect(owner_url, autocommit=True) as owner:
        owner.execute("CREATE SEQUENCE public.tries")  # which no rollback turns back
        owner.execute("GRANT USAGE ON SEQUENCE public.tries TO devlore_app")
        async with database.transaction(None) as holding:
            await holding.execute(take)
            with pytest.raises(psycopg.errors.LockNotAvailable):
                await database.statement(wait)
        assert owner.execute("SELECT last_value FROM public.tries").fetchone() == (1,)
    assert await database.statement("SELECT 1 AS n") == {"n": 1}


async def test_a_statement_that_is_given_up_leaves_the_pool_whole(database_url: str) -> None:
    database = Database(database_url, max_size=1)
    await database.open()
    for _ in range(3):
        with pytest.raises(TimeoutError):
            async with asyncio.timeout(0.05):
                await database.statement("SELECT pg_sleep(5)")
        assert await database.statement("SELECT 1 AS n") == {"n": 1}
        async with database.transaction(None) as connection:
            assert connection.info.transaction_status == TransactionStatus.INTRANS
        assert connection.info.transaction_status == TransactionStatus.IDLE
    await database.close()


async def test_without_the_database_it_says_so(database: Database) -> None:
    await database.close()
    with pytest.raises(Unavailable):
        await database.statement("SELECT 1")


async def test_read_answers_with_every_row(database: Database) -> None:
    query: LiteralString = "SELECT n, n * n AS square FROM generate_series(%s::int, %s) AS n"
    assert await database.read(query, (2, 3)) == [{"n": 2, "square": 4}, {"n": 3, "square": 9}]
    assert await database.tuples(query, (2, 3)) == [(2, 4), (3, 9)]
    assert (await database.read(query, (3, 2)), await database.tuples(query, (3, 2))) == ([], [])
