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
def hanging(process: subprocess.Popen[bytes], *lines: Line) -> Iterator[None]:
    """Meanwhile the process takes connections and answers nothing, and those at ``lines`` have little patience."""
    os.kill(process.pid, signal.SIGSTOP)
    before = [_be_patient(line, 0.3) for line in lines]
    try:
        yield
    finally:
        os.kill(process.pid, signal.SIGCONT)
        for line, seconds in zip(lines, before, strict=True):
            _be_patient(line, seconds)


def _be_patient(line: Line, seconds: float) -> float:
    """Wait so long for an answer from now on; how long it was before."""
    before = line._target.socket_timeout
    line._target.socket_timeout = seconds
    talk = line._talk
    if talk is not None:
        talk._patience = seconds
        if talk._watch is not None:  # it would look again when the patience of before is over
            talk._watch.cancel()
            talk._watch = None
    return float(before)


async def hung_up(line: Line) -> None:
    """Wait until it has noticed that Redis ended the connection."""
    async with asyncio.timeout(20):
        while line._talk is None or not line._talk.over:
            await asyncio.sleep(0.005)


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
