"""Taking drafts in: new ones are stored, those of a known source item update their memory, older ones are ignored."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any, Literal
from uuid import UUID

from devlore.problems import Invalid
from devlore.types import Memory, MemoryDraft, Privacy, Status, TargetKind
from devlore_server.kit import audit
from devlore_server.kit.auth import Principal
from devlore_server.kit.db import Connection
from devlore_server.kit.ids import new_id
from devlore_server.kit.log import EventLog
from devlore_server.kit.trusted import trusted
from devlore_server.memory.checks import check_draft, check_visible, memory_targets
from devlore_server.memory.store import links, memories, trail
from devlore_server.memory.store.links import NewLink
from devlore_server.memory.store.memories import Revision
from devlore_server.memory.store.races import Raced

Key = tuple[str, str]
"""A source item: connector and external id."""

_KEPT_UNLESS_NAMED = ("kind", "project", "privacy", "team_id", "importance", "pinned", "trust")


@dataclass(frozen=True, slots=True)
class Outcome:
    """What became of a draft, and the memory as it is now; ``outdated`` drafts had no say in it."""

    result: Literal["created", "updated", "unchanged"]
    memory: Memory
    outdated: bool = False


@dataclass(slots=True)
class _Work:
    """What one transaction has to write; indexes are places in the list of drafts."""

    connector: str | None = None
    fresh: dict[int, Memory] = field(default_factory=dict)
    revisions: dict[int, Revision] = field(default_factory=dict)
    unchanged: dict[int, Outcome] = field(default_factory=dict)
    seen: list[tuple[UUID, datetime]] = field(default_factory=list)
    links: list[NewLink] = field(default_factory=list)


async def store_drafts(
    connection: Connection,
    log: EventLog,
    who: Principal,
    drafts: Sequence[MemoryDraft | Invalid],
    *,
    at: datetime,
    connector: str | None = None,
) -> list[Outcome | Invalid]:
    """Store drafts as if one came after the other, in as many statements for a thousand as for one.

    A refused draft is answered by its ``Invalid`` and stops no other. Of several drafts of one source item only the
    newest is stored; the others are answered as unchanged. The links are those of ``connector`` when one brings them.
    Raises ``Raced`` when another transaction stored one of the items meanwhile.
    """
    checked = await _checked(connection, who, drafts)
    accepted = {index: one for index, one in enumerate(checked) if isinstance(one, MemoryDraft)}
    winners = _newest(accepted)
    known = await _known(connection, who, [accepted[index] for index in winners])
    work = _Work(connector)
    for index, draft in accepted.items():
        if winners[index] == index:
            _sort_in(work, who, index, draft, known.get(key_of(draft)), at)
    written = await _write(connection, log, who, work, at)
    answered: list[Outcome | Invalid] = []
    for index, one in enumerate(checked):
        if isinstance(one, Invalid):
            answered.append(one)
        elif winners[index] == index:
            answered.append(written[index])
        else:
            answered.append(Outcome("unchanged", written[winners[index]].memory, outdated=True))
    return answered


def written(outcomes: Sequence[Outcome | Invalid]) -> list[UUID | None]:
    """The memory each draft was written to; None for one that was refused or changed nothing."""
    return [one.memory.id if isinstance(one, Outcome) and one.result != "unchanged" else None for one in outcomes]


def stands_alone(draft: MemoryDraft) -> bool:
    """Whether nothing has to be looked up to store a draft: it names neither a source item nor a link."""
    return key_of(draft) is None and not draft.links


def key_of(draft: MemoryDraft) -> Key | None:
    """The source item a draft speaks of, if it names one."""
    source = draft.source
    return None if source is None or source.external_id is None else (source.connector, source.external_id)


async def _checked(
    connection: Connection, who: Principal, drafts: Sequence[MemoryDraft | Invalid]
) -> list[MemoryDraft | Invalid]:
    checked = [one if isinstance(one, Invalid) else check_draft(who, one) or one for one in drafts]
    targets = {id for one in checked if isinstance(one, MemoryDraft) and one.links for id in memory_targets(one)}
    if not targets:
        return checked
    visible = {memory.id for memory in await memories.find_many(connection, who, targets)}
    return [one if isinstance(one, Invalid) else check_visible(one, visible) or one for one in checked]


def _newest(accepted: dict[int, MemoryDraft]) -> dict[int, int]:
    """For each draft the index of the one that speaks for its source item: itself, when it names none."""
    speaking: dict[Key, int] = {}
    for index, draft in accepted.items():
        key = key_of(draft)
        if key is not None and (key not in speaking or not _older(draft, accepted[speaking[key]])):
            speaking[key] = index
    keys = {index: key_of(draft) for index, draft in accepted.items()}
    return {index: index if key is None else speaking[key] for index, key in keys.items()}


def _older(one: MemoryDraft, other: MemoryDraft | Memory) -> bool:
    """Whether the source changed ``one`` before ``other``; unknown times are taken as they come."""
    mine, theirs = (had.source.updated_at if had.source else None for had in (one, other))
    return mine is not None and theirs is not None and mine < theirs


async def _known(connection: Connection, who: Principal, drafts: Sequence[MemoryDraft]) -> dict[Key | None, Memory]:
    # Sorted, so that two batches with the same items lock and insert them in the same order.
    keys = sorted({key for draft in drafts if (key := key_of(draft)) is not None})
    found = await memories.find_by_source(connection, who, keys, lock=True)
    return {(one.source.connector, one.source.external_id or ""): one for one in found if one.source}


def _sort_in(work: _Work, who: Principal, index: int, draft: MemoryDraft, stored: Memory | None, at: datetime) -> None:
    if stored is None:
        memory = work.fresh[index] = new_memory(who, draft, at)
        work.links += held_links(memory.id, draft, work.connector)
        return
    if _older(draft, stored):
        work.unchanged[index] = Outcome("unchanged", stored, outdated=True)
        return
    work.links += held_links(stored.id, draft, work.connector)
    after = _merged(stored, draft)
    if stored.deleted_at is not None:
        work.revisions[index] = Revision(stored, after, "restored")
    elif _content(after) != _content(stored):
        work.revisions[index] = Revision(stored, after, "edited")
    else:
        work.unchanged[index] = Outcome("unchanged", after)
        updated_at = after.source.updated_at if after.source else None
        if updated_at is not None and stored.source and updated_at != stored.source.updated_at:
            work.seen.append((stored.id, updated_at))


async def _write(
    connection: Connection, log: EventLog, who: Principal, work: _Work, at: datetime
) -> dict[int, Outcome]:
    fresh = sorted(work.fresh.values(), key=_by_source)
    if len(await memories.insert_many(connection, who, fresh, at=at)) != len(fresh):
        raise Raced
    stored = await memories.update_many(connection, log, who, list(work.revisions.values()), at=at)
    await memories.touch_sources(connection, who, work.seen)
    linked = await links.insert_many(connection, who, work.links, at=at)
    # The leaf of a memory that was stored or changed stands for its links, too.
    alone = linked - {memory.id for memory in (*fresh, *stored)}
    await audit.append(connection, who, *trail.of_links("link.added", alone), at=at)
    return (
        {index: Outcome("created", memory) for index, memory in work.fresh.items()}
        | {index: Outcome("updated", memory) for index, memory in zip(work.revisions, stored, strict=True)}
        | work.unchanged
    )


def held_links(memory_id: UUID, draft: MemoryDraft, connector: str | None = None) -> list[NewLink]:
    """The links of a checked draft, as they are stored."""
    # An id can be spelled in several ways, a stored link only in one.
    spelled = (
        link.model_copy(update={"target": str(UUID(link.target))}) if link.target_kind is TargetKind.MEMORY else link
        for link in draft.links
    )
    return [NewLink(memory_id, link, connector=connector) for link in spelled]


def _by_source(memory: Memory) -> tuple[str, str]:
    return (memory.source.connector, memory.source.external_id or "") if memory.source else ("", "")


def new_memory(who: Principal, draft: MemoryDraft, at: datetime) -> Memory:
    """The memory a checked draft becomes, under an id of its own."""
    occurred_at = utc(draft.occurred_at) or at
    # The draft was validated when it was made, and PostgreSQL checks what is left.
    return trusted(
        Memory,
        {
            "id": new_id(),
            "organisation_id": who.organisation,
            "team_id": draft.team_id,
            "project": draft.project,
            "kind": draft.kind,
            "title": draft.title,
            "body": draft.body,
            "tags": _distinct(draft.tags),
            "source": _source(draft),
            "privacy": draft.privacy,
            "status": Status.ACTIVE,
            "status_reason": None,
            "valid_from": utc(draft.valid_from) or occurred_at,
            "valid_to": None,
            "superseded_by": None,
            "occurred_at": occurred_at,
            "created_at": at,
            "updated_at": at,
            "deleted_at": None,
            "created_by": who.person,
            "version": 1,
            "importance": draft.importance,
            "pinned": draft.pinned,
            "encryption": None,
            "trust": draft.trust,
        },
    )


def _merged(stored: Memory, draft: MemoryDraft) -> Memory:
    """``stored`` as its source now has it: what a source does not say (a person's pin, say) stays as it is."""
    named: dict[str, Any] = {
        name: getattr(draft, name) for name in _KEPT_UNLESS_NAMED if name in draft.model_fields_set
    }
    if named.get("privacy", stored.privacy) is Privacy.TEAM and named.get("team_id", stored.team_id) is None:
        named["team_id"] = stored.team_id
    if draft.occurred_at is not None:
        named["occurred_at"] = utc(draft.occurred_at)
        if stored.valid_from == stored.occurred_at:
            named["valid_from"] = named["occurred_at"]
    if draft.valid_from is not None:
        named["valid_from"] = utc(draft.valid_from)
    source = _source(draft)
    if source.updated_at is None and stored.source is not None:
        source = source.model_copy(update={"updated_at": stored.source.updated_at})
    content = {"title": draft.title, "body": draft.body, "tags": _distinct(draft.tags), "source": source}
    return stored.model_copy(update=named | content | {"deleted_at": None})


def _content(memory: Memory) -> dict[str, Any]:
    # A source that was seen again at a later time has not changed by that.
    source = memory.source.model_copy(update={"updated_at": None}) if memory.source else None
    return memory.__dict__ | {"source": source}


def _source(draft: MemoryDraft) -> Any:
    source = draft.source
    if source is None or source.updated_at is None:
        return source
    return source.model_copy(update={"updated_at": utc(source.updated_at)})


def _distinct(tags: Sequence[str]) -> list[str]:
    return list(dict.fromkeys(tags))


def utc(moment: datetime | None) -> Any:
    """The same moment in UTC."""
    return None if moment is None else moment.astimezone(UTC)
