"""Rows of ``identity.organisation``."""

from __future__ import annotations

from datetime import datetime
from typing import LiteralString
from uuid import UUID

from devlore.types import Organisation
from devlore_server.identity.store import in_utc
from devlore_server.kit.db import Connection, row, rows

_SELECT: LiteralString = """
    SELECT o.organisation_id AS id, o.name, m.role, o.created_at, o.delete_after, o.version
    FROM identity.organisation o
    LEFT JOIN identity.membership m ON m.organisation_id = o.organisation_id AND m.person_id = %(person)s"""


async def insert(connection: Connection, id: UUID, name: str, by: UUID | None, *, at: datetime) -> None:
    """A new organisation; ``by`` is its founder."""
    await connection.execute(
        "INSERT INTO identity.organisation (organisation_id, name, created_at, created_by) VALUES (%s, %s, %s, %s)",
        (id, name, at, by),
    )


async def find(connection: Connection, organisation: UUID, person: UUID) -> Organisation | None:
    """An organisation, with the role ``person`` has in it."""
    query: LiteralString = _SELECT + " WHERE o.organisation_id = %(organisation)s"
    found = await row(connection, query, {"organisation": organisation, "person": person})
    return None if found is None else Organisation(**in_utc(found))


async def lock(connection: Connection, organisation: UUID, *, due: datetime | None = None) -> bool:
    """Wait until nobody else changes the organisation or who leads it; false when there is none.

    With ``due`` also false unless its deletion is final at that time. Memberships may be added meanwhile: their
    foreign key does not wait for this.
    """
    found = await row(
        connection,
        "SELECT 1 FROM identity.organisation WHERE organisation_id = %(organisation)s"
        " AND (%(due)s::timestamptz IS NULL OR delete_after <= %(due)s) FOR NO KEY UPDATE",
        {"organisation": organisation, "due": due},
    )
    return found is not None


async def page(connection: Connection, person: UUID, limit: int, after: UUID | None) -> list[Organisation]:
    """Where a person belongs, by id, behind ``after``."""
    query: LiteralString = (
        _SELECT + " WHERE m.person_id = %(person)s AND (%(after)s::uuid IS NULL OR o.organisation_id > %(after)s)"
        " ORDER BY o.organisation_id LIMIT %(limit)s"
    )
    found = await rows(connection, query, {"person": person, "after": after, "limit": limit})
    return [Organisation(**in_utc(one)) for one in found]


async def rename(connection: Connection, organisation: UUID, name: str) -> None:
    """Another name, as a new version."""
    await connection.execute(
        "UPDATE identity.organisation SET name = %s, version = version + 1 WHERE organisation_id = %s",
        (name, organisation),
    )


async def delete_after(connection: Connection, organisation: UUID, moment: datetime | None) -> None:
    """When its deletion becomes final, or None: it stays. A new version."""
    await connection.execute(
        "UPDATE identity.organisation SET delete_after = %s, version = version + 1 WHERE organisation_id = %s",
        (moment, organisation),
    )


async def due(connection: Connection, moment: datetime, limit: int) -> list[UUID]:
    """The organisations whose deletion has become final at ``moment``."""
    found = await rows(connection, "SELECT identity.due_organisations(%s, %s) AS id", (moment, limit))
    return [one["id"] for one in found]


async def erase(connection: Connection, organisation: UUID) -> None:
    """Erase an organisation, and all that hangs on it by foreign keys."""
    await connection.execute("DELETE FROM identity.organisation WHERE organisation_id = %s", (organisation,))
