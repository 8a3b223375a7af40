"""Fixtures: a real server, a scripted one, and a port where nothing listens."""

from __future__ import annotations

import shutil
import socket
import tempfile
import threading
import uuid
from collections.abc import Iterator
from pathlib import Path

import pytest
from sdk.python.tests.scripted import Scripted
from sdk.python.tests.teams import TeamServer, started_team

from tests.instance import Instance, silent_port


@pytest.fixture(scope="session")
def url() -> Iterator[str]:
    """The address of a real Devlore, shared by the tests of a run: each keeps to a project of its own."""
    # A short path: that of PostgreSQL's socket may not exceed 107 bytes.
    home = Path(tempfile.mkdtemp(prefix="dvl-sdk-", dir="/tmp"))
    # A leg that is late is left out of an answer, and on a busy machine one may be.
    server = Instance(home, search_deadline_ms="60000")
    try:
        server.start()
        yield server.url
    finally:
        server.stop()
        shutil.rmtree(home, ignore_errors=True)


@pytest.fixture(scope="session")
def team() -> Iterator[TeamServer]:
    """A real team instance, shared by the tests of a run: each has people of its own."""
    with started_team() as running:
        yield running


@pytest.fixture(autouse=True)
def nobody(monkeypatch: pytest.MonkeyPatch) -> None:
    """No test signs in as the developer."""
    for name in ("DEVLORE_URL", "DEVLORE_TOKEN", "DEVLORE_KEY"):
        monkeypatch.delenv(name, raising=False)


@pytest.fixture
def project() -> str:
    """A project no other test uses."""
    return f"p{uuid.uuid4().hex[:12]}"


@pytest.fixture
def scripted() -> Iterator[Scripted]:
    server = Scripted()
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02}, daemon=True)
    thread.start()
    yield server
    server.shutdown()
    server.server_close()
    thread.join()


@pytest.fixture
def closed() -> Iterator[socket.socket]:
    """A port nothing listens on, and nobody else is given."""
    with silent_port() as held:
        yield held


@pytest.fixture
def closed_port(closed: socket.socket) -> int:
    """The number of that port."""
    return int(closed.getsockname()[1])
