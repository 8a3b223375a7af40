"""`devlore up`, `devlore down`, `devlore run`."""

from __future__ import annotations

import time

import click

from devlore_cli import accounts, instance
from devlore_cli.dates import duration
from devlore_cli.failures import Failure
from devlore_cli.progress import Progress
from devlore_cli.session import Session, command

_TIMEOUT = click.option("--timeout", default=120.0, show_default=True, help="Seconds to wait.")


@click.command()
@_TIMEOUT
@command
def up(session: Session, timeout: float) -> None:
    """Start Devlore on this machine, in the background; does nothing when it already runs.

    Its data is in $DEVLORE_HOME (else the XDG data directory), its port is $DEVLORE_PORT (else 7700).
    """
    where = instance.place()
    began = time.monotonic()
    with Progress(session.err, "Starting") as progress:
        found, fresh = instance.start(where, timeout, progress.waiting)
    result = {"url": found.url, "pid": found.pid, "home": str(where.home), "log": str(where.log), "started": fresh}
    session.one(result, lambda _: _told(session, found.url, where, fresh, time.monotonic() - began))


@click.command()
@_TIMEOUT
@command
def down(session: Session, timeout: float) -> None:
    """Stop the Devlore of this machine and its PostgreSQL."""
    where = instance.place()
    with Progress(session.err, "Stopping") as progress:
        stopped = instance.stop(where, timeout, progress.waiting)
    if not stopped and instance.probe(where):
        message = f"A Devlore answers at {where.url}, but devlore up did not start it for {where.home}."
        raise Failure(message, "Stop it where it was started, or set DEVLORE_HOME to its home.")
    result = {"home": str(where.home), "stopped": stopped}
    session.one(result, lambda _: session.out.line("Devlore has stopped." if stopped else "Devlore does not run."))


@click.command()
def run() -> None:
    """Start Devlore in the foreground; Ctrl-C stops it."""
    instance.replace_process(instance.place())


def _told(session: Session, url: str, where: instance.Place, fresh: bool, seconds: float) -> None:
    after = f" (ready after {duration(seconds)})" if fresh else ""
    session.out.line(f"Devlore {'runs' if fresh else 'already runs'} at {session.out.style(url, 'bold')}{after}")
    session.out.line(session.out.style(f"data: {where.home} · log: {where.log}", "dim"))
    if (other := accounts.address(None)) != url:
        session.note(f"Commands go to {other}, though; to this one: export DEVLORE_URL={url}")
