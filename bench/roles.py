"""Single roles of a team instance as processes, and a client that speaks to them as their gateway does: signed."""

from __future__ import annotations

import http.client
import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path
from typing import Any
from urllib.parse import urlencode

import orjson

import instance
from devlore_server.kit.auth import HEADER, Caller, sign

SECRET = "a secret that every process of a benchmark shares"
IDLE = 3.0
"""Seconds after which a connection is made anew, before its clock runs: a server gives up an idle one after five."""
SERVE = ("-m", "devlore_server", "serve")


class Role:
    """A process of one or more roles; ``settings`` are variables without ``DEVLORE_``, ``program`` what Python runs."""

    def __init__(self, home: Path, *, program: Sequence[str] = SERVE, **settings: str) -> None:
        home.mkdir(parents=True, exist_ok=True)
        self.home = home
        self.port = instance.free_port()
        self.url = f"http://127.0.0.1:{self.port}"
        self.settings = {"tier": "team", "secret": SECRET, "log_level": "warning"} | settings
        self._program = program
        self._process: subprocess.Popen[bytes] | None = None

    @property
    def pid(self) -> int:
        assert self._process is not None
        return self._process.pid

    def spawn(self) -> None:
        """Start it without waiting."""
        chosen = self.settings | {"home": str(self.home), "port": str(self.port)}
        kept = {name: value for name, value in os.environ.items() if not name.startswith("DEVLORE_")}
        environment = kept | {f"DEVLORE_{name.upper()}": value for name, value in chosen.items()}
        with (self.home / "bench.log").open("ab") as log:
            command = [sys.executable, *self._program]
            self._process = subprocess.Popen(command, env=environment, stdout=log, stderr=log)

    def wait(self) -> None:
        """Return when it answers ``/readyz``."""
        assert self._process is not None
        try:
            instance.wait_ready(self.url, self._process, 180)
        except RuntimeError as error:
            tail = (self.home / "bench.log").read_text(errors="replace")[-2_000:]
            raise RuntimeError(f"{error}; its log ends with:\n{tail}") from None

    def stop(self) -> None:
        """Ask it to end, and insist after a while."""
        if self._process is None or self._process.poll() is not None:
            return
        self._process.send_signal(signal.SIGTERM)
        try:
            self._process.wait(60)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()


@contextmanager
def running(*roles: Role) -> Iterator[None]:
    """These processes, ready; the last one is stopped first."""
    try:
        for role in roles:
            role.spawn()
        for role in roles:
            role.wait()
        yield
    finally:
        for role in reversed(roles):
            role.stop()


class Signed:
    """One keep-alive connection to a role; a request is signed before its clock runs."""

    def __init__(self, url: str) -> None:
        self._connection = http.client.HTTPConnection(url.removeprefix("http://"), timeout=120)
        self._used = 0.0

    def get(self, caller: Caller, path: str, **parameters: Any) -> tuple[float, dict[str, Any]]:
        """Seconds until the whole answer was there, and the answer; raises what was not 200."""
        target = f"{path}?{urlencode(parameters, doseq=True)}" if parameters else path
        signature = sign(caller, SECRET.encode(), datetime.now(UTC), "GET", target.encode())
        return self.ask(target, {HEADER: signature})

    def ask(self, target: str, headers: dict[str, str]) -> tuple[float, dict[str, Any]]:
        """``get`` with headers as they are."""
        if time.perf_counter() - self._used > IDLE:
            self._connection.close()
            self._connection.connect()
        started = time.perf_counter()
        self._connection.request("GET", target, headers=headers)
        answer = self._connection.getresponse()
        body = answer.read()
        self._used = time.perf_counter()
        taken = self._used - started
        if answer.status != 200:
            raise RuntimeError(f"{target}: {answer.status} {body[:500]!r}")
        return taken, orjson.loads(body)
