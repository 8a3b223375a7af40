"""Rebuilding an index from the command line: in the running server, or in one that is started just for this."""

from __future__ import annotations

import asyncio
from collections.abc import Callable

import httpx2

from devlore.problems import Problem, from_body
from devlore.types import SearchStatus
from devlore_server.app import application
from devlore_server.settings import Settings

_EVERY = 0.5


async def rebuild_search(settings: Settings, embedder: str | None, say: Callable[[str], None]) -> None:
    """Rebuild the search indexes and return when they answer; `say` gets a line when the progress changes.

    Raises what the server refuses, or Problem when the rebuild fails.
    """
    url = f"http://{f'[{settings.host}]' if ':' in settings.host else settings.host}:{settings.port}"
    async with httpx2.AsyncClient(base_url=url, timeout=60, trust_env=False) as client:
        if await _answers(client):
            await _rebuild(client, embedder, say)
            return
    async with application(settings) as app:
        local = httpx2.ASGITransport(app=app)
        async with httpx2.AsyncClient(transport=local, base_url=url, timeout=60) as client:
            await _rebuild(client, embedder, say)


async def _answers(client: httpx2.AsyncClient) -> bool:
    try:
        return (await client.get("/v1/instance")).status_code == 200
    except httpx2.TransportError:
        return False


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
