"""Rows of ``identity.signing_key``."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime

from devlore_server.identity.store import in_utc
from devlore_server.kit.db import Connection, row, rows

_LOCK = 0x6465_766C_6F72_6502


@dataclass(frozen=True, slots=True)
class StoredKey:
    """A signing key; ``private`` is encrypted under the key named ``sealed_by``. Without ``retires_at`` it signs."""

    kid: str
    public: bytes
    private: bytes
    sealed_by: str
    created_at: datetime
    retires_at: datetime | None


async def lock(connection: Connection) -> None:
    """Wait until nobody else makes keys; held until the end of the transaction."""
    await connection.execute("SELECT pg_advisory_xact_lock(%s)", (_LOCK,))


async def all_valid(connection: Connection, now: datetime) -> list[StoredKey]:
    """Every key whose tokens may still be good, the one that signs first."""
    found = await rows(
        connection,
        "SELECT kid, public, private, sealed_by, created_at, retires_at FROM identity.signing_key"
        " WHERE retires_at IS NULL OR retires_at > %s ORDER BY retires_at DESC, kid",
        (now,),
    )
    return [StoredKey(**in_utc(one)) for one in found]


async def insert(connection: Connection, key: StoredKey) -> None:
    """A new key."""
    await connection.execute(
        "INSERT INTO identity.signing_key (kid, public, private, sealed_by, created_at) VALUES (%s, %s, %s, %s, %s)",
        (key.kid, key.public, key.private, key.sealed_by, key.created_at),
    )


async def retire(connection: Connection, moment: datetime) -> int:
    """From now on no key signs; those that did verify until ``moment``. How many those are."""
    done = await connection.execute(
        "UPDATE identity.signing_key SET retires_at = %s WHERE retires_at IS NULL", (moment,)
    )
    return done.rowcount


async def forget(connection: Connection, now: datetime, most: int) -> int:
    """Delete up to ``most`` sessions, challenges and device grants that are of no use any more, and retired keys."""
    found = await row(connection, "SELECT identity.forget_credentials(%s, %s) AS gone", (now, most))
    return int(found["gone"]) if found else 0
