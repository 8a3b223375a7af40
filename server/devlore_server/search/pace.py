"""Owns who goes first while much arrives: words are searchable within seconds, meaning follows."""

import asyncio
from collections.abc import Awaitable, Callable
from time import monotonic

MANY = 32
"""Events in one batch of words that make it a load; the vectors of somebody's single memory wait for nobody."""
CALM_SECONDS = 0.5
"""Without such a batch for this long the load is over."""
LONGEST_SECONDS = 2.0
"""After so long a wait a little is embedded all the same: a load may last for hours."""


class Pace:
    """Lets the vector index wait while the lexical one has its hands full.

    Embedding takes both cores for minutes after a load of minutes; what reads the source, writes rows and indexes words
    would get a third of them meanwhile.
    """

    def __init__(
        self, now: Callable[[], float] = monotonic, sleep: Callable[[float], Awaitable[None]] = asyncio.sleep
    ) -> None:
        self._now = now
        self._sleep = sleep
        self._busy_until = 0.0

    @property
    def busy(self) -> bool:
        """Whether a load is on its way in."""
        return self._now() < self._busy_until

    def indexed(self, events: int) -> None:
        """Note that a batch of words was indexed just now."""
        if events >= MANY:
            self._busy_until = self._now() + CALM_SECONDS

    async def turn(self) -> None:
        """Return when it is the vectors' turn: at once when nothing arrives, after a while in any case."""
        left = LONGEST_SECONDS
        while left > 0 and (calm_in := self._busy_until - self._now()) > 0:
            pause = min(calm_in, left)
            await self._sleep(pause)
            left -= pause
