"""What a service of a split topology believes: requests its gateway signed, each of them once."""

from __future__ import annotations

from collections import OrderedDict

from starlette.types import ASGIApp, Receive, Scope, Send

from devlore.problems import Unauthenticated
from devlore_server.kit.auth import HEADER, LIFETIME, SKEW, Forwarded, verify
from devlore_server.kit.clock import Clock, utc_now
from devlore_server.kit.http.callers import admit
from devlore_server.kit.http.rendering import problem_response

UNSIGNED = frozenset({"/healthz", "/readyz", "/metrics"})
"""What anybody who reaches the port may ask."""
_NAME = HEADER.encode()


def target_of(scope: Scope) -> bytes:
    """The path and query of a request as they were sent."""
    path: bytes = scope.get("raw_path") or scope["path"].encode()
    query: bytes = scope["query_string"]
    return path + b"?" + query if query else path


class SignedCallers:
    """Admits what the gateway of another process signed (``kit.auth.sign``); everything else is refused with 401.

    A header that is missing, forged, too old, made for another request or seen before is no header.
    """

    def __init__(self, app: ASGIApp, *, secret: bytes, clock: Clock = utc_now) -> None:
        self._app = app
        self._secret = secret
        self._clock = clock
        self._seen = Nonces(clock)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "http" and scope["path"] not in UNSIGNED:
            try:
                admit(scope, self._forwarded(scope).caller)
            except Unauthenticated as problem:
                await problem_response(problem)(scope, receive, send)
                return
        await self._app(scope, receive, send)

    def _forwarded(self, scope: Scope) -> Forwarded:
        given = [value for name, value in scope["headers"] if name == _NAME]
        if len(given) != 1:
            raise Unauthenticated
        header = given[0].decode("latin-1")
        found = verify(header, self._secret, self._clock(), scope["method"], target_of(scope))
        if not self._seen.first(found.nonce):
            raise Unauthenticated
        return found


class Nonces:
    """The nonces of this process's last requests: as long as a header is good, at most."""

    def __init__(self, clock: Clock = utc_now) -> None:
        self._clock = clock
        self._until: OrderedDict[bytes, float] = OrderedDict()

    def first(self, nonce: bytes) -> bool:
        """Whether ``nonce`` is seen for the first time; from now on it is not."""
        now = self._clock().timestamp()
        while self._until and next(iter(self._until.values())) <= now:
            self._until.popitem(last=False)
        if nonce in self._until:
            return False
        self._until[nonce] = now + LIFETIME + SKEW
        return True
