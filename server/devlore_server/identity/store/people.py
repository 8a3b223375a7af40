"""Rows of ``identity.person``; a human's are written only as that person (row-level security)."""

from __future__ import annotations

from datetime import datetime
from typing import LiteralString
from uuid import UUID

from devlore.types import Person, PersonKind
from devlore_server.identity.store import in_utc
from devlore_server.kit.db import Connection, row, rows

_SELECT: LiteralString = """
    SELECT p.id, p.kind, p.name, p.email, m.role, p.created_at
    FROM identity.membership m JOIN identity.person p ON p.id = m.person_id
    WHERE m.organisation_id = %(organisation)s"""


async def insert(
    connection: Connection, id: UUID, kind: PersonKind, name: str, email: str | None, *, at: datetime
) -> None:
    """A new person; raises ``UniqueViolation`` when the address is somebody's already."""
    await connection.execute(
        "INSERT INTO identity.person (id, kind, name, email, created_at) VALUES (%s, %s, %s, %s, %s)",
        (id, kind, name, email, at),
    )


async def find(connection: Connection, organisation: UUID, person: UUID) -> Person | None:
    """A person of the organisation."""
    query: LiteralString = _SELECT + " AND m.person_id = %(person)s"
    found = await row(connection, query, {"organisation": organisation, "person": person})
    return None if found is None else Person(**in_utc(found))


async def page(connection: Connection, organisation: UUID, limit: int, after: UUID | None) -> list[Person]:
    """The people of the organisation by id, behind ``after``."""
    query: LiteralString = (
        _SELECT + " AND (%(after)s::uuid IS NULL OR m.person_id > %(after)s) ORDER BY m.person_id LIMIT %(limit)s"
    )
    found = await rows(connection, query, {"organisation": organisation, "after": after, "limit": limit})
    return [Person(**in_utc(one)) for one in found]


async def service_accounts(connection: Connection, organisation: UUID) -> list[UUID]:
    """The accounts of programs in the organisation."""
    query: LiteralString = _SELECT + " AND p.kind = 'service'"
    return [one["id"] for one in await rows(connection, query, {"organisation": organisation})]


async def rename(connection: Connection, person: UUID, name: str) -> None:
    """Another name."""
    await connection.execute("UPDATE identity.person SET name = %s WHERE id = %s", (name, person))


async def delete(connection: Connection, person: UUID) -> None:
    """Erase a service account of the organisation, or the person whose context this is."""
    await connection.execute("DELETE FROM identity.person WHERE id = %s", (person,))


async def address_of(connection: Connection, person: UUID) -> tuple[PersonKind, str | None] | None:
    """What kind of person this is, and their e-mail address."""
    found = await row(connection, "SELECT kind, email FROM identity.person WHERE id = %s", (person,))
    return None if found is None else (found["kind"], found["email"])


async def name_of(connection: Connection, person: UUID) -> str | None:
    """The name of a person whom the context may see."""
    found = await row(connection, "SELECT name FROM identity.person WHERE id = %s", (person,))
    return None if found is None else str(found["name"])
