"""Owns the hop to a service in another process: a bare ASGI middleware, streaming requests there and answers back."""

from __future__ import annotations

import asyncio
import re
from collections.abc import AsyncIterator, Mapping
from dataclasses import dataclass

from starlette.requests import ClientDisconnect
from starlette.types import ASGIApp, Receive, Scope, Send

from devlore.problems import Unavailable
from devlore_server.gateway.hosts import PROXIED
from devlore_server.gateway.upstream import Answer, Upstream, UpstreamAway
from devlore_server.kit.auth import HEADER, Caller, sign
from devlore_server.kit.clock import Clock, utc_now
from devlore_server.kit.http import caller_of, problem_response, request_id_of, target_of
from devlore_server.kit.telemetry.metrics import ROUTE


@dataclass(frozen=True, slots=True)
class Destination:
    """Paths that one role answers; ``path`` is what metrics call them."""

    path: str
    pattern: re.Pattern[str]
    role: str


_OWNERS: Mapping[str, tuple[str, ...]] = {
    "memory": ("memories", "tags", "projects", "policies"),
    "search": ("search",),
    "integration": ("connections", "syncs", "connectors"),
    "identity": ("sessions", "identity", "keys", "audit", "organisations", "teams", "people", "invitations"),
}
# The first match wins, and a path that matches none is nobody's.
DESTINATIONS: tuple[Destination, ...] = (
    Destination("/v1/memories/{memory_id}/similar", re.compile(r"/v1/memories/[^/]+/similar$"), "search"),
    *(
        Destination(f"/v1/{name}*", re.compile(rf"/v1/{name}(/|$)"), role)
        for role, names in _OWNERS.items()
        for name in names
    ),
    Destination("/pages*", re.compile(r"/(signin|invitation|device|account|pages/[^/]+)$"), "identity"),
)

# RFC 9110 §7.6.1: these speak of one connection only. `host` is the next hop's own.
_HOP_BY_HOP = frozenset(
    {
        b"connection",
        b"keep-alive",
        b"proxy-authenticate",
        b"proxy-authorization",
        b"proxy-connection",
        b"te",
        b"trailer",
        b"transfer-encoding",
        b"upgrade",
    }
)
_SIGNATURE = HEADER.encode()
_REQUEST_ID = b"x-request-id"
# Both processes say these, each once is enough.
_NEVER_ANSWERED = _HOP_BY_HOP | {b"date", _REQUEST_ID}
# What the caller proved, and where they are, is in the signature: no service sees the credential itself.
_GATEWAYS_OWN = frozenset({b"authorization", b"cookie"}) | PROXIED
_NEVER_FORWARDED = _HOP_BY_HOP | _GATEWAYS_OWN | {b"host", _SIGNATURE, _REQUEST_ID}


def destination(path: str) -> Destination | None:
    """Where requests to `path` go, or None; a path that climbs would arrive somewhere else than it says."""
    if {".", ".."} & set(path.split("/")):
        return None
    return next((found for found in DESTINATIONS if found.pattern.match(path)), None)


class Proxy:
    """Sends each request to the role its path belongs to, in the caller's name; internal paths are never proxied."""

    def __init__(self, upstreams: Mapping[str, str], secret: bytes, *, clock: Clock = utc_now) -> None:
        """`upstreams` maps a role to its base URL, e.g. `{"memory": "http://127.0.0.1:7701"}`."""
        self._upstreams = {role: Upstream(url) for role, url in upstreams.items()}
        self._secret = secret
        self._clock = clock

    async def close(self) -> None:
        for upstream in self._upstreams.values():
            await upstream.close()

    async def ping(self, role: str) -> None:
        """Raise when a role does not answer its own health check."""
        async with self._upstreams[role].ask("GET", b"/healthz", ()) as answer:
            if answer.status != 200:
                raise Unavailable(f"The {role} service answers {answer.status} to its health check.")

    def around(self, app: ASGIApp) -> ASGIApp:
        """``app``, which answers what goes nowhere else."""

        async def routed(scope: Scope, receive: Receive, send: Send) -> None:
            found = destination(scope["path"]) if scope["type"] == "http" else None
            upstream = self._upstreams.get(found.role) if found else None
            if found is None or upstream is None:
                await app(scope, receive, send)
            else:
                await self._forward(found, upstream, scope, receive, send)

        return routed

    async def _forward(
        self, found: Destination, upstream: Upstream, scope: Scope, receive: Receive, send: Send
    ) -> None:
        scope[ROUTE] = found.path
        # Whoever is not signed in goes on as a visitor: the route itself knows whether it needs somebody.
        headers = self._headers(scope, caller_of(scope))
        has_body = any(k in (b"content-length", b"transfer-encoding") for k, _ in scope["headers"])
        body = _body(receive) if has_body else None
        started = False
        try:
            async with upstream.ask(scope["method"], target_of(scope), headers, body) as answer:
                started = True
                await _relay(answer, send, receive if body is None else None)
        except ClientDisconnect:
            return  # half a request must not pass for a whole one, and nobody waits for the answer
        except UpstreamAway as error:
            if started:
                raise
            problem = Unavailable(f"The {found.role} service does not answer ({error}).", retry_after=1)
            await problem_response(problem)(scope, receive, send)

    def _headers(self, scope: Scope, caller: Caller) -> list[tuple[bytes, bytes]]:
        named = _named_by_connection(scope["headers"])
        headers = [(k, v) for k, v in scope["headers"] if k not in _NEVER_FORWARDED and k not in named]
        target = target_of(scope)
        headers.append((_SIGNATURE, sign(caller, self._secret, self._clock(), scope["method"], target).encode()))
        if request_id := request_id_of(scope):
            headers.append((_REQUEST_ID, request_id.encode()))
        return headers


def _named_by_connection(headers: list[tuple[bytes, bytes]]) -> frozenset[bytes]:
    """The headers that a `Connection` header declares hop-by-hop."""
    listed = (v for k, v in headers if k == b"connection")
    return frozenset(name.strip().lower() for value in listed for name in value.split(b","))


async def _body(receive: Receive) -> AsyncIterator[bytes]:
    more = True
    while more:
        message = await receive()
        if message["type"] == "http.disconnect":
            raise ClientDisconnect
        more = message.get("more_body", False)
        if chunk := message.get("body", b""):
            yield chunk


async def _relay(answer: Answer, send: Send, receive: Receive | None) -> None:
    """Pass an answer on; one in many pieces is given up, where ``receive`` can tell, once nobody waits for it."""
    headers = [(k, v) for k, v in answer.headers if k not in _NEVER_ANSWERED]
    await send({"type": "http.response.start", "status": answer.status, "headers": headers})
    leaving: asyncio.Task[None] | None = None
    try:
        async for piece, more in answer.pieces():
            await send({"type": "http.response.body", "body": piece, "more_body": more})
            if more and receive is not None:
                leaving = leaving or asyncio.create_task(_left(receive))
                if leaving.done():
                    raise ClientDisconnect
    finally:
        if leaving is not None:
            leaving.cancel()


async def _left(receive: Receive) -> None:
    while (await receive())["type"] != "http.disconnect":
        pass
