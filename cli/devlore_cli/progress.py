"""Progress of long work on stderr: a bar on a terminal, a plain line now and then elsewhere."""

from __future__ import annotations

import time
from types import TracebackType
from typing import Self

from devlore_cli.dates import duration
from devlore_cli.output import Screen, clip

_REDRAW = 0.1
_PLAIN_EVERY = 10.0
_WINDOW = 20.0
_BAR = 24
_SPINNER = "⠋⠙⠹⠸⠼⠴⠦⠧⠇⠏"


class Progress:
    """Shows how far something is, with rate and time left. Use as a context manager."""

    def __init__(self, screen: Screen, label: str, unit: str = "memories") -> None:
        self._screen = screen
        self._label = label
        self._unit = unit
        self._points: list[tuple[float, int]] = [(time.monotonic(), 0)]
        self._shown_at = time.monotonic() if not screen.terminal else 0.0
        self._ticks = 0
        self._drawn = False

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.clear()

    def update(self, done: int, total: int | None) -> None:
        """Say how far it is; ``total`` None while it is not known."""
        now = time.monotonic()
        self._points = [(at, n) for at, n in self._points if now - at <= _WINDOW or at == self._points[-1][0]]
        self._points.append((now, done))
        self._show(self._mark(done, total), self.text(done, total), _BAR if total is not None else 1)

    def waiting(self, seconds: float) -> None:
        """Say that something is being waited for, and since when."""
        self._show(_SPINNER[self._ticks % len(_SPINNER)], f"{self._label}: {duration(seconds)}", 1)

    def _show(self, mark: str, text: str, columns: int) -> None:
        now = time.monotonic()
        if now - self._shown_at < (_REDRAW if self._screen.terminal else _PLAIN_EVERY):
            return
        self._shown_at = now
        self._ticks += 1
        if self._screen.terminal:
            self._drawn = True
            room = (self._screen.width or 80) - columns - 2
            self._screen.raw(f"\r\x1b[2K{mark} {clip(text, room)}")
        else:
            self._screen.line(text)
            self._screen.stream.flush()

    def text(self, done: int, total: int | None) -> str:
        """How far it is, in words: share, counts, rate, time left."""
        rate = self.rate()
        speed = f" · {rate:,.0f}/s" if rate >= 1 else ""
        if total is None:
            return f"{self._label}: {done:,} {self._unit}{speed}"
        share = min(1.0, done / total) if total else 1.0
        left = f" · {duration((total - done) / rate)} left" if rate > 0 and done < total else ""
        return f"{self._label}: {share:.0%} · {done:,} of {total:,} {self._unit}{speed}{left}"

    def _mark(self, done: int, total: int | None) -> str:
        if total is None:
            return _SPINNER[self._ticks % len(_SPINNER)]
        full = int(min(1.0, done / total) * _BAR) if total else _BAR
        return self._screen.style("━" * full, "green") + self._screen.style("━" * (_BAR - full), "dim")

    def rate(self) -> float:
        """Items per second over the last seconds."""
        (began, first), (ended, last) = self._points[0], self._points[-1]
        return (last - first) / (ended - began) if ended > began else 0.0

    def clear(self) -> None:
        """Take the bar off the terminal."""
        if self._drawn:
            self._screen.raw("\r\x1b[2K")
            self._drawn = False
