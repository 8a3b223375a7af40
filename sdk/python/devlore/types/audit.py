"""The audit trail as it is read: one leaf for each change, refusal and sensitive read, and what leaves may say."""

from __future__ import annotations

from typing import Annotated, Any, Literal
from uuid import UUID

from pydantic import AwareDatetime, Field, PlainSerializer

from devlore.types.model import Model

AuditAction = Literal[
    # memories
    "memory.created",
    "memory.updated",
    "memory.deleted",
    "memory.restored",
    "memory.purged",
    "memory.imported",
    "memory.superseded",
    "memory.invalidated",
    "memory.reinstated",
    "memory.exported",
    "memory.transferred",
    "link.added",
    "link.removed",
    # secrets found in content
    "secret.redacted",
    "secret.blocked",
    "secret.flagged",
    "secret.overridden",
    "policy.changed",
    # sources
    "connection.created",
    "connection.updated",
    "connection.deleted",
    "sync.requested",
    "sync.cancelled",
    "sync.finished",
    "search.rebuild_requested",
    # organisations and people
    "instance.tier_changed",
    "organisation.created",
    "organisation.updated",
    "organisation.deleted",
    "organisation.restored",
    "organisation.erased",
    "invitation.created",
    "invitation.revoked",
    "invitation.accepted",
    "member.added",
    "member.role_changed",
    "member.removed",
    "departure.settled",
    "departure.withdrawn",
    "team.created",
    "team.updated",
    "team.deleted",
    "team.member_added",
    "team.member_role_changed",
    "team.member_removed",
    "person.created",
    "person.updated",
    "person.disabled",
    "person.erased",
    # credentials
    "session.started",
    "session.switched",
    "session.stepped_up",
    "session.revoked",
    "session.token_reused",
    "password.changed",
    "passkey.added",
    "passkey.removed",
    "device.looked_at",
    "device.approved",
    "device.denied",
    "key.created",
    "key.revoked",
    "key.left_behind",
    "key.used_from_new_network",
    "key.listed",
    "key.refused",
    "signing_key.rotated",
    # refusals and reads
    "access.refused",
    "audit.read",
]
"""Everything an audit leaf can be about; the list only grows."""

AuditResult = Literal["ok", "refused", "failed"]


def _microseconds(moment: Any) -> str:
    return str(moment.strftime("%Y-%m-%dT%H:%M:%S.%fZ"))


Moment = Annotated[AwareDatetime, PlainSerializer(_microseconds, return_type=str, when_used="json")]
"""UTC with exactly six digits of a second: what the hash was made over."""


class AuditReference(Model):
    """Who or what a leaf names. The id of a ``person``, ``email`` or ``network`` is a pseudonym."""

    type: str
    id: str | None = None


class AuditName(Model):
    """What a pseudonym stands for, as long as it has not been erased; ``name`` is a person's, where known."""

    type: str
    value: str
    name: str | None = None


class AuditLeaf(Model):
    """One entry of the audit trail.

    ``hash`` is the SHA-256, in hexadecimal, of the RFC 8785 form of everything but ``hash`` and ``names``.
    """

    v: int = 1
    id: UUID
    organisation: UUID
    occurred_at: Moment
    actor: AuditReference
    action: str
    targets: list[AuditReference]
    result: AuditResult
    context: dict[str, Any]
    hash: str = Field(pattern=r"^[0-9a-f]{64}$")
    names: dict[UUID, AuditName] = Field(default_factory=dict)
