"""Rows of ``identity.device``: nobody's until a person settles them, then that person's."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from uuid import UUID

from devlore_server.identity.store import in_utc
from devlore_server.kit.db import Connection, Database, row


@dataclass(frozen=True, slots=True)
class NewDevice:
    """A row to write; both codes as SHA-256."""

    digest: bytes
    user_code: bytes
    user_agent: str | None
    network: str | None
    interval: int
    expires_at: datetime


@dataclass(frozen=True, slots=True)
class StoredDevice:
    """A sign-in begun on a device. ``approved`` is None while nobody has settled it."""

    digest: bytes
    user_agent: str | None
    network: str | None
    expires_at: datetime
    polled_at: datetime | None
    interval_seconds: int
    authenticated_at: datetime | None
    approved: bool | None


@dataclass(frozen=True, slots=True)
class WaitingDevice:
    """What is known of who asks for a sign-in that nobody has settled."""

    user_agent: str | None
    network: str | None
    created_at: datetime
    expires_at: datetime


async def insert(connection: Connection, new: NewDevice, *, at: datetime) -> bool:
    """Store a new grant; false when its user code is taken."""
    done = await connection.execute(
        "INSERT INTO identity.device (digest, user_code, user_agent, network, created_at, expires_at, interval_seconds)"
        " VALUES (%s, %s, %s, %s, %s, %s, %s) ON CONFLICT DO NOTHING",
        (new.digest, new.user_code, new.user_agent, new.network, at, new.expires_at, new.interval),
    )
    return done.rowcount == 1


async def settled_by(database: Database, digest: bytes) -> tuple[UUID, UUID] | None:
    """``(organisation, person)`` of who settled the grant with this device code; None when nobody did."""
    found = await database.statement("SELECT organisation_id, person_id FROM identity.find_by_device(%s)", (digest,))
    return None if found is None else (found["organisation_id"], found["person_id"])


async def find(connection: Connection, digest: bytes) -> StoredDevice | None:
    """A grant, held until the end of the transaction."""
    found = await row(
        connection,
        "SELECT digest, user_agent, network, expires_at, polled_at, interval_seconds,"
        " authenticated_at, approved FROM identity.device WHERE digest = %s FOR UPDATE",
        (digest,),
    )
    return None if found is None else StoredDevice(**in_utc(found))


async def waiting(connection: Connection, user_code: bytes, now: datetime) -> WaitingDevice | None:
    """A grant nobody has settled, by its user code."""
    found = await row(
        connection,
        "SELECT user_agent, network, created_at, expires_at FROM identity.device"
        " WHERE user_code = %s AND person_id IS NULL AND expires_at > %s",
        (user_code, now),
    )
    return None if found is None else WaitingDevice(**in_utc(found))


async def polled(connection: Connection, digest: bytes, interval: int, *, at: datetime) -> None:
    """Note a poll, and the seconds to wait until the next."""
    await connection.execute(
        "UPDATE identity.device SET polled_at = %s, interval_seconds = %s WHERE digest = %s", (at, interval, digest)
    )


async def settle(
    connection: Connection,
    user_code: bytes,
    *,
    organisation: UUID,
    person: UUID,
    approved: bool,
    authenticated_at: datetime,
    at: datetime,
) -> bool:
    """Approve or refuse a pending grant as a person; false when there is none with this code."""
    done = await connection.execute(
        "UPDATE identity.device SET person_id = %s, in_organisation = %s, approved = %s, authenticated_at = %s"
        " WHERE user_code = %s AND person_id IS NULL AND expires_at > %s",
        (person, organisation, approved, authenticated_at, user_code, at),
    )
    return done.rowcount == 1


async def delete(connection: Connection, digest: bytes) -> None:
    """The grant is spent."""
    await connection.execute("DELETE FROM identity.device WHERE digest = %s", (digest,))
