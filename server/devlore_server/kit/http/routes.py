"""Routers whose bodies are strict JSON: content type checked, no NaN, no lone surrogates, bounded depth and size."""

from __future__ import annotations

import re
from collections.abc import Callable, Coroutine
from typing import Any

import orjson
from fastapi import APIRouter, Request, Response
from fastapi.routing import APIRoute

from devlore.problems import Invalid, Malformed, TooLarge, UnsupportedMedia
from devlore_server.kit.http.rendering import default_problems, problems

DEPTH_LIMIT = 64
"""Deepest nesting of a JSON body; beyond it encoders and PostgreSQL start to fail in their own ways."""
VALUES_LIMIT = 500_000
"""Most values in a JSON body: an empty list costs 2 bytes on the wire and 64 in memory."""

_STRING = re.compile(rb'"[^"\\]*+(?:\\.[^"\\]*+)*+"', re.DOTALL)
_JSON_TYPE = re.compile(r"\s*application/(?:[\w.!#$&^-]+\+)?json\s*(?:;|$)", re.IGNORECASE)


class JsonRequest(Request):
    """A request whose body is read once, before validation, so that what is wrong with it has its own problem."""

    async def load(self) -> None:
        """Read and parse the body. Raises ``UnsupportedMedia``, ``Malformed`` or ``TooLarge``."""
        body = await self.body()
        if not body:
            return
        content_type = self.headers.get("content-type", "")
        if not _JSON_TYPE.match(content_type):
            raise UnsupportedMedia(f"Send application/json, not {content_type or 'nothing'}.")
        self._json = parse_json(body)


def parse_json(body: bytes) -> Any:
    """The value of a JSON text (RFC 8259) in UTF-8. Raises ``Malformed``, or ``TooLarge`` for a bomb."""
    openings = body.count(b"[") + body.count(b"{")
    # The counts include what is inside strings, so they are upper bounds; only above them is a closer look needed.
    if openings + body.count(b",") > VALUES_LIMIT:
        structure = _STRING.sub(b"", body)
        openings = structure.count(b"[") + structure.count(b"{")
        if openings + structure.count(b",") > VALUES_LIMIT:
            raise TooLarge(f"The body holds more than {VALUES_LIMIT} values.")
    try:
        value = orjson.loads(body)
    except orjson.JSONDecodeError as error:
        raise Malformed(f"The body is not JSON: {error.msg} at line {error.lineno}, column {error.colno}.") from None
    if openings > DEPTH_LIMIT and _deeper_than(value, DEPTH_LIMIT):
        raise Malformed(f"The body is nested deeper than {DEPTH_LIMIT} levels.")
    return value


def _deeper_than(value: Any, limit: int) -> bool:
    level = [value]
    for _ in range(limit):
        level = [
            inner
            for outer in level
            for inner in (outer.values() if isinstance(outer, dict) else outer)
            if isinstance(inner, dict | list)
        ]
        if not level:
            return False
    return True


class JsonRoute(APIRoute):
    """A route that loads its body strictly and declares the problems every route may answer with."""

    def __init__(self, path: str, endpoint: Callable[..., Any], **options: Any) -> None:
        super().__init__(path, endpoint, **options)
        added = default_problems()
        parts = self.dependant
        if self.body_field is not None or parts.path_params or parts.query_params or parts.header_params:
            added |= problems(Invalid)
        if self.body_field is not None:
            added |= problems(Malformed, TooLarge, UnsupportedMedia)
        for status, response in added.items():
            self.responses.setdefault(status, response)

    def get_route_handler(self) -> Callable[[Request], Coroutine[Any, Any, Response]]:
        handler = super().get_route_handler()
        if self.body_field is None:
            return handler

        async def load_then_handle(request: Request) -> Response:
            loaded = JsonRequest(request.scope, request.receive)
            await loaded.load()
            return await handler(loaded)

        return load_then_handle


class Router(APIRouter):
    """An ``APIRouter`` whose routes read strict JSON; every service's ``router()`` is one."""

    def __init__(self, **options: Any) -> None:
        super().__init__(route_class=JsonRoute, **options)
