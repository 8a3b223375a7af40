"""What every command shares: ``--json`` and ``--url``, the client, and the two ways to print a result."""

from __future__ import annotations

import functools
import json
import sys
from collections.abc import Callable, Iterable, Sequence
from datetime import datetime
from typing import Any, TypeVar

import click
from pydantic import BaseModel
from pydantic_core import to_jsonable_python

from devlore.authentication import from_environment
from devlore.calls import Retry
from devlore.client import Client
from devlore.problems import NotFound, StepUpRequired
from devlore.types import WhoAmI
from devlore_cli import accounts, naming
from devlore_cli.dates import When
from devlore_cli.failures import EXIT_NOT_FOUND, EXIT_USAGE, Failure
from devlore_cli.output import Screen, one_line

R = TypeVar("R")
M = TypeVar("M")

WHEN = When()


class Session:
    """One run of one command."""

    def __init__(self, as_json: bool, url: str | None) -> None:
        self.as_json = as_json
        self.url = url
        self.out = Screen(sys.stdout)
        self.err = Screen(sys.stderr)

    @functools.cached_property
    def client(self) -> Client:
        """The client, connected on first use; patient enough for a restart, not for a server that is not there."""
        return accounts.connected(self.url, retry=Retry(attempts=4), timeout=60.0)

    @functools.cached_property
    def me(self) -> WhoAmI:
        """Who is signed in, and where."""
        return self.client.identity()

    def json(self, value: Any) -> None:
        """One JSON line on stdout."""
        text = value.model_dump_json() if isinstance(value, BaseModel) else _dumped(value)
        self.out.line(text)

    def one(self, value: M, shown: Callable[[M], None]) -> None:
        """A single result: a JSON line, or shown to people."""
        if self.as_json:
            self.json(value)
        else:
            shown(value)

    def many(self, values: Iterable[M], shown: Callable[[M], None], nothing: str = "Nothing.") -> int:
        """A list of results as NDJSON or shown one by one; returns how many. ``nothing`` goes to stderr."""
        count = 0
        for value in values:
            count += 1
            self.one(value, shown)
        if not count:
            self.note(nothing)
        return count

    def table(
        self, values: Iterable[M], heads: Sequence[str], row: Callable[[M], Sequence[str]], nothing: str = "Nothing."
    ) -> None:
        """A list of results as NDJSON or as a table; ``nothing`` goes to stderr."""
        if self.as_json:
            self.many(values, lambda _: None)
        elif rows := [row(value) for value in values]:
            self.out.table(rows, heads)
        else:
            self.note(nothing)

    def facts(self, rows: Iterable[tuple[str, str]]) -> None:
        """What is known of one thing, a line each; what is empty is left out."""
        told = [(name, value) for name, value in rows if value]
        widest = max((len(name) for name, _ in told), default=0)
        for name, value in told:
            self.out.line(f"{self.out.style(name.rjust(widest), 'dim')}  {one_line(value)}")

    def note(self, text: str) -> None:
        """A remark for people, on stderr; silent with ``--json``."""
        if not self.as_json:
            self.err.line(self.err.style(text, "dim"))

    def ask(self, question: str) -> bool:
        """Whether the person at the terminal agrees."""
        return click.confirm(question, err=True)

    def agreed(self, question: str, *, yes: bool) -> None:
        """Go on only when ``yes`` was given or the person at the terminal says so."""
        if yes:
            return
        if not sys.stdin.isatty():
            raise Failure("This needs a yes.", "Add --yes.", EXIT_USAGE)
        if not self.ask(question):
            raise click.Abort

    def agreed_if_watched(self, question: str) -> None:
        """Go on unless the person at the terminal says no: asked there, too, while stdin brings something else."""
        if sys.stdin.isatty():
            agreed = self.ask(question)
        elif self.err.terminal:
            agreed = self._answered_at_terminal(question)
        else:
            return
        if not agreed:
            raise click.Abort

    def _answered_at_terminal(self, question: str) -> bool:
        try:
            terminal = open("/dev/tty", encoding="utf-8")  # noqa: SIM115 - closed below
        except OSError as error:
            raise Failure("This needs a yes.", "Add --yes.", EXIT_USAGE) from error
        with terminal:
            self.err.raw(f"{question} [y/N]: ")
            return terminal.readline().strip().lower() in ("y", "yes")

    def secret(self, question: str) -> str:
        """A password: typed without being shown, or the next line of stdin."""
        if sys.stdin.isatty():
            return str(click.prompt(question, hide_input=True, err=True))
        line = sys.stdin.readline()
        if not line:
            raise Failure(f"{question} is missing: type it at a terminal, or write it to stdin.", code=EXIT_USAGE)
        return line.rstrip("\r\n")

    def proven(self, work: Callable[[], M]) -> M:
        """The result of ``work``; where it needs a fresh sign-in, the person at the terminal is asked, once."""
        try:
            return work()
        except StepUpRequired:
            # An API key cannot prove anything.
            if not sys.stdin.isatty() or (from_environment() or "").startswith("dvl_"):
                raise
        self.client.sessions.step_up(password=self.secret("This needs your password once more"))
        return work()


