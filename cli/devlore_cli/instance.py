"""The Devlore of this machine: started in the background, found again, stopped; also after a kill -9.

Below ``DEVLORE_HOME``: ``server.lock`` is held by the running server itself (the descriptor is inherited), so
the kernel lets go of it however the server ends; ``server.json`` says which process it is and where it listens;
``server.log`` is what it prints.
"""

from __future__ import annotations

import contextlib
import fcntl
import http.client
import importlib.util
import json
import os
import signal
import subprocess
import sys
import time
from collections import deque
from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from devlore_cli.failures import Failure

SERVER = "devlore_server"
_LONGEST_LOG = 10_000_000
_POLL = 0.05


@dataclass(frozen=True)
class Place:
    """Where an instance lives and listens."""

    home: Path
    host: str
    port: int

    @property
    def url(self) -> str:
        """Its address."""
        return f"http://{f'[{self.host}]' if ':' in self.host else self.host}:{self.port}"

    @property
    def log(self) -> Path:
        """What the server prints."""
        return self.home / "server.log"

    @property
    def record(self) -> Path:
        """Which process the server is."""
        return self.home / "server.json"

    @property
    def lock(self) -> Path:
        """Held by the server as long as it lives."""
        return self.home / "server.lock"


@dataclass(frozen=True)
class Running:
    """A server that was started here."""

    pid: int
    url: str


def place(environ: Mapping[str, str] = os.environ) -> Place:
    """The instance the environment means: the same variables and defaults as the server's. Raises ``Failure``."""
    data = environ.get("XDG_DATA_HOME") or str(Path(environ.get("HOME", "~")).expanduser() / ".local" / "share")
    home = Path(environ.get("DEVLORE_HOME") or Path(data) / "devlore").expanduser().absolute()
    text = environ.get("DEVLORE_PORT") or "7700"
    if not text.isdigit() or not 0 < int(text) < 65_536:
        raise Failure(f"DEVLORE_PORT is {text!r}: it must be a port from 1 to 65535.")
    return Place(home, environ.get("DEVLORE_HOST") or "127.0.0.1", int(text))


def running(where: Place) -> Running | None:
    """The server that holds this home, or None; what a killed one left behind does not count."""
    if not where.record.exists():
        return None
    free = _lock(where)
    if free is not None:
        os.close(free)
        return None
    with contextlib.suppress(OSError, ValueError, TypeError):
        found = Running(**json.loads(where.record.read_text()))
        return found if _alive(found.pid) else None
    return None


def start(where: Place, timeout: float, wait: Callable[[float], None]) -> tuple[Running, bool]:
    """Start the server in the background and wait until it is ready; True when it was not running before.

    ``wait`` is called with the seconds waited so far, to show something. Raises ``Failure`` with the last lines of
    the log when it does not come up.
    """
    began = time.monotonic()
    while (held := _lock(where)) is None:
        # Another process has started it, or is about to.
        if (found := running(where)) is not None:
            _until_ready(where, found, timeout, wait, lambda: _alive(found.pid), 0)
            return found, False
        if time.monotonic() - began > timeout:
            raise Failure(f"Something holds {where.lock}, but no server is known there.", "Try: devlore down")
        time.sleep(_POLL)
    try:
        _refuse_taken_port(where)
        position = _fresh_log(where)
        server = _spawn(where, held)
        started = Running(server.pid, where.url)
        _write(where, started)
    finally:
        os.close(held)
    _until_ready(where, started, timeout, wait, lambda: server.poll() is None, position)
    return started, True


def replace_process(where: Place) -> None:
    """Become the server, in the foreground, holding this home. Raises ``Failure``."""
    where.home.mkdir(parents=True, exist_ok=True, mode=0o700)
    held = _lock(where)
    if held is None:
        raise Failure("Devlore already runs in this home.", "Stop it first: devlore down")
    _refuse_taken_port(where)
    _refuse_missing_server()
    _write(where, Running(os.getpid(), where.url))
    os.set_inheritable(held, True)
    os.execve(sys.executable, _command(), _environment(where))


def stop(where: Place, timeout: float, wait: Callable[[float], None]) -> bool:
    """Stop the server and its PostgreSQL; True when anything ran. Raises ``Failure`` when it does not end."""
    found = running(where)
    if found is not None:
        _signal(found.pid, signal.SIGTERM)
        _until_gone(lambda: running(where) is None, timeout, wait, f"The server (process {found.pid})")
    where.record.unlink(missing_ok=True)
    orphan = _postgres(where)
    if orphan is not None and probe(where):
        orphan = None  # a server that was started otherwise works with it
    if orphan is not None:
        _signal(orphan, signal.SIGINT)
        _until_gone(lambda: _postgres(where) is None, timeout, wait, f"PostgreSQL (process {orphan})")
    return found is not None or orphan is not None


def upgrade(where: Place, tier: str, organisation: str, email: str | None) -> str | None:
    """Make the instance, which does not run, one of ``tier``.

    Returns the link its owner signs up by, or None when it has one. Raises ``Failure`` with what the server says.
    """
    _refuse_missing_server()
    options = ["--organisation", organisation, *(["--email", email] if email else [])]
    command = [sys.executable, "-m", SERVER, "upgrade-tier", tier, *options]
    where.home.mkdir(parents=True, exist_ok=True, mode=0o700)
    ran = subprocess.run(command, env=_environment(where), stdin=subprocess.DEVNULL, capture_output=True, text=True)
    if ran.returncode != 0:
        # What it does not explain itself ends in a traceback, whose last words are what happened.
        said = [line for line in ran.stderr.splitlines() if line.strip() and not line[0].isspace()] or ["It died."]
        raise Failure(f"It was not upgraded. {said[-1].removeprefix('Error: ')}")
    last = next(reversed(ran.stdout.split()), "")
    return last if "://" in last else None


