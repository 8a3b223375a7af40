"""Notes in the audit trail whom the services refused something (403)."""

from __future__ import annotations

from starlette.types import ASGIApp, Message, Receive, Scope, Send

from devlore_server.kit import audit
from devlore_server.kit.audit import Leaf
from devlore_server.kit.db import Database
from devlore_server.kit.http import admitted
from devlore_server.kit.telemetry.metrics import route_template


class RefusalsNoted:
    """Leaves an ``access.refused`` for every 403 somebody signed in is answered, whichever process answered."""

    def __init__(self, app: ASGIApp, *, database: Database) -> None:
        self._app = app
        self._database = database

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        caller = admitted(scope) if scope["type"] == "http" else None
        if caller is None:
            await self._app(scope, receive, send)
            return
        status = 0

        async def send_and_note(message: Message) -> None:
            nonlocal status
            if message["type"] == "http.response.start":
                status = message["status"]
            await send(message)

        await self._app(scope, receive, send_and_note)
        if status == 403:
            context = {"method": scope["method"], "route": route_template(scope)}
            await audit.refusal(self._database, caller, Leaf("access.refused", result="refused", context=context))
