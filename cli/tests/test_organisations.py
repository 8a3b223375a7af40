"""`devlore org` and `devlore team` at a real team's server, as people of every role."""

from __future__ import annotations

import subprocess
import sys
import time
import uuid

import pytest
from cli.tests.desk import PROGRAM, Desk, Desks
from sdk.python.tests.teams import PASSWORD, Joined, TeamServer

from devlore.types import Departure, InvitationCreated, Member, Organisation, Team, TeamMember


def fresh(word: str) -> str:
    return f"{word} {uuid.uuid4().hex[:8]}"


@pytest.fixture
def mary(team: TeamServer) -> Joined:
    return team.join(name=fresh("Mary"))


def role_of(desk: Desk, person: Joined) -> str | None:
    members = [Member.model_validate(line) for line in desk("org", "members", "--json").lines]
    return next((one.role for one in members if one.email == person.email), None)


def test_somebody_is_invited_and_joins(owner: Desk, desks: Desks, mary: Joined) -> None:
    """Mary founds a second home, and an owner of the first is invited to it by link."""
    hers = desks(mary)
    name = fresh("Beta")
    made = Organisation.model_validate(hers("org", "create", name, "--json").json)
    assert (made.name, made.role) == (name, "owner")
    assert f"You work in {name} now, as owner." in hers("org", "switch", name.upper()).out
    shown = hers("org", "invite", "--role", "admin", "--days", "2")
    link = shown.out.strip()
    assert "/invitation#" in link and "\n" not in link
    assert "admin" in shown.err and link not in shown.err
    (open_one,) = hers("org", "invitations", "--json").lines
    assert (open_one["state"], open_one["role"]) == ("pending", "admin")
    assert "token" not in open_one
    assert f"You work in {name} now, as admin." in owner("org", "join", link).out
    assert owner("whoami", "--json").json["organisation"]["name"] == name
    assert hers("org", "invitations", "--json").lines == []
    assert hers("org", "invitations", "--all", "--json").lines[0]["state"] == "accepted"
    # Used.
    assert "nvitation" in owner("org", "join", link, code=3).err
    assert "copied whole" in owner("org", "join", link.partition("#")[0] + "#", code=2).err


def test_where_one_belongs(desks: Desks, mary: Joined) -> None:
    hers = desks(mary)
    other = hers("org", "create", fresh("Home"), "--json").json
    listed = hers("org", "list").out.splitlines()
    assert [line[0] for line in listed if "Acme" in line or other["name"] in line] == ["*", " "]
    assert "no organisation 'nowhere'" in hers("org", "switch", "nowhere", code=3).err
    # Where one is already: the session stays.
    before = hers("sessions", "list", "--json").lines
    hers("org", "switch", "Acme")
    assert [one["id"] for one in hers("sessions", "list", "--json").lines] == [one["id"] for one in before]


def test_an_invitation_for_one_address_and_team(owner: Desk, team: TeamServer) -> None:
    name = fresh("Platform")
    platform = Team.model_validate(owner("team", "create", name, "--json").json)
    options = ["--email", "Only@Example.org", "--team", name, "--json"]
    made = InvitationCreated.model_validate(owner("org", "invite", *options).json)
    assert (made.email, made.teams, made.role) == ("only@example.org", [platform.id], "member")
    assert str(made.id) in owner("org", "invitations").out
    assert owner("org", "invitations", "--withdraw", str(made.id)).out == f"withdrawn {made.id}\n"
    assert str(made.id) not in owner("org", "invitations").out
    assert "no team 'nobody'" in owner("org", "invite", "--team", "nobody", code=3).err


def test_nothing_there_is_said(desks: Desks, mary: Joined) -> None:
    hers = desks(mary)
    hers("org", "switch", hers("org", "create", fresh("Empty"), "--json").json["id"])
    for arguments, said in [
        (("team", "list"), "No teams yet. Make one: devlore team create NAME"),
        (("org", "invitations"), "devlore org invite"),
        (("org", "departures"), "Nothing waits"),
        (("org", "departures", "--all"), "Nobody has left."),
        (("keys", "list"), "No keys. Make one: devlore keys create NAME"),
        (("audit", "--action", "key.*"), "Nothing of the kind"),
    ]:
        shown = hers(*arguments)
        assert (shown.out, said in shown.err) == ("", True), arguments
        assert hers(*arguments, "--json").out == hers(*arguments, "--json").err == ""


