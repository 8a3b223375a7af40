"""Rows of ``memory.memory``: the one place that writes a memory, archives its past state and appends its event."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any, Literal, LiteralString
from uuid import UUID

from pydantic_core import to_json

from devlore.events import Event, EventType, audience_of
from devlore.problems import NotFound
from devlore.types import Memory, Privacy, Source, Status, Trust
from devlore_server.kit import audit
from devlore_server.kit.auth import Principal
from devlore_server.kit.db import Connection, Database, Row, row, rows
from devlore_server.kit.ids import new_id
from devlore_server.kit.log import EventLog, encoded
from devlore_server.kit.trusted import trusted
from devlore_server.memory.store import trail

Change = Literal["created", "edited", "status", "deleted", "restored", "imported", "transferred"]

# What replaced a memory is named to those who may see that, too: its id would tell that there is something hidden.
_SUCCESSOR: LiteralString = (
    "CASE WHEN m.superseded_by IS NOT NULL THEN (SELECT s.id FROM memory.memory s"
    " WHERE s.organisation_id = m.organisation_id AND s.id = m.superseded_by) END AS superseded_by"
)
COLUMNS: LiteralString = (
    "m.organisation_id, m.id, m.team_id, m.project, m.kind, m.title, m.body, m.tags, m.source_connector,"
    " m.source_external_id, m.source_url, m.source_author, m.source_updated_at, m.privacy, m.status, m.status_reason,"
    f" m.valid_from, m.valid_to, {_SUCCESSOR}, m.occurred_at, m.created_at, m.updated_at, m.deleted_at,"
    " m.created_by, m.version, m.importance, m.pinned, m.encryption, m.trust"
)
"""What ``memory_of`` reads, for ``SELECT … FROM memory.memory m``."""
_NAMES = [column.rpartition(" ")[2].removeprefix("m.") for column in COLUMNS.split(", ")]

_RECORD: LiteralString = (
    "r(id uuid, team_id uuid, project text, kind text, title text, body text, tags text[], source_connector text,"
    " source_external_id text, source_url text, source_author text, source_updated_at timestamptz, privacy text,"
    " status text, status_reason text, valid_from timestamptz, valid_to timestamptz, superseded_by uuid,"
    " occurred_at timestamptz, created_at timestamptz, updated_at timestamptz, deleted_at timestamptz,"
    " created_by uuid, version integer, importance double precision, pinned boolean, encryption jsonb, trust text,"
    " change text, change_reason text, past jsonb)"
)

_STORE_NEW: LiteralString = (
    "SELECT memory.store_new(%(organisation)s, %(person)s, %(teams)s, %(records)s::json, %(events)s::jsonb,"
    " %(leaves)s::json, %(moment)s, %(pseudonyms)s) AS stored"
)

# Whoever writes was not told of the successor, so that they left it out says nothing.
_UNNAMED: LiteralString = "m.superseded_by IS NOT NULL AND r.superseded_by IS NULL AND r.past->>'superseded_by' IS NULL"
_UPDATE: LiteralString = f"""
    WITH r AS MATERIALIZED (SELECT * FROM json_to_recordset(%(records)s::json) AS {_RECORD}),
    archived AS (
        INSERT INTO memory.version (organisation_id, memory_id, version, change, changed_at, changed_by, reason, state)
        SELECT m.organisation_id, m.id, m.version, m.change, m.updated_at, m.changed_by, m.change_reason,
               coalesce(jsonb_set(r.past, '{{superseded_by}}', to_jsonb(m.superseded_by)), r.past)
        FROM r JOIN memory.memory m ON m.organisation_id = %(organisation)s AND m.id = r.id
        WHERE m.id = ANY (%(ids)s) ON CONFLICT DO NOTHING)
    UPDATE memory.memory m SET
        team_id = r.team_id, project = r.project, kind = r.kind, title = r.title, body = r.body, tags = r.tags,
        source_connector = r.source_connector, source_external_id = r.source_external_id,
        source_url = r.source_url, source_author = r.source_author, source_updated_at = r.source_updated_at,
        privacy = r.privacy, status = r.status, status_reason = r.status_reason, valid_from = r.valid_from,
        valid_to = r.valid_to, occurred_at = r.occurred_at,
        superseded_by = CASE WHEN {_UNNAMED} AND r.status = m.status THEN m.superseded_by ELSE r.superseded_by END,
        created_at = r.created_at, updated_at = r.updated_at, deleted_at = r.deleted_at, version = r.version,
        importance = r.importance, pinned = r.pinned, encryption = r.encryption, trust = r.trust,
        change = r.change, changed_by = %(person)s, change_reason = r.change_reason
    FROM r WHERE m.organisation_id = %(organisation)s AND m.id = r.id AND m.id = ANY (%(ids)s)"""

_PLANNED_ANEW = 10
_PRIVACY = {one.value: one for one in Privacy}
_STATUS = {one.value: one for one in Status}
_TRUST = {one.value: one for one in Trust}

_EVENTS: dict[Change, EventType] = {
    "created": "memory.created",
    "edited": "memory.updated",
    "status": "memory.updated",
    "deleted": "memory.deleted",
    "restored": "memory.restored",
    "imported": "memory.updated",
    "transferred": "memory.updated",
}


@dataclass(frozen=True, slots=True)
class Revision:
    """One change: the locked memory as it was, and as it shall be."""

    before: Memory
    after: Memory
    change: Change
    reason: str | None = None


async def insert(database: Database, who: Principal, memory: Memory) -> None:
    """Store one new memory under an id of its own, and append ``memory.created`` and its leaf; committed on return.

    One round trip; what has no other effect when it is sent twice. ``created_by`` must be the caller (row-level
    security). Raises ``Unavailable``.
    """
    leaf, at = trail.of_new(memory, "created"), memory.created_at
    made = audit.trail(who, [leaf], at)
    for _ in range(2):
        if made is None:
            async with database.transaction(who) as connection:
                made = await audit.new_trail(connection, who, [leaf], at)
        found = await database.statement(_STORE_NEW, _as_new(who, [memory], "created") | made.parameters())
        if found is not None and found["stored"] is not None:
            return
        made = None
    raise audit.NotAudited(leaf.action)


async def insert_many(
    connection: Connection, who: Principal, memories: Sequence[Memory], *, at: datetime, change: Change = "created"
) -> set[UUID]:
    """Store new memories and append ``memory.created`` and a leaf for each, in one statement.

    Returns the ids that were stored; the others lost to a row with the same id, or the same source item of the
    same person. ``created_by`` must be the caller (row-level security).
    """
    if not memories:
        return set()
    leaves = [trail.of_new(memory, change) for memory in memories]
    for made in (audit.trail(who, leaves, at), None):
        found_trail = made or await audit.new_trail(connection, who, leaves, at)
        found = await row(connection, _STORE_NEW, _as_new(who, memories, change) | found_trail.parameters())
        if found is not None and found["stored"] is not None:
            return set(found["stored"])
    raise audit.NotAudited(leaves[0].action)


def _as_new(who: Principal, memories: Sequence[Memory], change: Change) -> dict[str, Any]:
    return {
        "organisation": who.organisation,
        "person": who.person,
        "teams": sorted(who.teams),
        "records": to_json([_record(memory, change, None) for memory in memories]).decode(),
        "events": encoded([_event("memory.created", memory) for memory in memories]),
    }


async def update(
    connection: Connection,
    log: EventLog,
    who: Principal,
    before: Memory,
    after: Memory,
    *,
    change: Change,
    at: datetime,
    reason: str | None = None,
) -> Memory:
    """Write one change of a memory that ``get(…, lock=True)`` returned; see ``update_many``."""
    return (await update_many(connection, log, who, [Revision(before, after, change, reason)], at=at))[0]


async def update_many(
    connection: Connection, log: EventLog, who: Principal, revisions: Sequence[Revision], *, at: datetime
) -> list[Memory]:
    """Archive each past state, write the new one, append its event and leaf; all in one statement each.

    The new version is the old one plus 1 and ``updated_at`` is ``at``, except for an import, which keeps the
    version and time it brings. Returns the memories as stored, in the order given.
    """
    if not revisions:
        return []
    stored = [_next(revision, at) for revision in revisions]
    records = [
        _record(memory, revision.change, revision.reason) | {"past": revision.before}
        for memory, revision in zip(stored, revisions, strict=True)
    ]
    await _plan_for(connection, len(records))
    await connection.execute(
        _UPDATE,
        {
            "organisation": who.organisation,
            "person": who.person,
            # Besides the join: see find_by_source.
            "ids": [memory.id for memory in stored],
            "records": to_json(records).decode(),
        },
        prepare=_prepare(len(records)),
    )
    events = [_event(_EVENTS[one.change], memory) for one, memory in zip(revisions, stored, strict=True)]
    await log.append(connection, events)
    leaves = [trail.of_change(one.change, one.before, memory) for one, memory in zip(revisions, stored, strict=True)]
    await audit.append(connection, who, *leaves, at=at)
    return stored


async def purge(connection: Connection, log: EventLog, who: Principal, memory: Memory, *, at: datetime) -> None:
    """Erase a memory: its row, versions, claim and links (by cascade), links to it, the events that carry its text."""
    await connection.execute(
        "DELETE FROM memory.link WHERE organisation_id = %s AND target_id = %s", (who.organisation, memory.id)
    )
    await connection.execute(
        "DELETE FROM memory.memory WHERE organisation_id = %s AND id = %s", (who.organisation, memory.id)
    )
    await log.forget(connection, who.organisation, memory.id)
    gone = Event(
        id=new_id(),
        type="memory.purged",
        organisation_id=who.organisation,
        subject=memory.id,
        version=memory.version + 1,
        audience=audience_of(memory),
        occurred_at=at,
        data={},
    )
    await log.append(connection, [gone])
    await audit.append(connection, who, trail.of_purge(memory), at=at)


async def find_many(
    connection: Connection, who: Principal, ids: Iterable[UUID], *, lock: bool = False, deleted: bool = False
) -> list[Memory]:
    """The memories among ``ids`` the caller may see, by id; deleted ones only with ``deleted``.

    ``lock`` holds them against other writers until the transaction ends; ids are locked in order, so that two
    writers of the same memories wait for each other instead of deadlocking.
    """
    query: LiteralString = (
        f"SELECT {COLUMNS} FROM memory.memory m WHERE m.organisation_id = %(organisation)s AND m.id = ANY (%(ids)s)"
        " AND (%(deleted)s OR m.deleted_at IS NULL) ORDER BY m.id"
    )
    wanted = list(ids)
    parameters = {"organisation": who.organisation, "ids": wanted, "deleted": deleted}
    found = await rows(connection, query + " FOR UPDATE" if lock else query, parameters, prepare=_prepare(len(wanted)))
    return [memory_of(one) for one in found]


async def find_visible(database: Database, who: Principal, ids: Sequence[UUID]) -> list[Memory]:
    """The memories among ``ids`` that are not deleted and that ``who`` may see, in one round trip, in no order."""
    query: LiteralString = f"SELECT {COLUMNS} FROM memory.visible(%s, %s, %s, %s) AS m"
    found = await database.tuples(query, (who.organisation, who.person, sorted(who.teams), list(ids)), binary=True)
    return [memory_of(dict(zip(_NAMES, one, strict=True))) for one in found]


async def get(connection: Connection, who: Principal, id: UUID, *, lock: bool = False, deleted: bool = False) -> Memory:
    """One memory; raises ``NotFound`` when it is absent, deleted (without ``deleted``) or not the caller's to see."""
    found = await find_many(connection, who, [id], lock=lock, deleted=deleted)
    if not found:
        raise NotFound
    return found[0]


