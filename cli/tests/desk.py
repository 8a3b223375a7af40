"""`devlore` as one person runs it: with what is kept for them alone, and nobody else's session."""

from __future__ import annotations

import os
import sys
import time
from pathlib import Path

import pytest
from cli.tests.terminal import Outcome, Terminal
from sdk.python.tests.teams import Joined, TeamServer

from devlore.credentials import SignedIn
from devlore_cli.accounts import KeptSession

PROGRAM = [sys.executable, "-m", "devlore_cli"]


class Desk(Terminal):
    """A terminal whose configuration is in a folder of its own."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch, url: str, config: Path) -> None:
        super().__init__(monkeypatch, url)
        self.config = config

    def __call__(self, *arguments: str, stdin: str | bytes = b"", code: int | None = 0) -> Outcome:
        """Run `devlore ARGUMENTS` here."""
        with self._monkeypatch.context() as patch:
            patch.setenv("XDG_CONFIG_HOME", str(self.config))
            return super().__call__(*arguments, stdin=stdin, code=code)

    @property
    def kept(self) -> KeptSession:
        """Where the session with the server is kept."""
        return KeptSession(self.url, self.config / "devlore")

    def sit(self, person: Joined) -> Desk:
        """Be signed in as somebody, in their first session."""
        self.keep(SignedIn.from_tokens(person.tokens, time.time()))
        return self

    def keep(self, session: SignedIn) -> None:
        store = self.kept
        assert store.acquire()
        store.save(session)
        store.release()

    def environment(self, **variables: str) -> dict[str, str]:
        """The variables of a process of its own."""
        return os.environ | {"DEVLORE_URL": self.url, "XDG_CONFIG_HOME": str(self.config)} | variables


class Desks:
    """Gives everybody a desk at one team's server."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch, team: TeamServer, folder: Path) -> None:
        self._monkeypatch = monkeypatch
        self._folder = folder
        self.team = team
        self._count = 0

    def empty(self) -> Desk:
        """A desk at which nobody is signed in."""
        self._count += 1
        return Desk(self._monkeypatch, self.team.url, self._folder / f"desk-{self._count}")

    def __call__(self, person: Joined) -> Desk:
        return self.empty().sit(person)