def test_roles(owner: Desk, desks: Desks, mary: Joined) -> None:
    assert f"{mary.name} is viewer now." in owner("org", "role", mary.email, "viewer").out
    assert role_of(owner, mary) == "viewer"
    changed = owner("org", "role", mary.name.upper(), "admin", "--json").json
    assert Member.model_validate(changed).role == "admin"
    hers = desks(mary)
    assert "owners" in hers("org", "role", "me", "owner", code=4).err
    hers("org", "role", changed["person_id"], "member")
    # She has just given it away.
    assert hers("org", "role", "me", "admin", code=4).err.startswith("devlore: ")
    assert hers("org", "role", "nobody@example.org", "admin", code=3).err.startswith("devlore: There is no member")
    owner("org", "role", mary.email, "emperor", code=2)


def test_a_name_that_two_have_is_asked_about(owner: Desk, team: TeamServer) -> None:
    name = fresh("Twin")
    twins = [team.join(name=name) for _ in range(2)]
    refused = owner("org", "role", name, "viewer", code=2).err
    assert f"2 are called '{name}'" in refused
    assert len([line for line in refused.splitlines() if line.startswith("  ")]) == 2
    assert {role_of(owner, one) for one in twins} == {"member"}


def test_somebody_is_removed_and_what_was_theirs_handed_over(owner: Desk, desks: Desks, mary: Joined) -> None:
    hers = desks(mary)
    kept = hers("add", "Mine alone", "--json").json["id"]
    assert "--yes" in owner("org", "remove", mary.email, code=2).err
    assert owner("org", "remove", mary.email, "--yes").out == f"removed {mary.name}\n"
    assert "devlore login" in hers("list", code=4).err
    (left,) = [line for line in owner("org", "departures", "--json").lines if line["name"] == mary.name]
    assert "wait for an owner" in owner("org", "departures").out
    owner("org", "settle", mary.name, "purge", "--to", "me", "--yes", code=2)
    settled = owner("org", "settle", mary.name, "transfer", "--json").json
    assert Departure.model_validate(settled).to == Departure.model_validate(settled).settled_by
    assert left["id"] not in owner("org", "departures").out
    heir = owner("whoami", "--json").json["person"]["name"]
    all_of_them = owner("org", "departures", "--all").out.splitlines()
    assert f"went to {heir} " in next(line for line in all_of_them if left["id"] in line)
    assert "no open departure" in owner("org", "settle", mary.name, "transfer", code=3).err
    deadline = time.monotonic() + 30
    while (shown := owner("show", kept, code=None)).code != 0 and time.monotonic() < deadline:
        time.sleep(0.05)
    assert "Mine alone" in shown.out


def test_purging_asks(owner: Desk, desks: Desks, mary: Joined) -> None:
    hers = desks(mary)
    kept = hers("add", "Gone soon", "--json").json["id"]
    assert hers("org", "remove", "me", "--yes").out == f"removed {mary.name}\n"
    assert "--yes" in owner("org", "settle", mary.name, "purge", code=2).err
    assert "are erased" in owner("org", "settle", mary.name, "purge", "--yes").out
    owner("show", kept, code=3)


def test_a_question_is_answered_at_the_terminal(owner: Desk, mary: Joined) -> None:
    owner.interactive = True
    assert owner("org", "remove", mary.email, stdin="n\n", code=130).out == ""
    assert role_of(owner, mary) == "member"
    owner("org", "remove", mary.email, stdin="y\n")
    assert role_of(owner, mary) is None


