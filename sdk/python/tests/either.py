"""One way to drive both clients, so that a test is written once and holds for each."""

from __future__ import annotations

import inspect
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import devlore

KINDS = ("blocking", "awaiting")


async def done(result: Any) -> Any:
    """What a method returns, awaited where that is needed."""
    return await result if inspect.isawaitable(result) else result


async def every(found: Any) -> list[Any]:
    """Everything an iterator of either client brings."""
    return [item async for item in found] if hasattr(found, "__aiter__") else list(found)


async def first(found: Any) -> Any:
    """The first thing an iterator of either client brings; the rest is never asked for."""
    if hasattr(found, "__aiter__"):
        async for item in found:
            return item
    return next(iter(found))


@asynccontextmanager
async def opened(kind: str, url: str, **options: Any) -> AsyncIterator[Any]:
    """A client of one kind, closed at the end."""
    if kind == "blocking":
        with devlore.Client(url, **options) as client:
            yield client
    else:
        async with devlore.AsyncClient(url, **options) as awaiting:
            yield awaiting
