"""A connector's batch: what is gone, what is new or changed, and which memory its source says replaced which."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from typing import Any
from uuid import UUID

from devlore.problems import Invalid
from devlore.types import LinkDraft, LinkType, Memory, MemoryDraft, Status, TargetKind
from devlore_server.kit import audit
from devlore_server.kit.auth import Principal
from devlore_server.kit.db import Connection
from devlore_server.kit.log import EventLog
from devlore_server.memory.checks import check_key, refuse
from devlore_server.memory.secrets.screen import Screened, leaves
from devlore_server.memory.store import checkpoints, claims, links, memories, successions, trail
from devlore_server.memory.store.claims import Claim
from devlore_server.memory.store.links import NewLink
from devlore_server.memory.store.memories import Revision
from devlore_server.memory.succession import told_start
from devlore_server.memory.upsert import Outcome, held_links, store_drafts, written
from devlore_server.ports import Ingest, IngestDraft, IngestResult


async def store_batch(
    connection: Connection,
    log: EventLog,
    who: Principal,
    batch: Ingest,
    screened: Sequence[Screened[IngestDraft]],
    *,
    at: datetime,
) -> IngestResult:
    """Store everything of ``batch`` and its checkpoint; deletions first, so that a moved item is not lost.

    ``screened`` are its drafts with what was found in them.
    """
    deleted = await _delete(connection, log, who, batch, at)
    drafts = [one.refused or _own(batch, one.thing) for one in screened]
    outcomes = await store_drafts(connection, log, who, drafts, at=at, connector=batch.connector)
    await _drop_links(connection, who, batch, outcomes, at)
    await audit.append(connection, who, *leaves(screened, written(outcomes)), at=at)
    settled = await _settle(connection, log, who, batch, outcomes, at)
    if batch.checkpoint is not None:
        await checkpoints.put(connection, who, batch.connection_id, batch.checkpoint, at=at)
    results = [
        "updated" if one.result == "unchanged" and one.memory.id in settled else one.result
        for one in outcomes
        if isinstance(one, Outcome)
    ]
    return IngestResult(
        created=results.count("created"),
        updated=results.count("updated"),
        unchanged=results.count("unchanged"),
        deleted=deleted,
        refused=[
            (_external_id(one.draft), outcome.detail or outcome.title)
            for one, outcome in zip(batch.drafts, outcomes, strict=True)
            if isinstance(outcome, Invalid)
        ],
    )


def _own(batch: Ingest, one: IngestDraft) -> MemoryDraft | Invalid:
    source = one.draft.source
    if source is None or source.connector != batch.connector:
        return refuse("/source/connector", f"A memory of this connection comes from {batch.connector}.")
    return one.draft


def _external_id(draft: MemoryDraft) -> str:
    return (draft.source.external_id if draft.source else None) or draft.title


async def _delete(connection: Connection, log: EventLog, who: Principal, batch: Ingest, at: datetime) -> int:
    keys = sorted((batch.connector, external_id) for external_id in set(batch.deleted))
    present = await memories.find_by_source(connection, who, keys, lock=True)
    revisions = [
        Revision(memory, memory.model_copy(update={"deleted_at": at}), "deleted", "Gone from its source.")
        for memory in present
        if memory.deleted_at is None
    ]
    await memories.update_many(connection, log, who, revisions, at=at)
    return len(revisions)


async def _drop_links(
    connection: Connection, who: Principal, batch: Ingest, outcomes: Sequence[Outcome | Invalid], at: datetime
) -> None:
    """A link that its source no longer has goes, unless a person set it too."""
    held = {
        outcome.memory.id: [link.draft for link in held_links(outcome.memory.id, one.draft)]
        for one, outcome in zip(batch.drafts, outcomes, strict=True)
        if isinstance(outcome, Outcome) and not outcome.outdated and outcome.result != "created"
    }
    if held:
        lost = await links.drop_absent(connection, who, batch.connector, held)
        await audit.append(connection, who, *trail.of_links("link.removed", lost), at=at)


async def _settle(
    connection: Connection,
    log: EventLog,
    who: Principal,
    batch: Ingest,
    outcomes: Sequence[Outcome | Invalid],
    at: datetime,
) -> set[UUID]:
    """Apply what the source says of statuses; returns the ids of memories whose status changed."""
    stored = _spoken_for(batch, outcomes)
    claimed = await _new_claims(connection, who, stored)
    await claims.put_many(connection, who, batch.connector, list(claimed.items()))
    arrived = [key[1] for memory, _ in stored.values() if (key := _source_key(memory)) is not None]
    waiting = await claims.find_waiting(connection, who, batch.connector, arrived)
    if not claimed and not waiting:
        return set()
    current = await memories.find_many(connection, who, {*claimed, *waiting}, lock=True)
    pending = waiting | claimed
    successors = await _successors(connection, who, batch.connector, pending)
    spoken_of = {memory.id: memory for memory in current if memory.id in claimed or _awaits_successor(memory)}
    revised = {id: _revised(who, memory, pending[id], successors, at) for id, memory in spoken_of.items()}
    circular = await successions.circular(connection, who, [one.after for one in revised.values() if one])
    # A source that goes round in circles is believed that a memory was replaced, not by what.
    revised |= {id: _revised(who, spoken_of[id], pending[id], {}, at) for id in circular}
    revisions = [one for one in revised.values() if one]
    await memories.update_many(connection, log, who, revisions, at=at)
    await links.insert_many(connection, who, _supersessions(revisions), at=at)
    return {revision.before.id for revision in revisions}


def _awaits_successor(memory: Memory) -> bool:
    # Somebody may have reinstated it since; then the late successor does not override them.
    return memory.status is Status.SUPERSEDED and memory.superseded_by is None


def _spoken_for(batch: Ingest, outcomes: Sequence[Outcome | Invalid]) -> dict[UUID, tuple[Memory, Claim]]:
    """The stored memories with what the batch claims of each; the last word on an item counts."""
    return {
        outcome.memory.id: (outcome.memory, _claim_of(one))
        for one, outcome in zip(batch.drafts, outcomes, strict=True)
        if isinstance(outcome, Outcome) and not outcome.outdated
    }


def _claim_of(one: IngestDraft) -> Claim:
    # What holds needs no reason and has no successor, whatever a source may write beside it.
    if one.status is Status.ACTIVE:
        return Claim()
    # No memory can have a longer external id, so none will ever arrive under it.
    successor = None if check_key("", one.superseded_by) else one.superseded_by
    return Claim(one.status, one.status_reason, successor)


async def _new_claims(
    connection: Connection, who: Principal, stored: dict[UUID, tuple[Memory, Claim]]
) -> dict[UUID, Claim]:
    # Only a claim that changed is applied: a person's verdict on a memory outlives the next sync of its source.
    last = await claims.find_many(connection, who, list(stored))
    return {id: claim for id, (_, claim) in stored.items() if claim != last.get(id, Claim())}


async def _successors(
    connection: Connection, who: Principal, connector: str, claimed: dict[UUID, Claim]
) -> dict[str, Memory]:
    named = sorted({claim.successor for claim in claimed.values() if claim.successor})
    found = await memories.find_by_source(connection, who, [(connector, external_id) for external_id in named])
    return {key[1]: memory for memory in found if (key := _source_key(memory)) and memory.deleted_at is None}


def _source_key(memory: Memory) -> tuple[str, str] | None:
    source = memory.source
    return None if source is None or source.external_id is None else (source.connector, source.external_id)


def _revised(
    who: Principal, memory: Memory, claim: Claim, successors: dict[str, Memory], at: datetime
) -> Revision | None:
    successor = successors.get(claim.successor or "")
    replaced = claim.status is Status.SUPERSEDED and successor is not None and successor.id != memory.id
    claimed = {
        "status": claim.status,
        "status_reason": claim.reason,
        "superseded_by": successor.id if successor and replaced else None,
    }
    if all(getattr(memory, name) == value for name, value in claimed.items()):
        return None
    valid_to = _ended(who, memory, claim, successor if replaced else None, at)
    return Revision(memory, memory.model_copy(update=claimed | {"valid_to": valid_to}), "status", claim.reason)


def _ended(who: Principal, memory: Memory, claim: Claim, successor: Memory | None, at: datetime) -> Any:
    """When a memory stopped being valid: when its successor began, else when its source last changed it, else now."""
    if claim.status is Status.ACTIVE:
        return None
    began = memory.valid_from or memory.occurred_at
    starts = told_start(who, memory, successor) if successor else None
    known = (starts, memory.source.updated_at if memory.source else None)
    return next((moment for moment in known if moment is not None and moment > began), at)


def _supersessions(revisions: Sequence[Revision]) -> list[NewLink]:
    return [
        NewLink(
            revision.after.superseded_by,
            LinkDraft(type=LinkType.SUPERSEDES, target_kind=TargetKind.MEMORY, target=str(revision.before.id)),
        )
        for revision in revisions
        if revision.after.superseded_by is not None
    ]
