"""Watching a folder: the operating system's notices, and a slow look of our own for what they miss."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, Awaitable, Callable
from pathlib import Path
from typing import Any

from watchfiles import awatch

_QUIET_MS = 400
_POLL_SECONDS = 30.0
_FIRST_LOOK = 0.5


async def changes(
    folder: Path, state: Callable[[], Awaitable[Any]], *, poll_seconds: float = _POLL_SECONDS
) -> AsyncGenerator[None, None]:
    """Yield at once, and whenever ``state()`` differs from what it was; bursts are one change.

    It is looked at after each notice, and every ``poll_seconds`` (at first more often, while notices may not have
    begun to come).

    Notices are debounced, so an editor that saves by writing a copy and renaming it is one change. Comparing the
    state is the truth: notices get lost (network folders, overflowing queues, a folder that is replaced).
    """
    before = await state()
    noticed = asyncio.Event()
    listener = asyncio.create_task(_listen(folder, noticed, poll_seconds))
    pause = min(_FIRST_LOOK, poll_seconds)
    try:
        yield
        while True:
            pause = min(pause * 2, poll_seconds)
            try:
                async with asyncio.timeout(pause):
                    await noticed.wait()
            except TimeoutError:
                pass
            noticed.clear()
            now = await state()
            if now != before:
                before = now
                yield
    finally:
        listener.cancel()
        await asyncio.gather(listener, return_exceptions=True)


async def _listen(folder: Path, noticed: asyncio.Event, again_after: float) -> None:
    stop = asyncio.Event()
    try:
        while True:
            try:
                async for _ in awatch(
                    folder, debounce=_QUIET_MS, step=50, stop_event=stop, ignore_permission_denied=True
                ):
                    noticed.set()
            except (FileNotFoundError, RuntimeError, OSError):
                pass  # the folder went away, or there are no notices left to give: the slow look goes on
            await asyncio.sleep(again_after)
    finally:
        # Leaves the watcher's thread; it would hold up the end of the process otherwise.
        stop.set()
