"""A memory: what is handed in, what is stored, its versions, links and lifecycle."""

from __future__ import annotations

from typing import Annotated, Any, Literal
from uuid import UUID

from pydantic import AwareDatetime, Field, StringConstraints

from devlore.types.model import (
    ALLOW_SECRETS,
    NO_NUL,
    TAGS_LIMIT,
    Body,
    Kind,
    LinkType,
    Model,
    Privacy,
    ProjectSlug,
    Reason,
    ShortText,
    Status,
    Tag,
    TargetKind,
    Title,
    Trust,
)


class Source(Model):
    """Where a memory came from; ``(connector, external_id)`` is unique in an organisation."""

    connector: Annotated[str, StringConstraints(pattern=r"^[a-z][a-z0-9_-]*$", max_length=40)]
    external_id: Annotated[str, StringConstraints(pattern=r"^[^\x00]+$", max_length=1_000)] | None = None
    url: Annotated[str, StringConstraints(pattern=NO_NUL, max_length=2_000)] | None = None
    author: ShortText | None = None
    updated_at: AwareDatetime | None = Field(
        default=None, description="When the source last changed it: an upsert with an older time is ignored."
    )


class LinkDraft(Model):
    """A link to add: to a memory by id, or outwards by a URL, commit, file (``path#L3-L9``) or ticket."""

    type: LinkType = LinkType.RELATES_TO
    target_kind: TargetKind
    target: Annotated[str, StringConstraints(pattern=r"^[^\x00]+$", max_length=2_000)]
    note: ShortText | None = None


class Link(LinkDraft):
    """A stored link as seen from one memory; ``incoming`` means the other memory points here."""

    id: UUID
    memory_id: UUID
    direction: Literal["outgoing", "incoming"]
    score: float | None = None
    created_at: AwareDatetime


class MemoryDraft(Model):
    """What a person or connector hands in; everything else is the server's."""

    title: Title = ""
    body: Body = ""
    kind: Kind = "note"
    project: ProjectSlug | None = None
    tags: Annotated[list[Tag], Field(max_length=TAGS_LIMIT)] = []
    links: Annotated[list[LinkDraft], Field(max_length=200)] = []
    source: Source | None = None
    privacy: Privacy = Privacy.PRIVATE
    team_id: UUID | None = None
    occurred_at: AwareDatetime | None = None
    valid_from: AwareDatetime | None = None
    importance: Annotated[float, Field(ge=0, le=1)] = 0.5
    pinned: bool = False
    trust: Trust = Trust.PERSON
    allow_secrets: bool = Field(default=False, description=ALLOW_SECRETS)


class MemoryPatch(Model):
    """A merge patch (RFC 7396): only the fields that are sent change; null clears a nullable one."""

    title: Title | None = None
    body: Body | None = None
    kind: Kind | None = None
    project: ProjectSlug | None = None
    tags: Annotated[list[Tag], Field(max_length=TAGS_LIMIT)] | None = None
    privacy: Privacy | None = None
    team_id: UUID | None = None
    occurred_at: AwareDatetime | None = None
    importance: Annotated[float, Field(ge=0, le=1)] | None = None
    pinned: bool | None = None
    allow_secrets: bool = Field(default=False, description=ALLOW_SECRETS)


class Memory(Model):
    """A memory as stored. ``version`` starts at 1 and grows by one with every change.

    ``superseded_by`` is null, too, when what replaced it is not the reader's to see.
    """

    id: UUID
    organisation_id: UUID
    team_id: UUID | None
    project: str | None
    kind: str
    title: str
    body: str
    tags: list[str]
    source: Source | None
    privacy: Privacy
    status: Status
    status_reason: str | None
    valid_from: AwareDatetime | None
    valid_to: AwareDatetime | None
    superseded_by: UUID | None
    occurred_at: AwareDatetime
    created_at: AwareDatetime
    updated_at: AwareDatetime
    deleted_at: AwareDatetime | None
    created_by: UUID
    version: int
    importance: float
    pinned: bool
    encryption: dict[str, Any] | None
    trust: Trust


class Version(Model):
    """One state of a memory and who made it, newest first in lists."""

    memory_id: UUID
    version: int
    change: Literal["created", "edited", "status", "deleted", "restored", "imported", "transferred"]
    changed_at: AwareDatetime
    changed_by: UUID
    reason: str | None
    memory: Memory


class FieldChange(Model):
    """A field whose value differs between two versions."""

    field: str
    old: Any
    new: Any


class Diff(Model):
    """What changed between two versions; ``body`` is a unified diff (empty when equal)."""

    memory_id: UUID
    old_version: int
    new_version: int
    fields: list[FieldChange]
    body: str


class Supersession(Model):
    """Ask that ``by`` replaces a memory."""

    by: UUID
    reason: Reason | None = None


class StatusChange(Model):
    """Why a memory is invalidated or reinstated."""

    reason: Reason | None = None


class Restoration(Model):
    """Bring back a deleted memory, or the content of an older ``version``."""

    version: Annotated[int, Field(ge=1)] | None = None
