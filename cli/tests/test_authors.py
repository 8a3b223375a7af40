"""Who wrote a memory, in a team: told, and searched for, by name."""

from __future__ import annotations

import uuid

import pytest
from cli.tests.desk import Desk, Desks
from cli.tests.terminal import Terminal
from sdk.python.tests import samples
from sdk.python.tests.scripted import Reply, Scripted
from sdk.python.tests.teams import Joined, TeamServer


@pytest.fixture
def mary(team: TeamServer) -> Joined:
    return team.join(name=f"Mary {uuid.uuid4().hex[:8]}")


@pytest.fixture
def hers(desks: Desks, mary: Joined) -> Desk:
    return desks(mary)


def ids(desk: Desk, *arguments: str) -> set[str]:
    lines = desk(*arguments, "--json").lines
    return {line.get("memory", line)["id"] for line in lines}


def test_a_shared_memory_says_who_wrote_it(owner: Desk, hers: Desk, mary: Joined) -> None:
    made = hers("add", "Retry with jitter", "--privacy", "public", "--json").json["id"]
    assert ["by", *mary.name.split()] in [line.split() for line in owner("show", made).out.splitlines()]
    owner("org", "remove", mary.email, "--yes")
    # She has left, and is named nowhere any more.
    shown = owner("show", made).out
    assert "Retry with jitter" in shown and mary.name not in shown


def test_what_somebody_wrote_is_found_by_their_name(owner: Desk, hers: Desk, mary: Joined) -> None:
    word = f"jitter{uuid.uuid4().hex[:8]}"
    made = hers("add", f"Retry with {word}", "--privacy", "public", "--wait", "--json").json["id"]
    other = owner("add", f"Retry without {word}", "--privacy", "public", "--wait", "--json").json["id"]
    for author in (mary.name.upper(), mary.email):
        assert ids(owner, "list", "--author", author) == {made}
        assert ids(owner, "search", word, "--author", author) == {made}
    assert other in ids(owner, "list", "--author", "me") and made not in ids(owner, "list", "--author", "me")
    assert ids(owner, "search", word, "--author", "me", "--author", mary.name) == {made, other}
    assert '"value":"note","count":1' in owner("facets", word, "--author", mary.name, "--by", "kind", "--json").out
    assert ids(owner, "list", "--author", "nobody at all") == set()


def test_a_name_in_a_source_is_an_author_still(scripted: Scripted, devlore: Terminal) -> None:
    """One person's instance has no people to look among."""
    scripted.play(Reply(404, samples.problem(404, "not-found")), Reply(body={"items": [], "next": None}))
    devlore("list", "--author", "Linus")
    assert [(seen.path, seen.query.get("author")) for seen in scripted.seen][-1] == ("/v1/memories", ["Linus"])


def test_keys_of_people_are_theirs_to_make(owner: Desk, mary: Joined) -> None:
    assert "no service account" in owner("keys", "create", "x", "--for", mary.email, code=4).err
    assert "no service account" in owner("keys", "list", "--for", mary.email, code=4).err
    assert owner("keys", "list", "--for", "me").code == 0


def test_a_session_that_is_not_there_is_said(hers: Desk) -> None:
    refused = hers("sessions", "revoke", str(uuid.uuid4()), code=3).err
    assert "devlore sessions list" in refused


def test_what_is_missing_says_who_can_give_it(hers: Desk) -> None:
    refused = hers("org", "invite", code=4).err
    assert "organisation:write" in refused and "devlore org members" in refused


def test_an_address_that_is_none_is_said_in_words(owner: Desk) -> None:
    refused = owner("org", "invite", "--email", "nope", code=2).err
    assert "email: an address, e.g. ada@example.org" in refused and "pattern" not in refused


def test_a_key_proves_nothing(owner: Desk, desks: Desks, monkeypatch: pytest.MonkeyPatch) -> None:
    key = owner("keys", "create", "all").out.strip()
    monkeypatch.setenv("DEVLORE_KEY", key)
    refused = desks.empty()("keys", "create", "another", code=4).err
    assert "unset DEVLORE_TOKEN and DEVLORE_KEY" in refused and "devlore login" not in refused


def test_who_left_with_a_key_in_mind_is_marked(owner: Desk, hers: Desk, mary: Joined) -> None:
    owner("org", "role", mary.email, "admin")
    robot = f"CI {uuid.uuid4().hex[:8]}"
    hers("org", "service", robot)
    hers("keys", "create", "pipeline", "--for", robot)
    owner("org", "remove", mary.email, "--yes")
    left = next(line for line in owner("org", "departures").out.splitlines() if mary.name in line)
    assert "1 still hold" in left
