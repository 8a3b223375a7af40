"""Rows of ``memory.checkpoint``: how far each connection has read."""

from __future__ import annotations

from datetime import datetime
from typing import Any
from uuid import UUID

from psycopg.types.json import Jsonb

from devlore_server.kit.auth import Principal
from devlore_server.kit.db import Connection, row


async def put(
    connection: Connection, who: Principal, connection_id: UUID, checkpoint: dict[str, Any], *, at: datetime
) -> None:
    """Store a connection's checkpoint over the one before."""
    await connection.execute(
        "INSERT INTO memory.checkpoint (organisation_id, connection_id, checkpoint, updated_at)"
        " VALUES (%s, %s, %s, %s) ON CONFLICT (organisation_id, connection_id)"
        " DO UPDATE SET checkpoint = excluded.checkpoint, updated_at = excluded.updated_at",
        (who.organisation, connection_id, Jsonb(checkpoint), at),
    )


async def find(connection: Connection, who: Principal, connection_id: UUID) -> dict[str, Any] | None:
    """A connection's checkpoint, or None."""
    found = await row(
        connection,
        "SELECT checkpoint FROM memory.checkpoint WHERE organisation_id = %s AND connection_id = %s",
        (who.organisation, connection_id),
    )
    return found["checkpoint"] if found else None


async def delete(connection: Connection, who: Principal, connection_id: UUID) -> None:
    """Forget a connection's checkpoint."""
    await connection.execute(
        "DELETE FROM memory.checkpoint WHERE organisation_id = %s AND connection_id = %s",
        (who.organisation, connection_id),
    )
