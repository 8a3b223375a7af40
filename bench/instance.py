"""A throw-away Devlore instance for a benchmark: own home, own port, gone afterwards."""

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
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx2
import psutil


@dataclass(frozen=True)
class Instance:
    """A running server: its address, process and home folder."""

    url: str
    process: subprocess.Popen[bytes]
    home: Path

    def client(self) -> httpx2.Client:
        """A keep-alive HTTP client for it."""
        return httpx2.Client(base_url=self.url, timeout=600)

    def resident_bytes(self) -> dict[str, int]:
        """Memory of server and PostgreSQL; proportional set size, so shared pages count once."""
        found = {"server": _pss(psutil.Process(self.process.pid)), "postgresql": 0}
        for process in psutil.process_iter(["name", "cmdline"]):
            line = " ".join(process.info["cmdline"] or [])
            if process.info["name"] == "postgres" and (str(self.home) in line or _belongs(process, self.home)):
                found["postgresql"] += _pss(process)
        return found


def _belongs(process: psutil.Process, home: Path) -> bool:
    try:
        parent = process.parent()
        return parent is not None and str(home) in " ".join(parent.cmdline())
    except psutil.Error:
        return False


def _pss(process: psutil.Process) -> int:
    try:
        return int(process.memory_full_info().pss)
    except psutil.Error:
        return 0


def free_port() -> int:
    """A TCP port nobody listens on right now."""
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        return int(listener.getsockname()[1])


def wait_ready(url: str, process: subprocess.Popen[bytes], seconds: float = 90) -> None:
    """Return when ``/readyz`` answers 200; raise with what the server said when it does not."""
    deadline = time.monotonic() + seconds
    while time.monotonic() < deadline:
        if process.poll() is not None:
            raise RuntimeError(f"the server stopped with exit code {process.returncode}")
        try:
            if httpx2.get(url + "/readyz", timeout=2).status_code == 200:
                return
        except httpx2.HTTPError:
            pass
        time.sleep(0.02)
    raise RuntimeError(f"no /readyz within {seconds:.0f} s")


def launch(home: Path, port: int, **environment: str) -> subprocess.Popen[bytes]:
    """Start a server process on ``home`` and ``port``; its log goes to ``home/bench.log``."""
    settings = {"DEVLORE_HOME": str(home), "DEVLORE_PORT": str(port), **environment}
    with (home / "bench.log").open("ab") as log:
        return subprocess.Popen(
            [sys.executable, "-m", "devlore_server", "serve"], env=os.environ | settings, stdout=log, stderr=log
        )


@contextmanager
def running(**environment: str) -> Iterator[Instance]:
    """An empty instance, ready to answer; stopped and deleted on leaving."""
    home = Path(tempfile.mkdtemp(prefix="devlore-bench-"))
    home.chmod(0o755)
    port = free_port()
    url = f"http://127.0.0.1:{port}"
    process = launch(home, port, **environment)
    try:
        wait_ready(url, process)
        yield Instance(url, process, home)
    finally:
        process.send_signal(signal.SIGTERM)
        try:
            process.wait(30)
        except subprocess.TimeoutExpired:
            process.kill()
        shutil.rmtree(home, ignore_errors=True)


def fill(client: httpx2.Client, drafts: list[dict[str, Any]], batch: int = 1_000) -> float:
    """Store drafts through bulk; seconds until everything was committed."""
    started = time.perf_counter()
    for first in range(0, len(drafts), batch):
        answer = client.post("/v1/memories/bulk", json={"items": drafts[first : first + batch]})
        answer.raise_for_status()
        if answer.json()["refused"]:
            raise RuntimeError(str(next(i for i in answer.json()["items"] if i["result"] == "refused")))
    return time.perf_counter() - started


def wait_indexed(client: httpx2.Client, name: str, seconds: float = 3_600) -> float:
    """Seconds until the index whose name contains ``name`` has no lag."""
    started = time.perf_counter()
    while time.perf_counter() - started < seconds:
        status = client.get("/v1/search/status").raise_for_status().json()
        if all(index["lag"] == 0 for index in status["indexes"] if name in index["name"]):
            return time.perf_counter() - started
        time.sleep(0.1)
    raise RuntimeError(f"{name} did not catch up within {seconds:.0f} s")
