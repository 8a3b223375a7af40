"""What an exported record must satisfy to be taken in: each state is its own and could have been written here."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from datetime import datetime
from typing import Any

from pydantic import TypeAdapter, ValidationError
from pydantic_core import to_json

from devlore.problems import Invalid
from devlore.types import Link, LinkDraft, Memory, MemoryDraft, MemoryRecord, Privacy, Reason, Version
from devlore_server.kit.auth import Principal
from devlore_server.kit.http.rendering import told_path
from devlore_server.memory.checks import check_draft, check_time, refuse_all

VERSION_LIMIT = 1_000_000_000
"""Highest version taken in: half of what PostgreSQL's integer holds, so that a memory can still change afterwards."""
_ERRORS_SHOWN = 20
_TIMES = ("created_at", "updated_at", "valid_to", "deleted_at")
_NUL = re.compile(rb"(?<!\\)(?:\\\\)*\\u0000")

_reason = TypeAdapter(Reason | None)

Found = tuple[str, str]
"""A pointer into the record, and what is wrong there."""


def read_record(who: Principal, item: dict[str, Any]) -> MemoryRecord | Invalid:
    """The record in an item of an import, made the caller's own, or why it cannot be stored."""
    try:
        record = MemoryRecord.model_validate(item)
    except ValidationError as error:
        return refuse_all(list(_pointed("", error)))
    found = list(_faults(who, record))
    if found:
        return refuse_all(found[:_ERRORS_SHOWN])
    mine = {"organisation_id": who.organisation, "created_by": who.person}
    past = [one.model_copy(update={"memory": one.memory.model_copy(update=mine)}) for one in record.versions]
    return record.model_copy(update={"memory": record.memory.model_copy(update=mine), "versions": past})


def draft_of(link: Link) -> LinkDraft:
    """A stored link as it was handed in."""
    return LinkDraft(type=link.type, target_kind=link.target_kind, target=link.target, note=link.note)


def _faults(who: Principal, record: MemoryRecord) -> Iterator[Found]:
    yield from _state_faults(who, "/memory", record.memory, links=[draft_of(link) for link in record.links])
    for index, version in enumerate(record.versions):
        yield from _version_faults(who, f"/versions/{index}", version, record.memory)
    for index, link in enumerate(record.links):
        if link.memory_id != record.memory.id:
            yield f"/links/{index}/memory_id", "A record holds the links of its own memory."
        if link.score is not None and not 0 <= link.score <= 1:
            yield f"/links/{index}/score", "A score lies between 0 and 1."


def _version_faults(who: Principal, place: str, version: Version, memory: Memory) -> Iterator[Found]:
    if version.memory_id != memory.id or version.memory.id != memory.id:
        yield place + "/memory_id", "A record holds the versions of its own memory."
    if version.version != version.memory.version:
        yield place + "/version", "This is not the version of its state."
    yield from check_time(place + "/changed_at", version.changed_at)
    yield from _reason_faults(place + "/reason", version.reason)
    # Whether the caller is in the team it was for once does not matter: its past is the caller's alone from now on.
    own = {"privacy": Privacy.PRIVATE, "team_id": None}
    yield from _state_faults(who, place + "/memory", version.memory.model_copy(update=own))


def _state_faults(who: Principal, place: str, memory: Memory, *, links: Sequence[LinkDraft] = ()) -> Iterator[Found]:
    """What is wrong with one state: it keeps the rules of a draft, and holds nothing PostgreSQL cannot."""
    named = {name: getattr(memory, name) for name in MemoryDraft.model_fields if name not in ("links", "allow_secrets")}
    try:
        draft = MemoryDraft.model_validate(named)
    except ValidationError as error:
        yield from _pointed(place, error)
    else:
        # A memory may have come to hold more links than a draft may bring.
        if problem := check_draft(who, draft.model_copy(update={"links": list(links)})):
            for one in problem.extra["errors"]:
                pointer = one["pointer"]
                yield pointer if pointer.startswith("/links/") else place + pointer, one["detail"]
    if not 1 <= memory.version <= VERSION_LIMIT:
        yield place + "/version", f"A version lies between 1 and {VERSION_LIMIT:,}."
    for name in _TIMES:
        moment: datetime | None = getattr(memory, name)
        yield from check_time(f"{place}/{name}", moment)
    yield from _reason_faults(place + "/status_reason", memory.status_reason)
    if memory.encryption is not None and _NUL.search(to_json(memory.encryption)):
        yield place + "/encryption", "PostgreSQL cannot hold NUL."


def _reason_faults(place: str, reason: str | None) -> Iterator[Found]:
    try:
        _reason.validate_python(reason)
    except ValidationError as error:
        yield place, error.errors()[0]["msg"]


def _pointed(place: str, error: ValidationError) -> Iterator[Found]:
    for one in error.errors(include_url=False, include_context=False, include_input=False)[:_ERRORS_SHOWN]:
        yield "".join(f"/{part}" for part in (*place.split("/")[1:], *told_path(one))), one["msg"]
