"""The language of Devlore: the public types every face, service and client shares."""

from __future__ import annotations

from enum import StrEnum
from typing import Annotated, Any, Generic, Literal, TypeVar
from uuid import UUID

from pydantic import AwareDatetime, BaseModel, ConfigDict, Field, StringConstraints

KINDS = (
    "decision",
    "bug-fix",
    "snippet",
    "architecture",
    "meeting",
    "insight",
    "tip",
    "documentation",
    "design",
    "ticket",
    "change",
    "incident",
    "question",
    "link",
    "note",
)
"""The kinds every organisation starts with; an organisation may use more."""

TITLE_LIMIT = 500
"""Longest title, in characters."""
BODY_LIMIT = 1_048_576
"""Longest body, in bytes of UTF-8."""
BULK_LIMIT = 1_000
"""Most memories in one bulk request."""

_slug = StringConstraints(pattern=r"^[a-z0-9][a-z0-9._/-]*$", max_length=100)
# PostgreSQL's text cannot hold NUL; refusing it here keeps it a 422 with a pointer.
_no_nul = r"^[^\x00]*$"

Kind = Annotated[str, StringConstraints(pattern=r"^[a-z][a-z0-9-]*$", max_length=40)]
ProjectSlug = Annotated[str, _slug]
Tag = Annotated[str, StringConstraints(pattern=r"^[^\s,\x00][^,\x00]*$", max_length=100)]
ShortText = Annotated[str, StringConstraints(pattern=_no_nul, max_length=500)]
Title = Annotated[str, StringConstraints(pattern=_no_nul, max_length=TITLE_LIMIT, strip_whitespace=True)]
Body = Annotated[str, StringConstraints(pattern=_no_nul, max_length=BODY_LIMIT)]
Reason = Annotated[str, StringConstraints(pattern=_no_nul, max_length=2_000, strip_whitespace=True)]


class Privacy(StrEnum):
    """Who may see a memory."""

    PRIVATE = "private"
    TEAM = "team"
    PUBLIC = "public"


class Status(StrEnum):
    """Whether a memory holds now: ``superseded`` was true once, ``invalidated`` never was."""

    ACTIVE = "active"
    SUPERSEDED = "superseded"
    INVALIDATED = "invalidated"


class Trust(StrEnum):
    """Where a memory's words come from, least trusted last."""

    PERSON = "person"
    CONNECTOR = "connector"
    AGENT = "agent"
    UNTRUSTED = "untrusted"


class LinkType(StrEnum):
    """What a link says: ``<memory> <type> <target>``."""

    RELATES_TO = "relates_to"
    DERIVED_FROM = "derived_from"
    SUPERSEDES = "supersedes"
    CONTRADICTS = "contradicts"
    FIXES = "fixes"
    MENTIONS = "mentions"
    DUPLICATES = "duplicates"
    NEAR_DUPLICATE = "near_duplicate"


class TargetKind(StrEnum):
    """What a link points at."""

    MEMORY = "memory"
    URL = "url"
    COMMIT = "commit"
    FILE = "file"
    TICKET = "ticket"


class Model(BaseModel):
    """Shared behaviour: unknown fields are an error, values are immutable."""

    model_config = ConfigDict(extra="forbid", frozen=True)


class Source(Model):
    """Where a memory came from; ``(connector, external_id)`` is unique in an organisation."""

    connector: Annotated[str, StringConstraints(pattern=r"^[a-z][a-z0-9_-]*$", max_length=40)]
    external_id: Annotated[str, StringConstraints(pattern=r"^[^\x00]+$", max_length=1_000)] | None = None
    url: Annotated[str, StringConstraints(pattern=_no_nul, max_length=2_000)] | None = None
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
    tags: Annotated[list[Tag], Field(max_length=50)] = []
    links: Annotated[list[LinkDraft], Field(max_length=200)] = []
    source: Source | None = None
    privacy: Privacy = Privacy.PRIVATE
    team_id: UUID | None = None
    occurred_at: AwareDatetime | None = None
    valid_from: AwareDatetime | None = None
    importance: Annotated[float, Field(ge=0, le=1)] = 0.5
    pinned: bool = False
    trust: Trust = Trust.PERSON


class MemoryPatch(Model):
    """A merge patch (RFC 7396): only the fields that are sent change; null clears a nullable one."""

    title: Title | None = None
    body: Body | None = None
    kind: Kind | None = None
    project: ProjectSlug | None = None
    tags: Annotated[list[Tag], Field(max_length=50)] | None = None
    privacy: Privacy | None = None
    team_id: UUID | None = None
    occurred_at: AwareDatetime | None = None
    importance: Annotated[float, Field(ge=0, le=1)] | None = None
    pinned: bool | None = None


class Memory(Model):
    """A memory as stored. ``version`` starts at 1 and grows by one with every change."""

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
    change: Literal["created", "edited", "status", "deleted", "restored", "imported"]
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


class Count(Model):
    """How many memories carry a value (a tag, a project, a facet)."""

    value: str
    count: int


