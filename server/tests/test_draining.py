"""Stopping: first readiness says no, then nobody new comes in, and what runs is finished."""

from __future__ import annotations

import os
import shutil
import signal
import socket
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import httpx2
import psycopg
import pytest
from psycopg import conninfo

from devlore_server.kit.draining import Drain, Draining
from tests.instance import Instance

DRAIN_SECONDS = 10
BODY = b'{"title": "Sent while it was told to stop"}'


@contextmanager
def started(database_url: str, drain_seconds: int) -> Iterator[Instance]:
    home = Path(tempfile.mkdtemp(prefix="dvl-drain-"))
    running = Instance(home, database_url=database_url, drain_seconds=str(drain_seconds), shutdown_seconds="20")
    try:
        running.start(90)
        yield running
    finally:
        running.sweep()
        shutil.rmtree(home, ignore_errors=True)


@pytest.fixture
def instance(owner_url: str) -> Iterator[Instance]:
    with started(owner_url, DRAIN_SECONDS) as running:
        yield running


async def test_it_begins_once() -> None:
    drain = Drain()
    await drain.ping()
    assert [drain.begin(), drain.begin()] == [True, False]
    with pytest.raises(Draining):
        await drain.ping()


@pytest.mark.timeout(180)
def test_readiness_fails_first_and_a_running_request_is_finished(instance: Instance, owner_url: str) -> None:
    with socket.create_connection(("127.0.0.1", instance.port)) as slow:
        head = f"POST /v1/memories HTTP/1.1\r\nHost: localhost:{instance.port}\r\nContent-Type: application/json\r\n"
        slow.sendall(head.encode() + f"Content-Length: {len(BODY)}\r\n\r\n".encode() + BODY[:10])
        time.sleep(0.2)
        pid = instance.pid
        os.kill(pid, signal.SIGTERM)
        ready = httpx2.get(instance.url + "/readyz", timeout=DRAIN_SECONDS)
        assert (ready.status_code, ready.json()["degraded"]) == (503, ["draining"])
        served = httpx2.get(instance.url + "/v1/memories", timeout=DRAIN_SECONDS)
        assert served.status_code == 200, "who comes now is served"
        deadline = time.monotonic() + DRAIN_SECONDS + 20
        while time.monotonic() < deadline:
            try:
                socket.create_connection(("127.0.0.1", instance.port), timeout=1).close()
            except OSError:
                break
            time.sleep(0.1)
        else:
            raise AssertionError("it still takes new connections")
        slow.sendall(BODY[10:])
        assert slow.recv(4096).startswith(b"HTTP/1.1 201")
    assert instance.wait() == 0
    with psycopg.connect(conninfo.make_conninfo(owner_url)) as connection:
        assert connection.execute("SELECT count(*) FROM memory.memory").fetchone() == (1,)


@pytest.mark.timeout(180)
def test_told_twice_it_does_not_wait(owner_url: str) -> None:
    with started(owner_url, drain_seconds=300) as instance:
        os.kill(instance.pid, signal.SIGTERM)
        # A second signal would be the first as long as that one is pending.
        while httpx2.get(instance.url + "/readyz", timeout=30).status_code != 503:
            time.sleep(0.05)
        os.kill(instance.pid, signal.SIGTERM)
        assert instance.wait(60) == 0
