"""Rows of ``identity.api_key``; the context is the organisation's and the person's whose key it is."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from typing import LiteralString
from uuid import UUID

from devlore.types import KeyView
from devlore_server.identity.store import in_utc
from devlore_server.kit.db import Connection, Database, row, rows

NETWORKS = 20
"""Most networks remembered of a key."""

_COLUMNS: LiteralString = """
    k.id, k.key_id, k.person_id, k.name, k.scopes, k.networks, k.created_at, k.expires_at, k.last_used_at,
    k.revoked_at"""


@dataclass(frozen=True, slots=True)
class NewKey:
    """A row to write; ``digest`` is the SHA-256 of the whole key."""

    id: UUID
    key_id: str
    digest: bytes
    name: str
    scopes: list[str] | None
    networks: list[str]
    expires_at: datetime | None


@dataclass(frozen=True, slots=True)
class FoundKey:
    """A key that holds, and what its person is in its organisation now."""

    organisation_id: UUID
    id: UUID
    person_id: UUID
    role: str
    teams: list[UUID]
    scopes: list[str] | None
    networks: list[str]
    created_at: datetime
    expires_at: datetime | None
    last_used_at: datetime | None


async def find(database: Database, key_id: str, digest: bytes, now: datetime) -> FoundKey | None:
    """The key with this id and digest, if it holds; asked before anybody is known."""
    found = await database.statement("SELECT * FROM identity.find_key(%s, %s, %s)", (key_id, digest, now))
    return None if found is None else FoundKey(**in_utc(found))


async def owner_of(connection: Connection, id: UUID) -> UUID | None:
    """Whose a key of the context's organisation is."""
    found = await row(connection, "SELECT identity.owner_of_key(%s) AS id", (id,))
    return None if found is None else found["id"]


async def left_by(connection: Connection, maker: UUID) -> list[tuple[UUID, UUID]]:
    """Keys that ``maker`` made for service accounts of the context's organisation and that hold: ids, and whose."""
    found = await rows(connection, "SELECT id, person_id FROM identity.keys_left_by(%s)", (maker,))
    return [(one["id"], one["person_id"]) for one in found]


async def insert(
    connection: Connection, organisation: UUID, person: UUID, new: NewKey, by: UUID, *, at: datetime
) -> KeyView:
    """A new key of ``person``, made by ``by``."""
    query: LiteralString = (
        "INSERT INTO identity.api_key AS k (organisation_id, id, person_id, key_id, digest, name, scopes, networks,"
        " created_by, created_at, expires_at) VALUES (%s, %s, %s, %s, %s, %s, %s, %s, %s, %s, %s) RETURNING" + _COLUMNS
    )
    found = await row(
        connection,
        query,
        (
            organisation,
            new.id,
            person,
            new.key_id,
            new.digest,
            new.name,
            new.scopes,
            new.networks,
            by,
            at,
            new.expires_at,
        ),
    )
    assert found is not None
    return KeyView(**in_utc(found))


async def count(connection: Connection, organisation: UUID, person: UUID) -> int:
    """How many of a person's keys have not been revoked."""
    found = await row(
        connection,
        "SELECT count(*) AS n FROM identity.api_key"
        " WHERE organisation_id = %s AND person_id = %s AND revoked_at IS NULL",
        (organisation, person),
    )
    return int(found["n"]) if found else 0


async def page(
    connection: Connection, organisation: UUID, person: UUID, limit: int, after: UUID | None
) -> list[KeyView]:
    """A person's keys, newest first, behind ``after``."""
    query: LiteralString = (
        "SELECT" + _COLUMNS + " FROM identity.api_key k WHERE k.organisation_id = %(organisation)s"
        " AND k.person_id = %(person)s AND (%(after)s::uuid IS NULL OR k.id < %(after)s)"
        " ORDER BY k.id DESC LIMIT %(limit)s"
    )
    parameters = {"organisation": organisation, "person": person, "limit": limit, "after": after}
    return [KeyView(**in_utc(one)) for one in await rows(connection, query, parameters)]


async def revoke(connection: Connection, organisation: UUID, person: UUID, id: UUID, *, at: datetime) -> bool:
    """End a key; false when there is none to end."""
    done = await connection.execute(
        "UPDATE identity.api_key SET revoked_at = %s"
        " WHERE organisation_id = %s AND person_id = %s AND id = %s AND revoked_at IS NULL",
        (at, organisation, person, id),
    )
    return done.rowcount == 1


async def used(connection: Connection, key: FoundKey, network: str | None, *, at: datetime) -> bool:
    """Note a use; whether it is the first from ``network``."""
    parameters = {"at": at, "network": network, "organisation": key.organisation_id, "id": key.id, "kept": NETWORKS - 1}
    if network is not None:
        added = await connection.execute(
            "UPDATE identity.api_key SET last_used_at = %(at)s,"
            " networks = networks[greatest(1, cardinality(networks) - %(kept)s + 1):] || %(network)s::text"
            " WHERE organisation_id = %(organisation)s AND id = %(id)s AND NOT networks @> ARRAY[%(network)s::text]",
            parameters,
        )
        if added.rowcount:
            return True
    await connection.execute(
        "UPDATE identity.api_key SET last_used_at = %(at)s WHERE organisation_id = %(organisation)s AND id = %(id)s",
        parameters,
    )
    return False