T = TypeVar("T")


class Page(Model, Generic[T]):
    """One page; ``next`` is the opaque cursor of the following one, null at the end."""

    items: list[T]
    next: str | None


class ProblemBody(BaseModel):
    """An RFC 9457 problem as it travels; ``errors`` point into the body by JSON pointer (RFC 6901)."""

    model_config = ConfigDict(extra="allow")
    type: str
    title: str
    status: int
    code: str
    detail: str | None = None
    errors: list[dict[str, Any]] | None = None


class BulkRequest(Model):
    """Up to 1,000 drafts, stored in one transaction."""

    items: Annotated[list[dict[str, Any]], Field(min_length=1, max_length=BULK_LIMIT)]


class BulkItem(Model):
    """What became of one draft: 201 created, 200 updated or unchanged, 422 refused."""

    index: int
    status: int
    result: Literal["created", "updated", "unchanged", "refused"]
    id: UUID | None = None
    version: int | None = None
    problem: ProblemBody | None = None


class BulkResult(Model):
    """Per-item outcomes in the order of the request."""

    items: list[BulkItem]
    created: int
    updated: int
    unchanged: int
    refused: int


class MemoryRecord(Model):
    """A memory with all its versions and outgoing links: one line of an export."""

    memory: Memory
    versions: list[Version] = []
    links: list[Link] = []


class ImportRequest(Model):
    """Up to 1,000 exported records; existing newer versions win."""

    items: Annotated[list[dict[str, Any]], Field(min_length=1, max_length=BULK_LIMIT)]


# ------------------------------------------------------------------ search


class SearchRequest(Model):
    """A search. ``q`` is in the query language; the other fields add to its filters."""

    q: Annotated[str, StringConstraints(max_length=32_768)] = ""
    kind: list[Kind] = []
    project: list[str] = []
    tag: list[str] = []
    author: list[str] = []
    source: list[str] = []
    privacy: list[Privacy] = []
    status: list[Literal["active", "superseded", "invalidated", "any"]] = []
    after: AwareDatetime | None = None
    before: AwareDatetime | None = None
    as_of: AwareDatetime | None = None
    limit: Annotated[int, Field(ge=1, le=100)] = 10
    cursor: str | None = None
    facets: list[Literal["kind", "project", "tag", "author", "source", "status", "privacy"]] = []
    explain: bool = False
    legs: list[Literal["lexical", "vector"]] = Field(default=[], description="Only these legs; all when empty.")


class Highlight(Model):
    """Where the query matched: half-open ``[start, end)`` character offsets into the field's excerpt."""

    field: Literal["title", "body"]
    excerpt: str
    offset: int = Field(description="Where the excerpt starts in the field, in characters.")
    spans: list[tuple[int, int]]


class LegScore(Model):
    """What one leg said of a hit; ``rank`` counts from 1, null when the leg did not return it."""

    leg: str
    rank: int | None
    score: float | None
    contribution: float


class Explanation(Model):
    """Why a hit stands where it stands: legs, then bounded factors multiplied in."""

    legs: list[LegScore]
    factors: dict[str, float]
    passage: tuple[int, int] | None = None


class SearchHit(Model):
    """A found memory, fresh from its row."""

    memory: Memory
    score: float
    highlights: list[Highlight]
    duplicates: int = Field(default=0, description="Near-duplicates collapsed into this hit.")
    explanation: Explanation | None = None


class SearchPage(Model):
    """Hits, best first. ``degraded`` names legs that did not answer in time."""

    items: list[SearchHit]
    next: str | None
    degraded: list[str]
    facets: dict[str, list[Count]]
    took_ms: float


class RebuildRequest(Model):
    """Rebuild the search index from the rows; ``embedder`` switches to another model when complete."""

    embedder: ShortText | None = None


class IndexStatus(Model):
    """How far one index has come: ``lag`` counts events not yet applied."""

    name: str
    state: Literal["ready", "catching-up", "rebuilding", "unavailable"]
    documents: int
    lag: int
    parked: int
    rate: float | None = Field(default=None, description="Documents per second over the last minute.")
    eta_seconds: float | None = None
    model: str | None = None
    detail: str | None = None


class SearchStatus(Model):
    """State of every search index and of a running rebuild."""

    indexes: list[IndexStatus]
    embedder: str
    rebuild: dict[str, Any] | None


class CheckResult(Model):
    """Doctor's answer: rows of ``memory`` against each index."""

    clean: bool
    memories: int
    indexes: list[dict[str, Any]]
    problems: list[str]


# ------------------------------------------------------------------ integration


class ConnectionDraft(Model):
    """A source of memories to configure, e.g. ``{"connector": "git", "config": {"path": "/src/app"}}``."""

    connector: Annotated[str, StringConstraints(pattern=r"^[a-z][a-z0-9_-]*$", max_length=40)]
    name: ShortText | None = None
    project: ProjectSlug | None = None
    config: dict[str, Any] = {}
    watch: bool = False


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


