"""Searching: the request, its hits with the reasons for them, and the state of the indexes."""

from __future__ import annotations

from typing import Annotated, Any, Literal
from uuid import UUID

from pydantic import AwareDatetime, Field, StringConstraints

from devlore.types.memory import Memory
from devlore.types.model import Count, Kind, Model, Privacy, ShortText


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


class Replaced(Model):
    """A superseded memory, by name."""

    id: UUID
    title: str


class SearchHit(Model):
    """A found memory, fresh from its row."""

    memory: Memory
    instead_of: Replaced | None = Field(
        default=None, description="The superseded memory that matched, where this hit is what holds in its place."
    )
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
