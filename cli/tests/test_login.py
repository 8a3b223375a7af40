"""Signing in and out at a real team's server: by password, by device; where the session is kept."""

from __future__ import annotations

import json
import os
import stat
import subprocess
from pathlib import Path

import pytest
from cli.tests.desk import PROGRAM, Desk, Desks
from cli.tests.terminal import Terminal
from sdk.python.tests import samples
from sdk.python.tests.scripted import Reply, Scripted
from sdk.python.tests.teams import PASSWORD, Joined, TeamServer

import devlore
from devlore import problems
from devlore_cli.commands import login as login_module

TOKENS = {
    "session_id": samples.ID,
    "organisation_id": samples.ORGANISATION,
    "token_type": "Bearer",
    "access_token": "a",
    "refresh_token": "r",
    "expires_in": 600,
}
GRANT = {
    "device_code": "d" * 43,
    "user_code": "WDJB-MJHT",
    "verification_uri": "https://devlore.example/device",
    "verification_uri_complete": "https://devlore.example/device#WDJB-MJHT",
    "expires_in": 600,
    "interval": 5,
}


def pending(code: str, **extra: object) -> Reply:
    return Reply(400, samples.problem(400, code, **extra))


def me(**changes: object) -> dict[str, object]:
    organisation = {
        "id": samples.ORGANISATION, "name": "Acme", "role": "member", "created_at": samples.MOMENT,
        "delete_after": None, "version": 1,
    }  # fmt: skip
    person = {
        "id": samples.PERSON, "kind": "human", "name": "Ada", "email": "ada@example.org", "role": "member",
        "created_at": samples.MOMENT,
    }  # fmt: skip
    return {
        "person": person, "organisation": organisation, "role": "member", "teams": [], "scopes": [],
        "organisations": [{"organisation_id": samples.ORGANISATION, "organisation_name": "Acme", "role": "member"}],
    } | changes  # fmt: skip


@pytest.fixture
def mary(team: TeamServer) -> Joined:
    return team.join()


@pytest.fixture
def quick(monkeypatch: pytest.MonkeyPatch) -> list[float]:
    """Time passes without waiting; what was waited for between two questions, in seconds."""
    now, waited = [0.0], [0.0]

    def sleep(seconds: float) -> None:
        now[0] += seconds
        waited[0] += seconds

    monkeypatch.setattr(login_module.time, "monotonic", lambda: now[0])
    monkeypatch.setattr(login_module.time, "sleep", sleep)
    return waited


def test_by_password_from_stdin(desks: Desks, mary: Joined) -> None:
    desk = desks.empty()
    shown = desk("login", "--email", mary.email, stdin=f"{PASSWORD}\n")
    assert f"Signed in to {desk.url} as Mary Member <{mary.email}>, member of Acme." in shown.out
    assert PASSWORD not in shown.out + shown.err
    assert desk("whoami", "--json").json["person"]["email"] == mary.email


def test_the_password_is_typed_unseen(desks: Desks, mary: Joined) -> None:
    desk = desks.empty()
    outer, inner = os.openpty()
    command = [*PROGRAM, "login", "--email", mary.email]
    running = subprocess.Popen(
        command, env=desk.environment(), stdin=inner, stdout=inner, stderr=inner, start_new_session=True
    )
    os.close(inner)
    shown = b""
    while b"Password:" not in shown:
        shown += os.read(outer, 4096)
    os.write(outer, PASSWORD.encode() + b"\n")
    while True:
        try:
            shown += os.read(outer, 4096)
        except OSError:
            break
    os.close(outer)
    assert running.wait(30) == 0, shown.decode()
    assert PASSWORD.encode() not in shown
    assert b"member of Acme" in shown


@pytest.mark.parametrize(("stdin", "code"), [("wrong\n", 4), ("", 2)])
def test_without_the_right_password_nobody_is_signed_in(desks: Desks, mary: Joined, stdin: str, code: int) -> None:
    desk = desks.empty()
    desk("login", "--email", mary.email, stdin=stdin, code=code)
    assert desk.kept.load() is None
    assert "devlore login" in desk("whoami", code=4).err


