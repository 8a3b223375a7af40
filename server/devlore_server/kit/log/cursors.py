"""Where consumers keep how far they have read."""

from __future__ import annotations

from typing import LiteralString, Protocol

from devlore_server.kit.db import Database, row
from devlore_server.kit.log.event_log import START, Position


class Cursors(Protocol):
    """Where consumers keep how far they have read."""

    async def load(self, name: str) -> Position:
        """The stored position, or ``START``."""
        ...

    async def store(self, name: str, position: Position) -> None:
        """Keep a position, also one that is behind the last."""
        ...


class PostgresCursors:
    """Cursors in ``log.consumer``."""

    def __init__(self, database: Database) -> None:
        self._database = database

    async def load(self, name: str) -> Position:
        query: LiteralString = "SELECT xid::text::bigint AS xid, seq FROM log.consumer WHERE name = %s"
        async with self._database.transaction(None) as connection:
            found = await row(connection, query, (name,))
        return Position(found["xid"], found["seq"]) if found else START

    async def store(self, name: str, position: Position) -> None:
        async with self._database.transaction(None) as connection:
            # A cursor lost in a crash only means that some events are applied again.
            await connection.execute("SET LOCAL synchronous_commit = off")
            await connection.execute(
                "INSERT INTO log.consumer (name, xid, seq) VALUES (%s, %s, %s) ON CONFLICT (name)"
                " DO UPDATE SET xid = excluded.xid, seq = excluded.seq, updated_at = now()",
                (name, str(position.xid), position.seq),
            )
