"""Operations on how an organisation is looked after: its audit trail, and its policies."""

from __future__ import annotations

from datetime import datetime
from typing import TypedDict, Unpack

from devlore.calls import Call, one
from devlore.operations.arguments import Id, Several, params, several
from devlore.types import AuditLeaf, Page, SecretsAction, SecretsPolicy

_SECRETS = "/v1/policies/secrets"


class AuditFilters(TypedDict, total=False):
    """What the trail may be narrowed by. ``action`` also as ``memory.*``; ``actor`` also ``system`` or ``nobody``."""

    action: Several
    actor: Id | None
    target: str | None
    result: Several
    after: datetime | None
    before: datetime | None


def audit(
    *, limit: int | None = None, cursor: str | None = None, **filters: Unpack[AuditFilters]
) -> Call[Page[AuditLeaf]]:
    """One page of the audit trail, newest first."""
    return _trail(filters, limit, cursor, follow=False)


def follow(
    *, limit: int | None = None, cursor: str | None = None, **filters: Unpack[AuditFilters]
) -> Call[Page[AuditLeaf]]:
    """What was committed since ``cursor``, oldest first; ``next`` is always there, to ask on from.

    Without a cursor an empty page, whose ``next`` is where the trail ends now.
    """
    return _trail(filters, limit, cursor, follow=True)


def secrets_policy() -> Call[SecretsPolicy]:
    """What happens to secrets in what is stored."""
    return Call("GET", _SECRETS, one(SecretsPolicy))


def set_secrets_policy(action: SecretsAction) -> Call[SecretsPolicy]:
    """Choose what happens to secrets in what is stored from now on."""
    return Call("PUT", _SECRETS, one(SecretsPolicy), body={"action": action})


def _trail(filters: AuditFilters, limit: int | None, cursor: str | None, *, follow: bool) -> Call[Page[AuditLeaf]]:
    chosen = params(
        action=several(filters.get("action")),
        actor=filters.get("actor"),
        target=filters.get("target"),
        result=several(filters.get("result")),
        after=filters.get("after"),
        before=filters.get("before"),
        follow=follow,
        limit=limit,
        cursor=cursor,
    )
    return Call("GET", "/v1/audit", one(Page[AuditLeaf]), chosen)
