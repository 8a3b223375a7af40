"""Owns the priority of work nobody waits for."""

import os
import sys
import threading
from contextlib import suppress

NICENESS = 10
"""A tenth of a core where others want it, all of it where nobody does."""


def step_back() -> None:
    """Give the calling thread less of the processor than whoever answers a request.

    On Linux alone: elsewhere a priority is the whole process's.
    """
    if sys.platform == "linux":
        with suppress(OSError):  # forbidden here; then it competes like everybody
            os.setpriority(os.PRIO_PROCESS, threading.get_native_id(), NICENESS)
