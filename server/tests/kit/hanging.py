"""A Redis that hangs or was killed, and a clock that a test moves by hand."""

from __future__ import annotations

import asyncio
import os
import signal
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager

import pytest
import redis

from devlore_server.kit.cache import connect
from devlore_server.kit.line import PAUSE, Line


class Clock:
    """Seconds."""

    def __init__(self) -> None:
        self.now = 100.0

    def __call__(self) -> float:
        return self.now

    def pause(self) -> None:
        """As long as Redis is left alone after it failed."""
        self.now += PAUSE


@contextmanager
def hanging(process: subprocess.Popen[bytes]) -> Iterator[None]:
    """Meanwhile the process takes connections and answers nothing."""
    os.kill(process.pid, signal.SIGSTOP)
    try:
        yield
    finally:
        os.kill(process.pid, signal.SIGCONT)


@contextmanager
def started_again(process: subprocess.Popen[bytes]) -> Iterator[None]:
    """Meanwhile there is another one in the place of the process, which has ended."""
    again = subprocess.Popen(process.args, stdout=subprocess.DEVNULL)
    try:
        yield
    finally:
        again.kill()
        again.wait()


def connections(url: str) -> int:
    """How many were made to it since it started, this one not counted."""
    with redis.Redis.from_url(url) as client:
        return int(client.info("stats")["total_connections_received"]) - 1


async def until_it_listens(url: str) -> None:
    for _ in range(500):
        fresh = Line(connect(url, patience=10))
        try:
            return await fresh.ping()
        except OSError:
            await asyncio.sleep(0.02)
        finally:
            fresh.close()
    pytest.fail("Redis did not start again")
