"""Who is asking, as a route sees it: the admitted caller, and what an operation requires of them."""

from __future__ import annotations

from typing import Annotated, Any

from fastapi import Depends, Request
from starlette.types import Scope
from structlog.contextvars import bind_contextvars

from devlore.problems import NotAllowed, StepUpRequired, Unauthenticated
from devlore_server.kit.auth import Caller, Principal, Visitor

_KEY = "devlore.caller"


def admit(scope: Scope, caller: Caller) -> None:
    """Let a request in as ``caller``; only the gateway and the check of its signed header do this."""
    scope[_KEY] = caller
    if isinstance(caller, Principal):
        bind_contextvars(organisation=str(caller.organisation), person=str(caller.person))


def caller_of(scope: Scope) -> Caller:
    """Whom a request was admitted as; a visitor from nowhere when nobody admitted it."""
    caller = scope.get(_KEY)
    return caller if isinstance(caller, Principal | Visitor) else Visitor(None)


def admitted(scope: Scope) -> Principal | None:
    """The Principal a request was admitted as, or None."""
    caller = caller_of(scope)
    return caller if isinstance(caller, Principal) else None


async def who(request: Request) -> Principal:
    """The caller; raises ``Unauthenticated`` when nobody signed in."""
    principal = admitted(request.scope)
    if principal is None:
        raise Unauthenticated
    return principal


Who = Annotated[Principal, Depends(who)]
"""A route parameter: the caller."""


async def _network(request: Request) -> str | None:
    return caller_of(request.scope).network


Network = Annotated[str | None, Depends(_network)]
"""A route parameter: the /24 or /48 the request came from, also where nobody is signed in."""


class RequiredScope:
    """A dependency that refuses callers without ``scope``; a meta-test reads ``scope`` off every route."""

    def __init__(self, scope: str, *, fresh: bool = False, keys: bool = False) -> None:
        self.scope = scope
        self.fresh = fresh
        self._keys = keys

    async def __call__(self, request: Request) -> None:
        # Not as a parameter of its own: each costs FastAPI a twentieth of a millisecond, in every request.
        principal = await who(request)
        if self.scope not in principal.scopes:
            raise NotAllowed(f"This needs the scope {self.scope}.", scope=self.scope)
        if self.fresh:
            check_fresh(principal, keys=self._keys)


def check_fresh(principal: Principal, *, keys: bool) -> None:
    """Raise ``StepUpRequired`` unless the caller has just proved who they are, or has a key and ``keys`` will do."""
    if not principal.fresh and not (keys and principal.key is not None):
        raise StepUpRequired


class Public:
    """A dependency that asks nothing: the mark of a route that is there for those who are not signed in."""

    async def __call__(self) -> None:
        """Let everybody pass."""


def requires(scope: str, *, fresh: bool = False, keys: bool = False) -> Any:
    """For ``dependencies=[requires("memories:write")]``: 403 without the scope, 401 without a caller.

    With ``fresh`` the caller must have proved who they are within the last 15 minutes (403 ``step-up-required``);
    with ``keys`` as well an API key will do, which somebody who had proved it gave this very scope.
    """
    return Depends(RequiredScope(scope, fresh=fresh, keys=keys))


def public() -> Any:
    """For ``dependencies=[public()]``: the route needs nobody, and says so to the meta-test."""
    return Depends(Public())
