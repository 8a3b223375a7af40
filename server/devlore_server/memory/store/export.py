"""Memories in the order of their ids, for export."""

from __future__ import annotations

from uuid import UUID

from devlore.types import Memory
from devlore_server.kit.auth import Principal
from devlore_server.kit.db import Connection, rows
from devlore_server.memory.store.memories import COLUMNS, memory_of


async def page_by_id(
    connection: Connection, who: Principal, *, after: UUID | None, project: str | None, deleted: bool, limit: int
) -> list[Memory]:
    """Up to ``limit`` memories the caller may see, by id behind ``after``; deleted ones only with ``deleted``."""
    found = await rows(
        connection,
        f"SELECT {COLUMNS} FROM memory.memory m WHERE m.organisation_id = %(organisation)s"
        " AND (%(after)s::uuid IS NULL OR m.id > %(after)s) AND (%(project)s::text IS NULL OR m.project = %(project)s)"
        " AND (%(deleted)s OR m.deleted_at IS NULL) ORDER BY m.id LIMIT %(limit)s",
        {"organisation": who.organisation, "after": after, "project": project, "deleted": deleted, "limit": limit},
    )
    return [memory_of(one) for one in found]
