"""Rebuilding an index from the command line: in the running server, or in one that is started just for this."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import httpx2

from devlore.problems import Problem, from_body
from devlore.types import SearchStatus
from devlore_server.app import AlreadyRunning, application
from devlore_server.kit.auth import SERVER
from devlore_server.kit.signing import SignedAs
from devlore_server.settings import Settings

_EVERY = 0.5
_OPERATOR = replace(SERVER, scopes=frozenset({"search:read", "search:admin"}))


async def rebuild_search(settings: Settings, embedder: str | None, say: Callable[[str], None]) -> None:
    """Rebuild the search indexes and return when they answer; `say` gets a line when the progress changes.

    Raises what the server refuses, AlreadyRunning for a team's server that searches in the gateway's own process, or
    where nobody said which other does, and Problem when the rebuild fails.
    """
    url = f"http://{f'[{settings.host}]' if ':' in settings.host else settings.host}:{settings.port}"
    async with httpx2.AsyncClient(base_url=url, timeout=60, trust_env=False) as client:
        if (running := await _instance(client)) is not None:
            await (
                _rebuild(client, embedder, say) if running["tier"] == "individual" else _ask(settings, embedder, say)
            )
            return
    # Without a gateway: whoever may start the server holds the secret that services believe.
    async with application(settings.model_copy(update={"roles": ("memory", "search")})) as app:
        local, signed = httpx2.ASGITransport(app=app), SignedAs(_OPERATOR, settings.key())
        async with httpx2.AsyncClient(transport=local, base_url=url, timeout=60, auth=signed) as client:
            await _rebuild(client, embedder, say)


async def _ask(settings: Settings, embedder: str | None, say: Callable[[str], None]) -> None:
    """Have the search role of a running team's instance do it: no member may, whoever holds its secret may."""
    if settings.search_url is None:
        raise AlreadyRunning(
            "The server is running: say where its search role answers (DEVLORE_SEARCH_URL), or stop it first."
        )
    signed = SignedAs(_OPERATOR, settings.key())
    async with httpx2.AsyncClient(base_url=settings.search_url, timeout=60, trust_env=False, auth=signed) as client:
        await _rebuild(client, embedder, say)


async def _instance(client: httpx2.AsyncClient) -> dict[str, Any] | None:
    try:
        answer = await client.get("/v1/instance")
    except httpx2.TransportError:
        return None
    return dict(answer.json()) if answer.status_code == 200 else None


async def _rebuild(client: httpx2.AsyncClient, embedder: str | None, say: Callable[[str], None]) -> None:
    answer = await client.post("/v1/search/rebuild", json={"embedder": embedder} if embedder else {})
    said = ""
    while True:
        if answer.is_error:
            raise from_body(answer.status_code, answer.json())
        status = SearchStatus.model_validate_json(answer.content)
        running = status.rebuild
        if (line := _line(status)) != said:
            say(said := line)
        if running is None or running.get("state") == "done":
            return
        if running.get("state") in ("failed", "cancelled"):
            raise Problem(f"The rebuild {running['state']}: {running.get('detail') or running.get('error') or ''}")
        await asyncio.sleep(_EVERY)
        answer = await client.get("/v1/search/status")


def _line(status: SearchStatus) -> str:
    return " · ".join(f"{index.name}: {index.documents} {index.state}" for index in status.indexes)
