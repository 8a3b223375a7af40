"""What each role in an organisation may do: the one table of it."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

from devlore.types import SCOPES, Role, Scope

_VIEWER: Final[frozenset[Scope]] = frozenset(
    {
        "memories:read",
        "search:read",
        "connections:read",
        "identity:read",
        "identity:write",
        "people:read",
        "organisation:read",
    }
)
_MEMBER: Final[frozenset[Scope]] = _VIEWER | {"memories:write", "memories:export", "connections:write"}
_ADMIN: Final[frozenset[Scope]] = _MEMBER | {
    "teams:write",
    "organisation:write",
    "audit:read",
    "secrets:override",
}
# What concerns every organisation of the instance, such as reading all their memories into another index, is for
# whoever runs it: anybody may found an organisation and own it.
_OPERATORS: Final[frozenset[Scope]] = frozenset({"search:admin"})

ROLES: Final[Mapping[Role, frozenset[Scope]]] = {
    "viewer": _VIEWER,
    "member": _MEMBER,
    "admin": _ADMIN,
    "owner": SCOPES - _OPERATORS,
}
"""The scopes each role grants; each has all of those before it."""


def scopes_of(role: Role) -> frozenset[Scope]:
    """What a person with this role may do."""
    return ROLES[role]
