"""Who is asking, as a route sees it: the admitted Principal, and the scope an operation requires."""

from __future__ import annotations

from typing import Annotated, Any

from fastapi import Depends, Request
from starlette.types import ASGIApp, Receive, Scope, Send
from structlog.contextvars import bind_contextvars

from devlore.problems import NotAllowed, Unauthenticated
from devlore_server.kit.auth import HEADER, Principal, verify
from devlore_server.kit.clock import Clock, utc_now
from devlore_server.kit.http.rendering import problem_response

_KEY = "devlore.principal"


def admit(scope: Scope, principal: Principal) -> None:
    """Let a request in as ``principal``; only the gateway and the check of its signed header do this."""
    scope[_KEY] = principal
    bind_contextvars(organisation=str(principal.organisation), person=str(principal.person))


def admitted(scope: Scope) -> Principal | None:
    """The Principal a request was admitted as, or None."""
    principal = scope.get(_KEY)
    return principal if isinstance(principal, Principal) else None


async def who(request: Request) -> Principal:
    """The caller; raises ``Unauthenticated`` when nobody admitted the request."""
    principal = admitted(request.scope)
    if principal is None:
        raise Unauthenticated
    return principal


Who = Annotated[Principal, Depends(who)]
"""A route parameter: the caller."""


class RequiredScope:
    """A dependency that refuses callers without ``scope``; a meta-test reads ``scope`` off every route."""

    def __init__(self, scope: str) -> None:
        self.scope = scope

    async def __call__(self, principal: Who) -> None:
        if self.scope not in principal.scopes:
            raise NotAllowed(f"This needs the scope {self.scope}.", scope=self.scope)


def requires(scope: str) -> Any:
    """For ``dependencies=[requires("memories:write")]``: 403 without the scope, 401 without a caller."""
    return Depends(RequiredScope(scope))


class SignedCallers:
    """Admits what the gateway of another process signed (``kit.auth.sign``); a false header is refused with 401.

    Requests without the header go on unadmitted: ``/healthz`` needs nobody, and every operation that needs a
    caller refuses by itself.
    """

    _NAME = HEADER.encode()

    def __init__(self, app: ASGIApp, *, secret: bytes, clock: Clock = utc_now) -> None:
        self._app = app
        self._secret = secret
        self._clock = clock

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "http":
            given = [value for name, value in scope["headers"] if name == self._NAME]
            try:
                for value in given:
                    admit(scope, verify(value.decode("latin-1"), self._secret, self._clock()))
            except Unauthenticated as problem:
                await problem_response(problem)(scope, receive, send)
                return
        await self._app(scope, receive, send)
