"""Reading many memories: filtered lists, counts of tags and projects, and the scan that rebuilds indexes."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any, LiteralString
from uuid import UUID

from devlore.types import Count, Memory
from devlore_server.kit.auth import NIL, Principal
from devlore_server.kit.db import Connection, rows
from devlore_server.memory.store.memories import COLUMNS, memory_of


@dataclass(frozen=True, slots=True)
class Filters:
    """What a listing keeps; several values of one filter mean any of them, an empty one means all.

    ``author`` is a source's author in any case, a person's id, or ``@me``. ``after`` (inclusive) and ``before``
    (exclusive) bound ``occurred_at``.
    """

    kind: Sequence[str] = ()
    project: Sequence[str] = ()
    tag: Sequence[str] = ()
    author: Sequence[str] = ()
    team: Sequence[UUID] = ()
    source: Sequence[str] = ()
    status: Sequence[str] = ()
    privacy: Sequence[str] = ()
    trust: Sequence[str] = ()
    external_id: Sequence[str] = ()
    pinned: bool | None = None
    after: datetime | None = None
    before: datetime | None = None
    deleted: bool = False


_ANY_OF: dict[str, LiteralString] = {
    "kind": "m.kind = ANY (%(kind)s)",
    "project": "m.project = ANY (%(project)s)",
    "tag": "m.tags && %(tag)s::text[]",
    "team": "m.team_id = ANY (%(team)s::uuid[])",
    "source": "m.source_connector = ANY (%(source)s)",
    "status": "m.status = ANY (%(status)s)",
    "privacy": "m.privacy = ANY (%(privacy)s)",
    "trust": "m.trust = ANY (%(trust)s)",
    "external_id": "m.source_external_id = ANY (%(external_id)s)",
    "author": "(lower(m.source_author) = ANY (%(author)s) OR m.created_by::text = ANY (%(author)s))",
}
_GIVEN: dict[str, LiteralString] = {
    "pinned": "m.pinned = %(pinned)s",
    "after": "m.occurred_at >= %(after)s",
    "before": "m.occurred_at < %(before)s",
}


async def find_page(
    connection: Connection, who: Principal, filters: Filters, limit: int, after: tuple[datetime, UUID] | None
) -> list[Memory]:
    """Up to ``limit`` memories, newest created first, behind the sort key ``after``."""
    where, parameters = _conditions(who, filters)
    if after is not None:
        where += " AND (m.created_at, m.id) < (%(after_created)s, %(after_id)s)"
        parameters |= {"after_created": after[0], "after_id": after[1]}
    query: LiteralString = (
        f"SELECT {COLUMNS} FROM memory.memory m WHERE {where} ORDER BY m.created_at DESC, m.id DESC LIMIT %(limit)s"
    )
    return [memory_of(found) for found in await rows(connection, query, parameters | {"limit": limit})]


def _conditions(who: Principal, filters: Filters) -> tuple[LiteralString, dict[str, Any]]:
    parameters: dict[str, Any] = {"organisation": who.organisation}
    where: LiteralString = "m.organisation_id = %(organisation)s"
    where += " AND m.deleted_at IS NOT NULL" if filters.deleted else " AND m.deleted_at IS NULL"
    for name, condition in _ANY_OF.items():
        values = [str(value) for value in getattr(filters, name)]
        if values:
            if name == "author":
                values = [str(who.person) if value == "@me" else value.lower() for value in values]
            parameters[name] = values
            where += " AND " + condition
    for name, condition in _GIVEN.items():
        if (value := getattr(filters, name)) is not None:
            parameters[name] = value
            where += " AND " + condition
    return where, parameters


async def count_tags(connection: Connection, who: Principal, limit: int, after: tuple[int, str] | None) -> list[Count]:
    """Tags of the memories the caller may see, most used first, behind the sort key ``after``."""
    counted: LiteralString = "unnest(m.tags) AS value FROM memory.memory m WHERE"
    return await _count(connection, who, counted, limit, after)


async def count_projects(
    connection: Connection, who: Principal, limit: int, after: tuple[int, str] | None
) -> list[Count]:
    """Projects of the memories the caller may see, most used first, behind the sort key ``after``."""
    counted: LiteralString = "m.project AS value FROM memory.memory m WHERE m.project IS NOT NULL AND"
    return await _count(connection, who, counted, limit, after)


async def _count(
    connection: Connection, who: Principal, counted: LiteralString, limit: int, after: tuple[int, str] | None
) -> list[Count]:
    query: LiteralString = (
        f"SELECT value, count(*) AS count FROM (SELECT {counted} m.organisation_id = %(organisation)s"
        " AND m.deleted_at IS NULL) AS carried GROUP BY value"
        " HAVING %(after_count)s::bigint IS NULL OR count(*) < %(after_count)s"
        ' OR (count(*) = %(after_count)s AND value > %(after_value)s COLLATE "C")'
        ' ORDER BY count(*) DESC, value COLLATE "C" LIMIT %(limit)s'
    )
    count, value = after or (None, None)
    parameters = {"organisation": who.organisation, "after_count": count, "after_value": value, "limit": limit}
    return [Count(**found) for found in await rows(connection, query, parameters)]


async def scan(connection: Connection, after: tuple[UUID, UUID] | None, limit: int) -> list[Memory]:
    """Every organisation's memories that are not deleted, by (organisation, id): through the one function that may."""
    organisation, id = after or (NIL, NIL)
    query: LiteralString = f"SELECT {COLUMNS} FROM memory.scan(%s, %s, %s) AS m"
    return [memory_of(found) for found in await rows(connection, query, (organisation, id, limit))]


async def count_all(connection: Connection) -> int:
    """How many memories there are in all organisations."""
    return int((await rows(connection, "SELECT memory.count_all() AS count"))[0]["count"])
