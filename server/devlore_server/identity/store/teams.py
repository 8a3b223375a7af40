"""Rows of ``identity.team`` and ``identity.team_member``."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from typing import LiteralString
from uuid import UUID

from psycopg.errors import UniqueViolation

from devlore.problems import Conflict
from devlore.types import Team, TeamMember, TeamRole
from devlore_server.identity.store import in_utc
from devlore_server.kit.db import Connection, row, rows

_TAKEN = "There is a team of that name."
_SELECT: LiteralString = """
    SELECT t.id, t.name, t.created_at, t.version,
           (SELECT count(*) FROM identity.team_member m
            WHERE m.organisation_id = t.organisation_id AND m.team_id = t.id) AS members
    FROM identity.team t WHERE t.organisation_id = %(organisation)s"""
_MEMBERS: LiteralString = """
    SELECT m.person_id, p.kind, p.name, m.role
    FROM identity.team_member m JOIN identity.person p ON p.id = m.person_id
    WHERE m.organisation_id = %(organisation)s AND m.team_id = %(team)s"""


async def insert(connection: Connection, organisation: UUID, id: UUID, name: str, *, at: datetime) -> None:
    """A new team; raises ``Conflict`` when the organisation has one of that name."""
    try:
        await connection.execute(
            "INSERT INTO identity.team (organisation_id, id, name, created_at) VALUES (%s, %s, %s, %s)",
            (organisation, id, name, at),
        )
    except UniqueViolation:
        raise Conflict(_TAKEN) from None


async def find(connection: Connection, organisation: UUID, id: UUID, *, lock: bool = False) -> Team | None:
    """One team; ``lock`` holds it against other changes until the end of the transaction."""
    query: LiteralString = _SELECT + " AND t.id = %(id)s"
    locked: LiteralString = query + " FOR UPDATE OF t"
    found = await row(connection, locked if lock else query, {"organisation": organisation, "id": id})
    return None if found is None else Team(**in_utc(found))


async def page(connection: Connection, organisation: UUID, limit: int, after: tuple[str, UUID] | None) -> list[Team]:
    """The teams by name, behind the sort key ``(lower(name), id)`` in ``after``."""
    query: LiteralString = (
        _SELECT + " AND (%(name)s::text IS NULL OR (lower(t.name), t.id) > (lower(%(name)s), %(id)s))"
        " ORDER BY lower(t.name), t.id LIMIT %(limit)s"
    )
    name, id = after or (None, None)
    found = await rows(connection, query, {"organisation": organisation, "name": name, "id": id, "limit": limit})
    return [Team(**in_utc(one)) for one in found]


async def rename(connection: Connection, organisation: UUID, id: UUID, name: str) -> None:
    """Another name, as a new version; raises ``Conflict`` when it is taken."""
    try:
        await connection.execute(
            "UPDATE identity.team SET name = %s, version = version + 1 WHERE organisation_id = %s AND id = %s",
            (name, organisation, id),
        )
    except UniqueViolation:
        raise Conflict(_TAKEN) from None


async def delete(connection: Connection, organisation: UUID, id: UUID) -> None:
    """No such team any more."""
    await connection.execute("DELETE FROM identity.team WHERE organisation_id = %s AND id = %s", (organisation, id))


async def members(
    connection: Connection, organisation: UUID, team: UUID, limit: int | None = None, after: UUID | None = None
) -> list[TeamMember]:
    """The people in a team by id, behind ``after``; all of them without a ``limit``."""
    query: LiteralString = (
        _MEMBERS + " AND (%(after)s::uuid IS NULL OR m.person_id > %(after)s) ORDER BY m.person_id LIMIT %(limit)s"
    )
    found = await rows(connection, query, {"organisation": organisation, "team": team, "after": after, "limit": limit})
    return [TeamMember(**one) for one in found]


async def role_of(connection: Connection, organisation: UUID, team: UUID, person: UUID) -> TeamRole | None:
    """The role a person has in a team, held until the end of the transaction."""
    found = await row(
        connection,
        "SELECT role FROM identity.team_member"
        " WHERE organisation_id = %s AND team_id = %s AND person_id = %s FOR SHARE",
        (organisation, team, person),
    )
    return None if found is None else found["role"]


async def teams_of(connection: Connection, organisation: UUID, person: UUID) -> list[UUID]:
    """The teams a person is in."""
    found = await rows(
        connection,
        "SELECT team_id FROM identity.team_member WHERE organisation_id = %s AND person_id = %s ORDER BY team_id",
        (organisation, person),
    )
    return [one["team_id"] for one in found]


async def put(connection: Connection, organisation: UUID, team: UUID, person: UUID, role: TeamRole) -> None:
    """Take a member of the organisation into a team, or change their role there."""
    await connection.execute(
        "INSERT INTO identity.team_member (organisation_id, team_id, person_id, role) VALUES (%s, %s, %s, %s)"
        " ON CONFLICT (organisation_id, team_id, person_id) DO UPDATE SET role = excluded.role",
        (organisation, team, person, role),
    )


async def put_into(connection: Connection, organisation: UUID, teams: Sequence[UUID], person: UUID) -> None:
    """Take a member of the organisation into those of the teams that still exist."""
    await connection.execute(
        "INSERT INTO identity.team_member (organisation_id, team_id, person_id, role)"
        " SELECT t.organisation_id, t.id, %s, 'member' FROM identity.team t"
        " WHERE t.organisation_id = %s AND t.id = ANY (%s) ON CONFLICT DO NOTHING",
        (person, organisation, list(teams)),
    )


async def existing(connection: Connection, organisation: UUID, teams: Sequence[UUID]) -> set[UUID]:
    """Those of the teams that the organisation has."""
    found = await rows(
        connection,
        "SELECT id FROM identity.team WHERE organisation_id = %s AND id = ANY (%s)",
        (organisation, list(teams)),
    )
    return {one["id"] for one in found}


async def remove(connection: Connection, organisation: UUID, team: UUID, person: UUID) -> bool:
    """Let a person out of a team; false when they were not in it."""
    done = await connection.execute(
        "DELETE FROM identity.team_member WHERE organisation_id = %s AND team_id = %s AND person_id = %s",
        (organisation, team, person),
    )
    return done.rowcount == 1


async def find_member(connection: Connection, organisation: UUID, team: UUID, person: UUID) -> TeamMember | None:
    """One person in a team."""
    query: LiteralString = _MEMBERS + " AND m.person_id = %(person)s"
    found = await row(connection, query, {"organisation": organisation, "team": team, "person": person})
    return None if found is None else TeamMember(**found)
