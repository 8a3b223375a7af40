"""Sources of memories: connections and their syncs."""

from __future__ import annotations

from typing import Annotated, Any, Literal
from uuid import UUID

from pydantic import AwareDatetime, StringConstraints

from devlore.types.model import Model, ProjectSlug, ShortText


class ConnectionDraft(Model):
    """A source of memories to configure, e.g. ``{"connector": "git", "config": {"path": "/src/app"}}``."""

    connector: Annotated[str, StringConstraints(pattern=r"^[a-z][a-z0-9_-]*$", max_length=40)]
    name: ShortText | None = None
    project: ProjectSlug | None = None
    config: dict[str, Any] = {}
    watch: bool = False


class ConnectionPatch(Model):
    """A merge patch (RFC 7396) of a connection: only the fields that are sent change, settings one by one."""

    name: ShortText | None = None
    project: ProjectSlug | None = None
    config: dict[str, Any] | None = None
    watch: bool | None = None


class Connection(Model):
    """A configured connector and how far it has read."""

    id: UUID
    connector: str
    name: str
    project: str | None
    config: dict[str, Any]
    watch: bool
    created_at: AwareDatetime
    last_synced_at: AwareDatetime | None
    checkpoint: dict[str, Any] | None


class SyncRequest(Model):
    """Start a sync; ``full`` forgets the checkpoint and reads everything again."""

    full: bool = False


class SyncFailure(Model):
    """One item of the source that could not be read; the rest was."""

    item: str
    reason: str


class Sync(Model):
    """One run of a connection. ``total`` is null until the source has been counted."""

    id: UUID
    connection_id: UUID
    state: Literal["queued", "running", "done", "failed", "cancelled"]
    total: int | None
    done: int
    created: int
    updated: int
    unchanged: int
    deleted: int
    failed: int
    failures: list[SyncFailure]
    error: str | None
    started_at: AwareDatetime | None
    finished_at: AwareDatetime | None
