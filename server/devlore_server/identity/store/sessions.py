"""Rows of ``identity.session`` and ``identity.refresh``."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from uuid import UUID

from devlore.types import SessionView
from devlore_server.identity.store import in_utc
from devlore_server.kit.db import Connection, Database, Row, row, rows


@dataclass(frozen=True, slots=True)
class NewSession:
    """A row to write; ``cookie`` is the SHA-256 of a browser's secret."""

    id: UUID
    cookie: bytes | None
    user_agent: str | None
    network: str | None
    authenticated_at: datetime
    expires_at: datetime


@dataclass(frozen=True, slots=True)
class FoundSession:
    """A session that holds, and what its person is in its organisation now."""

    organisation_id: UUID
    id: UUID
    person_id: UUID
    role: str
    teams: list[UUID]
    authenticated_at: datetime
    last_seen_at: datetime
    expires_at: datetime


async def place_of(connection: Connection, person: UUID, wanted: UUID | None) -> UUID | None:
    """The organisation to work in: ``wanted`` if the person belongs there, else where they were last; or None."""
    found = await row(
        connection,
        "SELECT m.organisation_id FROM identity.membership m"
        " JOIN identity.organisation o ON o.organisation_id = m.organisation_id"
        " LEFT JOIN LATERAL (SELECT max(s.last_seen_at) AS at FROM identity.session s"
        "   WHERE s.organisation_id = m.organisation_id AND s.person_id = m.person_id) AS last ON true"
        " WHERE m.person_id = %(person)s AND (%(wanted)s::uuid IS NULL OR m.organisation_id = %(wanted)s)"
        " AND (o.delete_after IS NULL OR m.role = 'owner')"
        " ORDER BY last.at DESC NULLS LAST, m.created_at, m.organisation_id LIMIT 1",
        {"person": person, "wanted": wanted},
    )
    return None if found is None else found["organisation_id"]


async def places_of(connection: Connection, person: UUID) -> list[UUID]:
    """Every organisation a person belongs to."""
    found = await rows(
        connection, "SELECT organisation_id FROM identity.membership WHERE person_id = %s ORDER BY 1", (person,)
    )
    return [one["organisation_id"] for one in found]


async def insert(connection: Connection, organisation: UUID, person: UUID, new: NewSession, *, at: datetime) -> bool:
    """A new session, which ends with its person's epoch; false for somebody who does not belong there (any more).

    Waits for whoever ends all of the person's sessions at this moment (``hold``).
    """
    done = await connection.execute(
        "INSERT INTO identity.session (organisation_id, id, person_id, cookie, epoch, user_agent, network, created_at,"
        " authenticated_at, last_seen_at, expires_at)"
        " SELECT %(organisation)s, %(id)s, p.id, %(cookie)s, p.epoch, %(user_agent)s, %(network)s, %(at)s,"
        " %(authenticated_at)s, %(at)s, %(expires_at)s FROM identity.person p JOIN identity.membership m"
        "   ON m.organisation_id = %(organisation)s AND m.person_id = p.id"
        " WHERE p.id = %(person)s AND p.disabled_at IS NULL FOR KEY SHARE OF m FOR SHARE OF p",
        {
            "organisation": organisation,
            "person": person,
            "at": at,
            "id": new.id,
            "cookie": new.cookie,
            "user_agent": new.user_agent,
            "network": new.network,
            "authenticated_at": new.authenticated_at,
            "expires_at": new.expires_at,
        },
    )
    return done.rowcount == 1


async def find(database: Database, id: UUID, now: datetime) -> FoundSession | None:
    """The session with this id, if it holds; asked before anybody is known."""
    return _found(await database.statement("SELECT * FROM identity.find_session(%s, %s)", (id, now)))


async def find_within(connection: Connection, id: UUID, now: datetime) -> FoundSession | None:
    """``find``, in a transaction."""
    return _found(await row(connection, "SELECT * FROM identity.find_session(%s, %s)", (id, now)))


async def find_by_cookie(database: Database, digest: bytes, now: datetime) -> FoundSession | None:
    """The browser session whose secret has this digest, if it holds; asked before anybody is known."""
    return _found(await database.statement("SELECT * FROM identity.find_cookie(%s, %s)", (digest, now)))


async def page(
    connection: Connection, person: UUID, now: datetime, limit: int, after: UUID | None
) -> list[SessionView]:
    """A person's sessions that have not ended, newest first, behind ``after``; none of them is marked current."""
    found = await rows(
        connection,
        "SELECT s.id, s.organisation_id, s.user_agent, s.network, s.created_at, s.last_seen_at, s.expires_at,"
        " false AS current FROM identity.session s JOIN identity.person p ON p.id = s.person_id"
        " WHERE s.person_id = %(person)s AND s.revoked_at IS NULL AND s.expires_at > %(now)s AND s.epoch = p.epoch"
        " AND (%(after)s::uuid IS NULL OR s.id < %(after)s) ORDER BY s.id DESC LIMIT %(limit)s",
        {"person": person, "now": now, "limit": limit, "after": after},
    )
    return [SessionView(**in_utc(one)) for one in found]


