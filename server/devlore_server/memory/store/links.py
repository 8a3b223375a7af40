"""Rows of ``memory.link``: what a memory points at, and what points at it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any, LiteralString
from uuid import UUID

from devlore.types import Link, LinkDraft, LinkType, TargetKind
from devlore_server.kit.auth import Principal
from devlore_server.kit.db import Connection, Row, row, rows
from devlore_server.kit.ids import new_id

_COLUMNS: LiteralString = "l.id, l.memory_id, l.type, l.target_kind, l.target, l.note, l.score, l.created_at"


# The other end of link l as seen from memory %(id)s is outside, or a memory the caller may see.
_OTHER_END_SEEN: LiteralString = (
    "(l.target_id IS NULL OR EXISTS (SELECT 1 FROM memory.memory o"
    " WHERE o.organisation_id = %(organisation)s AND o.deleted_at IS NULL"
    " AND o.id = CASE WHEN l.memory_id = %(id)s THEN l.target_id ELSE l.memory_id END))"
)


@dataclass(frozen=True, slots=True)
class NewLink:
    """A link to store from ``memory_id``; ``score`` only for ``near_duplicate``, ``connector`` when one brought it."""

    memory_id: UUID
    draft: LinkDraft
    score: float | None = None
    connector: str | None = None


async def insert_many(connection: Connection, who: Principal, links: Sequence[NewLink], *, at: datetime) -> set[UUID]:
    """Store links in one statement; those that exist stay, but take over a new score. Which memories got new ones."""
    if not links:
        return set()
    # One statement cannot update a row twice, so equal links of one call are stored once.
    unique = {(one.memory_id, one.draft.type, one.draft.target_kind, _target(one.draft)): one for one in links}
    stored = await connection.execute(
        "INSERT INTO memory.link (organisation_id, id, memory_id, type, target_kind, target, target_id, note, score,"
        " connector, created_at, created_by)"
        " SELECT %(organisation)s, n.id, n.memory_id, n.type, n.target_kind, n.target, n.target_id, n.note, n.score,"
        " n.connector, %(at)s, %(person)s FROM unnest(%(ids)s::uuid[], %(memories)s::uuid[], %(types)s::text[],"
        " %(kinds)s::text[], %(targets)s::text[], %(target_ids)s::uuid[], %(notes)s::text[], %(scores)s::real[],"
        " %(connectors)s::text[]) AS n(id, memory_id, type, target_kind, target, target_id, note, score, connector)"
        " ON CONFLICT (organisation_id, memory_id, type, target_kind, target)"
        " DO UPDATE SET score = excluded.score WHERE excluded.score IS NOT NULL"
        " RETURNING memory_id, xmax = 0 AS added",
        _parameters(who, list(unique.values()), at),
    )
    return {memory_id for memory_id, added in await stored.fetchall() if added}


async def around(
    connection: Connection, who: Principal, memory_id: UUID, *, after: UUID | None = None, limit: int = 200
) -> list[Link]:
    """Links from and to a memory, oldest first; not those whose other end the caller may not see."""
    found = await rows(
        connection,
        f"SELECT {_COLUMNS} FROM memory.link l WHERE l.organisation_id = %(organisation)s"
        " AND (l.memory_id = %(id)s OR l.target_id = %(id)s)"
        f" AND {_OTHER_END_SEEN}"
        " AND (%(after)s::uuid IS NULL OR l.id > %(after)s) ORDER BY l.id LIMIT %(limit)s",
        {"organisation": who.organisation, "id": memory_id, "after": after, "limit": limit},
    )
    return [_link_of(one, seen_from=memory_id) for one in found]


async def outgoing_of_many(connection: Connection, who: Principal, ids: Sequence[UUID]) -> dict[UUID, list[Link]]:
    """Every link these memories hold, oldest first; not those whose other end the caller may not see."""
    found = await rows(
        connection,
        f"SELECT {_COLUMNS} FROM memory.link l WHERE l.organisation_id = %(organisation)s"
        " AND l.memory_id = ANY (%(ids)s)"
        " AND (l.target_id IS NULL OR EXISTS (SELECT 1 FROM memory.memory o"
        "      WHERE o.organisation_id = %(organisation)s AND o.id = l.target_id)) ORDER BY l.id",
        {"organisation": who.organisation, "ids": list(ids)},
    )
    grouped: dict[UUID, list[Link]] = {}
    for one in found:
        grouped.setdefault(one["memory_id"], []).append(_link_of(one, seen_from=one["memory_id"]))
    return grouped


async def find(connection: Connection, who: Principal, new: NewLink) -> Link | None:
    """The stored link equal to ``new`` in everything but note and score, or None."""
    draft = new.draft
    found = await row(
        connection,
        f"SELECT {_COLUMNS} FROM memory.link l WHERE l.organisation_id = %s AND l.memory_id = %s AND l.type = %s"
        " AND l.target_kind = %s AND l.target = %s",
        (who.organisation, new.memory_id, draft.type, draft.target_kind, draft.target),
    )
    return None if found is None else _link_of(found, seen_from=new.memory_id)


async def adopt(connection: Connection, who: Principal, new: NewLink) -> None:
    """Make the link equal to ``new`` a person's own: it stays when the source that brought it drops it."""
    draft = new.draft
    await connection.execute(
        "UPDATE memory.link SET connector = NULL WHERE organisation_id = %s AND memory_id = %s AND type = %s"
        " AND target_kind = %s AND target = %s AND connector IS NOT NULL",
        (who.organisation, new.memory_id, draft.type, draft.target_kind, draft.target),
    )


