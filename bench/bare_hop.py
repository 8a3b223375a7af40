"""The floor of a hop: uvicorn, one question to Redis, one request over a kept connection; no rule, no log, no metric.

It asks Redis because a revoked session must be refused at once, and uses the gateway's own connections: what a hop
costs in this language on this machine before it does anything for anybody. Requests arrive signed and leave as they
are.
"""

from __future__ import annotations

import os
from typing import Any

import uvicorn
from starlette.types import Receive, Scope, Send

from devlore_server.gateway.upstream import Upstream
from devlore_server.kit.cache import connect
from devlore_server.kit.http import target_of
from devlore_server.kit.line import Line


class BareHop:
    """An ASGI application that passes every GET on; its connections are opened by the first."""

    def __init__(self, upstream: str, redis: str) -> None:
        self._upstream = Upstream(upstream)
        self._redis = redis
        self._line: Line | None = None

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if self._line is None:
            self._line = Line(connect(self._redis, patience=30))
        await self._line.ping()
        headers: list[Any] = [(name, value) for name, value in scope["headers"] if name != b"host"]
        async with self._upstream.ask("GET", target_of(scope), headers) as answer:
            await send({"type": "http.response.start", "status": answer.status, "headers": answer.headers})
            async for piece, more in answer.pieces():
                await send({"type": "http.response.body", "body": piece, "more_body": more})


if __name__ == "__main__":
    uvicorn.run(
        BareHop(os.environ["DEVLORE_MEMORY_URL"], os.environ["DEVLORE_REDIS_URL"]),
        host="127.0.0.1",
        port=int(os.environ["DEVLORE_PORT"]),
        loop="uvloop",
        http="httptools",
        lifespan="off",
        access_log=False,
        log_level="warning",
    )
