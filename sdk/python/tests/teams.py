"""A real team instance for tests, and people who join it by invitation."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import tempfile
import time
import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import psycopg

import devlore
from devlore.types import Role, Tokens
from devlore_server.kit.embedded import EmbeddedPostgres
from tests.instance import Instance

PASSWORD = "violet lamp crosses tuesday"


@dataclass(frozen=True)
class Joined:
    """Somebody who belongs to the organisation, and the first session of theirs."""

    email: str
    name: str
    tokens: Tokens


class TeamServer:
    """A running team instance with an owner, who stays signed in."""

    def __init__(self, url: str, home: Path, invitation: str) -> None:
        self.url = url
        self.home = home
        self.client = devlore.Client(url)
        self.owner = self._sign_up("Olga Owner", invitation)
        self.client.adopt(self.owner.tokens)
        self.organisation = str(self.owner.tokens.organisation_id)

    def join(self, role: Role = "member", name: str = "Mary Member") -> Joined:
        """A new person with this role."""
        return self._sign_up(name, self.client.invitations.create(self.organisation, role=role).token)

    def signed_in(self, person: Joined, **options: object) -> devlore.Client:
        """A client with the first session of somebody."""
        client = devlore.Client(self.url, **options)  # type: ignore[arg-type]
        client.adopt(person.tokens)
        return client

    def grow_stale(self, session_id: object) -> None:
        """Make it an hour since whoever is in this session has proved who they are."""
        # It runs: this only says where.
        url = EmbeddedPostgres(self.home).start()
        with psycopg.connect(url) as connection:
            hour_ago = "UPDATE identity.session SET authenticated_at = now() - interval '1 hour' WHERE id = %s"
            assert connection.execute(hour_ago, [str(session_id)]).rowcount == 1
        # The gateway remembers a session for up to 1.5 s.
        time.sleep(1.6)

    def _sign_up(self, name: str, invitation: str) -> Joined:
        email = f"{name.split()[0].lower()}-{uuid.uuid4().hex[:8]}@example.org"
        return Joined(email, name, self.client.identity.sign_up(email, name, PASSWORD, invitation=invitation))


@contextmanager
def started_team() -> Iterator[TeamServer]:
    """A team instance of one process in a home of its own, without limits of requests."""
    # A short path: that of PostgreSQL's socket may not exceed 107 bytes.
    home = Path(tempfile.mkdtemp(prefix="dvl-team-", dir="/tmp"))
    # A leg that is late is left out of an answer, and on a busy machine one may be.
    server = Instance(home, tier="team", rate_limit="0", search_deadline_ms="60000")
    team: TeamServer | None = None
    try:
        server.start()
        team = TeamServer(server.url, home, first_link(server).partition("#")[2])
        yield team
    finally:
        if team is not None:
            team.client.close()
        server.stop()
        shutil.rmtree(home, ignore_errors=True)


def first_link(server: Instance) -> str:
    """The link by which the first owner of an instance signs up."""
    kept = {name: value for name, value in os.environ.items() if not name.startswith("DEVLORE_")}
    environment = kept | {"DEVLORE_HOME": str(server.home), "DEVLORE_PORT": str(server.port), "DEVLORE_TIER": "team"}
    command = [sys.executable, "-m", "devlore_server", "first-owner", "--organisation", "Acme"]
    ran = subprocess.run(command, env=environment, capture_output=True, text=True, check=False)
    assert ran.returncode == 0, ran.stderr
    return ran.stdout.strip().splitlines()[-1]
