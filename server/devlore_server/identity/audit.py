"""Reading the audit trail, for owners and admins: newest first, or on and on in the order of commits."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import get_args
from uuid import UUID

from devlore.problems import BadCursor, NotAllowed
from devlore.types import AuditAction, AuditLeaf
from devlore_server.identity.checks import refuse
from devlore_server.identity.store import audit as store
from devlore_server.identity.store.audit import Place, Wanted
from devlore_server.kit import audit
from devlore_server.kit.audit import Leaf
from devlore_server.kit.auth import NIL, Principal
from devlore_server.kit.db import Connection, Database

__all__ = ["AuditTrail", "Filters", "Place"]

_ACTIONS: tuple[str, ...] = get_args(AuditAction)
_NAMED = frozenset({"person", "email", "network"})
_FIRST, _LAST = datetime.min.replace(tzinfo=UTC), datetime.max.replace(tzinfo=UTC)


@dataclass(frozen=True, slots=True)
class Filters:
    """Which leaves are asked for. ``actor`` is a person's id, ``system`` or ``nobody``; ``target`` any target's id.

    ``actions`` are names or, as ``memory.*``, all of a kind; ``after`` and ``before`` are times, the first included.
    """

    actions: Sequence[str] = ()
    actor: str | None = None
    target: str | None = None
    results: Sequence[str] = ()
    after: datetime | None = None
    before: datetime | None = None


class AuditTrail:
    """Each answer is of one transaction, as the caller; that somebody reads leaves a leaf of its own."""

    def __init__(self, database: Database) -> None:
        self._database = database

    async def newest(
        self, who: Principal, filters: Filters, limit: int, before: tuple[datetime, UUID] | None = None
    ) -> list[AuditLeaf]:
        """Up to ``limit`` leaves, newest first, behind the sort key ``(occurred_at, id)`` in ``before``.

        Raises ``NotAllowed`` without ``audit:read``, ``Invalid`` for an action that does not exist.
        """
        _authorise(who)
        async with self._database.transaction(who) as connection:
            wanted = await _wanted(connection, who, filters)
            found = await store.newest(connection, wanted, before or (wanted.until, NIL), limit)
            await _name(connection, who, found)
            if before is None:
                await _note(connection, who, filters, follow=False)
        return found

    async def follow(
        self, who: Principal, filters: Filters, limit: int, after: Place | None = None
    ) -> tuple[list[AuditLeaf], Place]:
        """Up to ``limit`` leaves committed after a place, and the place to ask from next; without one, only that.

        In the order of commits: whoever asks on from each answer's place misses none and sees none twice. Raises
        ``NotAllowed``, ``Invalid``, and ``BadCursor`` for a place of before the database was restored.
        """
        _authorise(who)
        async with self._database.transaction(who) as connection:
            wanted = await _wanted(connection, who, filters)
            # The end first: what is read after it sees everything that was settled then.
            end, unreached = await store.settled(connection)
            if after is None:
                await _note(connection, who, filters, follow=True)
                return [], end
            if after.xid >= unreached:
                raise BadCursor
            found = await store.follow(connection, wanted, after, limit)
            leaves = [leaf for _, leaf in found]
            await _name(connection, who, leaves)
        if len(found) == limit:
            return leaves, found[-1][0]
        return leaves, max(after, end, *(place for place, _ in found[-1:]))


def _authorise(who: Principal) -> None:
    if "audit:read" not in who.scopes:
        raise NotAllowed("This needs the scope audit:read.", scope="audit:read")


async def _wanted(connection: Connection, who: Principal, filters: Filters) -> Wanted:
    """The filters in the terms of leaves, which know people by pseudonyms only."""
    actor_types, actors, about = None, None, None
    if filters.actor in {"system", "nobody"}:
        actor_types = [filters.actor]
    elif filters.actor is not None:
        actors = await store.pseudonyms_of(connection, who, filters.actor)
    if filters.target is not None:
        about = [filters.target, *map(str, await store.pseudonyms_of(connection, who, filters.target))]
    return Wanted(
        since=filters.after or _FIRST,
        until=filters.before or _LAST,
        actions=_expanded(filters.actions) or None,
        actor_types=actor_types,
        actors=actors,
        about=about,
        results=list(filters.results) or None,
    )


def _expanded(asked: Sequence[str]) -> list[str]:
    expanded: list[str] = []
    for one in asked:
        kind = one.removesuffix("*") if one.endswith(".*") else None
        matching = [name for name in _ACTIONS if name == one or (kind is not None and name.startswith(kind))]
        if not matching:
            raise refuse("/action", f"There is no action {one[:100]}.")
        expanded += matching
    return expanded


async def _name(connection: Connection, who: Principal, leaves: Sequence[AuditLeaf]) -> None:
    """Say what the pseudonyms in leaves stand for, where that has not been erased."""
    mentioned = {leaf.id: _pseudonyms_in(leaf) for leaf in leaves}
    known = await store.names(connection, who, {id for ids in mentioned.values() for id in ids})
    for leaf in leaves:
        leaf.names.update({id: known[id] for id in mentioned[leaf.id] if id in known})


def _pseudonyms_in(leaf: AuditLeaf) -> set[UUID]:
    references = [(one.type, one.id) for one in (leaf.actor, *leaf.targets)]
    references += [(one["type"], one["id"]) for one in leaf.context.values() if isinstance(one, dict)]
    return {UUID(id) for type, id in references if type in _NAMED and id is not None}


async def _note(connection: Connection, who: Principal, filters: Filters, *, follow: bool) -> None:
    """Once for a listing: its further pages are the same read."""
    try:
        whose = [("person", str(UUID(filters.actor)))] if filters.actor else []
    except ValueError:
        whose = []
    await audit.append(connection, who, Leaf("audit.read", whose, context={"follow": follow}))
