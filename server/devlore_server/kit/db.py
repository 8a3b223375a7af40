"""PostgreSQL: one pool, and transactions that carry who is asking into row-level security."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import AsyncExitStack, asynccontextmanager
from typing import Any, LiteralString, TypeVar

from psycopg import AsyncConnection, AsyncCursor, OperationalError, ProgrammingError, conninfo
from psycopg.rows import TupleRow, dict_row
from psycopg_pool import AsyncConnectionPool, PoolClosed, PoolTimeout

from devlore.problems import Unavailable
from devlore_server.kit.auth import NIL, Principal

Connection = AsyncConnection[TupleRow]
Row = dict[str, Any]
T = TypeVar("T")

_CONTEXT: LiteralString = (
    "SELECT set_config('app.organisation', %s, true), set_config('app.person', %s, true),"
    " set_config('app.teams', %s, true)"
)
_SNAPSHOT: LiteralString = "SET TRANSACTION ISOLATION LEVEL REPEATABLE READ, READ ONLY"


class Database:
    """A pool of connections as ``devlore_app``; opened once in the composition root."""

    def __init__(self, url: str, *, min_size: int = 1, max_size: int = 10) -> None:
        self._max_size = max_size
        # A transaction is begun and ended in so many words; a statement outside one is a transaction of its own.
        self._pool = _Pool(
            url,
            min_size=min_size,
            max_size=max_size,
            open=False,
            timeout=10,
            check=None,
            name="devlore",
            kwargs={"autocommit": True},
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
    async def transaction(self, who: Principal | None, *, snapshot: bool = False) -> AsyncIterator[Connection]:
        """A transaction that sees what ``who`` may see; ``None`` sees no tenant row at all.

        The context is set for the transaction only (SECURITY: a session ``SET`` would reach the
        pool's next borrower). Commits on leaving, rolls back on an exception. With ``snapshot`` every
        statement sees the same moment, and nothing can be written. Raises ``Unavailable`` when
        PostgreSQL does not answer; nothing was changed then.
        """
        async with AsyncExitStack() as stack:
            yield await self._begin(stack, who, snapshot)

    async def statement(self, query: LiteralString, parameters: Any = None) -> Row | None:
        """Run one statement in a transaction of its own, in a single round trip; its first row.

        The statement sets the context it needs itself (a function's ``set_config(…, true)``), and doing it
        twice must be the same as once: a connection that died under it is replaced and it is sent again. Any
        other failure (a lock that was not to be had, say) is the caller's. Raises ``Unavailable`` when
        PostgreSQL does not answer.
        """
        return await self._alone(lambda connection: row(connection, query, parameters))

    async def read(self, query: LiteralString, parameters: Any = None) -> list[Row]:
        """``statement``, for every row."""
        return await self._alone(lambda connection: rows(connection, query, parameters))

    async def tuples(self, query: LiteralString, parameters: Any = None, *, binary: bool = False) -> list[TupleRow]:
        """``read``, with rows as plain tuples: half the work where there are hundreds.

        ``binary`` is quicker still where there are ids and times, but shows what a ``real`` is: 0.1 as 0.10000000149.
        """

        async def run(connection: Connection) -> list[TupleRow]:
            return await (await connection.execute(query, parameters, binary=binary)).fetchall()

        return await self._alone(run)

    async def _alone(self, run: Callable[[Connection], Awaitable[T]]) -> T:
        """Run a statement outside any transaction block."""
        for tries_left in range(self._max_size, -1, -1):
            lost = False
            try:
                connection = await self._pool.getconn()
                try:
                    return await run(connection)
                finally:
                    lost = connection.closed
                    await self._pool.putconn(connection)
            except (PoolClosed, PoolTimeout) as error:
                raise Unavailable("The database does not answer.") from error
            except OperationalError as error:
                if not lost:
                    raise
                if tries_left == 0:
                    raise Unavailable("The database does not answer.") from error
        raise AssertionError("unreachable")

    async def _begin(self, stack: AsyncExitStack, who: Principal | None, snapshot: bool) -> Connection:
        # After a restart of PostgreSQL the pool still holds dead connections. Nothing has been done on them yet,
        # so the next is tried, one more often than there can be dead ones.
        for tries_left in range(self._max_size, -1, -1):
            attempt = AsyncExitStack()
            try:
                async with attempt:
                    connection = await attempt.enter_async_context(self._pool.connection())
                    await attempt.enter_async_context(connection.transaction())
                    if snapshot:
                        await connection.execute(_SNAPSHOT)
                    if who is not None:
                        await connection.execute(_CONTEXT, _context(who))
                    await stack.enter_async_context(attempt.pop_all())
                    return connection
            except PoolTimeout as error:
                raise Unavailable("The database does not answer.") from error
            except OperationalError as error:
                if tries_left == 0:
                    raise Unavailable("The database does not answer.") from error
        raise AssertionError("unreachable")


class _Pool(AsyncConnectionPool[Connection]):
    """The pool, without what it waits with: before Python 3.12 ``wait_for`` loses a cancellation that comes in the
    moment the connection does (CPython issue 86296). The task would go on, and whoever cancelled it wait for ever.
    """

    async def getconn(self, timeout: float | None = None) -> Connection:
        before = _cancellations()
        connection = await super().getconn(timeout)
        if _cancellations() > before:
            await self.putconn(connection)
            raise asyncio.CancelledError
        return connection

    async def wait(self, timeout: float = 30.0) -> None:
        before = _cancellations()
        try:
            await super().wait(timeout)
            if _cancellations() > before:
                raise asyncio.CancelledError
        except asyncio.CancelledError:
            await self.close()  # nobody will who never got it
            raise


def check_address(url: str) -> None:
    """Raise ``ValueError`` for what is no address of a database; it quotes none of it: it may hold a password."""
    try:
        conninfo.conninfo_to_dict(url)
    except ProgrammingError:
        raise ValueError("Write postgresql://user:password@host:port/database, special characters as %XX.") from None


def system(organisation: Any, person: Any = NIL) -> Principal:
    """A Principal for work the server does for an organisation itself (consumers, jobs)."""
    return Principal(organisation=organisation, person=person)


async def rows(
    connection: Connection, query: LiteralString, parameters: Any = None, *, prepare: bool | None = None
) -> list[Row]:
    """Every row of a query, as dicts; ``prepare=False`` has it planned anew for these parameters."""
    async with connection.cursor(row_factory=dict_row) as cursor:
        await cursor.execute(query, parameters, prepare=prepare)
        return await cursor.fetchall()


async def row(connection: Connection, query: LiteralString, parameters: Any = None) -> Row | None:
    """The first row of a query as a dict, or None."""
    cursor: AsyncCursor[Row]
    async with connection.cursor(row_factory=dict_row) as cursor:
        await cursor.execute(query, parameters)
        return await cursor.fetchone()


def _context(who: Principal) -> tuple[str, str, str]:
    return str(who.organisation), str(who.person), "{" + ",".join(str(team) for team in sorted(who.teams)) + "}"


def _cancellations() -> int:
    """How often this task has been asked to end."""
    task = asyncio.current_task()
    return 0 if task is None else task.cancelling()
