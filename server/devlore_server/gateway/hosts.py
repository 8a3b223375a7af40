"""Which addresses are ours: what is listened on, and the Host and Origin of each request (DNS rebinding, CSRF)."""

from __future__ import annotations

import ipaddress
from collections.abc import Collection
from functools import lru_cache
from urllib.parse import urlsplit

from starlette.types import ASGIApp, Receive, Scope, Send

from devlore.problems import Misdirected, NotAllowed, NotFound, Problem
from devlore_server.gateway.networks import Networks, peer_of
from devlore_server.kit.http import problem_response

_SAFE = frozenset({"GET", "HEAD", "OPTIONS"})
PROXIED = frozenset({b"forwarded", b"via", b"x-forwarded-for", b"x-forwarded-host", b"x-forwarded-proto", b"x-real-ip"})
"""Headers that one proxy or another adds to what it sends on."""
_OWN_SITES = frozenset({b"same-origin", b"none"})


class NotLoopback(Exception):
    """The server was told to listen where others could reach it, without anybody signing in."""


def ensure_loopback(host: str, because: str) -> None:
    """Raise ``NotLoopback`` unless ``host`` can be reached from this machine only; called before binding.

    Names other than ``localhost`` are refused without resolving them: what they mean may change after the check.
    """
    if not is_loopback(host):
        raise NotLoopback(f"Refusing to listen on {host!r}: {because}")


def is_loopback(host: str) -> bool:
    """Whether a host, without a port, is ``localhost`` or a loopback address (127.0.0.0/8, ::1 and its mapped form)."""
    name = host.removeprefix("[").removesuffix("]") if host.startswith("[") else host
    if name.lower().removesuffix(".") == "localhost":
        return True
    try:
        address = ipaddress.ip_address(name)
    except ValueError:
        return False
    if isinstance(address, ipaddress.IPv6Address):
        if address.scope_id is not None:
            return False
        mapped = address.ipv4_mapped
        return mapped.is_loopback if mapped is not None else address.is_loopback
    return address.is_loopback


@lru_cache(maxsize=256)
def _loopback_authority(authority: bytes) -> bool:
    """Whether a Host header (RFC 9110 §7.2: host and optional port, nothing else) names loopback."""
    try:
        text = authority.decode("ascii")
        parts = urlsplit("//" + text)
        port = parts.port  # raises when it is not a number
    except ValueError:
        return False
    if parts.netloc != text or parts.username is not None or parts.path or parts.query or parts.fragment:
        return False
    if text.endswith(":") or port == 0 or parts.hostname is None:
        return False
    return is_loopback(parts.hostname)


@lru_cache(maxsize=256)
def _loopback_origin(origin: bytes) -> bool:
    scheme, separator, authority = origin.partition(b"://")
    return bool(separator) and scheme in (b"http", b"https") and _loopback_authority(authority)


class LoopbackOnly:
    """Refuses requests whose Host (421) or Origin (403) is not this machine, and changes other sites ask for (403).

    A page on the internet can make a browser send requests here. If its name was rebound to 127.0.0.1, Host and
    Origin still carry that name. If it posts to 127.0.0.1 directly, Origin names the page, and where a browser
    leaves Origin out, Sec-Fetch-Site says ``cross-site``. Other local ports are trusted: a program on this machine
    needs no browser to reach us.
    """

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] in ("http", "websocket"):
            problem = refusal(scope)
            if problem is not None:
                if scope["type"] == "websocket":
                    await receive()
                    await send({"type": "websocket.close", "code": 1008})
                    return
                await problem_response(problem)(scope, receive, send)
                return
        await self._app(scope, receive, send)


def refusal(scope: Scope) -> Problem | None:
    """Why a request may not come in, or None."""
    hosts, origins, sites = [], [], []
    for name, value in scope["headers"]:
        if name == b"host":
            hosts.append(value)
        elif name == b"origin":
            origins.append(value)
        elif name == b"sec-fetch-site":
            sites.append(value)
    if len(hosts) != 1 or not _loopback_authority(hosts[0]):
        return Misdirected("Address this server as localhost, 127.0.0.1 or [::1].")
    # "null" is the origin of sandboxed frames and of files: of anybody, so of nobody we know.
    if not all(_loopback_origin(origin) for origin in origins):
        return NotAllowed("Requests from pages of other origins are refused.")
    changes = scope["type"] == "websocket" or scope["method"] not in _SAFE
    # Between two local ports a browser says same-site; there Origin has been checked already.
    if changes and not origins and any(site not in _OWN_SITES for site in sites):
        return NotAllowed("Changes asked for by pages of other sites are refused.")
    return None


class OwnAddress:
    """Refuses requests for another Host than ours (421), and from pages of other origins than the listed ones (403).

    ``origin`` is where people reach the instance. Its loopback names are always good: no page of another site can
    carry those (DNS rebinding changes what a name means, not the name). Watching needs no name: a load balancer asks
    by address.
    """

    def __init__(
        self, app: ASGIApp, *, origin: str, others: Collection[str] = (), unnamed: Collection[str] = ()
    ) -> None:
        self._app = app
        self._host = origin.partition("://")[2].encode()
        self._origin = origin
        self._origins = frozenset(text.encode() for text in (origin, *others))
        self._unnamed = frozenset(unnamed)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "http" and scope["path"] not in self._unnamed:
            problem = self._refusal(scope)
            if problem is not None:
                await problem_response(problem)(scope, receive, send)
                return
        await self._app(scope, receive, send)

    def _refusal(self, scope: Scope) -> Problem | None:
        hosts = [value for name, value in scope["headers"] if name == b"host"]
        if len(hosts) != 1 or not (hosts[0].lower() == self._host or _loopback_authority(hosts[0])):
            return Misdirected(f"Address this server as {self._origin}.")
        origins = [value for name, value in scope["headers"] if name == b"origin"]
        if not self._origins.issuperset(origins):
            return NotAllowed("Requests from pages of other origins are refused.")
        sites = {value for name, value in scope["headers"] if name == b"sec-fetch-site"}
        if scope["method"] not in _SAFE and not origins and not _OWN_SITES.issuperset(sites):
            return NotAllowed("Changes asked for by pages of other sites are refused.")
        return None


class InternalOnly:
    """Answers only peers on this machine or in ``networks``: what other processes of the instance are.

    With ``paths`` this holds for those alone.
    """

    def __init__(self, app: ASGIApp, *, networks: Networks, paths: Collection[str] | None = None) -> None:
        self._app = app
        self._networks = networks
        self._paths = None if paths is None else frozenset(paths)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        concerned = scope["type"] == "http" and (self._paths is None or scope["path"] in self._paths)
        if concerned and not self._inside(scope):
            await problem_response(NotFound())(scope, receive, send)
            return
        await self._app(scope, receive, send)

    def _inside(self, scope: Scope) -> bool:
        # Behind a proxy on this machine everybody's connection is from here.
        if any(name in PROXIED for name, _ in scope["headers"]):
            return False
        peer = peer_of(scope)
        return peer is not None and (peer.is_loopback or self._networks.hold(peer))
