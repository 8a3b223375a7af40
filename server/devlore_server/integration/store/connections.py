"""Rows of ``integration.connection``."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any, LiteralString
from uuid import UUID

from psycopg.types.json import Jsonb

from devlore_server.kit.auth import Principal
from devlore_server.kit.db import Connection as Transaction
from devlore_server.kit.db import row, rows

_COLUMNS: LiteralString = (
    "c.id, c.connector, c.location, c.name, c.project, c.config, c.watch, c.generation, c.created_at, c.last_synced_at"
)


@dataclass(frozen=True, slots=True)
class Stored:
    """A connection as stored. ``generation`` counts how often everything was read anew."""

    id: UUID
    connector: str
    location: str
    name: str
    project: str | None
    config: dict[str, Any]
    watch: bool
    generation: int
    created_at: datetime
    last_synced_at: datetime | None


@dataclass(frozen=True, slots=True)
class Owned:
    """Something the worker has to do for a person: the organisation, the person, and what."""

    organisation: UUID
    person: UUID
    id: UUID

    @property
    def owner(self) -> Principal:
        """The person, as the worker acts for them: without teams, so what it stores is theirs alone."""
        return Principal(organisation=self.organisation, person=self.person)


async def insert(transaction: Transaction, who: Principal, stored: Stored) -> bool:
    """Store a connection; False when the person has connected this place already."""
    found = await row(
        transaction,
        "INSERT INTO integration.connection (organisation_id, id, created_by, connector, location, name, project,"
        " config, watch, created_at)"
        " VALUES (%(organisation)s, %(id)s, %(person)s, %(connector)s, %(location)s, %(name)s, %(project)s,"
        " %(config)s, %(watch)s, %(created_at)s)"
        " ON CONFLICT (organisation_id, created_by, connector, location) DO NOTHING RETURNING id",
        _values(who, stored),
    )
    return found is not None


async def update(transaction: Transaction, who: Principal, stored: Stored) -> None:
    """Write what a person may change."""
    await transaction.execute(
        "UPDATE integration.connection c SET location = %(location)s, name = %(name)s, project = %(project)s,"
        " config = %(config)s, watch = %(watch)s"
        " WHERE c.organisation_id = %(organisation)s AND c.id = %(id)s",
        _values(who, stored),
    )


def _values(who: Principal, stored: Stored) -> Mapping[str, Any]:
    fields = ("id", "connector", "location", "name", "project", "watch", "created_at")
    return {
        "organisation": who.organisation,
        "person": who.person,
        "config": Jsonb(stored.config),
        **{name: getattr(stored, name) for name in fields},
    }


async def find(transaction: Transaction, who: Principal, id: UUID, *, lock: bool = False) -> Stored | None:
    """One of the person's connections.

    With ``lock`` it is held against other writers: whoever goes on to write its syncs or items in the same transaction
    takes it first, as removing it does, so that neither waits for what the other holds.
    """
    query: LiteralString = (
        f"SELECT {_COLUMNS} FROM integration.connection c"
        " WHERE c.organisation_id = %s AND c.created_by = %s AND c.id = %s"
    )
    found = await row(transaction, query + " FOR UPDATE" if lock else query, (who.organisation, who.person, id))
    return Stored(**found) if found else None


async def find_at(transaction: Transaction, who: Principal, connector: str, location: str) -> Stored | None:
    """The person's connection to a place."""
    found = await row(
        transaction,
        f"SELECT {_COLUMNS} FROM integration.connection c WHERE c.organisation_id = %s AND c.created_by = %s"
        " AND c.connector = %s AND c.location = %s FOR UPDATE",
        (who.organisation, who.person, connector, location),
    )
    return Stored(**found) if found else None


async def find_page(transaction: Transaction, who: Principal, limit: int, after: UUID | None) -> list[Stored]:
    """The person's connections, newest first."""
    found = await rows(
        transaction,
        f"SELECT {_COLUMNS} FROM integration.connection c WHERE c.organisation_id = %s AND c.created_by = %s"
        " AND (%s::uuid IS NULL OR c.id < %s) ORDER BY c.id DESC LIMIT %s",
        (who.organisation, who.person, after, after, limit),
    )
    return [Stored(**one) for one in found]


async def delete(transaction: Transaction, who: Principal, id: UUID) -> bool:
    """Remove a connection with its syncs and items; False when there is none."""
    found = await row(
        transaction,
        "DELETE FROM integration.connection c WHERE c.organisation_id = %s AND c.created_by = %s AND c.id = %s"
        " RETURNING c.id",
        (who.organisation, who.person, id),
    )
    return found is not None


async def note_synced(transaction: Transaction, who: Principal, id: UUID, at: datetime) -> None:
    """Remember when a connection was last read to its end."""
    await transaction.execute(
        "UPDATE integration.connection c SET last_synced_at = %s WHERE c.organisation_id = %s AND c.id = %s",
        (at, who.organisation, id),
    )


async def start_generation(transaction: Transaction, who: Principal, id: UUID) -> int:
    """Begin to read everything anew; items that are not seen again will be of an older generation."""
    found = await row(
        transaction,
        "UPDATE integration.connection c SET generation = c.generation + 1"
        " WHERE c.organisation_id = %s AND c.id = %s RETURNING c.generation",
        (who.organisation, id),
    )
    return int(found["generation"]) if found else 0


async def watched(transaction: Transaction) -> list[Owned]:
    """Every organisation's connections that are watched."""
    found = await rows(transaction, "SELECT organisation_id, created_by, id FROM integration.watched_connections()")
    return [Owned(one["organisation_id"], one["created_by"], one["id"]) for one in found]


async def delete_of(transaction: Transaction, person: UUID | None, until: datetime) -> list[UUID]:
    """Remove the connections made until then of a person, or of everybody, in the organisation of the context."""
    found = await rows(transaction, "SELECT integration.disconnect(%s, %s) AS id", (person, until))
    return [one["id"] for one in found]
