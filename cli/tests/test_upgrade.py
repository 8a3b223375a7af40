"""`devlore upgrade-tier team`: a person's instance becomes a team's, and nothing they remembered is lost."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from sdk.python.tests.teams import PASSWORD

import devlore
from devlore import problems
from tests.instance import free_port


class Machine:
    """A computer with a Devlore of its own: `devlore …` as processes, in a home nobody else uses."""

    def __init__(self, folder: Path) -> None:
        self.port = str(free_port())
        kept = {name: value for name, value in os.environ.items() if not name.startswith("DEVLORE_")}
        own = {
            "DEVLORE_HOME": str(folder / "home"),
            "DEVLORE_PORT": self.port,
            "XDG_CONFIG_HOME": str(folder / "config"),
        }
        self.environment = kept | own
        self.url = f"http://127.0.0.1:{self.port}"

    def __call__(self, *arguments: str, code: int = 0, stdin: str = "", **variables: str) -> Any:
        ran = subprocess.run(
            [sys.executable, "-m", "devlore_cli", *arguments], env=self.environment | variables, input=stdin,
            capture_output=True, text=True, check=False,
        )  # fmt: skip
        assert ran.returncode == code, ran.stdout + ran.stderr
        return ran


@pytest.fixture
def machine() -> Iterator[Machine]:
    # A short path: that of PostgreSQL's socket may not exceed 107 bytes.
    folder = Path(tempfile.mkdtemp(prefix="dvl-up-", dir="/tmp"))
    found = Machine(folder)
    try:
        yield found
    finally:
        found("down")
        shutil.rmtree(folder, ignore_errors=True)


def test_from_one_person_to_a_team(machine: Machine) -> None:
    machine("up")
    remembered = json.loads(machine("add", "From before", "--json").stdout)
    shown = machine("upgrade-tier", "team", "--organisation", "Acme", "--email", "ada@example.org")
    assert "It is a team's now." in shown.stdout and "DEVLORE_TIER=team devlore up" in shown.stdout
    link = next(line.strip() for line in shown.stdout.splitlines() if "/invitation#" in line)
    # Without sign-in it is not served any more.
    assert "DEVLORE_TIER=team" in machine("up", code=1).stderr
    again = json.loads(machine("upgrade-tier", "team", "--json").stdout)
    assert again["link"] != link and again["start"] == "DEVLORE_TIER=team devlore up"
    machine("up", DEVLORE_TIER="team")
    with devlore.Client(machine.url) as client:
        with pytest.raises(problems.NotFound):
            client.invitations.look(link.partition("#")[2])
        token = again["link"].partition("#")[2]
        client.adopt(client.identity.sign_up("ada@example.org", "Ada", PASSWORD, invitation=token))
    assert "devlore login" in machine("list", code=4).stderr
    machine("login", "--email", "ada@example.org", stdin=PASSWORD)
    mine = json.loads(machine("show", remembered["id"], "--json").stdout)
    assert (mine["title"], mine["created_by"]) == ("From before", remembered["created_by"])
    assert mine["privacy"] == "private", "and is shared in one go"
    assert "devlore edit - --team NAME" in shown.stderr
    everything = machine("list", "--all", "--json").stdout
    assert machine("edit", "-", "--privacy", "public", stdin=everything).stdout == "1 changed\n"
    assert json.loads(machine("show", remembered["id"], "--json").stdout)["privacy"] == "public"
    doctor = machine("doctor")
    assert "✗" not in doctor.stdout
    # That is for whoever runs the instance, of which somebody may own one of many organisations.
    assert "✓ indexes: not looked at" in doctor.stdout
    machine("logout")
    assert "devlore login" in machine("doctor", code=1).stdout
    owned = machine("upgrade-tier", "team")
    assert "has an owner" in owned.stdout
    assert "\ndevlore: " not in machine("down").stderr


def test_what_the_server_says_is_passed_on(machine: Machine) -> None:
    failed = machine("upgrade-tier", "team", code=1, DEVLORE_DATABASE_URL="postgresql://nobody@127.0.0.1:9/none")
    assert failed.stderr.startswith("devlore: It was not upgraded.") and "Traceback" not in failed.stderr
    machine("upgrade-tier", "company", code=2)
