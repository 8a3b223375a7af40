"""Identifiers: UUIDv7 (RFC 9562), made in the service so that ids sort by time."""

from __future__ import annotations

import os
import threading
import time
from uuid import UUID

_lock = threading.Lock()
_last = 0


def new_id() -> UUID:
    """A UUIDv7, strictly increasing within this process.

    Layout (RFC 9562 §5.7, method 3): 48 bits of milliseconds, 12 bits of sub-millisecond
    fraction, 62 random bits.
    """
    global _last
    nanoseconds = time.time_ns()
    # 1/4096 ms steps; a tie or a clock that went back moves on by one step.
    step = nanoseconds * 4096 // 1_000_000
    with _lock:
        _last = step = max(step, _last + 1)
    milliseconds, fraction = divmod(step, 4096)
    random = int.from_bytes(os.urandom(8), "big") & (2**62 - 1)
    return UUID(int=(milliseconds << 80) | (7 << 76) | (fraction << 64) | (2 << 62) | random)