def test_into_one_of_several_organisations(desks: Desks, mary: Joined) -> None:
    with desks.team.signed_in(mary) as hers:
        beta = hers.organisations.create("Beta of Mary")
    desk = desks.empty()
    into = ["login", "--email", mary.email, "--json", "--organisation"]
    assert desk(*into, "beta OF mary", stdin=PASSWORD).json["organisation"]["id"] == str(beta.id)
    assert desk(*into, desks.team.organisation, stdin=PASSWORD).json["organisation"]["name"] == "Acme"
    assert "no organisation 'Gamma'" in desk(*into[:-2], "-o", "Gamma", stdin=PASSWORD, code=3).err


def test_signing_in_again_ends_the_session_before(desks: Desks, mary: Joined) -> None:
    desk = desks(mary)
    desk("login", "--email", mary.email, stdin=PASSWORD)
    with desks.team.signed_in(mary) as before, pytest.raises(problems.Unauthenticated):
        before.identity()
    assert len(desk("sessions", "list", "--json").lines) == 1


def test_the_session_file_is_private(desks: Desks, mary: Joined) -> None:
    desk = desks.empty()
    shown = desk("login", "--email", mary.email, stdin=PASSWORD)
    assert str(desk.kept.path) in shown.err
    assert stat.S_IMODE(desk.kept.path.stat().st_mode) == 0o600
    assert stat.S_IMODE(desk.kept.path.parent.stat().st_mode) == 0o700


def test_commands_talk_to_the_server_one_signed_in_to(
    desks: Desks, mary: Joined, monkeypatch: pytest.MonkeyPatch
) -> None:
    desk = desks.empty()
    url, desk.url = desk.url, ""
    desk("login", "--url", url + "/", "--email", mary.email, stdin=PASSWORD)
    assert mary.email in desk("whoami").out
    monkeypatch.setenv("DEVLORE_PORT", "9")
    assert "127.0.0.1:9" in desk("whoami", code=1).err
    monkeypatch.delenv("DEVLORE_PORT")
    desk("logout")
    assert "127.0.0.1:7700" in desk("logout", "--json").json["url"]


def test_signing_out_ends_the_session_here_and_there(desks: Desks, mary: Joined) -> None:
    desk = desks(mary)
    assert desk("logout", "--json").json == {"url": desk.url, "signed_out": True, "ended": True}
    assert desk.kept.load() is None
    with desks.team.signed_in(mary) as still, pytest.raises(problems.Unauthenticated):
        still.identity()
    assert "not signed in" in desk("logout").out


def test_signing_out_without_the_server_forgets_all_the_same(desks: Desks, mary: Joined, closed: str) -> None:
    desk = desks(mary)
    session = desk.kept.load()
    assert session is not None
    desk.url = closed
    desk.keep(session)
    shown = desk("logout")
    assert "Signed out" in shown.out and "did not hear" in shown.err
    assert desk.kept.load() is None


def test_two_programs_at_once_stay_signed_in(desks: Desks, mary: Joined) -> None:
    """Both find their token refused, and renew it."""
    spoilt = mary.tokens.model_copy(update={"access_token": "no.such.token"})
    desk = desks(Joined(mary.email, mary.name, spoilt))
    command = [*PROGRAM, "whoami", "--json"]
    running = [subprocess.Popen(command, env=desk.environment(), stdout=subprocess.PIPE) for _ in range(3)]
    ended = [program.communicate(timeout=60)[0] for program in running]
    assert [json.loads(shown)["person"]["email"] for shown in ended] == [mary.email] * 3
    kept = desk.kept.load()
    assert kept is not None and kept.session_id == str(mary.tokens.session_id)


def test_a_key_or_token_of_the_environment_goes_first(
    desks: Desks, owner: Desk, mary: Joined, monkeypatch: pytest.MonkeyPatch
) -> None:
    key = owner("keys", "create", "mine").out.strip()
    desk = desks(mary)
    monkeypatch.setenv("DEVLORE_KEY", key)
    assert desk("whoami", "--json").json["role"] == "owner"
    for command in ("login", "logout"):
        assert "DEVLORE_KEY" in desk(command, code=2).err
    monkeypatch.setenv("DEVLORE_KEY", "dvl_nonsense")
    refused = desk("whoami", code=4).err
    assert "DEVLORE_KEY" in refused and "devlore login" not in refused
    assert desk.kept.load() is not None


# By device


def approved(team: TeamServer, code: str) -> None:
    with devlore.Client(team.url) as client:
        tokens = client.sessions.sign_in(team.owner.email, PASSWORD, organisation=team.organisation)
        client.adopt(tokens)
        client.sessions.settle_device(code)


