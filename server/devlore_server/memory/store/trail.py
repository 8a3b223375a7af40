"""What the audit trail keeps of a change to a memory: what happened to which, never what it says."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from uuid import UUID

from devlore.types import Memory, Status
from devlore.types.audit import AuditAction
from devlore_server.kit.audit import Leaf

_ACTIONS: dict[str, AuditAction] = {
    "created": "memory.created",
    "edited": "memory.updated",
    "deleted": "memory.deleted",
    "restored": "memory.restored",
    "imported": "memory.imported",
    "transferred": "memory.transferred",
}
_STATUS: dict[Status, AuditAction] = {
    Status.ACTIVE: "memory.reinstated",
    Status.SUPERSEDED: "memory.superseded",
    Status.INVALIDATED: "memory.invalidated",
}
_SETTLED = frozenset({"version", "updated_at"})


def of_new(memory: Memory, change: str) -> Leaf:
    """A memory was stored."""
    return Leaf(
        _ACTIONS[change],
        [("memory", memory.id)],
        context={"version": memory.version, "privacy": memory.privacy.value},
    )


def of_change(change: str, before: Memory, after: Memory) -> Leaf:
    """A memory was changed; names the fields, and who may see it when that is among them."""
    old, new = before.__dict__, after.__dict__
    changed = [name for name in new if new[name] != old[name] and name not in _SETTLED]
    context: dict[str, int | str | Sequence[str]] = {"version": after.version, "changed": sorted(changed)}
    if "privacy" in changed or "team_id" in changed:
        context |= {"privacy": after.privacy.value, "privacy_before": before.privacy.value}
    action = _STATUS[after.status] if change == "status" else _ACTIONS[change]
    return Leaf(action, [("memory", after.id)], context=context)


def of_purge(memory: Memory) -> Leaf:
    """A memory was erased."""
    return Leaf("memory.purged", [("memory", memory.id)], context={"version": memory.version})


def of_links(action: AuditAction, memories: Collection[UUID]) -> list[Leaf]:
    """Links of memories were added or removed, and nothing else of them changed."""
    return [Leaf(action, [("memory", id)]) for id in sorted(memories)]