async def drop_absent(
    connection: Connection, who: Principal, connector: str, held: Mapping[UUID, Sequence[LinkDraft]]
) -> set[UUID]:
    """Of these memories, remove what ``connector`` brought once and now no longer holds. Which memories lost some."""
    found = await rows(
        connection,
        "SELECT l.id, l.memory_id, l.type, l.target_kind, l.target FROM memory.link l"
        " WHERE l.organisation_id = %s AND l.memory_id = ANY (%s) AND l.connector = %s",
        (who.organisation, list(held), connector),
    )
    kept = {(id, one.type, one.target_kind, one.target) for id, drafts in held.items() for one in drafts}
    gone = {
        one["id"]: one["memory_id"]
        for one in found
        if (one["memory_id"], one["type"], one["target_kind"], one["target"]) not in kept
    }
    if gone:
        await connection.execute(
            "DELETE FROM memory.link WHERE organisation_id = %s AND id = ANY (%s)", (who.organisation, list(gone))
        )
    return set(gone.values())


async def delete(connection: Connection, who: Principal, memory_id: UUID, link_id: UUID) -> bool:
    """Remove a link that ``around`` shows for ``memory_id``; whether there was one."""
    cursor = await connection.execute(
        "DELETE FROM memory.link l WHERE l.organisation_id = %(organisation)s AND l.id = %(link)s"
        f" AND (l.memory_id = %(id)s OR l.target_id = %(id)s) AND {_OTHER_END_SEEN}",
        {"organisation": who.organisation, "link": link_id, "id": memory_id},
    )
    return cursor.rowcount > 0


async def delete_succession(connection: Connection, who: Principal, id: UUID) -> None:
    """Remove the link by which what replaced a memory says so, if there is one, seen by the caller or not."""
    await connection.execute(
        "DELETE FROM memory.link l USING memory.memory m WHERE m.organisation_id = %(organisation)s AND m.id = %(id)s"
        " AND l.organisation_id = m.organisation_id AND l.memory_id = m.superseded_by AND l.target_id = m.id"
        " AND l.type = 'supersedes'",
        {"organisation": who.organisation, "id": id},
    )


def _target_id(draft: LinkDraft) -> UUID | None:
    return UUID(draft.target) if draft.target_kind is TargetKind.MEMORY else None


def _target(draft: LinkDraft) -> str:
    # An id can be spelled in several ways, a stored link only in one.
    return str(_target_id(draft) or draft.target)


def _parameters(who: Principal, links: list[NewLink], at: datetime) -> dict[str, Any]:
    return {
        "organisation": who.organisation,
        "person": who.person,
        "at": at,
        "ids": [new_id() for _ in links],
        "memories": [one.memory_id for one in links],
        "types": [one.draft.type.value for one in links],
        "kinds": [one.draft.target_kind.value for one in links],
        "targets": [_target(one.draft) for one in links],
        "target_ids": [_target_id(one.draft) for one in links],
        "notes": [one.draft.note for one in links],
        "scores": [one.score for one in links],
        "connectors": [one.connector for one in links],
    }


def _link_of(found: Row, *, seen_from: UUID) -> Link:
    return Link.model_construct(
        id=found["id"],
        memory_id=found["memory_id"],
        type=LinkType(found["type"]),
        target_kind=TargetKind(found["target_kind"]),
        target=found["target"],
        note=found["note"],
        direction="outgoing" if found["memory_id"] == seen_from else "incoming",
        score=found["score"],
        created_at=found["created_at"],
    )
