"""Fixtures: a terminal at a scripted server, and a home of its own."""

from __future__ import annotations

import json
import os
import shutil
import signal
import subprocess
import sys
import tempfile
import threading
import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from cli.tests.desk import Desk, Desks
from cli.tests.terminal import Terminal
from sdk.python.tests.scripted import Scripted
from sdk.python.tests.teams import TeamServer, started_team

from tests.instance import free_port, silent_port

# A run in the background inherits an ignored SIGINT, and so would every command whose Ctrl-C is tested.
if threading.current_thread() is threading.main_thread():
    signal.signal(signal.SIGINT, signal.default_int_handler)


@pytest.fixture(autouse=True)
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """No test sees the developer's own Devlore or terminal settings."""
    for name in ("NO_COLOR", "FORCE_COLOR", "VISUAL", "EDITOR", "BROWSER", "DISPLAY", "WAYLAND_DISPLAY"):
        monkeypatch.delenv(name, raising=False)
    for name in ("URL", "PORT", "HOST", "TIER", "TOKEN", "KEY"):
        monkeypatch.delenv(f"DEVLORE_{name}", raising=False)
    monkeypatch.setenv("XDG_CONFIG_HOME", str(tmp_path / "config"))
    # Not the keyring of whoever runs the tests.
    monkeypatch.setenv("PYTHON_KEYRING_BACKEND", "keyring.backends.fail.Keyring")
    monkeypatch.setenv("TERM", "xterm-256color")
    monkeypatch.setenv("COLUMNS", "100")
    # Texts that an edit keeps go away with the test.
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    folder = tmp_path / "home"
    monkeypatch.setenv("DEVLORE_HOME", str(folder))
    return folder


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
def devlore(scripted: Scripted, monkeypatch: pytest.MonkeyPatch) -> Terminal:
    """`devlore` at a scripted server."""
    return Terminal(monkeypatch, scripted.url)


@contextmanager
def started() -> Iterator[str]:
    """A real Devlore in a home of its own, started by `devlore up` and stopped by `devlore down`; its address."""
    # A short path: that of PostgreSQL's socket may not exceed 107 bytes.
    folder = Path(tempfile.mkdtemp(prefix="dvl-cli-", dir="/tmp"))
    kept = {name: value for name, value in os.environ.items() if not name.startswith("DEVLORE_")}
    own = {"DEVLORE_HOME": str(folder / "home"), "DEVLORE_PORT": str(free_port())}
    # A leg that is late is left out of an answer, and on a busy machine one may be.
    environment = kept | own | {"DEVLORE_SEARCH_DEADLINE_MS": "60000"}
    program = [sys.executable, "-m", "devlore_cli"]
    began = subprocess.run([*program, "up", "--json"], env=environment, capture_output=True, text=True, check=False)
    try:
        assert began.returncode == 0, began.stderr
        yield json.loads(began.stdout)["url"]
    finally:
        subprocess.run([*program, "down"], env=environment, capture_output=True, check=True)
        shutil.rmtree(folder, ignore_errors=True)


@pytest.fixture(scope="session")
def running() -> Iterator[str]:
    with started() as url:
        yield url


@pytest.fixture(scope="session")
def running_elsewhere() -> Iterator[str]:
    with started() as url:
        yield url


@pytest.fixture(scope="session")
def team() -> Iterator[TeamServer]:
    """A real team instance, shared by the tests of a run: each has people of its own."""
    with started_team() as running:
        yield running


@pytest.fixture
def desks(monkeypatch: pytest.MonkeyPatch, team: TeamServer, tmp_path: Path) -> Desks:
    return Desks(monkeypatch, team, tmp_path)


@pytest.fixture
def owner(desks: Desks) -> Desk:
    """The desk of an owner, who came by invitation like everybody: their session is no other test's."""
    return desks(desks.team.join("owner", "Olaf Second"))


@pytest.fixture
def closed() -> Iterator[str]:
    """An address at which nothing listens."""
    with silent_port() as held:
        yield f"http://127.0.0.1:{held.getsockname()[1]}"


@pytest.fixture
def real(running: str, monkeypatch: pytest.MonkeyPatch) -> Terminal:
    """`devlore` at a real server, shared by the tests of a run: each keeps to a project of its own."""
    return Terminal(monkeypatch, running)


@pytest.fixture
def elsewhere(running_elsewhere: str, monkeypatch: pytest.MonkeyPatch) -> Terminal:
    """`devlore` at another real server, to move memories to."""
    return Terminal(monkeypatch, running_elsewhere)


@pytest.fixture
def project() -> str:
    """A project no other test uses."""
    return f"p{uuid.uuid4().hex[:12]}"
