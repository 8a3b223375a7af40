"""Operations on memories: write, read, list, change, and their life cycle."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from datetime import datetime
from typing import Any, TypedDict, Unpack

from devlore.calls import Call, keyed, nothing, one
from devlore.operations.arguments import Id, Several, as_body, given, params, several, under, waiting
from devlore.types import (
    BulkResult,
    Count,
    LinkDraft,
    Memory,
    MemoryDraft,
    MemoryPatch,
    Page,
    Privacy,
    Source,
    Trust,
)

_MANY_TIMEOUT = 180.0


class DraftFields(TypedDict, total=False):
    """The fields of a ``MemoryDraft`` as keyword arguments."""

    title: str
    body: str
    kind: str
    project: str | None
    tags: list[str]
    links: list[LinkDraft]
    source: Source | None
    privacy: Privacy | str
    team_id: Id | None
    occurred_at: datetime | None
    valid_from: datetime | None
    importance: float
    pinned: bool
    trust: Trust | str
    allow_secrets: bool


class Changes(TypedDict, total=False):
    """The fields of a ``MemoryPatch`` as keyword arguments; None clears a field that may be empty."""

    title: str
    body: str
    kind: str
    project: str | None
    tags: list[str]
    privacy: Privacy | str
    team_id: Id | None
    occurred_at: datetime | None
    importance: float
    pinned: bool
    allow_secrets: bool


class Filters(TypedDict, total=False):
    """What a listing may be narrowed by; several values of one filter are alternatives."""

    kind: Several
    project: Several
    tag: Several
    author: Several
    team: Several
    source: Several
    status: Several
    privacy: Several
    trust: Several
    pinned: bool | None
    after: datetime | None
    before: datetime | None
    deleted: bool
    external_id: str | None


def path_of(memory_id: Id, *more: Id | int) -> str:
    """The path of a memory or of something under it."""
    return under("/v1/memories", memory_id, *more)


def create(
    draft: MemoryDraft | None = None,
    /,
    *,
    wait: bool = False,
    idempotency_key: str | None = None,
    **fields: Unpack[DraftFields],
) -> Call[Memory]:
    """Store a memory, given as a draft or by its fields; committed when this returns.

    The same ``source`` again updates the memory it made. ``wait`` waits until it can be found by search.
    Raises ``Invalid``.
    """
    body = as_body(draft) if draft is not None else {}
    return Call("POST", "/v1/memories", one(Memory), waiting(wait), body | fields, headers=keyed(idempotency_key))


def get(memory_id: Id) -> Call[Memory]:
    """One memory; raises ``NotFound``."""
    return Call("GET", path_of(memory_id), one(Memory))


def list_memories(
    *, limit: int | None = None, cursor: str | None = None, **filters: Unpack[Filters]
) -> Call[Page[Memory]]:
    """One page of memories, newest first."""
    chosen: dict[str, Any] = dict(filters)
    pinned = chosen.get("pinned")
    if pinned is False:
        chosen["pinned"] = "false"
    lists = {name: several(chosen.pop(name, None)) for name in _LISTS}
    return Call("GET", "/v1/memories", one(Page[Memory]), params(**lists, **chosen, limit=limit, cursor=cursor))


_LISTS = ("kind", "project", "tag", "author", "team", "source", "status", "privacy", "trust")


def update(
    memory_id: Id, patch: MemoryPatch | None = None, /, *, version: int, wait: bool = False, **changes: Unpack[Changes]
) -> Call[Memory]:
    """Change fields of the memory whose ``version`` was read; raises ``VersionMismatch`` when it has moved on."""
    body = as_body(patch) if patch is not None else {}
    return Call(
        "PATCH",
        path_of(memory_id),
        one(Memory),
        waiting(wait),
        body | changes,
        headers={"If-Match": f'"{version}"', "Content-Type": "application/merge-patch+json"},
        # Sent twice, the second would find the version of the first and be refused.
        repeatable=False,
    )


def delete(memory_id: Id, *, purge: bool = False, version: int | None = None, wait: bool = False) -> Call[None]:
    """Delete a memory so that it can be restored, or with ``purge`` erase every trace of it."""
    match = {} if version is None else {"If-Match": f'"{version}"'}
    return Call("DELETE", path_of(memory_id), nothing, params(purge=purge) + waiting(wait), headers=match)


def restore(memory_id: Id, *, version: int | None = None, idempotency_key: str | None = None) -> Call[Memory]:
    """Bring back a deleted memory, or the content of an older ``version``."""
    return _act(memory_id, "restore", given(version=version), idempotency_key)


def supersede(memory_id: Id, by: Id, *, reason: str | None = None, idempotency_key: str | None = None) -> Call[Memory]:
    """Say that ``by`` has replaced a memory: it was true, and is kept as history. Raises ``Conflict``."""
    return _act(memory_id, "supersede", given(by=str(by), reason=reason), idempotency_key)


def invalidate(memory_id: Id, *, reason: str | None = None, idempotency_key: str | None = None) -> Call[Memory]:
    """Say that a memory was wrong. Raises ``Conflict``."""
    return _act(memory_id, "invalidate", given(reason=reason), idempotency_key)


def reinstate(memory_id: Id, *, reason: str | None = None, idempotency_key: str | None = None) -> Call[Memory]:
    """Say that a superseded or invalidated memory holds after all. Raises ``Conflict``."""
    return _act(memory_id, "reinstate", given(reason=reason), idempotency_key)


def bulk(
    items: Iterable[MemoryDraft | Mapping[str, Any]], *, wait: bool = False, idempotency_key: str | None = None
) -> Call[BulkResult]:
    """Store up to 1,000 drafts in one transaction; refused ones are reported by position and stop nobody."""
    return _many("/v1/memories/bulk", items, wait, idempotency_key)


def tags(*, limit: int | None = None, cursor: str | None = None) -> Call[Page[Count]]:
    """One page of tags with the number of memories that carry each."""
    return Call("GET", "/v1/tags", one(Page[Count]), params(limit=limit, cursor=cursor))


def projects(*, limit: int | None = None, cursor: str | None = None) -> Call[Page[Count]]:
    """One page of projects with the number of memories in each."""
    return Call("GET", "/v1/projects", one(Page[Count]), params(limit=limit, cursor=cursor))


def _act(memory_id: Id, verb: str, body: dict[str, Any], key: str | None) -> Call[Memory]:
    return Call("POST", path_of(memory_id, verb), one(Memory), body=body, headers=keyed(key))


def _many(path: str, items: Iterable[Any], wait: bool, key: str | None) -> Call[BulkResult]:
    body = {"items": [as_body(item) for item in items]}
    return Call("POST", path, one(BulkResult), waiting(wait), body, headers=keyed(key), timeout=_MANY_TIMEOUT)
