"""Committed facts as they leave in the event log: names, and the shape each carries."""

from __future__ import annotations

from typing import Any, Literal
from uuid import UUID

from pydantic import AwareDatetime

from devlore.types import Memory, Model, Privacy

EventType = Literal[
    "memory.created",
    "memory.updated",
    "memory.deleted",
    "memory.restored",
    "memory.purged",
    "search.near_duplicates_found",
    "identity.member_removed",
    "identity.departure_settled",
    "identity.organisation_erased",
]


class Event(Model):
    """One committed fact. Consumers are idempotent by ``(subject, version)``.

    ``audience`` is who may know of it: the id of the organisation (everybody in it), of a team, or of one person.
    ``data`` is a ``MemorySnapshot`` dump for ``memory.created|updated|deleted|restored``, a ``NearDuplicates`` dump for
    ``search.near_duplicates_found``, a ``DepartureSettled`` dump for ``identity.departure_settled``, and empty for
    ``memory.purged``, ``identity.member_removed`` (its subject is the person) and ``identity.organisation_erased``.
    """

    id: UUID
    type: EventType
    organisation_id: UUID
    subject: UUID
    version: int
    audience: UUID
    occurred_at: AwareDatetime
    data: dict[str, Any]


def audience_of(memory: Memory) -> UUID:
    """Who may know of what happens to a memory: its organisation, its team, or its author alone."""
    if memory.privacy is Privacy.PUBLIC:
        return memory.organisation_id
    if memory.privacy is Privacy.TEAM and memory.team_id is not None:
        return memory.team_id
    return memory.created_by


class MemorySnapshot(Model):
    """The state of a memory after the change, but for ``superseded_by``, which is always null.

    Everybody in the event's audience is told the same, and the successor may be for fewer: whoever needs it reads the
    memory as themselves.
    """

    memory: Memory


class NearDuplicate(Model):
    """A memory that says nearly the same, with the cosine similarity of their best passages (0–1)."""

    memory_id: UUID
    score: float


class NearDuplicates(Model):
    """Near-duplicates of the event's subject; ``seen_by`` is its author, as whom the links are stored."""

    seen_by: UUID
    found: list[NearDuplicate]


class DepartureSettled(Model):
    """What ``settled_by`` decided of the memories that a person who left kept private: they are ``to``'s now, or gone.

    Those from before the event: somebody who came back since keeps what they stored since.
    """

    person: UUID
    action: Literal["transfer", "purge"]
    to: UUID | None
    settled_by: UUID
