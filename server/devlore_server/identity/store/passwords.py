"""Rows of ``identity.password``, and whose an e-mail address is; the context is the person's."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from typing import LiteralString
from uuid import UUID

from psycopg.errors import UniqueViolation

from devlore_server.kit.db import Connection, Database, row


@dataclass(frozen=True, slots=True)
class StoredPassword:
    """An argon2id hash in PHC form; ``long``: what it is of is long enough to be the only proof."""

    hash: str
    long: bool


async def person_of(database: Database, email: str) -> UUID | None:
    """The person who signs in with this address, asked before anybody is known."""
    found = await database.statement("SELECT identity.find_by_email(%s) AS id", (email,))
    return None if found is None else found["id"]


async def find(connection: Connection, person: UUID, *, lock: bool = False) -> StoredPassword | None:
    """A person's password, if they have one; ``lock`` holds it against other changes until the end."""
    query: LiteralString = "SELECT hash, long FROM identity.password WHERE person_id = %s"
    locked: LiteralString = query + " FOR UPDATE"
    found = await row(connection, locked if lock else query, (person,))
    return None if found is None else StoredPassword(**found)


async def put(connection: Connection, person: UUID, password: StoredPassword, *, at: datetime) -> None:
    """Set a password, in the place of any before."""
    await connection.execute(
        "INSERT INTO identity.password (person_id, hash, long, changed_at) VALUES (%s, %s, %s, %s)"
        " ON CONFLICT (person_id) DO UPDATE"
        " SET hash = excluded.hash, long = excluded.long, changed_at = excluded.changed_at",
        (person, password.hash, password.long, at),
    )


async def rehash(connection: Connection, person: UUID, before: str, after: str) -> None:
    """Keep the same password under other parameters, unless it was changed meanwhile."""
    await connection.execute(
        "UPDATE identity.password SET hash = %s WHERE person_id = %s AND hash = %s", (after, person, before)
    )


async def names_of(connection: Connection, person: UUID) -> list[str]:
    """A person's name, and their address if they have one."""
    found = await row(connection, "SELECT name, email FROM identity.person WHERE id = %s", (person,))
    return [] if found is None else [one for one in (found["name"], found["email"]) if one]


async def put_person(connection: Connection, id: UUID, name: str, email: str, *, at: datetime) -> bool:
    """A new human, or one who has been here without an address so far; false when the address is somebody's already.

    The transaction cannot go on after false.
    """
    try:
        done = await connection.execute(
            "INSERT INTO identity.person (id, kind, name, email, created_at) VALUES (%s, 'human', %s, %s, %s)"
            " ON CONFLICT (id) DO UPDATE SET name = excluded.name, email = excluded.email WHERE person.email IS NULL",
            (id, name, email, at),
        )
    except UniqueViolation:
        return False
    return done.rowcount == 1