async def find_by_source(
    connection: Connection, who: Principal, keys: Sequence[tuple[str, str]], *, lock: bool = False
) -> list[Memory]:
    """The caller's memories of these ``(connector, external_id)``, deleted ones included, by id."""
    if not keys:
        return []
    # Two lists instead of a join on pairs: the planner knows nothing of a table that has just been filled, and
    # would join it row by row.
    query: LiteralString = (
        f"SELECT {COLUMNS} FROM memory.memory m WHERE m.organisation_id = %(organisation)s"
        " AND m.created_by = %(person)s AND m.source_connector = ANY (%(connectors)s)"
        " AND m.source_external_id = ANY (%(externals)s) AND m.source_external_id IS NOT NULL ORDER BY m.id"
    )
    parameters = {
        "organisation": who.organisation,
        "person": who.person,
        "connectors": sorted({connector for connector, _ in keys}),
        "externals": sorted({external for _, external in keys}),
    }
    found = await rows(connection, query + " FOR UPDATE" if lock else query, parameters, prepare=_prepare(len(keys)))
    wanted = set(keys)
    return [memory_of(one) for one in found if (one["source_connector"], one["source_external_id"]) in wanted]


async def touch_sources(connection: Connection, who: Principal, seen: Sequence[tuple[UUID, datetime]]) -> None:
    """Note that a source was seen unchanged at a later time, so that anything older is ignored; no new version."""
    if not seen:
        return
    await _plan_for(connection, len(seen))
    await connection.execute(
        "UPDATE memory.memory m SET source_updated_at = s.updated_at"
        " FROM unnest(%s::uuid[], %s::timestamptz[]) AS s(id, updated_at)"
        " WHERE m.organisation_id = %s AND m.id = s.id AND m.id = ANY (%s)",
        ([id for id, _ in seen], [updated_at for _, updated_at in seen], who.organisation, [id for id, _ in seen]),
    )


