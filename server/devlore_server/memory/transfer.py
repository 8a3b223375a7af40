"""Memories out and in without loss: every field, past version and link, ids and times kept."""

from __future__ import annotations

from collections.abc import AsyncIterator, Sequence
from datetime import datetime, timedelta
from typing import Any
from uuid import UUID

from devlore.problems import Conflict, Problem, Unavailable
from devlore.types import BulkItem, BulkResult, Memory, MemoryRecord, ProblemBody
from devlore_server.kit import audit
from devlore_server.kit.auth import Principal
from devlore_server.kit.clock import Clock, utc_now
from devlore_server.kit.db import Connection, Database
from devlore_server.kit.log import EventLog
from devlore_server.memory.changes import Changes
from devlore_server.memory.records import draft_of, read_record
from devlore_server.memory.secrets.screen import Screen, leaves
from devlore_server.memory.store import links, memories, successions, trail, versions
from devlore_server.memory.store.export import page_by_id
from devlore_server.memory.store.links import NewLink
from devlore_server.memory.store.memories import Revision

_PAGE = 200


LONGEST_EXPORT = timedelta(minutes=10)


class Transfer:
    """Export and import; a record that was exported and imported elsewhere reads the same there."""

    def __init__(self, database: Database, log: EventLog, clock: Clock = utc_now, screen: Screen | None = None) -> None:
        self._screen = screen or Screen(database)
        self._database = database
        self._log = log
        self._clock = clock
        self._changes = Changes(database, log, clock)

    async def export(
        self, who: Principal, *, project: str | None = None, deleted: bool = False
    ) -> AsyncIterator[MemoryRecord]:
        """Every memory the caller may see, oldest id first, each as it is when its page is read.

        Reads a page per transaction: a slow reader holds no connection and no snapshot. Audited before the first page,
        in a transaction of its own: however little of it is read, it was asked for.
        """
        asked = audit.Leaf("memory.exported", context={"deleted": deleted, "one_project": project is not None})
        async with self._database.transaction(who) as connection:
            await audit.append(connection, who, asked)
        return self._records(who, project, deleted)

    async def _records(self, who: Principal, project: str | None, deleted: bool) -> AsyncIterator[MemoryRecord]:
        after: UUID | None = None
        began = self._clock()
        while True:
            # The caller's teams and session are those of the start: who reads slowly must not outlive them for hours.
            if self._clock() - began > LONGEST_EXPORT:
                raise Unavailable("The export took too long; ask for one project at a time.")
            async with self._database.transaction(who) as connection:
                found = await page_by_id(connection, who, after=after, project=project, deleted=deleted, limit=_PAGE)
                ids = [memory.id for memory in found]
                past = await versions.past_of_many(connection, who, ids)
                linked = await links.outgoing_of_many(connection, who, ids)
            for memory in found:
                yield MemoryRecord(memory=memory, versions=past.get(memory.id, []), links=linked.get(memory.id, []))
            if len(found) < _PAGE:
                return
            after = found[-1].id

    async def take_in(
        self, who: Principal, items: Sequence[dict[str, Any]], *, allow_secrets: bool = False
    ) -> BulkResult:
        """Store exported records in one transaction; a refused one stops no other.

        Ids, versions, times and links are kept; organisation and author become the caller's. A record whose id exists
        is taken when its version is newer, and is ``unchanged`` otherwise. Of several records of one id the last wins.
        """
        screened = await self._screen.many(who, items, override=allow_secrets)
        records = [one.refused or read_record(who, one.thing) for one in screened]
        latest = {one.memory.id: index for index, one in enumerate(records) if isinstance(one, MemoryRecord)}
        chosen = {
            index: one
            for index, one in enumerate(records)
            if isinstance(one, MemoryRecord) and latest[one.memory.id] == index
        }

        async def store(connection: Connection, at: datetime) -> dict[int, BulkItem]:
            stored = await self._store(connection, who, chosen, at)
            found = leaves(screened, [_written(stored.get(index)) for index in range(len(items))])
            await audit.append(connection, who, *found, at=at)
            return stored

        outcomes = await self._changes.make(who, store)
        answered = [
            _refused(index, one) if isinstance(one, Problem) else outcomes.get(index) or _unchanged(index, one.memory)
            for index, one in enumerate(records)
        ]
        return summary(answered)

    async def _store(
        self, connection: Connection, who: Principal, chosen: dict[int, MemoryRecord], at: datetime
    ) -> dict[int, BulkItem]:
        ids = [one.memory.id for one in chosen.values()]
        known = {m.id: m for m in await memories.find_many(connection, who, ids, lock=True, deleted=True)}
        outcomes: dict[int, BulkItem] = {}
        fresh, newer = {}, {}
        for index, one in chosen.items():
            before = known.get(one.memory.id)
            if before is None:
                fresh[index] = one.memory
            elif one.memory.version > before.version:
                newer[index] = Revision(before, _as_stored(who, before, one.memory), "imported")
            else:
                outcomes[index] = _unchanged(index, before)
        outcomes |= await self._store_fresh(connection, who, fresh, at)
        outcomes |= await self._store_newer(connection, who, newer, at)
        stored = [one for index, one in chosen.items() if outcomes[index].result != "refused"]
        linked = await self._store_rest(connection, who, stored, known, at)
        alone = linked & {outcome.id for outcome in outcomes.values() if outcome.result == "unchanged"}
        await audit.append(connection, who, *trail.of_links("link.added", alone), at=at)
        return outcomes

    async def _store_fresh(
        self, connection: Connection, who: Principal, fresh: dict[int, Memory], at: datetime
    ) -> dict[int, BulkItem]:
        erased = await self._log.purged(connection, who.organisation, [memory.id for memory in fresh.values()])
        above = {index: _above(memory, erased.get(memory.id)) for index, memory in fresh.items()}
        circular = await successions.circular(connection, who, list(above.values()))
        straight = [memory for memory in above.values() if memory.id not in circular]
        inserted = await memories.insert_many(connection, who, straight, at=at, change="imported")
        return {
            index: _created(index, memory) if memory.id in inserted else _refused(index, _taken_or_circle())
            for index, memory in above.items()
        }

    async def _store_newer(
        self, connection: Connection, who: Principal, newer: dict[int, Revision], at: datetime
    ) -> dict[int, BulkItem]:
        """Update known memories; one whose source item is another's already, or that succeeds itself, is refused."""
        mine = {index: key for index, one in newer.items() if (key := _source_item(who, one.after)) is not None}
        held = await memories.find_by_source(connection, who, sorted(set(mine.values())), lock=True)
        holders = {_source_item(who, memory): memory.id for memory in held}
        free = {
            index: one
            for index, one in newer.items()
            if index not in mine or holders.setdefault(mine[index], one.after.id) == one.after.id
        }
        circular = await successions.circular(connection, who, [one.after for one in free.values()])
        written = {index: one for index, one in free.items() if one.after.id not in circular}
        await memories.update_many(connection, self._log, who, list(written.values()), at=at)
        return {
            index: _updated(index, one.after)
            if index in written
            else _refused(index, _circle() if index in free else _taken())
            for index, one in newer.items()
        }

    async def _store_rest(
        self,
        connection: Connection,
        who: Principal,
        records: Sequence[MemoryRecord],
        known: dict[UUID, Memory],
        at: datetime,
    ) -> set[UUID]:
        """Store past versions and links of records; which memories got new links."""

        def authored(record: MemoryRecord) -> bool:
            before = known.get(record.memory.id)
            return before is None or before.created_by == who.person

        # The past of somebody else's memory is what happened here, not what a file says.
        past = [
            version
            for one in records
            if authored(one)
            for version in one.versions
            if version.version < one.memory.version
        ]
        await versions.insert_many(connection, who, past)
        held = [NewLink(one.memory.id, draft_of(link), link.score) for one in records for link in one.links]
        return await links.insert_many(connection, who, held, at=at)


