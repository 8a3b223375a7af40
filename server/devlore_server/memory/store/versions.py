"""The states of memories, the current one and the past of ``memory.version``; ``store.memories`` archives them."""

from __future__ import annotations

from collections.abc import Sequence
from typing import LiteralString
from uuid import UUID

from pydantic_core import to_json

from devlore.types import Memory, Version
from devlore_server.kit.auth import Principal
from devlore_server.kit.db import Connection, Row, row, rows
from devlore_server.memory.store.memories import COLUMNS, memory_of

# As of the memory itself: a successor is named to those who may see it.
_STATE: LiteralString = (
    "CASE WHEN v.state->>'superseded_by' IS NULL THEN v.state ELSE jsonb_set(v.state, '{superseded_by}', coalesce("
    "(SELECT to_jsonb(s.id) FROM memory.memory s WHERE s.organisation_id = v.organisation_id"
    " AND s.id = (v.state->>'superseded_by')::uuid), 'null')) END AS state"
)
_COLUMNS: LiteralString = f"v.memory_id, v.version, v.change, v.changed_at, v.changed_by, v.reason, {_STATE}"


async def current(connection: Connection, who: Principal, memory_id: UUID) -> Version | None:
    """The state a memory is in, deleted or not, or None."""
    found = await row(
        connection,
        f"SELECT {COLUMNS}, m.change, m.changed_by, m.change_reason FROM memory.memory m"
        " WHERE m.organisation_id = %s AND m.id = %s",
        (who.organisation, memory_id),
    )
    if found is None:
        return None
    memory = memory_of(found)
    return Version.model_construct(
        memory_id=memory_id,
        version=memory.version,
        change=found["change"],
        changed_at=memory.updated_at,
        changed_by=found["changed_by"],
        reason=found["change_reason"],
        memory=memory,
    )


async def past(
    connection: Connection, who: Principal, memory_id: UUID, *, below: int | None = None, limit: int = 200
) -> list[Version]:
    """Past versions of a memory, newest first, starting below version ``below``."""
    found = await rows(
        connection,
        f"SELECT {_COLUMNS} FROM memory.version v WHERE v.organisation_id = %s AND v.memory_id = %s"
        " AND v.version < coalesce(%s, 2147483647) ORDER BY v.version DESC LIMIT %s",
        (who.organisation, memory_id, below, limit),
    )
    return [_version_of(one) for one in found]


async def find(connection: Connection, who: Principal, memory_id: UUID, version: int) -> Version | None:
    """One past version, or None."""
    found = await past(connection, who, memory_id, below=version + 1, limit=1)
    return found[0] if found and found[0].version == version else None


async def past_of_many(connection: Connection, who: Principal, ids: Sequence[UUID]) -> dict[UUID, list[Version]]:
    """Every past version of these memories, oldest first."""
    found = await rows(
        connection,
        f"SELECT {_COLUMNS} FROM memory.version v WHERE v.organisation_id = %s AND v.memory_id = ANY (%s)"
        " ORDER BY v.memory_id, v.version",
        (who.organisation, list(ids)),
    )
    grouped: dict[UUID, list[Version]] = {}
    for one in found:
        grouped.setdefault(one["memory_id"], []).append(_version_of(one))
    return grouped


async def insert_many(connection: Connection, who: Principal, versions: Sequence[Version]) -> None:
    """Store imported past versions; the ones that are there already stay as they are."""
    if not versions:
        return
    await connection.execute(
        "INSERT INTO memory.version"
        " (organisation_id, memory_id, version, change, changed_at, changed_by, reason, state)"
        " SELECT %s, r.memory_id, r.version, r.change, r.changed_at, r.changed_by, r.reason, r.memory"
        " FROM json_to_recordset(%s::json) AS r(memory_id uuid, version integer, change text, changed_at timestamptz,"
        " changed_by uuid, reason text, memory jsonb) ON CONFLICT DO NOTHING",
        (who.organisation, to_json(list(versions)).decode()),
    )


def _version_of(found: Row) -> Version:
    return Version.model_construct(
        memory_id=found["memory_id"],
        version=found["version"],
        change=found["change"],
        changed_at=found["changed_at"],
        changed_by=found["changed_by"],
        reason=found["reason"],
        memory=Memory.model_validate(found["state"]),
    )
