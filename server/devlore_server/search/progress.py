"""Owns how fast an index grows: a rate over the last minute, and what holds it up."""

from collections import deque
from collections.abc import Callable
from time import monotonic

WINDOW_SECONDS = 60.0


class Progress:
    """Counts what was done and when; `trouble` is why nothing is done now, or None."""

    def __init__(self, now: Callable[[], float] = monotonic) -> None:
        self._now = now
        self._done: deque[tuple[float, int]] = deque()
        self.trouble: str | None = None

    def did(self, count: int) -> None:
        """Note that `count` documents were written just now."""
        self.trouble = None
        self._done.append((self._now(), count))
        self._forget()

    def failed(self, why: str) -> None:
        """Note what holds it up."""
        self.trouble = why

    def rate(self) -> float | None:
        """Documents per second over the last minute, from the first of them until now; None when there were none."""
        self._forget()
        if not self._done:
            return None
        seconds = max(self._now() - self._done[0][0], 1.0)
        return sum(count for _, count in self._done) / seconds

    def eta(self, remaining: int) -> float | None:
        """Seconds until `remaining` documents are done at this rate; 0 when none remain, None when nothing moves."""
        if remaining <= 0:
            return 0.0
        rate = self.rate()
        return remaining / rate if rate else None

    def _forget(self) -> None:
        while self._done and self._done[0][0] < self._now() - WINDOW_SECONDS:
            self._done.popleft()