def test_a_service_account_has_keys_of_its_own(owner: Desk, desks: Desks, monkeypatch: pytest.MonkeyPatch) -> None:
    name = fresh("CI")
    made = owner("org", "service", name, "--role", "viewer", "--json").json
    assert (made["kind"], made["role"]) == ("service", "viewer")
    key = owner("keys", "create", "pipeline", "--for", name).out.strip()
    assert "(service account)" in owner("org", "members").out
    assert "pipeline" in owner("keys", "list", "--for", name).out
    its = desks.empty()
    monkeypatch.setenv("DEVLORE_KEY", key)
    assert "service account" in its("whoami").out
    assert "memories:write" in its("add", "no", code=4).err
    monkeypatch.delenv("DEVLORE_KEY")
    owner("org", "remove", name, "--yes")
    monkeypatch.setenv("DEVLORE_KEY", key)
    its("whoami", code=4)


def test_an_organisation_is_deleted_and_restored(desks: Desks, mary: Joined) -> None:
    hers = desks(mary)
    name = fresh("Gone")
    hers("org", "switch", hers("org", "create", name, "--json").json["id"])
    assert "--yes" in hers("org", "delete", code=2).err
    shown = hers("org", "delete", "--yes")
    assert f"{name} will be deleted in 2" in shown.out and "devlore org restore" in shown.err
    assert "is deleted on" in hers("org", "list").out
    assert hers("org", "restore").out == f"{name} stays.\n"
    hers("org", "restore", code=5)
    assert hers("org", "delete", "--yes", "--json").json["delete_after"] is not None


# Teams


def test_a_team(owner: Desk, desks: Desks, mary: Joined, monkeypatch: pytest.MonkeyPatch) -> None:
    name = fresh("Search")
    made = owner("team", "create", name)
    assert name in made.out and "devlore team add" in made.err
    owner("team", "create", name.lower(), code=5)
    added = owner("team", "add", name, mary.email, "me", "--json").lines
    assert [TeamMember.model_validate(line).role for line in added] == ["member", "member"]
    assert f"{mary.name} is a maintainer of {name}." in owner("team", "add", name, mary.email, "--maintainer").out
    key = owner("keys", "create", "who", "--scope", "identity:read").out.strip()
    with monkeypatch.context() as patch:
        patch.setenv("DEVLORE_KEY", key)
        assert made.out.split()[-1] in desks.empty()("whoami").out
    shown = [line.split() for line in owner("team", "members", name).out.splitlines() if mary.name in line]
    assert "maintainer" in shown[0]
    hers = desks(mary)
    # A maintainer of it looks after it without being an administrator.
    other = owner("whoami", "--json").json["person"]["email"]
    assert f"left {name}." in hers("team", "remove", name, other).out
    assert next(line for line in hers("team", "list").out.splitlines() if name in line).startswith("*")
    assert name in hers("whoami").out
    assert hers("team", "remove", name, "me").out == f"{mary.name} left {name}.\n"
    assert next(line for line in hers("team", "list").out.splitlines() if name in line).startswith(" ")
    hers("team", "delete", name, "--yes", code=4)
    assert owner("team", "delete", name, "--yes").out == f"dissolved {name}\n"
    assert "devlore team list" in owner("team", "members", name, code=3).err


def test_a_name_that_is_misspelt_changes_nothing(owner: Desk, mary: Joined) -> None:
    name = fresh("Whole")
    owner("team", "create", name)
    owner("team", "add", name, mary.email, "nobody", code=3)
    assert owner("team", "members", name, "--json").lines == []
    assert f"Nobody is in {name} yet." in owner("team", "members", name).err


def test_a_member_makes_no_team(desks: Desks, mary: Joined) -> None:
    refused = desks(mary)("team", "create", "Mine", code=4)
    assert "teams:write" in refused.err


def test_names_are_completed(desks: Desks, owner: Desk, mary: Joined) -> None:
    word = f"zeta-{uuid.uuid4().hex[:6]}"
    owner("team", "create", word)
    hers = desks(mary)
    hers("org", "create", f"{word} home")

    # Nobody waits for a busy machine between two keystrokes, but a test does.
    program = "from devlore_cli import main, naming; naming._PATIENCE = 30.0; main.main()"
    patient = [sys.executable, "-c", program]

    def completed(words: str, desk: Desk) -> list[str]:
        asked = {"_DEVLORE_COMPLETE": "bash_complete", "COMP_WORDS": words, "COMP_CWORD": str(len(words.split()) - 1)}
        ran = subprocess.run(patient, env=desk.environment(**asked), capture_output=True, text=True, check=False)
        assert ran.stderr == ""
        return [line for line in ran.stdout.splitlines() if line]

    assert completed(f"devlore team members {word[:8].upper()}", hers) == [f"plain,{word}"]
    assert completed(f"devlore list --team {word[:8]}", hers) == [f"plain,{word}"]
    assert completed(f"devlore org switch {word[:8]}", hers) == [f"plain,{word} home"]
    assert completed(f"devlore team members {word[:8]}", desks.empty()) == []


