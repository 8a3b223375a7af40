"""The session in the keyring, or without one in a file; and proving once more who one is."""

from __future__ import annotations

import json
import subprocess
from collections.abc import Iterator

import keyring
import pytest
from cli.tests.desk import PROGRAM, Desk, Desks
from cli.tests.terminal import Outcome
from keyring.backend import KeyringBackend
from keyring.errors import KeyringError, PasswordDeleteError
from sdk.python.tests.teams import PASSWORD, Joined, TeamServer


@pytest.fixture
def mary(team: TeamServer) -> Joined:
    return team.join()


class Drawer(KeyringBackend):
    """A keyring of this process, which may be locked."""

    priority = 1.0  # type: ignore[assignment]

    def __init__(self) -> None:
        super().__init__()
        self.held: dict[tuple[str, str], str] = {}
        self.locked = False
        self.forgetful = False

    def _open(self) -> dict[tuple[str, str], str]:
        if self.locked:
            raise KeyringError("It is locked.")
        return self.held

    def set_password(self, service: str, username: str, password: str) -> None:
        if not self.forgetful:
            self._open()[service, username] = password

    def get_password(self, service: str, username: str) -> str | None:
        return self._open().get((service, username))

    def delete_password(self, service: str, username: str) -> None:
        if self._open().pop((service, username), None) is None:
            raise PasswordDeleteError


@pytest.fixture
def drawer() -> Iterator[Drawer]:
    before, found = keyring.get_keyring(), Drawer()
    keyring.set_keyring(found)
    yield found
    keyring.set_keyring(before)


def signed_in(desk: Desk, person: Joined) -> Outcome:
    return desk("login", "--email", person.email, stdin=PASSWORD)


def test_the_keyring_keeps_the_session(desks: Desks, mary: Joined, drawer: Drawer) -> None:
    desk = desks.empty()
    assert "the keyring" in signed_in(desk, mary).err
    (text,) = drawer.held.values()
    secrets = json.loads(text)
    assert secrets["access_token"] not in desk.kept.path.read_text()
    assert secrets["refresh_token"] not in desk.kept.path.read_text()
    assert mary.email in desk("whoami").out
    desk("logout")
    assert drawer.held == {}
    assert not desk.kept.path.exists()


def test_a_keyring_that_does_not_open_is_said(desks: Desks, mary: Joined, drawer: Drawer) -> None:
    desk = desks.empty()
    signed_in(desk, mary)
    drawer.locked = True
    refused = desk("whoami", code=4).err
    assert "It is locked." in refused and "devlore login" in refused
    # Signed in again, without it.
    assert str(desk.kept.path) in signed_in(desk, mary).err
    assert mary.email in desk("whoami").out


@pytest.mark.parametrize("fault", ["locked", "forgetful"])
def test_a_keyring_that_keeps_nothing_loses_nothing(desks: Desks, mary: Joined, drawer: Drawer, fault: str) -> None:
    setattr(drawer, fault, True)
    desk = desks.empty()
    assert str(desk.kept.path) in signed_in(desk, mary).err
    assert mary.email in desk("whoami").out


def test_a_session_that_is_renewed_stays_in_the_keyring(desks: Desks, mary: Joined, drawer: Drawer) -> None:
    desk = desks.empty()
    signed_in(desk, mary)
    (place, text), *_ = drawer.held.items()
    drawer.held[place] = json.dumps(json.loads(text) | {"access_token": "no.such.token"})
    assert mary.email in desk("whoami").out
    renewed = json.loads(drawer.held[place])
    assert renewed["access_token"] != "no.such.token"
    assert renewed["refresh_token"] != json.loads(text)["refresh_token"]


def test_without_a_session_the_keyring_is_not_even_loaded(desks: Desks) -> None:
    program = "import sys; from devlore_cli.main import run; run(['whoami'], False); print('keyring' in sys.modules)"
    desk = desks.empty()
    ran = subprocess.run(
        [PROGRAM[0], "-c", program], env=desk.environment(), capture_output=True, text=True, check=True
    )
    assert ran.stdout.strip() == "False"


# Proving it again


def test_what_needs_a_fresh_sign_in_asks_for_the_password_once(
    desks: Desks, mary: Joined, monkeypatch: pytest.MonkeyPatch
) -> None:
    desk = desks(mary)
    desks.team.grow_stale(mary.tokens.session_id)
    refused = desk("keys", "create", "one", code=4).err
    assert "devlore login" in refused
    desk.interactive = True
    asked: list[str] = []

    def typed(prompt: str) -> str:
        asked.append(prompt)
        return PASSWORD

    monkeypatch.setattr("click.termui.hidden_prompt_func", typed)
    assert desk("keys", "create", "one").out.startswith("dvl_")
    assert len(asked) == 1
    desk("keys", "create", "two")
    assert len(asked) == 1


def test_a_wrong_password_is_not_asked_for_twice(desks: Desks, mary: Joined, monkeypatch: pytest.MonkeyPatch) -> None:
    desk = desks(mary)
    desks.team.grow_stale(mary.tokens.session_id)
    desk.interactive = True
    monkeypatch.setattr("click.termui.hidden_prompt_func", lambda _: "wrong")
    desk("keys", "create", "one", code=4)
    assert desk("keys", "list", "--json").lines == []