async def _plan_for(connection: Connection, many: int) -> None:
    # Before the first ANALYZE of a table that fills up the planner expects one row and joins by nested loops:
    # a thousand updates took 3 s instead of 60 ms.
    if many > _PLANNED_ANEW:
        await connection.execute("SET LOCAL enable_nestloop = off")


def _prepare(many: int) -> bool | None:
    # A plan kept from when the table was small, or for one value, compares each row with every value of a long list
    # (0.3 s instead of 10 ms for a thousand); planning anew costs less than a millisecond.
    return False if many > _PLANNED_ANEW else None


def memory_of(found: Row) -> Memory:
    """The memory in a row of ``COLUMNS``; rows were validated when they were written, so not again here."""
    connector = found["source_connector"]
    return trusted(
        Memory,
        {
            "id": found["id"],
            "organisation_id": found["organisation_id"],
            "team_id": found["team_id"],
            "project": found["project"],
            "kind": found["kind"],
            "title": found["title"],
            "body": found["body"],
            "tags": found["tags"],
            "source": None if connector is None else _source(connector, found),
            "privacy": _PRIVACY[found["privacy"]],
            "status": _STATUS[found["status"]],
            "status_reason": found["status_reason"],
            "valid_from": _utc(found["valid_from"]),
            "valid_to": _utc(found["valid_to"]),
            "superseded_by": found["superseded_by"],
            "occurred_at": _utc(found["occurred_at"]),
            "created_at": _utc(found["created_at"]),
            "updated_at": _utc(found["updated_at"]),
            "deleted_at": _utc(found["deleted_at"]),
            "created_by": found["created_by"],
            "version": found["version"],
            "importance": found["importance"],
            "pinned": found["pinned"],
            "encryption": found["encryption"],
            "trust": _TRUST[found["trust"]],
        },
    )


