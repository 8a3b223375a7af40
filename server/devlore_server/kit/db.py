"""PostgreSQL: one pool, and transactions that carry who is asking into row-level security."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any, LiteralString

from psycopg import AsyncConnection, AsyncCursor
from psycopg.rows import TupleRow, dict_row
from psycopg_pool import AsyncConnectionPool

from devlore_server.kit.auth import NIL, Principal

Connection = AsyncConnection[TupleRow]
Row = dict[str, Any]

_CONTEXT: LiteralString = (
    "SELECT set_config('app.organisation', %s, true), set_config('app.person', %s, true),"
    " set_config('app.teams', %s, true)"
)


class Database:
    """A pool of connections as ``devlore_app``; opened once in the composition root."""

    def __init__(self, url: str, *, min_size: int = 1, max_size: int = 10) -> None:
        self._pool: AsyncConnectionPool[Connection] = AsyncConnectionPool(
            url, min_size=min_size, max_size=max_size, open=False, timeout=10, check=None, name="devlore"
        )

    async def open(self) -> None:
        """Fill the pool; raises ``PoolTimeout`` when PostgreSQL does not answer."""
        await self._pool.open(wait=True, timeout=30)

    async def close(self) -> None:
        await self._pool.close()

    async def ping(self) -> None:
        """Raise when PostgreSQL does not answer."""
        async with self._pool.connection(timeout=2) as connection:
            await connection.execute("SELECT 1")

    @asynccontextmanager
    async def transaction(self, who: Principal | None) -> AsyncIterator[Connection]:
        """A transaction that sees what ``who`` may see; ``None`` sees no tenant row at all.

        The context is set for the transaction only (SECURITY: a session ``SET`` would reach the
        pool's next borrower). Commits on leaving, rolls back on an exception.
        """
        async with self._pool.connection() as connection, connection.transaction():
            if who is not None:
                teams = "{" + ",".join(str(t) for t in sorted(who.teams)) + "}"
                await connection.execute(_CONTEXT, (str(who.organisation), str(who.person), teams))
            yield connection


def system(organisation: Any, person: Any = NIL) -> Principal:
    """A Principal for work the server does for an organisation itself (consumers, jobs)."""
    return Principal(organisation=organisation, person=person)


async def rows(connection: Connection, query: LiteralString, parameters: Any = None) -> list[Row]:
    """Every row of a query, as dicts."""
    async with connection.cursor(row_factory=dict_row) as cursor:
        await cursor.execute(query, parameters)
        return await cursor.fetchall()


async def row(connection: Connection, query: LiteralString, parameters: Any = None) -> Row | None:
    """The first row of a query as a dict, or None."""
    cursor: AsyncCursor[Row]
    async with connection.cursor(row_factory=dict_row) as cursor:
        await cursor.execute(query, parameters)
        return await cursor.fetchone()
