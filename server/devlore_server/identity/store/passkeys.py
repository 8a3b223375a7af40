"""Rows of ``identity.passkey`` and ``identity.challenge``; the context is the person's."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from uuid import UUID

from devlore.types import PasskeyView
from devlore_server.identity.store import in_utc
from devlore_server.kit.db import Connection, Database, row, rows


@dataclass(frozen=True, slots=True)
class NewPasskey:
    """A row to write; ``public_key`` in COSE form (RFC 9052)."""

    id: UUID
    credential_id: bytes
    public_key: bytes
    sign_count: int
    backed_up: bool
    name: str


@dataclass(frozen=True, slots=True)
class StoredPasskey:
    """What an assertion is checked against."""

    id: UUID
    public_key: bytes
    sign_count: int


async def person_of(database: Database, credential_id: bytes) -> UUID | None:
    """Whose passkey this is, asked before anybody is known."""
    found = await database.statement("SELECT identity.find_by_passkey(%s) AS id", (credential_id,))
    return None if found is None else found["id"]


async def insert(connection: Connection, person: UUID, new: NewPasskey, *, at: datetime) -> bool:
    """Store a passkey; false when its credential is somebody's already."""
    done = await connection.execute(
        "INSERT INTO identity.passkey (person_id, id, credential_id, public_key, sign_count, backed_up, name,"
        " created_at) VALUES (%s, %s, %s, %s, %s, %s, %s, %s) ON CONFLICT DO NOTHING",
        (person, new.id, new.credential_id, new.public_key, new.sign_count, new.backed_up, new.name, at),
    )
    return done.rowcount == 1


async def of_person(connection: Connection, person: UUID) -> list[PasskeyView]:
    """A person's passkeys, oldest first."""
    found = await rows(
        connection,
        "SELECT id, name, backed_up, created_at, last_used_at FROM identity.passkey WHERE person_id = %s ORDER BY id",
        (person,),
    )
    return [PasskeyView(**in_utc(one)) for one in found]


async def credential_ids(connection: Connection, person: UUID) -> list[bytes]:
    """The credential ids of a person's passkeys."""
    found = await rows(connection, "SELECT credential_id FROM identity.passkey WHERE person_id = %s", (person,))
    return [one["credential_id"] for one in found]


async def find(connection: Connection, person: UUID, credential_id: bytes) -> StoredPasskey | None:
    """One passkey, held until the end of the transaction: its count goes up once per use."""
    found = await row(
        connection,
        "SELECT id, public_key, sign_count FROM identity.passkey"
        " WHERE person_id = %s AND credential_id = %s FOR UPDATE",
        (person, credential_id),
    )
    return None if found is None else StoredPasskey(**found)


async def used(
    connection: Connection, person: UUID, id: UUID, sign_count: int, backed_up: bool, *, at: datetime
) -> None:
    """Note a use."""
    await connection.execute(
        "UPDATE identity.passkey SET sign_count = %s, backed_up = %s, last_used_at = %s"
        " WHERE person_id = %s AND id = %s",
        (sign_count, backed_up, at, person, id),
    )


async def lock_all(connection: Connection, person: UUID) -> set[UUID]:
    """The ids of a person's passkeys, none of which goes away before the end of the transaction."""
    found = await rows(
        connection, "SELECT id FROM identity.passkey WHERE person_id = %s ORDER BY id FOR UPDATE", (person,)
    )
    return {one["id"] for one in found}


async def delete(connection: Connection, person: UUID, id: UUID) -> None:
    """No such passkey any more."""
    await connection.execute("DELETE FROM identity.passkey WHERE person_id = %s AND id = %s", (person, id))


async def spend(connection: Connection, person: UUID, digest: bytes, expires_at: datetime) -> bool:
    """Note that a challenge was answered; false when it was before."""
    done = await connection.execute(
        "INSERT INTO identity.challenge (digest, person_id, expires_at) VALUES (%s, %s, %s) ON CONFLICT DO NOTHING",
        (digest, person, expires_at),
    )
    return done.rowcount == 1
