"""What tests that wait share: until something holds, until a rebuild ended, and a consumer that stands still."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from typing import Any

from devlore.types import SearchPage
from devlore_server.kit.auth import Principal
from tests.search.conftest import Desk


async def until(holds: Callable[[], Awaitable[Any]], seconds: float = 15) -> None:
    """Wait until the coroutine function `holds` answers true."""
    async with asyncio.timeout(seconds):
        while not await holds():
            await asyncio.sleep(0.03)


async def rebuilt(desk: Desk, seconds: float = 30) -> None:
    """Wait until the rebuild that was asked for has ended, well or not."""

    async def ended() -> bool:
        state = (await desk.service.status()).rebuild
        return state is not None and state["state"] != "running" and state["lexical"] == "done"

    await until(ended, seconds)


async def only_vectors_wait(desk: Desk) -> bool:
    """Whether the vector index is behind and the lexical one is not; those who wait hurry both."""
    return await desk.service.wait(0.2) == ["search.vector"]


@asynccontextmanager
async def standing_still(desk: Desk) -> AsyncIterator[None]:
    """Both consumers apply nothing: the indexes stay as they are, only the rows move on."""
    go_on = asyncio.Event()
    handlers = [consumer._handler for consumer in desk.parts.consumers]

    def held_back(handler: Callable[[Any], Awaitable[None]]) -> Callable[[Any], Awaitable[None]]:
        async def later(events: Any) -> None:
            await go_on.wait()
            await handler(events)

        return later

    for consumer, handler in zip(desk.parts.consumers, handlers, strict=True):
        consumer._handler = held_back(handler)
    try:
        yield
    finally:
        for consumer, handler in zip(desk.parts.consumers, handlers, strict=True):
            consumer._handler = handler
        go_on.set()


async def pages(desk: Desk, who: Principal, q: str, **fields: Any) -> list[SearchPage]:
    """Every page of a search, first to last."""
    read = [await desk.find(who, q, **fields)]
    while read[-1].next is not None:
        read.append(await desk.find(who, q, **fields, cursor=read[-1].next))
        assert len(read) < 1_000, "the pages never end"
    return read


def titles(read: list[SearchPage]) -> list[str]:
    """The titles on pages, in order."""
    return [hit.memory.title for page in read for hit in page.items]
