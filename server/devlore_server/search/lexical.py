"""Owns the port to a lexical index: the documents it takes, the queries it answers, how it fails."""

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import NamedTuple, Protocol
from uuid import UUID

Key = tuple[UUID, UUID]
"""An organisation and a memory of it. An id alone does not name a memory: an import keeps ids, in any organisation."""

FACETS = ("kind", "project", "tag", "author", "source", "status", "privacy")
"""What the index can count hits by."""


class IndexUnusable(Exception):
    """The index on disk cannot serve; it is disposable, so the answer is a rebuild from the rows."""


class IndexCorrupted(IndexUnusable):
    """Files of the index are missing or damaged."""


class IndexIncompatible(IndexUnusable):
    """The index was written in another format, by another version or for another language."""


@dataclass(frozen=True, slots=True)
class LexicalDocument:
    """One memory as the index takes it.

    `access` is its one access token: `o:<organisation>`, `t:<team>` or `p:<person>`, whoever may see it. `authors` are
    the names and ids a person may be asked for by. `passages` are the texts of `passages.split`, in order.
    """

    id: UUID
    version: int
    organisation: UUID
    access: str
    title: str
    body: str
    passages: Sequence[str]
    kind: str
    status: str
    privacy: str
    created_at: datetime
    occurred_at: datetime
    project: str | None = None
    tags: Sequence[str] = ()
    authors: Sequence[str] = ()
    team: UUID | None = None
    source: str | None = None
    valid_from: datetime | None = None
    valid_to: datetime | None = None


@dataclass(frozen=True, slots=True)
class Filters:
    """What a hit must be, beside matching: any of the values within a field, all of the fields. Empty means any.

    `occurred` and `created` are half-open ranges [from, to). `as_of` keeps what was valid at that moment.
    """

    kind: Collection[str] = ()
    project: Collection[str] = ()
    tag: Collection[str] = ()
    author: Collection[str] = ()
    team: Collection[str] = ()
    source: Collection[str] = ()
    privacy: Collection[str] = ()
    status: Collection[str] = ()
    occurred: tuple[datetime | None, datetime | None] = (None, None)
    created: tuple[datetime | None, datetime | None] = (None, None)
    as_of: datetime | None = None


@dataclass(frozen=True, slots=True)
class LexicalQuery:
    """A search: free text of which any word may match, phrases that must occur, texts that must not.

    `organisation` and `access` (the caller's tokens, at least one) bound what can be found, and among what words are
    rare: a score says nothing of what others write but how much there is of it.
    """

    organisation: UUID
    access: Collection[str]
    text: str = ""
    phrases: Sequence[str] = ()
    excluded: Sequence[str] = ()
    filters: Filters = field(default_factory=Filters)


class Match(NamedTuple):
    """A memory one arm found. `passage` is the ordinal of its best passage, None from the memory arm."""

    id: UUID
    score: float
    passage: int | None = None


@dataclass(frozen=True, slots=True)
class LexicalMatches:
    """What the two arms found, each best first, at most one match per memory.

    A ceiling is the score of an imaginary perfect match, 0 for a query without words.
    """

    memories: Sequence[Match]
    passages: Sequence[Match]
    memory_ceiling: float = 0.0
    passage_ceiling: float = 0.0


class LexicalIndex(Protocol):
    """A full-text index that can be thrown away and built again. Methods block: call them in a thread."""

    def upsert(self, documents: Sequence[LexicalDocument]) -> int:
        """Store what is newer than what is held; return how many were."""

    def delete(self, versions: Mapping[Key, int]) -> int:
        """Remove memories as of these versions; an older upsert that comes later stays without effect."""

    def purge(self, keys: Collection[Key]) -> None:
        """Remove every trace of memories, tombstones included."""

    def commit(self) -> None:
        """Make what was written durable and searchable."""

    def search(self, query: LexicalQuery, limit: int) -> LexicalMatches:
        """Find the best `limit` memories by each arm; without words every memory within the filters scores 0."""

    def matching(self, query: LexicalQuery, ids: Collection[UUID]) -> set[UUID]:
        """The ids among `ids` that satisfy filters, access, phrases and exclusions (the words are ignored)."""

    def facets(self, query: LexicalQuery, names: Collection[str], size: int = 20) -> dict[str, dict[str, int]]:
        """Count the hits of `query` by the values of each named facet, most frequent first."""

    def count(self) -> int:
        """How many memories the index holds."""

    def contents(self) -> dict[Key, int]:
        """Every memory held, of all organisations, with its version."""

    def close(self) -> None:
        """Release files and threads; what is not committed is lost."""