def _source(connector: str, found: Row) -> Source:
    return trusted(
        Source,
        {
            "connector": connector,
            "external_id": found["source_external_id"],
            "url": found["source_url"],
            "author": found["source_author"],
            "updated_at": _utc(found["source_updated_at"]),
        },
    )


def _utc(moment: datetime | None) -> Any:
    # PostgreSQL answers in the session's time zone; what leaves here is in UTC wherever the server runs.
    return None if moment is None else moment.astimezone(UTC)


def _record(memory: Memory, change: Change, reason: str | None) -> dict[str, Any]:
    record = dict(memory.__dict__)
    source: Source | None = record.pop("source")
    if source is not None:
        record |= {f"source_{name}": value for name, value in source.__dict__.items()}
    return record | {"change": change, "change_reason": reason}


def _next(revision: Revision, at: datetime) -> Memory:
    if revision.change == "imported":
        return revision.after
    return revision.after.model_copy(update={"version": revision.before.version + 1, "updated_at": at})


def _event(type: EventType, memory: Memory) -> Event:
    # One event is for all who may see the memory, now and later; not all of them may see what replaced it.
    told = memory if memory.superseded_by is None else memory.model_copy(update={"superseded_by": None})
    return Event.model_construct(
        id=new_id(),
        type=type,
        organisation_id=memory.organisation_id,
        subject=memory.id,
        version=memory.version,
        audience=audience_of(memory),
        occurred_at=memory.updated_at,
        data={"memory": told},  # a MemorySnapshot, once it is JSON
    )
