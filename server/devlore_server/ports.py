"""Every synchronous call from one service to another, as Protocols."""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import datetime
from typing import Any, Protocol
from uuid import UUID

from devlore.types import Memory, MemoryDraft, Status
from devlore_server.kit.auth import Principal


@dataclass(frozen=True, slots=True)
class IngestDraft:
    """One memory from a connector; ``draft.source`` carries connector and external id.

    ``superseded_by`` is the external id, in the same connector, of the memory that replaced it.
    """

    draft: MemoryDraft
    status: Status = Status.ACTIVE
    status_reason: str | None = None
    superseded_by: str | None = None


@dataclass(frozen=True, slots=True)
class Ingest:
    """A connector's batch: drafts to upsert, external ids that are gone, and the checkpoint behind them.

    Stored in one transaction, checkpoint included, so a crash repeats or skips nothing.
    """

    connection_id: UUID
    connector: str
    drafts: list[IngestDraft]
    deleted: list[str] = field(default_factory=list)
    checkpoint: dict[str, Any] | None = None


@dataclass(frozen=True, slots=True)
class IngestResult:
    """Counts of what a batch did; ``refused`` pairs an external id with the reason."""

    created: int
    updated: int
    unchanged: int
    deleted: int
    refused: list[tuple[str, str]]


class Memories(Protocol):
    """What others may ask of the memory service."""

    async def visible(self, who: Principal, ids: list[UUID]) -> list[Memory]:
        """The memories among ``ids`` that ``who`` may see and that are not deleted, in no particular order."""
        ...

    async def scan(self, after: tuple[UUID, UUID] | None, limit: int) -> list[Memory]:
        """Every organisation's memories that are not deleted, by (organisation, id) after ``after``.

        For rebuilding indexes; no caller's request may reach it.
        """
        ...

    async def count(self) -> int:
        """How many memories ``scan`` would return in all."""
        ...

    async def ingest(self, who: Principal, batch: Ingest) -> IngestResult:
        """Store a connector's batch and its checkpoint in one transaction."""
        ...

    async def checkpoint(self, who: Principal, connection_id: UUID) -> dict[str, Any] | None:
        """The checkpoint stored with the last batch of a connection."""
        ...

    async def forget_checkpoint(self, who: Principal, connection_id: UUID) -> None:
        """Drop a connection's checkpoint: its next sync reads everything again."""
        ...

    async def masked(self, who: Principal, texts: list[str]) -> list[str]:
        """Texts that a source brought beside its drafts (names of items, why one failed), with their secrets masked.

        The name of an item comes out as it does in the drafts and deletions of ``ingest``.
        """
        ...


class Indexing(Protocol):
    """What others may ask of the search service."""

    async def wait(self, timeout: float) -> list[str]:
        """Wait until everything committed before the call is searchable.

        Returns the names of the indexes that did not catch up within ``timeout`` seconds.
        """
        ...


@dataclass(frozen=True, slots=True)
class Standing:
    """What a credential is good for at this moment, as identity knows it.

    ``role``, ``teams`` and ``scopes`` are the person's in ``organisation`` right now; a key's scopes are those it was
    given and its person still has. ``session`` is the session's id, ``key`` the API key's; one of them is set.
    ``authenticated_at`` is when the person last proved who they are (for a key: when it was made).
    """

    organisation: UUID
    person: UUID
    role: str
    teams: frozenset[UUID]
    scopes: frozenset[str]
    session: str | None
    authenticated_at: datetime
    expires_at: datetime | None
    key: str | None = None


class Identity(Protocol):
    """What others may ask of the identity service: whether a credential holds, asked of the database each time.

    None means that it does not: unknown, revoked, expired, its person disabled or no longer a member, its
    organisation being deleted.
    """

    async def session(self, sid: UUID, person: UUID, organisation: UUID) -> Standing | None:
        """The standing of a session that an access token names; None when the token says another person than it is."""
        ...

    async def cookie(self, digest: bytes) -> Standing | None:
        """The standing of the browser session whose secret has this SHA-256."""
        ...

    async def key(self, key_id: str, digest: bytes, network: str | None) -> Standing | None:
        """The standing of the API key with this id whose secret has this SHA-256; notes the use and its network."""
        ...

    async def familiar(self, network: str, *, email: str | None = None, person: UUID | None = None) -> bool:
        """Whether whoever has this address, or this id, signed in from this /24 or /48 within the last 90 days."""
        ...

    async def keyset(self) -> dict[str, Any]:
        """The public keys that access tokens are signed with, as a JSON Web Key Set (RFC 7517)."""
        ...
