"""Committed facts as they leave in the event log: names, and the shape each carries."""

from __future__ import annotations

from typing import Any, Literal
from uuid import UUID

from pydantic import AwareDatetime

from devlore.types import Memory, Model

EventType = Literal[
    "memory.created",
    "memory.updated",
    "memory.deleted",
    "memory.restored",
    "memory.purged",
    "search.near_duplicates_found",
]


class Event(Model):
    """One committed fact. Consumers are idempotent by ``(subject, version)``.

    ``data`` is a ``MemorySnapshot`` dump for ``memory.created|updated|deleted|restored``, empty for
    ``memory.purged``, a ``NearDuplicates`` dump for ``search.near_duplicates_found``.
    """

    id: UUID
    type: EventType
    organisation_id: UUID
    subject: UUID
    version: int
    occurred_at: AwareDatetime
    data: dict[str, Any]


class MemorySnapshot(Model):
    """The state of a memory after the change."""

    memory: Memory


class NearDuplicate(Model):
    """A memory that says nearly the same, with the cosine similarity of their best passages (0–1)."""

    memory_id: UUID
    score: float


class NearDuplicates(Model):
    """Near-duplicates of the event's subject; ``seen_by`` is its author, as whom the links are stored."""

    seen_by: UUID
    found: list[NearDuplicate]
