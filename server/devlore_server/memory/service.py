"""What can be done with memories: create, upsert, read, list, edit, delete, erase, restore; owns the transactions."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from datetime import datetime
from typing import Any
from uuid import UUID

from devlore.problems import Conflict, HoldsSecret, Invalid, NotAllowed, VersionMismatch
from devlore.types import (
    TAGS_LIMIT,
    BulkItem,
    BulkResult,
    Count,
    Memory,
    MemoryDraft,
    MemoryPatch,
    ProblemBody,
    Restoration,
)
from devlore_server.kit import audit
from devlore_server.kit.auth import Principal
from devlore_server.kit.clock import Clock, utc_now
from devlore_server.kit.db import Connection, Database
from devlore_server.kit.log import EventLog
from devlore_server.memory.changes import Changes
from devlore_server.memory.checks import check_draft, check_patch, refuse
from devlore_server.memory.ingest import store_batch
from devlore_server.memory.secrets.screen import Screen, Screened, leaves, with_tag
from devlore_server.memory.store import checkpoints, listing, memories, versions
from devlore_server.memory.store.listing import Filters
from devlore_server.memory.upsert import Outcome, new_memory, stands_alone, store_drafts, written
from devlore_server.ports import Ingest, IngestResult

__all__ = ["Expected", "Filters", "MemoryService", "bulk_result"]

Expected = frozenset[int] | None
"""The versions If-Match names; None is any."""

_RESTORED = ("kind", "title", "body", "tags", "project", "occurred_at", "valid_from", "importance", "pinned")


class MemoryService:
    """Implements ``ports.Memories``; every method is one transaction as the caller."""

    def __init__(self, database: Database, log: EventLog, clock: Clock = utc_now, screen: Screen | None = None) -> None:
        self.screen = screen or Screen(database)
        self._database = database
        self._log = log
        self._clock = clock
        self._changes = Changes(database, log, clock)

    async def create(self, who: Principal, draft: MemoryDraft) -> Outcome:
        """Store a draft, or update the memory of its source item; committed on return. Raises ``Invalid``."""
        screened = await self.screen.one(who, draft)
        if screened.report is None and stands_alone(draft):
            return await self._create_alone(who, draft)

        async def store(connection: Connection, at: datetime) -> Outcome:
            (outcome,) = await store_drafts(connection, self._log, who, [screened.thing], at=at)
            if isinstance(outcome, Invalid):
                raise outcome
            await audit.append(connection, who, *leaves([screened], written([outcome])), at=at)
            return outcome

        return await self._changes.make(who, store)

    async def _create_alone(self, who: Principal, draft: MemoryDraft) -> Outcome:
        # What most creates are: one round trip instead of five.
        if problem := check_draft(who, draft):
            raise problem
        memory = new_memory(who, draft, self._clock())
        await memories.insert(self._database, who, memory)
        self._log.notify("memory.created")
        return Outcome("created", memory)

    async def bulk(self, who: Principal, drafts: Sequence[MemoryDraft | Invalid]) -> BulkResult:
        """Store many drafts in one transaction; those refused, here or already by the caller, stop no other."""
        readable = [draft for draft in drafts if isinstance(draft, MemoryDraft)]
        passed = iter(await self.screen.many(who, readable))
        screened = [Screened(one, refused=one) if isinstance(one, Invalid) else next(passed) for one in drafts]

        async def store(connection: Connection, at: datetime) -> Sequence[Outcome | Invalid]:
            safe = [one.refused or one.thing for one in screened]
            outcomes = await store_drafts(connection, self._log, who, safe, at=at)
            await audit.append(connection, who, *leaves(screened, written(outcomes)), at=at)
            return outcomes

        return bulk_result(await self._changes.make(who, store))

    async def get(self, who: Principal, id: UUID, *, deleted: bool = False) -> Memory:
        """One memory, also when it is deleted if ``deleted``; raises ``NotFound``."""
        async with self._database.transaction(who) as connection:
            return await memories.get(connection, who, id, deleted=deleted)

    async def page(
        self, who: Principal, filters: Filters, limit: int, after: tuple[datetime, UUID] | None = None
    ) -> list[Memory]:
        """Up to ``limit`` memories, newest first, behind the sort key ``(created_at, id)`` in ``after``."""
        async with self._database.transaction(who) as connection:
            return await listing.find_page(connection, who, filters, limit, after)

    async def edit(self, who: Principal, id: UUID, patch: MemoryPatch, expected: Expected) -> Memory:
        """Change the fields ``patch`` names; a patch that changes nothing makes no version.

        Raises ``NotFound``, ``VersionMismatch``, ``Invalid``, ``NotAllowed``.
        """

        screened = await self.screen.one(who, patch)

        async def write(connection: Connection, at: datetime) -> Memory:
            before = await self._locked(connection, who, id, expected)
            changed = check_patch(who, before, _flagged(before, screened))
            if not changed:
                return before
            after = before.model_copy(update=changed)
            stored = await memories.update(connection, self._log, who, before, after, change="edited", at=at)
            await audit.append(connection, who, *leaves([screened], [id]), at=at)
            return stored

        return await self._changes.make(who, write)

    async def delete(self, who: Principal, id: UUID, expected: Expected = None) -> None:
        """Delete a memory so that it can be restored; raises ``NotFound`` or ``VersionMismatch``."""

        async def write(connection: Connection, at: datetime) -> None:
            before = await self._locked(connection, who, id, expected)
            after = before.model_copy(update={"deleted_at": at})
            await memories.update(connection, self._log, who, before, after, change="deleted", at=at)

        await self._changes.make(who, write)

    async def purge(self, who: Principal, id: UUID, expected: Expected = None) -> None:
        """Erase a memory for good, deleted or not: its rows, versions, links and the text in its events.

        Raises ``NotFound``, ``VersionMismatch``, and ``NotAllowed`` for anybody but its author.
        """

        async def write(connection: Connection, at: datetime) -> None:
            before = await self._locked(connection, who, id, expected, deleted=True)
            if before.created_by != who.person:
                raise NotAllowed("Only its author may erase a memory.")
            await memories.purge(connection, self._log, who, before, at=at)

        await self._changes.make(who, write)

    async def restore(self, who: Principal, id: UUID, asked: Restoration, expected: Expected = None) -> Memory:
        """Bring back a deleted memory, with the content of an older version if one is named.

        Who may see it, its links, status and source stay as they are now. Raises ``NotFound``, ``Conflict`` when
        there is nothing to restore, ``Invalid`` for a version that never was.
        """

        async def write(connection: Connection, at: datetime) -> Memory:
            before = await self._locked(connection, who, id, expected, deleted=True)
            if asked.version is None and before.deleted_at is None:
                raise Conflict("This memory is not deleted; name the version whose content you want back.")
            past = await _content_of(connection, who, before, asked)
            # It may have been stored under another policy, or before there was one.
            screened = await self.screen.one(who, past, connection=connection, at="/version")
            after = before.model_copy(update={"deleted_at": None} | screened.thing)
            if after == before:
                return before
            reason = f"Content of version {asked.version}." if asked.version else None
            stored = await memories.update(
                connection, self._log, who, before, after, change="restored", at=at, reason=reason
            )
            await audit.append(connection, who, *leaves([screened], [id]), at=at)
            return stored

        try:
            return await self._changes.make(who, write)
        except HoldsSecret as problem:
            await self.screen.note_refusal(who, problem, id)
            raise

    async def tags(self, who: Principal, limit: int, after: tuple[int, str] | None = None) -> list[Count]:
        """The tags in use with counts, most used first, behind the sort key ``(count, tag)`` in ``after``."""
        async with self._database.transaction(who) as connection:
            return await listing.count_tags(connection, who, limit, after)

    async def projects(self, who: Principal, limit: int, after: tuple[int, str] | None = None) -> list[Count]:
        """The projects in use with counts, most used first, behind the sort key ``(count, project)`` in ``after``."""
        async with self._database.transaction(who) as connection:
            return await listing.count_projects(connection, who, limit, after)

    async def visible(self, who: Principal, ids: list[UUID]) -> list[Memory]:
        """See ``ports.Memories``."""
        return await memories.find_visible(self._database, who, ids)

    async def scan(self, after: tuple[UUID, UUID] | None, limit: int) -> list[Memory]:
        """See ``ports.Memories``."""
        async with self._database.transaction(None) as connection:
            return await listing.scan(connection, after, limit)

    async def count(self) -> int:
        """See ``ports.Memories``."""
        async with self._database.transaction(None) as connection:
            return await listing.count_all(connection)

    async def ingest(self, who: Principal, batch: Ingest) -> IngestResult:
        """See ``ports.Memories``."""
        screened = await self.screen.many(who, batch.drafts, connector=True)
        # Under its own name, too: it may have been stored before names were masked.
        deleted = [*batch.deleted, *await self.masked(who, batch.deleted)]
        safe = replace(batch, drafts=[one.thing for one in screened], deleted=deleted)

        async def store(connection: Connection, at: datetime) -> IngestResult:
            return await store_batch(connection, self._log, who, safe, screened, at=at)

        return await self._changes.make(who, store)

    async def masked(self, who: Principal, texts: list[str]) -> list[str]:
        """See ``ports.Memories``."""
        return await self.screen.masked(who, texts)

    async def checkpoint(self, who: Principal, connection_id: UUID) -> dict[str, Any] | None:
        """See ``ports.Memories``."""
        async with self._database.transaction(who) as connection:
            return await checkpoints.find(connection, who, connection_id)

    async def forget_checkpoint(self, who: Principal, connection_id: UUID) -> None:
        """See ``ports.Memories``."""
        async with self._database.transaction(who) as connection:
            await checkpoints.delete(connection, who, connection_id)

    async def _locked(
        self, connection: Connection, who: Principal, id: UUID, expected: Expected, *, deleted: bool = False
    ) -> Memory:
        before = await memories.get(connection, who, id, lock=True, deleted=deleted)
        if expected is not None and before.version not in expected:
            raise VersionMismatch(f"The current version is {before.version}.", version=before.version)
        return before


def _flagged(before: Memory, screened: Screened[MemoryPatch]) -> MemoryPatch:
    patch = screened.thing
    if screened.report is None or screened.report.done != "flag":
        return patch
    tags = with_tag(before.tags if patch.tags is None else patch.tags)
    if len(tags) > TAGS_LIMIT:
        raise refuse("/tags", f"With the one that says that it holds a secret, these are more than {TAGS_LIMIT} tags.")
    return patch.model_copy(update={"tags": tags})


async def _content_of(connection: Connection, who: Principal, before: Memory, asked: Restoration) -> dict[str, Any]:
    if asked.version is None or asked.version == before.version:
        return {}
    past = await versions.find(connection, who, before.id, asked.version)
    if past is None:
        raise refuse("/version", "This memory has no such version.")
    return {name: getattr(past.memory, name) for name in _RESTORED}


def bulk_result(outcomes: Sequence[Outcome | Invalid]) -> BulkResult:
    """Per-item answers in the order of the request, and how many there are of each."""
    items = [_bulk_item(index, outcome) for index, outcome in enumerate(outcomes)]
    results = [item.result for item in items]
    return BulkResult(
        items=items,
        created=results.count("created"),
        updated=results.count("updated"),
        unchanged=results.count("unchanged"),
        refused=results.count("refused"),
    )


def _bulk_item(index: int, outcome: Outcome | Invalid) -> BulkItem:
    if isinstance(outcome, Invalid):
        problem = ProblemBody.model_validate(_in_request(index, outcome))
        return BulkItem(index=index, status=outcome.status, result="refused", problem=problem)
    memory = outcome.memory
    status = 201 if outcome.result == "created" else 200
    return BulkItem(index=index, status=status, result=outcome.result, id=memory.id, version=memory.version)


def _in_request(index: int, refused: Invalid) -> dict[str, Any]:
    """The problem's members with pointers from the root of the request instead of from the item."""
    members = refused.body()
    place = f"/items/{index}"
    if str(members.get("detail", "")).startswith("/"):
        members["detail"] = place + members["detail"]
    errors = members.get("errors", [])
    return members | {"errors": [error | {"pointer": place + error["pointer"]} for error in errors]}
