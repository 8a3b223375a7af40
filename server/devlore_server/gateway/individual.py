"""The individual tier's caller: one organisation, one person, nobody signs in."""

from __future__ import annotations

from typing import Final
from uuid import UUID

from starlette.types import ASGIApp, Receive, Scope, Send

from devlore.types import SCOPES
from devlore_server.kit.auth import Principal
from devlore_server.kit.http import admit

ORGANISATION: Final = UUID("00000000-0000-7000-8000-000000000001")
PERSON: Final = UUID("00000000-0000-7000-8000-000000000002")

PRINCIPAL: Final = Principal(organisation=ORGANISATION, person=PERSON, scopes=frozenset[str](SCOPES), role="owner")
"""Who every request of the individual tier is from; safe only because it listens on loopback alone."""


class Individual:
    """Admits every request as the one person there is."""

    def __init__(self, app: ASGIApp, *, principal: Principal = PRINCIPAL) -> None:
        self._app = app
        self._principal = principal

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] in ("http", "websocket"):
            admit(scope, self._principal)
        await self._app(scope, receive, send)
