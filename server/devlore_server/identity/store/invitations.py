"""Rows of ``identity.invitation``."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import LiteralString
from uuid import UUID

from devlore.types import Invitation, InvitationView, Role
from devlore_server.identity.store import in_utc
from devlore_server.kit.db import Connection, row, rows

_SELECT: LiteralString = """
    SELECT i.id, i.role, i.email, i.teams, i.created_by, i.created_at, i.expires_at, i.accepted_by, i.accepted_at,
           i.revoked_at,
           CASE WHEN i.accepted_at IS NOT NULL THEN 'accepted' WHEN i.revoked_at IS NOT NULL THEN 'revoked'
                WHEN i.expires_at <= %(now)s THEN 'expired' ELSE 'pending' END AS state
    FROM identity.invitation i WHERE i.organisation_id = %(organisation)s"""
# Of an organisation that is about to be deleted nobody becomes a member any more.
_PENDING: LiteralString = """
    i.accepted_at IS NULL AND i.revoked_at IS NULL AND i.expires_at > %(now)s
    AND EXISTS (SELECT FROM identity.organisation o
                WHERE o.organisation_id = i.organisation_id AND o.delete_after IS NULL)"""


@dataclass(frozen=True, slots=True)
class Offer:
    """What a pending invitation offers, to whom it is bound (None: anybody), and who made it."""

    role: Role
    email: str | None
    person: UUID | None
    teams: Sequence[UUID]
    created_by: UUID | None


@dataclass(frozen=True, slots=True)
class NewInvitation:
    """A row to write; ``digest`` is the SHA-256 of the secret."""

    id: UUID
    digest: bytes
    offer: Offer
    created_at: datetime
    expires_at: datetime


async def insert(connection: Connection, organisation: UUID, new: NewInvitation) -> None:
    """A new invitation."""
    offer = new.offer
    await connection.execute(
        "INSERT INTO identity.invitation (organisation_id, id, digest, role, email, teams, person_id, created_by,"
        " created_at, expires_at) VALUES (%s, %s, %s, %s, %s, %s, %s, %s, %s, %s)",
        (
            organisation,
            new.id,
            new.digest,
            offer.role,
            offer.email,
            list(offer.teams),
            offer.person,
            offer.created_by,
            new.created_at,
            new.expires_at,
        ),
    )


async def find_by_digest(connection: Connection, digest: bytes) -> tuple[UUID, UUID] | None:
    """``(organisation, id)`` of the invitation with this secret, whatever became of it."""
    found = await row(connection, "SELECT organisation_id, id FROM identity.find_invitation(%s)", (digest,))
    return None if found is None else (found["organisation_id"], found["id"])


async def find(connection: Connection, organisation: UUID, id: UUID, now: datetime) -> Invitation | None:
    """One invitation."""
    query: LiteralString = _SELECT + " AND i.id = %(id)s"
    found = await row(connection, query, {"organisation": organisation, "id": id, "now": now})
    return None if found is None else Invitation(**in_utc(found))


async def page(
    connection: Connection, organisation: UUID, now: datetime, limit: int, after: UUID | None
) -> list[Invitation]:
    """Invitations, newest first, behind ``after``."""
    query: LiteralString = (
        _SELECT + " AND (%(after)s::uuid IS NULL OR i.id < %(after)s) ORDER BY i.id DESC LIMIT %(limit)s"
    )
    parameters = {"organisation": organisation, "now": now, "limit": limit, "after": after}
    return [Invitation(**in_utc(one)) for one in await rows(connection, query, parameters)]


async def offer(
    connection: Connection, organisation: UUID, id: UUID, now: datetime, *, lock: bool = False
) -> Offer | None:
    """What the invitation offers while it is pending; ``lock`` holds it until the end of the transaction."""
    query: LiteralString = (
        "SELECT i.role, i.email, i.person_id, i.teams, i.created_by FROM identity.invitation i"
        " WHERE i.organisation_id = %(organisation)s AND i.id = %(id)s AND " + _PENDING
    )
    locked: LiteralString = query + " FOR UPDATE OF i"
    found = await row(connection, locked if lock else query, {"organisation": organisation, "id": id, "now": now})
    if found is None:
        return None
    return Offer(found["role"], found["email"], found["person_id"], found["teams"], found["created_by"])


async def view(connection: Connection, organisation: UUID, id: UUID, now: datetime) -> InvitationView | None:
    """The invitation as its bearer sees it while it is pending."""
    query: LiteralString = (
        "SELECT o.name AS organisation_name, i.role, i.email, p.name AS invited_by, i.expires_at"
        " FROM identity.invitation i JOIN identity.organisation o ON o.organisation_id = i.organisation_id"
        " LEFT JOIN identity.person p ON p.id = i.created_by"
        " WHERE i.organisation_id = %(organisation)s AND i.id = %(id)s AND " + _PENDING
    )
    found = await row(connection, query, {"organisation": organisation, "id": id, "now": now})
    return None if found is None else InvitationView(**in_utc(found))


async def accept(connection: Connection, organisation: UUID, id: UUID, person: UUID, *, at: datetime) -> None:
    """Spend a pending invitation, which ``offer`` has locked."""
    await connection.execute(
        "UPDATE identity.invitation SET accepted_at = %s, accepted_by = %s WHERE organisation_id = %s AND id = %s",
        (at, person, organisation, id),
    )


async def revoke(connection: Connection, organisation: UUID, id: UUID, *, at: datetime) -> bool:
    """Withdraw an invitation that nobody took; false when there is nothing to withdraw."""
    done = await connection.execute(
        "UPDATE identity.invitation SET revoked_at = %s WHERE organisation_id = %s AND id = %s"
        " AND accepted_at IS NULL AND revoked_at IS NULL",
        (at, organisation, id),
    )
    return done.rowcount == 1


async def revoke_of(
    connection: Connection, organisation: UUID, by: UUID | None, roles: Sequence[Role], *, at: datetime
) -> list[UUID]:
    """Withdraw what ``by`` (None: the instance itself) offered to ``roles`` and nobody took; their ids."""
    found = await rows(
        connection,
        "UPDATE identity.invitation SET revoked_at = %s WHERE organisation_id = %s"
        " AND created_by IS NOT DISTINCT FROM %s AND role = ANY (%s) AND accepted_at IS NULL AND revoked_at IS NULL"
        " RETURNING id",
        (at, organisation, by, list(roles)),
    )
    return [one["id"] for one in found]
