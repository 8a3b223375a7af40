"""Rows of ``identity.departure``."""

from __future__ import annotations

from datetime import datetime
from typing import LiteralString
from uuid import UUID

from devlore.types import Departure, Settlement
from devlore_server.identity.store import in_utc
from devlore_server.kit.db import Connection, row, rows

_SELECT: LiteralString = """
    SELECT d.id, d.person_id, d.name, d.requested_by, d.created_at, d.action, d.to_person AS to, d.settled_by,
           d.settled_at, ARRAY(SELECT k.id FROM identity.keys_left_by(d.person_id) AS k) AS keys
    FROM identity.departure d WHERE d.organisation_id = %(organisation)s"""


async def insert(
    connection: Connection, organisation: UUID, id: UUID, person: UUID, name: str, by: UUID, *, at: datetime
) -> None:
    """Somebody left; what becomes of their private memories is open."""
    await connection.execute(
        "INSERT INTO identity.departure (organisation_id, id, person_id, name, created_at, requested_by)"
        " VALUES (%s, %s, %s, %s, %s, %s)",
        (organisation, id, person, name, at, by),
    )


async def find(connection: Connection, organisation: UUID, id: UUID) -> Departure | None:
    """One departure, held until the end of the transaction."""
    query: LiteralString = _SELECT + " AND d.id = %(id)s FOR UPDATE"
    found = await row(connection, query, {"organisation": organisation, "id": id})
    return None if found is None else Departure(**in_utc(found))


async def page(
    connection: Connection, organisation: UUID, pending: bool | None, limit: int, after: UUID | None
) -> list[Departure]:
    """Departures by id, newest first, behind ``after``; ``pending`` leaves out the others."""
    query: LiteralString = (
        _SELECT + " AND (%(after)s::uuid IS NULL OR d.id < %(after)s)"
        " AND (%(pending)s::boolean IS NULL OR %(pending)s = (d.settled_at IS NULL)) ORDER BY d.id DESC LIMIT %(limit)s"
    )
    parameters = {"organisation": organisation, "pending": pending, "limit": limit, "after": after}
    return [Departure(**in_utc(one)) for one in await rows(connection, query, parameters)]


async def settle(
    connection: Connection, organisation: UUID, id: UUID, settlement: Settlement, by: UUID, *, at: datetime
) -> None:
    """Note what was decided."""
    await connection.execute(
        "UPDATE identity.departure SET action = %s, to_person = %s, settled_by = %s, settled_at = %s"
        " WHERE organisation_id = %s AND id = %s",
        (settlement.action, settlement.to, by, at, organisation, id),
    )


async def withdraw(connection: Connection, organisation: UUID, person: UUID) -> bool:
    """Forget the open departure of somebody who is back: what was theirs is theirs again. Whether there was one."""
    done = await connection.execute(
        "DELETE FROM identity.departure WHERE organisation_id = %s AND person_id = %s AND settled_at IS NULL",
        (organisation, person),
    )
    return done.rowcount > 0
