"""SQL that reads the audit trail: through functions that answer for the context's organisation only, and its names."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any, LiteralString, NamedTuple
from uuid import UUID

from devlore.types import AuditLeaf, AuditName, AuditReference
from devlore_server.kit.auth import Principal
from devlore_server.kit.db import Connection, Row, row, rows

_COLUMNS: LiteralString = (
    "l.organisation_id, l.id, l.xid::text::bigint AS xid, l.occurred_at, l.actor_type, l.actor_id, l.action, l.targets,"
    " l.result, l.context, l.hash"
)
_FILTER: LiteralString = "%(actions)s, %(actor_types)s, %(actors)s, %(about)s, %(results)s, %(most)s"
_NEWEST: LiteralString = f"SELECT {_COLUMNS} FROM audit.newest(%(before_at)s, %(before_id)s, %(since)s, {_FILTER}) AS l"
_FOLLOW: LiteralString = (
    f"SELECT {_COLUMNS} FROM audit.follow(%(after_xid)s, %(after_id)s, %(since)s, %(until)s, {_FILTER}) AS l"
)


class Place(NamedTuple):
    """A place in the order of commits; see ``kit.log.Position``."""

    xid: int
    id: UUID


@dataclass(frozen=True, slots=True)
class Wanted:
    """Which leaves: each None is any. ``about`` are the ids targets have in leaves, pseudonyms among them."""

    since: datetime
    until: datetime
    actions: Sequence[str] | None = None
    actor_types: Sequence[str] | None = None
    actors: Sequence[UUID] | None = None
    about: Sequence[str] | None = None
    results: Sequence[str] | None = None

    def parameters(self, most: int) -> dict[str, Any]:
        names = ("since", "until", "actions", "actor_types", "actors", "about", "results")
        return {name: getattr(self, name) for name in names} | {"most": most}


async def newest(connection: Connection, wanted: Wanted, before: tuple[datetime, UUID], most: int) -> list[AuditLeaf]:
    """Leaves before a place in time, newest first."""
    found = await rows(
        connection, _NEWEST, wanted.parameters(most) | {"before_at": before[0], "before_id": before[1]}, prepare=False
    )
    return [_leaf_of(one) for one in found]


async def follow(connection: Connection, wanted: Wanted, after: Place, most: int) -> list[tuple[Place, AuditLeaf]]:
    """Leaves after a place, in the order of commits; none that another could still precede."""
    given = wanted.parameters(most) | {"after_xid": str(after.xid), "after_id": after.id}
    found = await rows(connection, _FOLLOW, given, prepare=False)
    return [(Place(one["xid"], one["id"]), _leaf_of(one)) for one in found]


async def settled(connection: Connection) -> tuple[Place, int]:
    """The place nothing can precede any more, and the transaction that no place has reached."""
    found = await row(
        connection,
        "SELECT xid::text::bigint AS xid, id, unreached::text::bigint AS unreached FROM audit.settled()",
    )
    assert found is not None
    return Place(found["xid"], found["id"]), found["unreached"]


async def pseudonyms_of(connection: Connection, who: Principal, value: str) -> list[UUID]:
    """What stands for a person's id, an address or a network in this organisation's leaves."""
    found = await rows(
        connection,
        "SELECT p.id FROM audit.pseudonym p WHERE p.organisation_id = %s AND p.kind IN ('person', 'email', 'network')"
        " AND p.value = %s",
        (who.organisation, value),
    )
    return [one["id"] for one in found]


async def names(connection: Connection, who: Principal, ids: Collection[UUID]) -> dict[UUID, AuditName]:
    """What pseudonyms stand for, those that were erased left out; a person's name while they are a member."""
    found = await rows(
        connection,
        "SELECT p.id, p.kind, p.value, h.name FROM audit.pseudonym p"
        " LEFT JOIN identity.person h ON h.id = CASE WHEN p.kind = 'person' THEN p.value::uuid END"
        " WHERE p.organisation_id = %s AND p.id = ANY (%s)",
        (who.organisation, list(ids)),
    )
    return {one["id"]: AuditName(type=one["kind"], value=one["value"], name=one["name"]) for one in found}


def _leaf_of(found: Row) -> AuditLeaf:
    actor_id = found["actor_id"]
    return AuditLeaf.model_construct(
        v=1,
        id=found["id"],
        organisation=found["organisation_id"],
        occurred_at=found["occurred_at"].astimezone(UTC),
        actor=AuditReference(type=found["actor_type"], id=str(actor_id) if actor_id else None),
        action=found["action"],
        targets=[AuditReference(**one) for one in found["targets"]],
        result=found["result"],
        context=found["context"],
        hash=found["hash"].hex(),
        names={},
    )
