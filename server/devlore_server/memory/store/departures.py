"""Memories of those who left and of organisations that are gone: whole batches change hands or are erased."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from uuid import UUID

from devlore_server.kit.auth import Principal
from devlore_server.kit.db import Connection, rows


async def find_private(connection: Connection, giver: Principal, until: datetime, limit: int) -> list[UUID]:
    """Up to ``limit`` memories that ``giver`` kept private and stored by ``until``, deleted ones too, by id."""
    found = await rows(
        connection,
        "SELECT id FROM memory.memory WHERE organisation_id = %s AND created_by = %s AND privacy = 'private'"
        " AND created_at <= %s ORDER BY id LIMIT %s",
        (giver.organisation, giver.person, until, limit),
    )
    return [one["id"] for one in found]


async def hand_over(connection: Connection, heir: UUID, ids: Sequence[UUID]) -> None:
    """Make private memories of the person of the context ``heir``'s, who is the person of the context from then on."""
    await connection.execute("SELECT memory.hand_over(%s, %s)", (heir, list(ids)))
    await connection.execute("SELECT set_config('app.person', %s, true)", (str(heir),))


async def erase_some(connection: Connection, limit: int) -> list[tuple[UUID, int]]:
    """Erase up to ``limit`` memories of the organisation of the context; their ids and last versions."""
    found = await rows(connection, "SELECT id, version FROM memory.erase_some(%s)", (limit,))
    return [(one["id"], one["version"]) for one in found]


async def erase_rest(connection: Connection, organisation: UUID) -> None:
    """Erase what the organisation has here besides memories."""
    await connection.execute("DELETE FROM memory.checkpoint WHERE organisation_id = %s", (organisation,))
    await connection.execute("DELETE FROM memory.secrets_policy WHERE organisation_id = %s", (organisation,))
