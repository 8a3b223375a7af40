"""Rows of ``identity.familiar_network``: from where a person signed in lately."""

from __future__ import annotations

from datetime import datetime
from uuid import UUID

from devlore_server.kit.db import Connection, Database, row


async def note(connection: Connection, person: UUID, network: str, *, at: datetime) -> None:
    """The person signed in from there; the context is theirs."""
    await connection.execute(
        "INSERT INTO identity.familiar_network (person_id, network, seen_at) VALUES (%s, %s, %s)"
        " ON CONFLICT (person_id, network) DO UPDATE SET seen_at = excluded.seen_at",
        (person, network, at),
    )


async def is_familiar(
    database: Database, email: str | None, person: UUID | None, network: str, since: datetime
) -> bool:
    """Whether whoever has this address, or this id, signed in from there since then."""
    found = await database.statement(
        "SELECT identity.is_familiar(%s, %s, %s, %s) AS known", (email, person, network, since)
    )
    return bool(found and found["known"])


async def forget(connection: Connection, before: datetime, most: int) -> int:
    """Delete up to ``most`` of those last seen before then; how many there were."""
    found = await row(connection, "SELECT identity.forget_networks(%s, %s) AS gone", (before, most))
    return int(found["gone"]) if found else 0
