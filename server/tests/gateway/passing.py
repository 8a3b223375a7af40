"""Time that passes at once, when a test says so: nothing has to be waited for, and no slow machine makes it later."""

from __future__ import annotations

import asyncio


async def passes(seconds: float) -> None:
    """Move the running loop's clock ahead; what it was to do by then, it does now."""
    loop = asyncio.get_running_loop()
    before = loop.time
    loop.time = lambda: before() + seconds  # type: ignore[method-assign]
    for _ in range(3):  # a turn finds what is due, the next one does it
        await asyncio.sleep(0)
