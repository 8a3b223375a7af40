"""Operations on API keys."""

from __future__ import annotations

from collections.abc import Iterable
from datetime import datetime

from devlore.calls import Call, keyed, nothing, one
from devlore.operations.arguments import Id, given, params, under
from devlore.types import KeyCreated, KeyView, Page, Scope

_KEYS = "/v1/keys"


def create(
    name: str,
    *,
    scopes: Iterable[Scope] | None = None,
    person: Id | None = None,
    expires_at: datetime | None = None,
    idempotency_key: str | None = None,
) -> Call[KeyCreated]:
    """Make a key for oneself or, as an admin, for a service account; its secret is in this answer only.

    Without ``scopes`` it may do whatever its person may. Raises ``StepUpRequired``.
    """
    body = given(
        name=name,
        scopes=None if scopes is None else list(scopes),
        person=None if person is None else str(person),
        expires_at=expires_at,
    )
    return Call("POST", _KEYS, one(KeyCreated), body=body, headers=keyed(idempotency_key))


def list_keys(*, person: Id | None = None, limit: int | None = None, cursor: str | None = None) -> Call[Page[KeyView]]:
    """One page of one's own keys or a service account's, newest first, without their secrets."""
    return Call("GET", _KEYS, one(Page[KeyView]), params(person=person, limit=limit, cursor=cursor))


def revoke(key_id: Id) -> Call[None]:
    """End a key, by its ``id``; raises ``NotFound``."""
    return Call("DELETE", under(_KEYS, key_id), nothing)
