"""Bare ASGI middlewares around everything: request id, security headers, body limits, and the last catch."""

from __future__ import annotations

import asyncio
import re
from collections.abc import Mapping
from secrets import token_hex

import structlog
from starlette.datastructures import MutableHeaders
from starlette.types import ASGIApp, Message, Receive, Scope, Send
from structlog.contextvars import bind_contextvars, clear_contextvars

from devlore.problems import Malformed, Problem, TooLarge, TooSlow
from devlore_server.kit.http.rendering import problem_of, problem_response

MIB = 1_048_576
REQUEST_ID = "devlore.request_id"

_log = structlog.get_logger("devlore.http")
_ACCEPTED_ID = re.compile(rb"[A-Za-z0-9._-]{8,64}")


def header(scope: Scope, name: bytes) -> bytes | None:
    """The first value of a request header, by its lower-case name."""
    for key, value in scope["headers"]:
        if key == name:
            return bytes(value)
    return None


def request_id_of(scope: Scope) -> str | None:
    """The id ``RequestId`` gave this request."""
    found = scope.get(REQUEST_ID)
    return found if isinstance(found, str) else None


class RequestId:
    """Takes ``X-Request-Id`` over (8–64 of ``A-Za-z0-9._-``) or makes one; logs and the answer carry it."""

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        given = header(scope, b"x-request-id")
        request_id = given.decode() if given is not None and _ACCEPTED_ID.fullmatch(given) else token_hex(16)
        scope[REQUEST_ID] = request_id
        clear_contextvars()
        bind_contextvars(request_id=request_id)

        async def send_with_id(message: Message) -> None:
            if message["type"] == "http.response.start":
                MutableHeaders(scope=message)["x-request-id"] = request_id
            await send(message)

        await self._app(scope, receive, send_with_id)


class SecurityHeaders:
    """Sets what every answer should say to a browser; an answer that already says it keeps its own words.

    ``https`` has browsers come back over TLS only (RFC 6797), for a year.
    """

    _ALWAYS: tuple[tuple[bytes, bytes], ...] = (
        (b"x-content-type-options", b"nosniff"),
        (b"content-security-policy", b"default-src 'none'; frame-ancestors 'none'"),
        (b"referrer-policy", b"no-referrer"),
        (b"cross-origin-resource-policy", b"same-origin"),
        (b"cross-origin-opener-policy", b"same-origin"),
    )

    def __init__(self, app: ASGIApp, *, https: bool = False) -> None:
        self._app = app
        secure = [(b"strict-transport-security", b"max-age=31536000")] if https else []
        self._always = [*self._ALWAYS, *secure]

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return

        async def send_with_headers(message: Message) -> None:
            if message["type"] == "http.response.start":
                headers = message.setdefault("headers", [])
                present = {name.lower() for name, _ in headers}
                headers.extend(pair for pair in self._always if pair[0] not in present)
                if b"cache-control" not in present:
                    # An answer with an ETag may be kept and revalidated by its own reader; nothing else is kept.
                    kept = b"private, no-cache" if b"etag" in present else b"no-store"
                    headers.append((b"cache-control", kept))
            await send(message)

        await self._app(scope, receive, send_with_headers)


class BodyLimit:
    """Refuses bodies over a limit per path (413): by Content-Length at once, otherwise counted as they stream in.

    A body that stalls for ``patience`` seconds between two pieces is refused too (408): a few slow senders must
    not hold every connection.
    """

    def __init__(
        self,
        app: ASGIApp,
        *,
        limit: int = 8 * MIB,
        larger: Mapping[str, int] | None = None,
        patience: float = 30.0,
    ) -> None:
        self._app = app
        self._limit = limit
        self._larger = dict(larger or {})
        self._patience = patience

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http" or not _has_body(scope):
            await self._app(scope, receive, send)
            return
        limit = self._larger.get(scope["path"], self._limit)
        try:
            announced = _content_length(scope)
        except Malformed as problem:
            await _refuse(problem, scope, receive, send)
            return
        if announced is not None and announced > limit:
            await _refuse(_too_large(limit), scope, receive, send)
            return
        counted = _Counted(receive, send, limit, self._patience)
        try:
            await self._app(scope, counted.receive, counted.send)
        except (TooLarge, TooSlow) as problem:
            # Reached only when the application below does not render problems itself (a bare ASGI proxy).
            if counted.started:
                raise
            await _refuse(problem, scope, receive, send)


class _Counted:
    """One request's body, counted and timed while it comes in."""

    def __init__(self, receive: Receive, send: Send, limit: int, patience: float) -> None:
        self._receive = receive
        self._send = send
        self._limit = limit
        self._patience = patience
        self._seen = 0
        self._complete = False
        self.started = False

    async def receive(self) -> Message:
        if self._complete:  # from here on it only waits for the disconnect
            return await self._receive()
        try:
            async with asyncio.timeout(self._patience):
                message = await self._receive()
        except TimeoutError:
            raise TooSlow(f"Nothing of the body came for {self._patience:g} s.") from None
        if message["type"] == "http.request":
            self._seen += len(message.get("body", b""))
            self._complete = not message.get("more_body", False)
            if self._seen > self._limit:
                raise _too_large(self._limit)
        return message

    async def send(self, message: Message) -> None:
        self.started = True
        await self._send(message)


class CatchAll:
    """The last catch: an exception nobody expected is logged with its request id and answered as a bare 500."""

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        started = False

        async def note_start(message: Message) -> None:
            nonlocal started
            started = True
            await send(message)

        try:
            await self._app(scope, receive, note_start)
        except Exception as error:
            problem = problem_of(error) or _unexpected(error, scope)
            if started:
                raise  # half an answer is out: only closing the connection tells the reader
            await problem_response(problem)(scope, receive, send)


def _unexpected(error: Exception, scope: Scope) -> Problem:
    _log.error("unhandled_exception", method=scope["method"], path=scope["path"], exc_info=error)
    return Problem("An unexpected error was logged under this request id.", request_id=request_id_of(scope))


def _has_body(scope: Scope) -> bool:
    return any(name in (b"content-length", b"transfer-encoding") for name, _ in scope["headers"]) or (
        # HTTP/2 and bare ASGI callers may send a body without announcing it.
        scope["method"] in ("POST", "PUT", "PATCH")
    )


def _content_length(scope: Scope) -> int | None:
    given = header(scope, b"content-length")
    if given is None:
        return None
    if not given.isdigit():
        raise Malformed("Content-Length is not a number.")
    return int(given)


def _too_large(limit: int) -> TooLarge:
    return TooLarge(f"The body may have at most {limit} bytes.", limit=limit)


async def _refuse(problem: Problem, scope: Scope, receive: Receive, send: Send) -> None:
    # Closing spares us reading the rest of a body that is refused anyway.
    await problem_response(problem, {"Connection": "close"})(scope, receive, send)
