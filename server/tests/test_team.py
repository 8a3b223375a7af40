"""`devlore-server team`: every role in a process of its own, watched, and one Ctrl-C ends them all."""

from __future__ import annotations

import os
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

import httpx2
import psutil
import pytest

from tests.people import Person, secret_of

pytestmark = pytest.mark.timeout(300)
ROLES = ["gateway", "identity", "memory", "search", "integration", "worker"]


class Run:
    """A `devlore-server team` with an embedded PostgreSQL and a Redis of its own."""

    def __init__(self, home: Path) -> None:
        self.home, self.port = home, free_ports(len(ROLES))
        self.url = f"http://localhost:{self.port}"
        self._output = home / "team.log"
        self._process: subprocess.Popen[bytes] | None = None

    def start(self, patience: float = 150, **settings: str) -> None:
        with self._output.open("wb") as output:
            self._process = subprocess.Popen(
                [sys.executable, "-m", "devlore_server", "team", "--organisation", "Acme"],
                env=self.environment() | settings,
                stdout=output,
                stderr=output,
                start_new_session=True,
            )
        deadline = time.monotonic() + patience
        while "Ctrl-C" not in self.said:
            if self._process.poll() is not None or time.monotonic() > deadline:
                raise AssertionError(self.said)
            time.sleep(0.1)

    def environment(self, shutdown_seconds: int = 10) -> dict[str, str]:
        kept = {k: v for k, v in os.environ.items() if not k.startswith("DEVLORE_")}
        chosen = {"HOME": self.home, "PORT": self.port, "SHUTDOWN_SECONDS": shutdown_seconds}
        chosen["SEARCH_DEADLINE_MS"] = 30_000  # what a search finds must not depend on how busy the machine is
        return kept | {f"DEVLORE_{name}": str(value) for name, value in chosen.items()}

    @property
    def said(self) -> str:
        return self._output.read_text(errors="replace")

    @property
    def told(self) -> list[str]:
        """Its lines, but for warnings that Redis took too long: on a machine that stalls they are true."""
        return [line for line in self.said.splitlines() if not ("[warning" in line and "_away" in line)]

    def parts(self) -> dict[str, psutil.Process]:
        """The running processes by role; Redis as `redis`."""
        assert self._process is not None
        found = {}
        for child in psutil.Process(self._process.pid).children():
            with suppress(psutil.NoSuchProcess):  # killed a moment ago
                line = child.cmdline()
                if "--role" in line:
                    found[line[line.index("--role") + 1]] = child
                elif line and "redis-server" in line[0]:  # a killed one has no words until it is reaped
                    found["redis"] = child
        return found

    def interrupt(self) -> int:
        assert self._process is not None
        self._process.send_signal(signal.SIGINT)
        return self._process.wait(60)

    def kill(self) -> None:
        """``kill -9``: it can end nobody."""
        assert self._process is not None
        self._process.kill()
        self._process.wait(60)

    def sweep(self) -> None:
        if self._process is not None and self._process.poll() is None:
            for process in psutil.Process(self._process.pid).children(recursive=True):
                process.kill()
            self._process.kill()
            self._process.wait()


def free_ports(many: int) -> int:
    """The first of several ports in a row that nobody listens on, below those that are given out one at a time."""
    for first in range(10_000, 20_000, 50):
        try:
            for port in range(first, first + many):
                socket.create_server(("127.0.0.1", port)).close()
        except OSError:
            continue
        return first
    raise AssertionError("no free ports")


@pytest.fixture
def run() -> Iterator[Run]:
    home = Path(tempfile.mkdtemp(prefix="dvl-team-", dir="/tmp"))
    team = Run(home)
    try:
        yield team
    finally:
        team.sweep()
        shutil.rmtree(home, ignore_errors=True)


