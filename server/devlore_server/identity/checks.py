"""What must hold before a change: the caller's rights at this moment, and the version they read."""

from __future__ import annotations

from uuid import UUID

from devlore.problems import Invalid, NotAllowed, NotFound, VersionMismatch
from devlore.types import Role, Scope
from devlore_server.identity.roles import scopes_of
from devlore_server.identity.store import members
from devlore_server.kit.auth import Principal
from devlore_server.kit.db import Connection

Expected = frozenset[int] | None
"""The versions If-Match names; None is any."""


def check_own(who: Principal, organisation: UUID) -> None:
    """Raise ``NotFound`` for any organisation but the one the caller is in: all others do not exist for them."""
    if organisation != who.organisation:
        raise NotFound


async def authorise(connection: Connection, who: Principal, scope: Scope) -> Role:
    """The caller's role, held until the end of the transaction; raises ``NotAllowed`` when it lacks ``scope``.

    Asked of the membership itself: what the caller's credential carried may be seconds old, and what somebody does
    after they were removed could outlive those seconds.
    """
    role = await members.role_of(connection, who.organisation, who.person)
    if role is None or scope not in scopes_of(role) or scope not in who.scopes:
        raise NotAllowed(f"This needs the scope {scope}.", scope=scope)
    return role


def check_version(current: int, expected: Expected) -> None:
    """Raise ``VersionMismatch`` unless the current version is one of those expected."""
    if expected is not None and current not in expected:
        raise VersionMismatch(f"The current version is {current}.", version=current)


def refuse(pointer: str, detail: str) -> Invalid:
    """A problem with one place of the input."""
    return Invalid(f"{pointer}: {detail}", errors=[{"pointer": pointer, "detail": detail}])


def check_name(name: str | None, sent: set[str]) -> None:
    """Raise ``Invalid`` for a merge patch that takes the name away."""
    if name is None and "name" in sent:
        raise refuse("/name", "This field cannot be null.")
