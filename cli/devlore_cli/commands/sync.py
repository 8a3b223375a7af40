"""`devlore sync git`, `devlore sync markdown`, and looking after what is synced."""

from __future__ import annotations

import time
from collections.abc import Iterator
from datetime import datetime
from pathlib import Path
from typing import Any
from uuid import UUID

import click

from devlore.problems import NotFound
from devlore.types import Connection, Sync
from devlore_cli.dates import both, duration
from devlore_cli.failures import EXIT_FAILURE, Failure
from devlore_cli.identifiers import Identifier
from devlore_cli.output import one_line, quantity
from devlore_cli.progress import Progress
from devlore_cli.session import WHEN, Session, command

_POLL = 0.2
_SHOWN_FAILURES = 10
_PATH = click.Path(exists=True, file_okay=False, path_type=Path, resolve_path=True)


@click.group()
def sync() -> None:
    """Read a git repository or a folder of notes; the second time, only what is new."""


@sync.command("git")
@click.argument("path", type=_PATH, default=".")
@click.option("--since", type=WHEN, help="Only commits from then on: a date, or an age like 6mo.")
@click.option("--merges/--no-merges", default=None, help="Also merge commits.")
@click.option("--branch", "branches", multiple=True, help="Only this branch or pattern; may be repeated.")
@click.option("--project", "-p", help="Project of its memories; else the repository's name.")
@click.option("--full", is_flag=True, help="Forget how far it was read and read it all.")
@click.option("--watch/--no-watch", default=None, help="Go on reading whenever something changes.")
@command
def git(
    session: Session,
    path: Path,
    since: datetime | None,
    merges: bool | None,
    branches: tuple[str, ...],
    project: str | None,
    full: bool,
    watch: bool | None,
) -> None:
    """Remember every commit of the repository at PATH."""
    given = {"since": since.isoformat() if since else None, "merges": merges, "branches": list(branches) or None}
    config = {name: value for name, value in given.items() if value is not None}
    _run(session, "git", path, config, project=project, full=full, watch=watch)


@sync.command("markdown")
@click.argument("path", type=_PATH, default=".")
@click.option("--project", "-p", help="Project of its memories.")
@click.option("--full", is_flag=True, help="Forget how far it was read and read it all.")
@click.option("--watch/--no-watch", default=None, help="Go on reading whenever something changes.")
@command
def markdown(session: Session, path: Path, project: str | None, full: bool, watch: bool | None) -> None:
    """Remember the notes and decisions (ADRs) below PATH.

    Edits and deletions are seen the next time.
    """
    _run(session, "markdown", path, {}, project=project, full=full, watch=watch)


@sync.command("list")
@command
def list_(session: Session) -> None:
    """List what is synced."""
    session.many(session.client.connections.all(), lambda one: _listed(session, one), "Nothing is synced yet.")


@sync.command("forget")
@click.argument("connection_id", metavar="ID", type=Identifier("devlore sync list"))
@command
def forget(session: Session, connection_id: str) -> None:
    """Stop syncing the connection ID; its memories stay."""
    try:
        session.client.connections.delete(connection_id)
    except NotFound as error:
        raise NotFound(f"Nothing is synced as {connection_id}. What is: devlore sync list") from error
    session.one({"id": connection_id, "result": "forgotten"}, lambda _: session.out.line(f"forgotten {connection_id}"))


def _run(
    session: Session,
    connector: str,
    path: Path,
    config: dict[str, Any],
    *,
    project: str | None,
    full: bool,
    watch: bool | None,
) -> None:
    connection = _connection(session, connector, path, config, project, watch)
    began = time.monotonic()
    started = session.client.connections.sync(connection.id, full=full)
    ended = _follow(session, started, f"{connector} {path.name or path}")
    session.one(ended, lambda one: _summary(session, one, time.monotonic() - began))
    if connection.watch:
        session.note("Watching it from now on; stop with: devlore sync " + f"{connector} {path} --no-watch")
    if ended.state != "done" or ended.failed:
        raise Failure(ended.error or _refused(ended), code=EXIT_FAILURE)


def _connection(
    session: Session, connector: str, path: Path, config: dict[str, Any], project: str | None, watch: bool | None
) -> Connection:
    """The connection of this folder: the one there is, brought up to date with the options, or a new one."""
    connections = session.client.connections
    known = [one for one in connections.all() if one.connector == connector and one.config.get("path") == str(path)]
    found = next((one for one in known if project in (None, one.project)), None)
    if found is None:
        made = {"path": str(path), **config}
        return connections.create(connector, config=made, project=project, watch=watch)
    changes: dict[str, Any] = {}
    if any(found.config.get(name) != value for name, value in config.items()):
        changes["config"] = {**found.config, **config}
    if watch is not None and watch != found.watch:
        changes["watch"] = watch
    return connections.update(found.id, **changes) if changes else found


def _follow(session: Session, started: Sync, label: str) -> Sync:
    """Show how far the sync is until it ends; Ctrl-C stops it, or leaves it to the server."""
    with Progress(session.err, label) as progress:
        states = _states(session, started)
        while True:
            try:
                state = next(states)
                if state.state not in ("queued", "running"):
                    return state
                progress.update(state.done, state.total)
            except KeyboardInterrupt:
                progress.clear()
                _interrupted(session, started.id)
                states = _states(session, started)


def _states(session: Session, started: Sync) -> Iterator[Sync]:
    yield started
    while True:
        time.sleep(_POLL)
        yield session.client.syncs.get(started.id)


def _interrupted(session: Session, sync_id: UUID) -> None:
    if session.err.terminal and not session.as_json:
        session.err.line()
        answer = click.prompt(
            "[s]top it, [l]eave it running in the server, or [g]o on watching",
            type=click.Choice(["s", "l", "g"]),
            default="s",
            show_choices=False,
            err=True,
        )
        if answer == "g":
            return
        if answer == "l":
            session.note("It goes on; see: devlore status")
            raise KeyboardInterrupt
    session.client.syncs.cancel(sync_id)
    session.note("Stopped. What was read stays, and the next sync goes on from there.")
    raise KeyboardInterrupt


def _summary(session: Session, ended: Sync, seconds: float) -> None:
    counts = [(ended.created, "new"), (ended.updated, "updated"), (ended.unchanged, "unchanged")]
    counts += [(ended.deleted, "deleted"), (ended.failed, "failed")]
    told = ", ".join(f"{count:,} {what}" for count, what in counts if count) or "nothing new"
    session.out.line(f"{ended.state}: {told} in {duration(seconds)}")
    for failure in ended.failures[:_SHOWN_FAILURES]:
        session.err.line(f"  {one_line(failure.item)}: {one_line(failure.reason)}")
    if len(ended.failures) > _SHOWN_FAILURES:
        session.err.line(f"  … and {len(ended.failures) - _SHOWN_FAILURES} more (--json lists them)")


def _refused(ended: Sync) -> str:
    if ended.state == "cancelled":
        return "The sync was stopped."
    return f"{quantity(ended.failed, 'item')} could not be read; the rest was."


def _listed(session: Session, one: Connection) -> None:
    watched = session.out.style(" watched", "green") if one.watch else ""
    session.out.line(f"{one.connector}  {session.out.style(one_line(one.name), 'bold')}{watched}")
    last = f"synced {both(one.last_synced_at)}" if one.last_synced_at else "never synced"
    parts = [str(one.id), one.project, str(one.config.get("path", "")), last]
    session.out.line("  " + session.out.style(" · ".join(one_line(part) for part in parts if part), "dim"))