def test_a_team_comes_up_heals_and_goes_down(run: Run) -> None:
    run.start()
    greeting = run.told
    link = f"  {run.url}/invitation#{secret_of(run.said)}"
    begun = f"Starting on {run.home}, a process per role. This takes a moment, the first time more."
    answers = f"Devlore answers at {run.url}."
    asked = "Nobody owns Acme yet. Its first owner opens this link:"
    assert greeting == [begun, answers, asked, "", link, "", "Ctrl-C stops it."], "and nothing its parts have to say"
    assert "Redis" in (run.home / "redis.log").read_text()
    assert set(run.parts()) == {*ROLES, "redis"}
    owner = Person.signing_up(run.url, secret_of(run.said), "Olga")
    memory = owner.remember("Heron in the team", "private")

    for part in ("memory", "redis"):
        killed = run.parts()[part]
        killed.kill()
        healed(run, part, killed.pid)
    assert owner.sees(memory) == {"get": True, "list": True, "search": True}

    parts = list(run.parts().values())
    assert run.interrupt() == 0
    assert not [process for process in parts if process.is_running()]
    assert not (run.home / "postgres" / "data" / "postmaster.pid").exists(), "PostgreSQL too"

    run.start()
    assert owner.again().sees(memory) == {"get": True, "list": True, "search": True}
    assert run.interrupt() == 0
    assert run.told == [begun, answers, "Ctrl-C stops it."], "it has its owner; ending is quiet, too"


def test_nothing_outlives_a_killed_team_and_the_next_comes_up(run: Run) -> None:
    run.start()
    owner = Person.signing_up(run.url, secret_of(run.said), "Olga")
    memory = owner.remember("Heron in the team", "private")
    parts = list(run.parts().values())
    run.kill()
    run.start(DEVLORE_LOG_LEVEL="info")
    assert run.said.count("listening") == len(ROLES), "whoever wants to hear more does"
    assert "\x1b" not in run.said and "color_message" not in run.said
    assert owner.again().sees(memory) == {"get": True, "list": True, "search": True}
    assert not [process for process in parts if process.is_running()], "those of before have ended"

    second = team(run.environment(2))
    assert second.returncode == 1
    assert "already runs" in second.stderr
    assert run.interrupt() == 0


def test_what_can_never_start_is_said_at_once(run: Run) -> None:
    settings = run.environment(2)
    with socket.create_server(("127.0.0.1", int(settings["DEVLORE_PORT"]) + 2)):
        taken = team(settings)
    assert taken.returncode == 1
    assert "cannot listen on port" in taken.stderr

    # The database of one person: the memory role refuses it, and would again.
    embedded = {**settings, "DEVLORE_TIER": "individual"}
    alone = subprocess.Popen([sys.executable, "-m", "devlore_server", "serve"], env=embedded, stderr=subprocess.DEVNULL)
    try:
        ready(f"http://127.0.0.1:{settings['DEVLORE_PORT']}")
    finally:
        alone.terminate()
        alone.wait(60)
    refused = team(settings)
    assert refused.returncode == 1
    assert "memory ended before it was ready" in refused.stderr
    assert "part_died" not in refused.stdout + refused.stderr


def test_a_redis_that_does_not_start_says_why_in_a_file(run: Run, tmp_path: Path) -> None:
    program = tmp_path / "redis-server"
    program.write_text("#!/bin/sh\necho 'Bad directive'\nexit 1\n")
    program.chmod(0o755)
    settings = run.environment(2)
    refused = team(settings | {"PATH": f"{tmp_path}:{settings['PATH']}"})
    said = run.home / "redis.log"
    assert refused.returncode == 1
    assert refused.stderr == f"Error: redis ended before it was ready; what it said is in {said}.\n"
    assert said.read_text() == "Bad directive\n"
    assert refused.stdout.count("\n") == 1, "that it is starting"


def team(environment: dict[str, str]) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "devlore_server", "team"]
    return subprocess.run(command, env=environment, capture_output=True, text=True, timeout=200)


def ready(url: str) -> None:
    """Wait until an instance is."""
    deadline = time.monotonic() + 60
    while not is_ready(url):
        assert time.monotonic() < deadline, f"{url} is not ready"
        time.sleep(0.1)


def is_ready(url: str) -> bool:
    with suppress(httpx2.TransportError):
        return bool(httpx2.get(url + "/readyz", timeout=5).json()["status"] == "ready")
    return False


def healed(run: Run, part: str, before: int) -> None:
    """Wait until a killed part runs again and everything is ready."""
    deadline = time.monotonic() + 60
    while time.monotonic() < deadline:
        now = run.parts().get(part)
        if now is not None and now.pid != before and is_ready(run.url):
            return
        time.sleep(0.2)
    raise AssertionError(run.said)