@pytest.mark.parametrize("as_json", [False, True])
def test_by_device(desks: Desks, as_json: bool) -> None:
    desk = desks.empty()
    command = [*PROGRAM, "login", *(["--json"] if as_json else [])]
    running = subprocess.Popen(
        command, env=desk.environment(), stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    )
    assert running.stdout is not None and running.stderr is not None
    if as_json:
        begun = json.loads(running.stdout.readline())
        assert "device_code" not in begun
        code = begun["user_code"]
    else:
        # The origin of the instance, whatever address was used.
        assert running.stderr.readline().startswith("Open http://localhost:")
        code = running.stderr.readline().split()[-1]
    approved(desks.team, code)
    out, err = running.communicate(timeout=30)
    assert running.returncode == 0, err
    assert desks.team.owner.email in out
    assert desk("whoami", "--json").json["role"] == "owner"


def test_a_device_waits_as_long_as_it_is_told(
    scripted: Scripted, devlore: Terminal, quick: list[float], monkeypatch: pytest.MonkeyPatch
) -> None:
    asked_at: list[float] = []

    def next_reply() -> Reply:
        asked_at.append(round(quick[0]))
        return replies.pop(0)

    replies = [
        Reply(body=GRANT),
        pending("authorization-pending", interval=5),
        pending("slow-down", interval=10),
        pending("slow-down"),
        pending("authorization-pending"),
        Reply(body=TOKENS),
        Reply(body=me()),
    ]
    monkeypatch.setattr(scripted, "next_reply", next_reply)
    shown = devlore("login")
    assert "approve the code  WDJB-MJHT" in shown.err
    assert asked_at == [0, 5, 10, 20, 35, 50, 50]


@pytest.mark.parametrize(
    ("reply", "code", "said"),
    [
        (pending("access-denied"), 4, "refused"),
        (pending("expired-token"), 1, "devlore login"),
        (pending("authorization-pending", interval=5), 1, "Nobody approved"),
    ],
)
def test_a_device_that_nobody_lets_in(
    scripted: Scripted, devlore: Terminal, quick: list[float], reply: Reply, code: int, said: str
) -> None:
    scripted.play(Reply(body=GRANT), reply)
    assert said in devlore("login", code=code).err
    assert quick[0] <= 605


def test_a_device_survives_a_broken_line(scripted: Scripted, devlore: Terminal, quick: list[float]) -> None:
    away = Reply(drop=True)
    scripted.play(Reply(body=GRANT), away, pending("authorization-pending"), Reply(body=TOKENS), Reply(body=me()))
    assert "Signed in" in devlore("login").out


def browsers(folder: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A browser that notes what it is to open."""
    opened, program = folder / "opened", folder / "browser"
    program.write_text(f'#!/bin/sh\necho "$1" >> {opened}\n')
    program.chmod(0o755)
    monkeypatch.setenv("BROWSER", f"{program} %s")
    return opened


def test_the_browser_opens_where_there_is_one(
    scripted: Scripted, devlore: Terminal, quick: list[float], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    opened = browsers(tmp_path, monkeypatch)
    scripted.play(Reply(body=GRANT), Reply(body=TOKENS), Reply(body=me()))
    devlore.interactive = True
    assert "Your browser opens" in devlore("login").err
    assert opened.read_text() == "https://devlore.example/device#WDJB-MJHT\n"


@pytest.mark.parametrize(
    ("address", "interactive", "arguments"),
    [("https://x.example/", False, ()), ("file:///etc/passwd", True, ()), ("https://x.example/", True, ("--json",))],
)
def test_the_browser_stays_closed(
    scripted: Scripted,
    devlore: Terminal,
    quick: list[float],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    address: str,
    interactive: bool,
    arguments: tuple[str, ...],
) -> None:
    opened = browsers(tmp_path, monkeypatch)
    scripted.play(Reply(body=GRANT | {"verification_uri_complete": address}), Reply(body=TOKENS), Reply(body=me()))
    devlore.interactive = interactive
    devlore("login", *arguments)
    assert not opened.exists()


def test_one_persons_instance_has_no_sign_in(real: Terminal) -> None:
    for arguments in (("login",), ("whoami",), ("org", "list"), ("keys", "list")):
        refused = real(*arguments, code=3)
        assert "one person's" in refused.err and "devlore upgrade-tier team" in refused.err
