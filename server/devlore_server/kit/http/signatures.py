"""What a service of a split topology believes: requests its gateway signed, each of them once."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Collection

from starlette.types import ASGIApp, Receive, Scope, Send

from devlore.problems import Unauthenticated, Unavailable
from devlore_server.kit.auth import HEADER, LIFETIME, SKEW, Forwarded, Principal, verify
from devlore_server.kit.cache import Cache, Key, tenant_key, visitor_key
from devlore_server.kit.clock import Clock, utc_now
from devlore_server.kit.http.callers import admit
from devlore_server.kit.http.rendering import problem_response

UNSIGNED = frozenset({"/healthz", "/readyz", "/metrics"})
"""What anybody who reaches the port may ask."""
_NAME = HEADER.encode()
_SAFE = frozenset({"GET", "HEAD", "OPTIONS"})


def target_of(scope: Scope) -> bytes:
    """The path and query of a request as they were sent."""
    path: bytes = scope.get("raw_path") or scope["path"].encode()
    query: bytes = scope["query_string"]
    return path + b"?" + query if query else path


class SignedCallers:
    """Admits what the gateway of another process signed (``kit.auth.sign``); everything else is refused with 401.

    A header that is missing, forged, too old, made for another request or seen before is no header. Replicas of a
    service that have a ``shared`` cache tell each other which headers of changes they have seen; those of requests
    that only read (also the POSTs to ``reads``) would tell a thief nothing new, and are not worth the question.
    """

    def __init__(
        self,
        app: ASGIApp,
        *,
        secret: bytes,
        shared: Cache | None = None,
        reads: Collection[str] = (),
        clock: Clock = utc_now,
    ) -> None:
        self._app = app
        self._secret = secret
        self._shared = shared
        self._reads = frozenset(reads)
        self._clock = clock
        self._seen = Nonces(clock)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "http" and scope["path"] not in UNSIGNED:
            try:
                found = self._forwarded(scope)
                if scope["method"] not in _SAFE and scope["path"] not in self._reads:
                    await self._check_unseen(found)
                admit(scope, found.caller)
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

    async def _check_unseen(self, found: Forwarded) -> None:
        if self._shared is None:
            return
        try:
            unseen = await self._shared.claim(_key(found), LIFETIME + SKEW)
        except Unavailable:
            return  # while it is away, every replica takes a header once
        if not unseen:
            raise Unauthenticated


def _key(found: Forwarded) -> Key:
    if isinstance(found.caller, Principal):
        return tenant_key(found.caller.organisation, "nonce", found.nonce.hex())
    return visitor_key("nonce", found.nonce.hex())


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