def command(function: Callable[..., R]) -> Callable[..., R]:
    """Give a command ``--json`` and ``--url``, and pass it a ``Session`` first."""

    @click.option("--json", "as_json", is_flag=True, help="JSON on stdout, one line per result.")
    @click.option("--url", metavar="URL", help="The server's address.  [env: DEVLORE_URL]")
    @functools.wraps(function)
    def wrapped(*args: Any, as_json: bool, url: str | None, **kwargs: Any) -> R:
        try:
            return function(Session(as_json, url), *args, **kwargs)
        except NotFound as error:
            if error.detail is not None or "memory_id" not in kwargs:
                raise
            raise no_memory(kwargs["memory_id"]) from error

    return wrapped


def team_command(function: Callable[..., R]) -> Callable[..., R]:
    """A ``command`` for what only a team's instance has; of one person's it says so."""

    @functools.wraps(function)
    def wrapped(session: Session, *args: Any, **kwargs: Any) -> R:
        try:
            return function(session, *args, **kwargs)
        except NotFound as error:
            if error.detail is None and session.client.instance().get("tier") == "individual":
                message = f"{session.client.base_url} is one person's: it has no sign-in, organisations, teams or keys."
                raise Failure(message, "Make it a team's: devlore upgrade-tier team", EXIT_NOT_FOUND) from error
            raise

    return command(wrapped)


def no_memory(memory_id: str) -> NotFound:
    """What to say when the server knows no memory of an id: which one, and where deleted ones are."""
    return NotFound(f"There is no memory {memory_id}. Deleted ones: devlore list --deleted")


def stdin_text() -> str:
    """Everything on stdin; a usage error when it is no UTF-8 text."""
    try:
        return sys.stdin.buffer.read().decode("utf-8-sig").replace("\r\n", "\n")
    except UnicodeDecodeError as error:
        raise Failure(f"What stdin brings is no UTF-8 text (byte {error.start + 1}).", code=EXIT_USAGE) from error


def filters(*, short: bool = True) -> Callable[[Callable[..., R]], Callable[..., R]]:
    """Give a command the filters that listing and searching share, with one-letter names if it may have them."""

    def names(long: str, letter: str) -> list[str]:
        return [f"--{long}", f"-{letter}"] if short else [f"--{long}"]

    options = [
        click.option(*names("kind", "k"), multiple=True, help="decision, bug-fix, change, note …; may be repeated."),
        click.option(*names("project", "p"), multiple=True, help="Project; may be repeated."),
        click.option(*names("tag", "t"), multiple=True, help="Tag; may be repeated."),
        click.option("--author", multiple=True, help="Who wrote it: name, address, or me; may be repeated."),
        click.option(
            "--team", multiple=True, shell_complete=naming.complete_team, help="Team it is for; by name or id."
        ),
        click.option("--source", multiple=True, help="Connector it came from, e.g. git."),
        click.option("--privacy", multiple=True, type=click.Choice(["private", "team", "public"]), help="Who sees it."),
        click.option("--after", type=WHEN, help="Happened at or after: a date, or an age like 3d or 2w."),
        click.option("--before", type=WHEN, help="Happened before."),
    ]

    def give(function: Callable[..., R]) -> Callable[..., R]:
        for option in reversed(options):
            function = option(function)
        return function

    return give


def _dumped(value: Any) -> str:
    return json.dumps(to_jsonable_python(value), ensure_ascii=False, separators=(",", ":"))


def sharing(session: Session, privacy: str | None, team: str | None) -> dict[str, Any]:
    """``privacy`` and ``team_id`` as fields, as far as they were given; a memory given to a team is the team's."""
    fields: dict[str, Any] = {}
    if team is not None:
        fields["team_id"] = naming.team(session.client, team).id if team else None
        fields["privacy"] = privacy or ("team" if team else "private")
    elif privacy is not None:
        fields["privacy"] = privacy
    return fields


def moment_given(value: datetime | None) -> dict[str, datetime]:
    """``occurred_at`` as a field, if it was given."""
    return {} if value is None else {"occurred_at": value}
