"""Pages of other origins: those on the list may call the API with a token; no cookie ever counts for them."""

from __future__ import annotations

from collections.abc import Collection

from starlette.datastructures import MutableHeaders
from starlette.responses import Response
from starlette.types import ASGIApp, Message, Receive, Scope, Send

_METHODS = "GET, HEAD, POST, PUT, PATCH, DELETE"
_SENT = "Authorization, Content-Type, Idempotency-Key, If-Match, If-None-Match, X-Request-Id"
_SHOWN = (
    "Content-Disposition, Devlore-Indexed, ETag, Idempotency-Replayed, Location, RateLimit, RateLimit-Policy,"
    " Retry-After, X-Request-Id"
)
_REMEMBERED = "7200"


class CrossOrigin:
    """Answers preflights of listed origins and lets their pages read answers (the Fetch standard's CORS protocol).

    Answers never say ``Access-Control-Allow-Credentials``: a page elsewhere has a token of its own, or nothing.
    """

    def __init__(self, app: ASGIApp, *, origins: Collection[str]) -> None:
        self._app = app
        self._origins = {origin.encode(): origin for origin in origins}

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        given: dict[bytes, bytes] = dict(scope["headers"]) if scope["type"] == "http" else {}
        origin = self._origins.get(given.get(b"origin", b""))
        if origin is None:
            await self._app(scope, receive, send)
            return
        if scope["method"] == "OPTIONS" and b"access-control-request-method" in given:
            await Response(status_code=204, headers=_allowed(origin))(scope, receive, send)
            return

        async def send_readable(message: Message) -> None:
            if message["type"] == "http.response.start":
                headers = MutableHeaders(scope=message)
                headers["Access-Control-Allow-Origin"] = origin
                headers["Access-Control-Expose-Headers"] = _SHOWN
                headers["Cross-Origin-Resource-Policy"] = "cross-origin"
                headers.add_vary_header("Origin")
            await send(message)

        await self._app(scope, receive, send_readable)


def _allowed(origin: str) -> dict[str, str]:
    return {
        "Access-Control-Allow-Origin": origin,
        "Access-Control-Allow-Methods": _METHODS,
        "Access-Control-Allow-Headers": _SENT,
        "Access-Control-Max-Age": _REMEMBERED,
        "Vary": "Origin",
    }
