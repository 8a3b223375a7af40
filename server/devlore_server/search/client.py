"""The search service as another process sees it: `ports.Indexing` over HTTP."""

from __future__ import annotations

from typing import Self

import httpx2

from devlore_server.kit.auth import SERVER
from devlore_server.kit.clock import Clock, utc_now
from devlore_server.kit.signing import SignedAs

_GRACE = 2.0
"""Seconds an answer may take longer than the wait it was asked for."""


class IndexingClient:
    """Calls the search role at `base_url`; one that does not answer has not caught up."""

    def __init__(
        self,
        base_url: str,
        secret: bytes,
        *,
        clock: Clock = utc_now,
        transport: httpx2.AsyncBaseTransport | None = None,
    ) -> None:
        self._http = httpx2.AsyncClient(
            base_url=base_url, transport=transport, trust_env=False, auth=SignedAs(SERVER, secret, clock)
        )

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.close()

    async def close(self) -> None:
        """Close its connections."""
        await self._http.aclose()

    async def wait(self, timeout: float) -> list[str]:
        """See `ports.Indexing`. Never raises: the write that the caller waits behind is committed."""
        try:
            answer = await self._http.post("/internal/search/wait", json={"timeout": timeout}, timeout=timeout + _GRACE)
            answer.raise_for_status()
            behind = answer.json()["behind"]
        except (httpx2.HTTPError, ValueError, KeyError, TypeError):
            return ["search"]
        return [str(name) for name in behind]