# Memories of a team


def test_a_memory_is_shared_with_a_team(owner: Desk, desks: Desks, mary: Joined, team: TeamServer) -> None:
    name = fresh("Ours")
    owner("team", "create", name)
    owner("team", "add", name, mary.email, "me")
    hers, stranger = desks(mary), desks(team.join(name=fresh("Sam")))
    made = hers("add", "Pool runs dry at noon", "--team", name, "--wait", "--json").json
    assert (made["privacy"], made["team_id"] is None) == ("team", False)
    assert made["id"] in owner("list", "--team", name.upper()).out
    assert made["id"] in owner("list", "--team", made["team_id"], "--privacy", "team").out
    assert made["id"] in owner("search", "pool", "--team", name).out
    assert '"note"' in owner("facets", "--team", name, "--by", "kind", "--json").out
    assert f"team {name}\n" in owner("show", made["id"]).out
    stranger("show", made["id"], code=3)
    assert stranger("search", "pool", "--team", made["team_id"], "--json").lines == []
    assert "not a member of such a team" in stranger("add", "x", "--team", name, code=2).err


def test_a_memory_moves_between_privacies(desks: Desks, owner: Desk, mary: Joined, team: TeamServer) -> None:
    name = fresh("Moving")
    owner("team", "create", name)
    owner("team", "add", name, mary.email)
    hers, other = desks(mary), desks(team.join(name=fresh("Sam")))
    made = hers("add", "Mine at first", "--json").json["id"]
    other("show", made, code=3)
    assert hers("edit", made, "--privacy", "public", "--json").json["privacy"] == "public"
    assert "Mine at first" in other("show", made).out
    moved = hers("edit", made, "--team", name, "--json").json
    assert (moved["privacy"], moved["team_id"] is None) == ("team", False)
    other("show", made, code=3)
    back = hers("edit", made, "--team", "", "--json").json
    assert (back["privacy"], back["team_id"]) == ("private", None)


def test_secrets_by_policy(desks: Desks, mary: Joined) -> None:
    hers = desks(mary)
    hers("org", "switch", hers("org", "create", fresh("Careful"), "--json").json["id"])
    token = "AK" + "IA" + "Q3EGNV7XHZ2PLM4K"
    assert hers("policy", "secrets").out.startswith("redact: ")
    assert token not in hers("add", f"key {token}", "--json").out
    assert hers("policy", "secrets", "set", "block", "--json").json["action"] == "block"
    assert hers("policy", "secrets", "get").out.startswith("block: ")
    refused = hers("add", f"key {token}", code=2)
    assert "--allow-secrets" in refused.err and token not in refused.err
    stored = hers("add", f"key {token}", "--allow-secrets", "--json").json
    assert token in stored["title"]
    hers("edit", stored["id"], "--title", f"again {token}", code=2)
    assert token in hers("edit", stored["id"], "--title", f"again {token}", "--allow-secrets", "--json").json["title"]
    for wrong in (("set",), ("get", "block"), ("set", "ignore"), ("forget",)):
        hers("policy", "secrets", *wrong, code=2)


def test_a_member_does_not_choose_the_policy(desks: Desks, mary: Joined) -> None:
    hers = desks(mary)
    hers("policy", "secrets")
    assert "organisation:write" in hers("policy", "secrets", "set", "flag", code=4).err


# Keys, sessions, password


