"""A throw-away team instance of several processes: PostgreSQL, a Redis that can be killed, services, two gateways."""

from __future__ import annotations

import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from devlore_server.kit.embedded import EmbeddedPostgres
from roles import SECRET, Role, running

sys.path.append(str(Path(__file__).resolve().parents[1] / "server"))

from tests.people import Person, first_owner

PLENTY = "5000000"
"""A quota a minute that no benchmark uses up."""


class Redis:
    """A Redis on a socket of its own; what it held is gone after ``kill``."""

    def __init__(self) -> None:
        self._folder = Path(tempfile.mkdtemp(prefix="dvl-redis-", dir="/tmp"))
        self._socket = self._folder / "redis.sock"
        self.url = f"unix://{self._socket}"
        self._process: subprocess.Popen[bytes] | None = None

    @property
    def runs(self) -> bool:
        return self._process is not None

    def start(self) -> None:
        """Start it, empty, and wait for its socket."""
        program = shutil.which("redis-server")
        if program is None:
            raise SystemExit("redis-server is not installed: apt-get install redis-server")
        options = ["--port", "0", "--unixsocket", str(self._socket), "--save", "", "--appendonly", "no"]
        command = [program, *options, "--dir", str(self._folder)]
        self._process = subprocess.Popen(command, stdout=subprocess.DEVNULL)
        deadline = time.monotonic() + 10
        while not self._socket.exists():
            if time.monotonic() > deadline:
                raise RuntimeError("redis-server did not start")
            time.sleep(0.005)

    def kill(self) -> None:
        """End it without mercy, as a crash would."""
        if self._process is not None:
            self._process.kill()
            self._process.wait()
            self._socket.unlink(missing_ok=True)
            self._process = None

    def remove(self) -> None:
        self.kill()
        shutil.rmtree(self._folder, ignore_errors=True)


@dataclass(frozen=True, slots=True)
class Team:
    """A running instance: ``limited`` and ``unlimited`` are its gateways, with rate limits and without."""

    url: str
    limited: Role
    unlimited: Role
    memory: Role
    redis: Redis
    owner: Person

    @property
    def host(self) -> str:
        """What every gateway answers to."""
        return self.url.removeprefix("http://")


@contextmanager
def team() -> Iterator[Team]:
    """Gateways, identity and memory, ready, with a first owner; all of it is gone afterwards."""
    home = Path(tempfile.mkdtemp(prefix="devlore-team-"))
    home.chmod(0o755)
    postgres, redis = EmbeddedPostgres(home), Redis()
    redis.start()
    try:
        shared = {"database_url": postgres.start(), "redis_url": redis.url, "secret": SECRET}
        memory, identity = Role(home / "memory", roles="memory"), Role(home / "identity", roles="identity")
        limited = Role(home / "limited", roles="gateway", rate_limit=PLENTY)
        unlimited = Role(home / "unlimited", roles="gateway", rate_limit="0")
        # Nothing here asks for what search and integration answer; their addresses have to be some.
        addresses = {"identity_url": identity.url} | dict.fromkeys(
            ("memory_url", "search_url", "integration_url"), memory.url
        )
        for role in (memory, identity, limited, unlimited):
            role.settings |= shared | addresses | {"public_url": limited.url}
        with running(memory, identity, limited, unlimited):
            invitation = first_owner(limited.settings | {"home": str(limited.home)})
            owner = Person.signing_up(limited.url, invitation, "Olga")
            yield Team(limited.url, limited, unlimited, memory, redis, owner)
    finally:
        postgres.stop()
        redis.remove()
        shutil.rmtree(home, ignore_errors=True)
