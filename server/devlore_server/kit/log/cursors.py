"""Where consumers keep how far they have read."""

from __future__ import annotations

from typing import LiteralString, Protocol

from devlore_server.kit.db import Database
from devlore_server.kit.log.event_log import START, Position

# A cursor lost in a crash only means that some events are applied again: nothing waits for the disk.
_STORE: LiteralString = """
    INSERT INTO log.consumer (name, xid, seq)
    SELECT %s, %s::xid8, %s::bigint WHERE set_config('synchronous_commit', 'off', true) = 'off'
    ON CONFLICT (name) DO UPDATE SET xid = excluded.xid, seq = excluded.seq, updated_at = now()
    RETURNING name"""


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
        found = await self._database.statement(
            "SELECT xid::text::bigint AS xid, seq FROM log.consumer WHERE name = %s", (name,)
        )
        return Position(found["xid"], found["seq"]) if found else START

    async def store(self, name: str, position: Position) -> None:
        await self._database.statement(_STORE, (name, str(position.xid), position.seq))
