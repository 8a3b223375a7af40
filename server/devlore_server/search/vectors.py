"""Owns the port to a vector index: the passages it takes, the searches it answers."""

from collections.abc import Collection, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import NamedTuple, Protocol
from uuid import UUID

from devlore_server.kit.auth import Principal
from devlore_server.kit.db import Connection
from devlore_server.search.bounded import NO_FILTERS
from devlore_server.search.embedder import Vectors
from devlore_server.search.lexical import Filters


class TextChanged(Exception):
    """Vectors were to be kept for a text that, meanwhile, is not the stored one: embed it."""


@dataclass(frozen=True, slots=True)
class VectorModel:
    """One generation of the index: all its vectors come from one embedding model."""

    id: int
    name: str
    spec: str
    configured: str
    dimension: int
    state: str


@dataclass(frozen=True, slots=True)
class Attributes:
    """What filters look at, in the words of the query language. `access` is the id of the one audience."""

    access: UUID
    kind: str
    project: str | None
    tag: Sequence[str]
    author: Sequence[str]
    team: str | None
    source: str | None
    privacy: str
    status: str
    occurred_at: datetime
    valid_from: datetime | None
    valid_to: datetime | None


@dataclass(frozen=True, slots=True)
class VectorDocument:
    """One memory as the index takes it; without `attributes` it is a tombstone.

    `spans` are the passages as [start, end) of the body and `vectors` theirs, row by row. `vectors` None keeps the
    stored ones, which holds while `digest` (of title and body) is the stored one.
    """

    id: UUID
    version: int
    digest: bytes = b""
    attributes: Attributes | None = None
    spans: Sequence[tuple[int, int]] = ()
    vectors: Vectors | None = None


@dataclass(frozen=True, slots=True)
class VectorQuery:
    """The passages nearest to `vector` within bounds; `unwanted` values exclude.

    `only_active` leaves out what no longer holds; `superseded` is how many of that to find besides.
    """

    vector: Vectors
    only_active: bool = True
    wanted: Filters = NO_FILTERS
    unwanted: Filters = NO_FILTERS
    superseded: int = 0


class VectorMatch(NamedTuple):
    """A memory with the cosine similarity of its best passage and where that stands in the body."""

    id: UUID
    score: float
    passage: int
    span: tuple[int, int]
    superseded: bool = False


@dataclass(frozen=True, slots=True)
class Stored:
    """What the index holds of a memory: the version, the text's digest, and how many passages were counted."""

    version: int
    digest: bytes


@dataclass(frozen=True, slots=True)
class Contents:
    """One generation's documents for doctor: version by (organisation, id), and those whose passages are missing."""

    versions: dict[tuple[UUID, UUID], int] = field(default_factory=dict)
    incomplete: list[UUID] = field(default_factory=list)


class VectorIndex(Protocol):
    """An index of passages by meaning, one generation per model, that can be built again from the rows."""

    async def known(self, model: VectorModel, organisation: UUID, ids: Collection[UUID]) -> dict[UUID, Stored]:
        """What is held of these memories, tombstones included."""

    async def upsert(
        self, connection: Connection, model: VectorModel, organisation: UUID, documents: Sequence[VectorDocument]
    ) -> set[UUID]:
        """Store what is newer than what is held, in the caller's transaction; answer which. Raises TextChanged."""

    async def nearest(self, model: VectorModel, who: Principal, query: VectorQuery, limit: int) -> list[VectorMatch]:
        """The best `limit` memories `who` may see, fewer only where fewer are visible within the bounds.

        Behind them the best of what was superseded, where the query asks for it.
        """

    async def near_duplicates(
        self, connection: Connection, model: VectorModel, organisation: UUID, ids: Collection[UUID], threshold: float
    ) -> dict[UUID, list[tuple[UUID, float]]]:
        """For each memory, others that say nearly the same, best first, with their similarity."""

    async def centre(self, model: VectorModel, organisation: UUID, id: UUID) -> Vectors | None:
        """The mean of a memory's vectors, or None while it has none."""

    async def sizes(self, model: VectorModel) -> tuple[int, int]:
        """How many memories and passages a generation holds, over all organisations."""

    async def seen(self, model: VectorModel, who: Principal) -> int:
        """How many memories that `who` may see a generation holds."""

    async def contents(self, model: VectorModel) -> Contents:
        """Everything a generation holds."""
