"""`devlore audit` at a real team's server: filters, names, and following until Ctrl-C."""

from __future__ import annotations

import json
import signal
import subprocess
import uuid
from datetime import UTC, datetime, timedelta

import pytest
from cli.tests.desk import PROGRAM, Desk, Desks
from cli.tests.terminal import Terminal
from sdk.python.tests.teams import PASSWORD, Joined, TeamServer

from devlore.types import AuditLeaf
from tests.instance import until


@pytest.fixture
def mary(team: TeamServer) -> Joined:
    return team.join(name=f"Mary {uuid.uuid4().hex[:8]}")


def leaves(desk: Desk, *options: str) -> list[AuditLeaf]:
    return [AuditLeaf.model_validate(line) for line in desk("audit", *options, "--json").lines]


def test_who_did_what_newest_first(owner: Desk, desks: Desks, mary: Joined) -> None:
    name = f"Trail {uuid.uuid4().hex[:8]}"
    made = owner("team", "create", name, "--json").json
    owner("team", "add", name, mary.email)
    found = leaves(owner, "--target", made["id"])
    assert [leaf.action for leaf in found] == ["team.member_added", "team.created"]
    shown = owner("audit", "--target", made["id"]).out.splitlines()
    assert "team.member_added" in shown[0] and "Olaf Second" in shown[0] and f"person {mary.name}" in shown[0]
    assert "role=member" in shown[0] and "=None" not in shown[1]


def test_filters(owner: Desk, desks: Desks, mary: Joined) -> None:
    hers = desks(mary)
    hers("keys", "create", "one")
    hers("login", "--email", mary.email, stdin="wrong", code=4)
    hers("team", "create", "No", code=4)
    hers("login", "--email", mary.email, stdin=PASSWORD)
    wanted = {"key.created", "access.refused", "session.started"}
    # What was refused is noted behind the answer.
    until(lambda: wanted <= {leaf.action for leaf in leaves(owner, "--actor", mary.email, "--all")})
    assert [leaf.action for leaf in leaves(owner, "--actor", mary.name, "--action", "key.*")] == ["key.created"]
    refused = leaves(owner, "--actor", mary.name, "--result", "refused")
    assert {leaf.result for leaf in refused} == {"refused"} and refused
    failed = leaves(owner, "--action", "session.started", "--result", "failed", "--target", mary.email, "--all")
    wrong = leaves(owner, "--action", "session.started", "--result", "failed", "--actor", "nobody", "--all")
    assert wrong and {leaf.actor.type for leaf in wrong} == {"nobody"}
    assert {leaf.result for leaf in failed} <= {"failed"}
    tomorrow = (datetime.now(UTC) + timedelta(days=1)).isoformat()
    assert leaves(owner, "--after", tomorrow) == []
    assert leaves(owner, "--before", tomorrow, "--limit", "3") != []
    assert len(leaves(owner, "--limit", "3")) == 3
    assert "no action" in owner("audit", "--action", "no.such", code=2).err
    owner("audit", "--actor", "nobody@example.org", code=3)
    owner("audit", "--follow", "--before", "1d", code=2)


def test_it_is_for_owners_and_admins(desks: Desks, mary: Joined) -> None:
    assert "audit:read" in desks(mary)("audit", code=4).err


@pytest.mark.parametrize("as_json", [True, False])
def test_following_shows_what_was_and_what_comes(owner: Desk, as_json: bool) -> None:
    names = [f"Followed {uuid.uuid4().hex[:8]}" for _ in range(3)]
    ids = [owner("team", "create", names[0], "--json").json["id"]]
    command = [*PROGRAM, "audit", "--follow", "--action", "team.created", "-n", "1", *(["--json"] if as_json else [])]
    running = subprocess.Popen(
        command, env=owner.environment(), stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    )
    assert running.stdout is not None
    lines = [running.stdout.readline()]
    for name in names[1:]:
        ids.append(owner("team", "create", name, "--json").json["id"])
        lines.append(running.stdout.readline())
    running.send_signal(signal.SIGINT)
    rest, err = running.communicate(timeout=20)
    assert running.returncode == 130 and "Traceback" not in err and rest == ""
    if as_json:
        assert [json.loads(line)["targets"][0]["id"] for line in lines] == ids
    else:
        assert [id for id, line in zip(ids, lines, strict=True) if id not in line] == []


def test_one_persons_instance_has_a_trail_too(real: Terminal) -> None:
    made = real("add", "Something to tell of", "--json").json
    assert made["id"] in real("audit", "--action", "memory.created", "--target", made["id"]).out
