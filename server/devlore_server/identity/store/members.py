"""Rows of ``identity.membership``."""

from __future__ import annotations

from datetime import datetime
from typing import LiteralString
from uuid import UUID

from devlore.types import Member, Membership, Role
from devlore_server.identity.store import in_utc
from devlore_server.kit.db import Connection, row, rows

_SELECT: LiteralString = """
    SELECT m.person_id, p.kind, p.name, p.email, m.role, m.created_at AS joined_at, m.invited_by
    FROM identity.membership m JOIN identity.person p ON p.id = m.person_id
    WHERE m.organisation_id = %(organisation)s"""


async def insert(
    connection: Connection, organisation: UUID, person: UUID, role: Role, by: UUID | None, *, at: datetime
) -> bool:
    """Take a person in; false when they belong already."""
    done = await connection.execute(
        "INSERT INTO identity.membership (organisation_id, person_id, role, created_at, invited_by)"
        " VALUES (%s, %s, %s, %s, %s) ON CONFLICT DO NOTHING",
        (organisation, person, role, at, by),
    )
    return done.rowcount == 1


async def role_of(connection: Connection, organisation: UUID, person: UUID) -> Role | None:
    """The role a person has, held until the end of the transaction; None for somebody who does not belong."""
    found = await row(
        connection,
        "SELECT role FROM identity.membership WHERE organisation_id = %s AND person_id = %s FOR SHARE",
        (organisation, person),
    )
    return None if found is None else found["role"]


async def find(connection: Connection, organisation: UUID, person: UUID) -> Member | None:
    """One member."""
    query: LiteralString = _SELECT + " AND m.person_id = %(person)s"
    found = await row(connection, query, {"organisation": organisation, "person": person})
    return None if found is None else Member(**in_utc(found))


async def page(
    connection: Connection, organisation: UUID, limit: int, after: tuple[datetime, UUID] | None
) -> list[Member]:
    """The members, longest there first, behind the sort key ``(joined_at, person_id)`` in ``after``."""
    query: LiteralString = (
        _SELECT + " AND (%(joined)s::timestamptz IS NULL OR (m.created_at, m.person_id) > (%(joined)s, %(person)s))"
        " ORDER BY m.created_at, m.person_id LIMIT %(limit)s"
    )
    joined, person = after or (None, None)
    parameters = {"organisation": organisation, "joined": joined, "person": person, "limit": limit}
    return [Member(**in_utc(one)) for one in await rows(connection, query, parameters)]


async def places_of(connection: Connection, person: UUID) -> list[Membership]:
    """Where a person belongs, by name."""
    found = await rows(
        connection,
        "SELECT o.organisation_id, o.name AS organisation_name, m.role FROM identity.membership m"
        " JOIN identity.organisation o ON o.organisation_id = m.organisation_id"
        " WHERE m.person_id = %s ORDER BY lower(o.name), o.organisation_id",
        (person,),
    )
    return [Membership(**one) for one in found]


async def owners(connection: Connection, organisation: UUID) -> int:
    """How many owners there are; certain only while the organisation is locked."""
    found = await row(
        connection,
        "SELECT count(*) AS n FROM identity.membership WHERE organisation_id = %s AND role = 'owner'",
        (organisation,),
    )
    return int(found["n"]) if found else 0


async def set_role(connection: Connection, organisation: UUID, person: UUID, role: Role) -> None:
    """Another role."""
    await connection.execute(
        "UPDATE identity.membership SET role = %s WHERE organisation_id = %s AND person_id = %s",
        (role, organisation, person),
    )


async def delete(connection: Connection, organisation: UUID, person: UUID) -> None:
    """Let a person go, out of every team too."""
    await connection.execute(
        "DELETE FROM identity.membership WHERE organisation_id = %s AND person_id = %s", (organisation, person)
    )