def test_keys(desks: Desks, mary: Joined, monkeypatch: pytest.MonkeyPatch) -> None:
    hers = desks(mary)
    shown = hers("keys", "create", "backup", "--scope", "memories:read", "--days", "3")
    key = shown.out.strip()
    assert key.startswith("dvl_") and key not in shown.err and "memories:read" in shown.err
    listed = hers("keys", "list").out
    assert "backup" in listed and "never" in listed and key not in listed
    reading = desks.empty()
    with monkeypatch.context() as patch:
        patch.setenv("DEVLORE_KEY", key)
        reading("list")
        assert "memories:write" in reading("add", "x", code=4).err
    assert hers("keys", "list", "--json").lines[0]["last_used_at"] is not None
    assert "revoked backup" in hers("keys", "revoke", "backup").out
    with monkeypatch.context() as patch:
        patch.setenv("DEVLORE_KEY", key)
        reading("list", code=4)
    assert hers("keys", "list", "--json").lines == []
    assert "revoked just now" in hers("keys", "list", "--all").out
    assert "devlore keys list" in hers("keys", "revoke", "backup", code=3).err


def test_a_key_is_named_as_it_is_listed(desks: Desks, mary: Joined) -> None:
    hers = desks(mary)
    made = [hers("keys", "create", "same", "--json").json for _ in range(3)]
    assert "3 are called 'same'" in hers("keys", "revoke", "same", code=2).err
    hers("keys", "revoke", f"dvl_{made[0]['key_id']}_…")
    hers("keys", "revoke", made[1]["id"])
    hers("keys", "revoke", "same")
    assert hers("keys", "list", "--json").lines == []


def test_a_key_that_may_more_than_its_person_is_not_made(desks: Desks, mary: Joined) -> None:
    hers = desks(mary)
    assert "scopes.0" in hers("keys", "create", "more", "--scope", "audit:read", code=2).err
    hers("keys", "create", "more", "--scope", "everything", code=2)


def test_sessions(desks: Desks, mary: Joined) -> None:
    hers, elsewhere = desks(mary), desks.empty()
    elsewhere("login", "--email", mary.email, stdin=PASSWORD)
    rows = hers("sessions", "list").out.splitlines()[1:]
    assert [row[0] for row in rows] == [" ", "*"]
    assert "devlore/" in rows[0] and "Acme" in rows[0]
    found = {one["current"]: one["id"] for one in hers("sessions", "list", "--json").lines}
    assert hers("sessions", "revoke", found[False]).out == f"ended {found[False]}\n"
    elsewhere("whoami", code=4)
    elsewhere("login", "--email", mary.email, stdin=PASSWORD)
    hers("sessions", "revoke", "--others")
    elsewhere("whoami", code=4)
    hers("whoami")
    for wrong in ((), (found[True], "--others"), ("nonsense",)):
        hers("sessions", "revoke", *wrong, code=2)
    hers("sessions", "revoke", str(uuid.uuid4()), code=3)


def test_the_password_is_changed(desks: Desks, mary: Joined, monkeypatch: pytest.MonkeyPatch) -> None:
    hers, new = desks(mary), "seven green boats at noon"
    hers("passwd", stdin=f"wrong\n{new}\n", code=4)
    assert "new" in hers("passwd", stdin=f"{PASSWORD}\nshort\n", code=2).err
    hers("passwd", stdin=f"{PASSWORD}\n", code=2)
    assert "other sessions" in hers("passwd", stdin=f"{PASSWORD}\n{new}\n").out
    desks.empty()("login", "--email", mary.email, stdin=PASSWORD, code=4)
    desks.empty()("login", "--email", mary.email, stdin=new)
    typed = iter([new, "one thing and another", "something else again"])
    monkeypatch.setattr("click.termui.hidden_prompt_func", lambda _: next(typed))
    hers.interactive = True
    assert "not the same" in hers("passwd", code=2).err


def test_a_table_has_colours_where_they_are_wanted(owner: Desk) -> None:
    coloured = owner.environment(FORCE_COLOR="1")
    for environment, escapes in ((owner.environment(), False), (coloured, True), (coloured | {"NO_COLOR": "1"}, False)):
        ran = subprocess.run([*PROGRAM, "org", "members"], env=environment, capture_output=True, text=True, check=True)
        assert ("\x1b" in ran.stdout) is escapes
        assert "Olaf Second" in ran.stdout