def summary(items: list[BulkItem]) -> BulkResult:
    """Outcomes with their counts."""
    counts = {
        name: sum(item.result == name for item in items) for name in ("created", "updated", "unchanged", "refused")
    }
    return BulkResult(items=items, **counts)


def _written(outcome: BulkItem | None) -> UUID | None:
    return outcome.id if outcome is not None and outcome.result in ("created", "updated") else None


def _as_stored(who: Principal, known: Memory, memory: Memory) -> Memory:
    if known.created_by == who.person:
        return memory
    # Somebody else's memory: who wrote it and when, who may see it, where it came from and how far to trust it are not
    # the importer's to say.
    kept = ("created_by", "created_at", "privacy", "team_id", "source", "trust", "encryption")
    return memory.model_copy(update={name: getattr(known, name) for name in kept})


def _source_item(who: Principal, memory: Memory) -> tuple[str, str] | None:
    """The item of the caller's own sources that a memory stands for, if any."""
    source = memory.source
    if source is None or source.external_id is None or memory.created_by != who.person:
        return None
    return source.connector, source.external_id


def _above(memory: Memory, erased: int | None) -> Memory:
    # Indexes remember an erased id by the version of its erasure; only something newer may take its place.
    return memory if erased is None or memory.version > erased else memory.model_copy(update={"version": erased + 1})


def _taken() -> Problem:
    return Conflict("Another memory holds this id or this source item.")


def _circle() -> Problem:
    return Conflict(successions.CIRCLE)


def _taken_or_circle() -> Problem:
    # One answer for both: that an id is taken by what the caller may not see must not say what that replaced.
    return Conflict(f"Another memory holds this id or this source item. Or: {successions.CIRCLE}")


def _created(index: int, memory: Memory) -> BulkItem:
    return BulkItem(index=index, status=201, result="created", id=memory.id, version=memory.version)


def _updated(index: int, memory: Memory) -> BulkItem:
    return BulkItem(index=index, status=200, result="updated", id=memory.id, version=memory.version)


def _unchanged(index: int, memory: Memory) -> BulkItem:
    return BulkItem(index=index, status=200, result="unchanged", id=memory.id, version=memory.version)


def _refused(index: int, problem: Problem) -> BulkItem:
    return BulkItem(
        index=index, status=problem.status, result="refused", problem=ProblemBody.model_validate(problem.body())
    )