async def is_cookie(connection: Connection, person: UUID, id: UUID) -> bool:
    """Whether a session is a browser's."""
    found = await row(
        connection,
        "SELECT cookie IS NOT NULL AS is_cookie FROM identity.session WHERE id = %s AND person_id = %s",
        (id, person),
    )
    return bool(found and found["is_cookie"])


async def revoke(connection: Connection, person: UUID, id: UUID, *, at: datetime) -> UUID | None:
    """End a session; the organisation it was in, or None when there is nothing to end."""
    found = await row(
        connection,
        "UPDATE identity.session SET revoked_at = %s WHERE id = %s AND person_id = %s AND revoked_at IS NULL"
        " AND expires_at > %s RETURNING organisation_id",
        (at, id, person, at),
    )
    return None if found is None else found["organisation_id"]


async def hold(connection: Connection, person: UUID) -> None:
    """Wait until nobody begins a session of the person, and let nobody until the end of the transaction."""
    await connection.execute("SELECT 1 FROM identity.person WHERE id = %s FOR NO KEY UPDATE", (person,))


async def go_to(connection: Connection, organisation: UUID) -> None:
    """Work in another organisation of the person of the context until the end of the transaction."""
    await connection.execute(
        "SELECT set_config('app.organisation', %s, true), set_config('app.teams', '{}', true)", (str(organisation),)
    )


async def revoke_others(
    connection: Connection, person: UUID, kept: UUID | None, *, at: datetime
) -> list[tuple[UUID, UUID]]:
    """End all of a person's sessions but one; ``(organisation, id)`` of each. None begins before the end."""
    await hold(connection, person)
    found = await rows(
        connection,
        "UPDATE identity.session SET revoked_at = %s WHERE person_id = %s AND id IS DISTINCT FROM %s"
        " AND revoked_at IS NULL AND expires_at > %s RETURNING organisation_id, id",
        (at, person, kept, at),
    )
    return [(one["organisation_id"], one["id"]) for one in found]


async def touch(connection: Connection, id: UUID, network: str | None, expires_at: datetime, *, at: datetime) -> None:
    """Note that a session is in use, from where, and when it ends if it is left alone from now on."""
    await connection.execute(
        "UPDATE identity.session SET last_seen_at = %s, network = coalesce(%s, network),"
        " expires_at = least(%s, created_at + interval '90 days') WHERE id = %s",
        (at, network, expires_at, id),
    )


async def authenticated(connection: Connection, person: UUID, id: UUID, *, at: datetime) -> None:
    """Note that the person proved again who they are."""
    await connection.execute(
        "UPDATE identity.session SET authenticated_at = %s WHERE id = %s AND person_id = %s", (at, id, person)
    )


async def find_refresh(database: Database, digest: bytes) -> tuple[UUID, UUID, UUID] | None:
    """``(organisation, session, person)`` of a refresh token, asked before anybody is known."""
    found = await database.statement(
        "SELECT organisation_id, session_id, person_id FROM identity.find_refresh(%s)", (digest,)
    )
    return None if found is None else (found["organisation_id"], found["session_id"], found["person_id"])


async def insert_refresh(
    connection: Connection, organisation: UUID, person: UUID, session: UUID, digest: bytes, *, at: datetime
) -> None:
    """A refresh token of a session."""
    await connection.execute(
        "INSERT INTO identity.refresh (organisation_id, digest, session_id, person_id, issued_at)"
        " VALUES (%s, %s, %s, %s, %s)",
        (organisation, digest, session, person, at),
    )


async def lock_refresh(connection: Connection, organisation: UUID, digest: bytes) -> datetime | None:
    """When a refresh token was exchanged, None for not yet; whoever asks for the same token now waits for our end."""
    found = await row(
        connection,
        "SELECT used_at FROM identity.refresh WHERE organisation_id = %s AND digest = %s FOR UPDATE",
        (organisation, digest),
    )
    assert found is not None  # it goes with its session only, and that holds
    used_at: datetime | None = in_utc(found)["used_at"]
    return used_at


async def use_refresh(connection: Connection, organisation: UUID, digest: bytes, *, at: datetime) -> None:
    """Note that a refresh token was exchanged."""
    await connection.execute(
        "UPDATE identity.refresh SET used_at = %s WHERE organisation_id = %s AND digest = %s",
        (at, organisation, digest),
    )


def _found(one: Row | None) -> FoundSession | None:
    return None if one is None else FoundSession(**in_utc(one))
