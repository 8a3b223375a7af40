"""Memories out and in without loss: every field, past version and link, ids and times kept."""

from __future__ import annotations

from collections.abc import AsyncIterator, Sequence
from typing import Any
from uuid import UUID

from pydantic import ValidationError

from devlore.problems import Conflict, Invalid, Problem
from devlore.types import BulkItem, BulkResult, Link, LinkDraft, Memory, MemoryDraft, MemoryRecord, ProblemBody
from devlore_server.kit.auth import Principal
from devlore_server.kit.clock import Clock, utc_now
from devlore_server.kit.db import Connection, Database
from devlore_server.kit.log import EventLog
from devlore_server.memory.checks import check_draft, refuse_all
from devlore_server.memory.store import links, memories, versions
from devlore_server.memory.store.export import page_by_id
from devlore_server.memory.store.links import NewLink
from devlore_server.memory.store.memories import Revision

_PAGE = 200


class Transfer:
    """Export and import; a record that was exported and imported elsewhere reads the same there."""

    def __init__(self, database: Database, log: EventLog, clock: Clock = utc_now) -> None:
        self._database = database
        self._log = log
        self._clock = clock

    async def export(
        self, who: Principal, *, project: str | None = None, deleted: bool = False
    ) -> AsyncIterator[MemoryRecord]:
        """Every memory the caller may see, oldest id first, each as it is when its page is read.

        Reads a page per transaction: a slow reader holds no connection and no snapshot.
        """
        after: UUID | None = None
        while True:
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

    async def take_in(self, who: Principal, items: Sequence[dict[str, Any]]) -> BulkResult:
        """Store exported records in one transaction; a refused one stops no other.

        Ids, versions, times and links are kept; organisation and author become the caller's. A record whose id exists
        is taken when its version is newer, and is ``unchanged`` otherwise. Of several records of one id the last wins.
        """
        records = [_parsed(who, item) for item in items]
        latest = {one.memory.id: index for index, one in enumerate(records) if isinstance(one, MemoryRecord)}
        chosen = {
            index: one
            for index, one in enumerate(records)
            if isinstance(one, MemoryRecord) and latest[one.memory.id] == index
        }
        async with self._database.transaction(who) as connection:
            outcomes = await self._store(connection, who, chosen)
        self._log.notify()
        answered = [
            _refused(index, one) if isinstance(one, Problem) else outcomes.get(index) or _unchanged(index, one.memory)
            for index, one in enumerate(records)
        ]
        return summary(answered)

    async def _store(
        self, connection: Connection, who: Principal, chosen: dict[int, MemoryRecord]
    ) -> dict[int, BulkItem]:
        ids = [one.memory.id for one in chosen.values()]
        known = {m.id: m for m in await memories.find_many(connection, who, ids, lock=True, deleted=True)}
        erased = await self._log.purged(connection, who.organisation, ids)
        fresh = {
            index: _above(one.memory, erased.get(one.memory.id))
            for index, one in chosen.items()
            if one.memory.id not in known
        }
        inserted = await memories.insert_many(connection, self._log, who, list(fresh.values()), change="imported")
        newer = {
            index: Revision(known[one.memory.id], one.memory.model_copy(update=_kept(known[one.memory.id])), "imported")
            for index, one in chosen.items()
            if one.memory.id in known and one.memory.version > known[one.memory.id].version
        }
        await memories.update_many(connection, self._log, who, list(newer.values()), at=self._clock())
        stored = inserted | known.keys()
        await self._store_rest(connection, who, [one for one in chosen.values() if one.memory.id in stored])
        outcomes: dict[int, BulkItem] = {}
        for index, memory in fresh.items():
            outcomes[index] = _created(index, memory) if memory.id in inserted else _refused(index, _taken())
        for index, revision in newer.items():
            outcomes[index] = _updated(index, revision.after)
        return outcomes

    async def _store_rest(self, connection: Connection, who: Principal, records: Sequence[MemoryRecord]) -> None:
        past = [version for one in records for version in one.versions if version.version < one.memory.version]
        await versions.insert_many(connection, who, past)
        held = [NewLink(one.memory.id, _draft_of(link), link.score) for one in records for link in one.links]
        await links.insert_many(connection, who, held, at=self._clock())


def summary(items: list[BulkItem]) -> BulkResult:
    """Outcomes with their counts."""
    counts = {
        name: sum(item.result == name for item in items) for name in ("created", "updated", "unchanged", "refused")
    }
    return BulkResult(items=items, **counts)


def _parsed(who: Principal, item: dict[str, Any]) -> MemoryRecord | Problem:
    try:
        record = MemoryRecord.model_validate(item)
    except ValidationError as error:
        errors = [
            {"pointer": "".join(f"/{part}" for part in found["loc"]), "detail": found["msg"]}
            for found in error.errors(include_url=False, include_context=False, include_input=False)[:20]
        ]
        return Invalid(f"{errors[0]['pointer']}: {errors[0]['detail']}", errors=errors)
    problem = _check_record(who, record)
    if problem is not None:
        return problem
    mine = {"organisation_id": who.organisation, "created_by": who.person}
    return record.model_copy(
        update={
            "memory": record.memory.model_copy(update=mine),
            "versions": [
                version.model_copy(update={"memory": version.memory.model_copy(update=mine)})
                for version in record.versions
            ],
        }
    )


def _check_record(who: Principal, record: MemoryRecord) -> Invalid | None:
    memory = record.memory
    held = [_draft_of(link) for link in record.links]
    named = {name: getattr(memory, name) for name in MemoryDraft.model_fields if name != "links"}
    try:
        # A stored memory keeps the same rules as a draft; its model alone does not say how long a title may be.
        problem = check_draft(who, MemoryDraft.model_validate(named | {"links": held}))
    except ValidationError as error:
        found = error.errors(include_url=False, include_context=False, include_input=False)[:20]
        return refuse_all([("".join(f"/{part}" for part in ("memory", *one["loc"])), one["msg"]) for one in found])
    if problem is None:
        return None
    return refuse_all([("/memory" + one["pointer"], one["detail"]) for one in problem.extra["errors"]])


def _draft_of(link: Link) -> LinkDraft:
    return LinkDraft(type=link.type, target_kind=link.target_kind, target=link.target, note=link.note)


def _kept(known: Memory) -> dict[str, Any]:
    # Who wrote a memory does not change because somebody else imports a newer version of it.
    return {"created_by": known.created_by}


def _above(memory: Memory, erased: int | None) -> Memory:
    # Indexes remember an erased id by the version of its erasure; only something newer may take its place.
    return memory if erased is None or memory.version > erased else memory.model_copy(update={"version": erased + 1})


def _taken() -> Problem:
    return Conflict("Another memory holds this id or this source item.")


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