def probe(where: Place) -> dict[str, Any] | None:
    """What answers at the instance's address: its ``/v1/instance``, ``{}`` for something else, None for nothing."""
    try:
        status, body = _get(where, "/v1/instance")
    except ConnectionRefusedError:
        return None
    except (OSError, http.client.HTTPException):
        return {}
    try:
        found = json.loads(body)
    except ValueError:
        return {}
    return found if status == 200 and isinstance(found, dict) and "version" in found else {}


def last_lines(where: Place, count: int = 20, since: int = 0) -> list[str]:
    """The end of the log, from byte ``since`` on."""
    try:
        with where.log.open("rb") as file:
            file.seek(since)
            return [line.decode(errors="replace").rstrip() for line in deque(file, maxlen=count)]
    except OSError:
        return []


def size_of(folder: Path) -> int:
    """Bytes on disk below ``folder``; what cannot be read is not counted."""
    total = 0
    for base, _, names in os.walk(folder, onerror=None):
        for name in names:
            with contextlib.suppress(OSError):
                total += os.lstat(os.path.join(base, name)).st_blocks * 512
    return total


def _lock(where: Place) -> int | None:
    """A descriptor that holds the home's lock, or None when a server does."""
    where.home.mkdir(parents=True, exist_ok=True, mode=0o700)
    descriptor = os.open(where.lock, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        os.close(descriptor)
        return None
    return descriptor


def _spawn(where: Place, held: int) -> subprocess.Popen[bytes]:
    _refuse_missing_server()
    with where.log.open("ab") as log:
        return subprocess.Popen(
            _command(),
            stdin=subprocess.DEVNULL,
            stdout=log,
            stderr=log,
            cwd=where.home,
            env=_environment(where),
            pass_fds=[held],
            start_new_session=True,
        )


def _command() -> list[str]:
    return [sys.executable, "-m", SERVER, "serve"]


def _environment(where: Place) -> dict[str, str]:
    return os.environ | {"DEVLORE_HOME": str(where.home), "DEVLORE_HOST": where.host, "DEVLORE_PORT": str(where.port)}


def _refuse_missing_server() -> None:
    if importlib.util.find_spec(SERVER) is None:
        raise Failure("The server is not installed here.", "Install it: pip install devlore-server")


def _refuse_taken_port(where: Place) -> None:
    found = probe(where)
    if found is None:
        return
    if found:
        raise Failure(
            f"Another Devlore answers at {where.url}, and it is not the one of {where.home}.",
            "Stop that one, or set DEVLORE_PORT to another port.",
        )
    raise Failure(f"Port {where.port} is taken by another program.", "Stop it, or set DEVLORE_PORT to another port.")


def _fresh_log(where: Place) -> int:
    """Set a long log aside; returns where the coming start will begin to write."""
    with contextlib.suppress(FileNotFoundError):
        if where.log.stat().st_size <= _LONGEST_LOG:
            return where.log.stat().st_size
        where.log.replace(where.log.with_suffix(".log.1"))
    return 0


def _write(where: Place, found: Running) -> None:
    draft = where.record.with_suffix(".new")
    draft.write_text(json.dumps(asdict(found)))
    draft.replace(where.record)


def _until_ready(
    where: Place, found: Running, timeout: float, wait: Callable[[float], None], alive: Callable[[], bool], began: int
) -> None:
    start_of_wait = time.monotonic()
    while not _ready(found):
        waited = time.monotonic() - start_of_wait
        if not alive():
            shown = "\n".join(f"  {line}" for line in last_lines(where, since=began))
            raise Failure("Devlore did not start. The end of its log:", f"{shown}\nAll of it: {where.log}")
        if waited > timeout:
            raise Failure(f"Devlore is not ready after {timeout:.0f} s.", f"It goes on starting; see {where.log}")
        wait(waited)
        time.sleep(_POLL)


def _ready(found: Running) -> bool:
    host, _, port = found.url.removeprefix("http://").rpartition(":")
    try:
        return _get(Place(Path(), host.strip("[]"), int(port)), "/readyz")[0] == 200
    except (OSError, http.client.HTTPException):
        return False


def _get(where: Place, path: str) -> tuple[int, bytes]:
    connection = http.client.HTTPConnection(where.host, where.port, timeout=3)
    try:
        connection.request("GET", path, headers={"Accept": "application/json"})
        answer = connection.getresponse()
        return answer.status, answer.read(1_000_000)
    finally:
        connection.close()


def _until_gone(gone: Callable[[], bool], timeout: float, wait: Callable[[float], None], what: str) -> None:
    began = time.monotonic()
    while not gone():
        if time.monotonic() - began > timeout:
            raise Failure(
                f"{what} has not ended after {timeout:.0f} s.", "Look at its log; end it with kill -9 if you must."
            )
        wait(time.monotonic() - began)
        time.sleep(_POLL)


def _alive(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    except PermissionError:
        return True
    try:
        # A process that has ended and whose parent has not asked about it yet.
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except (OSError, IndexError):
        return True


def _signal(pid: int, number: int) -> None:
    try:
        os.kill(pid, number)
    except ProcessLookupError:
        pass
    except PermissionError as error:
        raise Failure(f"Process {pid} belongs to somebody else.", code=4) from error


def _postgres(where: Place) -> int | None:
    """The process of this home's embedded PostgreSQL, when it runs."""
    data = where.home / "postgres" / "data"
    try:
        pid = int((data / "postmaster.pid").read_text().split()[0])
        same = not sys.platform.startswith("linux") or os.readlink(f"/proc/{pid}/cwd") == str(data.resolve())
    except (OSError, ValueError, IndexError):
        return None
    return pid if same and _alive(pid) else None
