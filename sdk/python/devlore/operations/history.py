"""Operations on what surrounds a memory: its versions, its links, and moving it between instances."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from typing import Any

from pydantic import ValidationError

from devlore.calls import Answer, Call, Unreadable, keyed, nothing, one
from devlore.operations.arguments import Id, as_body, given, params
from devlore.operations.memories import path_of
from devlore.types import BulkResult, Diff, Link, LinkDraft, LinkType, MemoryRecord, Page, TargetKind, Version

_TRANSFER_TIMEOUT = 300.0


def versions(memory_id: Id, *, limit: int | None = None, cursor: str | None = None) -> Call[Page[Version]]:
    """One page of a memory's states, newest first."""
    return Call("GET", path_of(memory_id, "versions"), one(Page[Version]), params(limit=limit, cursor=cursor))


def version(memory_id: Id, number: int) -> Call[Version]:
    """One state of a memory; raises ``NotFound``."""
    return Call("GET", path_of(memory_id, "versions", number), one(Version))


def diff(memory_id: Id, *, old: int | None = None, new: int | None = None) -> Call[Diff]:
    """What changed between two versions; without numbers, by the last change."""
    return Call("GET", path_of(memory_id, "diff"), one(Diff), params(old=old, new=new))


def links(memory_id: Id, *, limit: int | None = None, cursor: str | None = None) -> Call[Page[Link]]:
    """One page of the links from and to a memory."""
    return Call("GET", path_of(memory_id, "links"), one(Page[Link]), params(limit=limit, cursor=cursor))


def link(
    memory_id: Id,
    target: str,
    *,
    type: LinkType | str = LinkType.RELATES_TO,
    target_kind: TargetKind | str = TargetKind.MEMORY,
    note: str | None = None,
    idempotency_key: str | None = None,
) -> Call[Link]:
    """Link a memory to another one, or outwards to a URL, commit, file or ticket."""
    body = given(type=str(type), target_kind=str(target_kind), target=str(target), note=note)
    return Call("POST", path_of(memory_id, "links"), one(Link), body=body, headers=keyed(idempotency_key))


def add_link(memory_id: Id, draft: LinkDraft, *, idempotency_key: str | None = None) -> Call[Link]:
    """Add a link that is already a ``LinkDraft``."""
    headers = keyed(idempotency_key)
    return Call("POST", path_of(memory_id, "links"), one(Link), body=as_body(draft), headers=headers)


def unlink(memory_id: Id, link_id: Id) -> Call[None]:
    """Remove a link."""
    return Call("DELETE", path_of(memory_id, "links", link_id), nothing)


def export(*, project: str | None = None, deleted: bool = False) -> Call[Callable[[bytes], MemoryRecord]]:
    """Every memory with its versions and outgoing links, one per line as it is read."""
    chosen = params(project=project, deleted=deleted)
    headers = {"Accept": "application/x-ndjson"}
    return Call("GET", "/v1/memories/export", _record_reader, chosen, headers=headers, timeout=_TRANSFER_TIMEOUT)


def import_records(
    records: Iterable[MemoryRecord | Mapping[str, Any]],
    *,
    allow_secrets: bool = False,
    idempotency_key: str | None = None,
) -> Call[BulkResult]:
    """Store up to 1,000 exported records with their ids, versions, times and links; newer versions here win.

    ``allow_secrets`` takes secrets in them as they are, whatever the organisation's policy.
    """
    items = [r.model_dump(mode="json") if isinstance(r, MemoryRecord) else dict(r) for r in records]
    headers = keyed(idempotency_key)
    return Call(
        "POST",
        "/v1/memories/import",
        one(BulkResult),
        body={"items": items} | given(allow_secrets=allow_secrets or None),
        headers=headers,
        timeout=_TRANSFER_TIMEOUT,
    )


def _record_reader(_: Answer) -> Callable[[bytes], MemoryRecord]:
    def read(line: bytes) -> MemoryRecord:
        try:
            return MemoryRecord.model_validate_json(line, extra="ignore")
        except ValidationError as error:
            raise Unreadable(f"A line of the export is not a memory: {error.errors()[0]['msg']}.") from error

    return read
