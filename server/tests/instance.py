"""A real server process with data in a folder of its own: started, killed without mercy, and started again."""

from __future__ import annotations

import os
import secrets
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

import httpx2
import psutil
import redis


def until(holds: Callable[[], bool], patience: float = 30) -> None:
    """Wait until something holds."""
    deadline = time.monotonic() + patience
    while not holds():
        assert time.monotonic() < deadline, f"not within {patience} s"
        time.sleep(0.02)


def free_port() -> int:
    """A port nothing listens on, below those the system gives out: nobody is given it until it is listened on."""
    while True:
        port = 20_000 + secrets.randbelow(12_000)
        with socket.socket() as probe, suppress(OSError):
            probe.bind(("127.0.0.1", port))
            return port


@contextmanager
def silent_port() -> Iterator[socket.socket]:
    """A port of loopback that refuses connections and is nobody else's: bound, and not listened on."""
    with socket.socket() as held:
        held.bind(("127.0.0.1", 0))
        yield held


@contextmanager
def own_redis() -> Iterator[tuple[str, subprocess.Popen[bytes]]]:
    """A Redis that a test may kill."""
    folder = Path(tempfile.mkdtemp(prefix="dvl-redis-", dir="/tmp"))
    answers = folder / "redis.sock"
    options = ["--port", "0", "--unixsocket", str(answers), "--save", "", "--appendonly", "no", "--dir", str(folder)]
    process = subprocess.Popen([str(shutil.which("redis-server")), *options], stdout=subprocess.DEVNULL)
    try:
        _await_redis(f"unix://{answers}")
        yield f"unix://{answers}", process
    finally:
        process.kill()
        process.wait()
        shutil.rmtree(folder, ignore_errors=True)


def _await_redis(url: str) -> None:
    """Wait until it answers: its socket is there a moment before. That it was asked is not counted."""
    deadline = time.monotonic() + 20
    while True:
        try:
            with redis.Redis.from_url(url) as client:
                client.config_resetstat()
                return
        except redis.exceptions.ConnectionError:
            assert time.monotonic() < deadline, "redis-server does not answer"
            time.sleep(0.02)


class Instance:
    """`devlore-server serve` on a free port with its data below `home`; `settings` are variables without `DEVLORE_`."""

    def __init__(self, home: Path, **settings: str) -> None:
        self.home = home
        self.settings = settings
        self.port = free_port()
        self.url = f"http://127.0.0.1:{self.port}"
        self._log = (home / "server.log").open("ab")
        self._process: subprocess.Popen[bytes] | None = None

    def start(self, patience: float = 60) -> float:
        """Start the server and wait until it says it is ready; returns the seconds that took."""
        started = time.monotonic()
        self.spawn()
        self.wait_until_ready(patience)
        return time.monotonic() - started

    def spawn(self) -> None:
        """Start the server without waiting for it."""
        kept = {k: v for k, v in os.environ.items() if not k.startswith("DEVLORE_")}
        chosen = {f"DEVLORE_{k.upper()}": v for k, v in self.settings.items()}
        environment = kept | {"DEVLORE_HOME": str(self.home), "DEVLORE_PORT": str(self.port)} | chosen
        self._process = subprocess.Popen(
            [sys.executable, "-m", "devlore_server", "serve"],
            env=environment,
            stdout=self._log,
            stderr=self._log,
            start_new_session=True,
        )

    def wait_until_ready(self, patience: float = 60) -> None:
        deadline = time.monotonic() + patience
        while time.monotonic() < deadline:
            if self._process is not None and self._process.poll() is not None:
                raise AssertionError(f"the server ended with {self._process.returncode}:\n{self.log_tail()}")
            try:
                if httpx2.get(self.url + "/readyz", timeout=2).status_code == 200:
                    return
            except httpx2.TransportError:
                pass
            time.sleep(0.05)
        raise AssertionError(f"the server is not ready after {patience} s:\n{self.log_tail()}")

    def postgres(self) -> int | None:
        """The process id of the embedded PostgreSQL, from its lock file."""
        try:
            return int((self.home / "postgres" / "data" / "postmaster.pid").read_text().split()[0])
        except (FileNotFoundError, IndexError, ValueError):
            return None

    def kill_server(self) -> None:
        assert self._process is not None
        self._process.kill()
        self._process.wait()

    def kill_postgres(self, *, backend: bool = False) -> None:
        """SIGKILL the postmaster, or one of its backends (upon which it restarts them all)."""
        pid = self.postgres()
        if pid is None:
            return
        try:
            children = psutil.Process(pid).children()
            victim = children[-1].pid if backend and children else pid
            os.kill(victim, signal.SIGKILL)
        except (psutil.NoSuchProcess, ProcessLookupError):
            pass

    @property
    def pid(self) -> int:
        assert self._process is not None
        return self._process.pid

    def stop(self, patience: float = 30) -> int | None:
        """Ask the server to end, as an operator would; returns its exit code."""
        try:
            if self._process is not None and self._process.poll() is None:
                self._process.terminate()
                return self._process.wait(patience)
            return None
        finally:
            self._log.close()

    def wait(self, patience: float = 30) -> int:
        """Wait until it has ended by itself; its exit code."""
        assert self._process is not None
        return self._process.wait(patience)

    def sweep(self) -> None:
        """After a failed test: nothing that was started here goes on."""
        if self._process is not None and self._process.poll() is None:
            self._process.kill()
            self._process.wait()
        if (pid := self.postgres()) is not None and psutil.pid_exists(pid):
            parent = psutil.Process(pid)
            for process in [parent, *parent.children(recursive=True)]:
                # Without their parent the children end by themselves.
                with suppress(psutil.NoSuchProcess):
                    process.kill()

    def log_tail(self) -> str:
        self._log.flush()
        return (self.home / "server.log").read_text(errors="replace")[-4000:]
