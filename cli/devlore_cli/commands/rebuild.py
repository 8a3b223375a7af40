"""`devlore rebuild search`."""

from __future__ import annotations

import time

import click

from devlore.types import SearchStatus
from devlore_cli.failures import Failure
from devlore_cli.progress import Progress
from devlore_cli.session import Session, command

_POLL = 0.3


@click.group()
def rebuild() -> None:
    """Build an index anew from the memories; the old one answers until the new one is complete."""


@rebuild.command()
@click.option("--embedder", help="Change to this embedding model: bundled, fastembed:MODEL, openai:MODEL@URL.")
@click.option("--wait", is_flag=True, help="Follow it to its end.")
@click.option("--cancel", is_flag=True, help="Stop a running rebuild.")
@command
def search(session: Session, embedder: str | None, wait: bool, cancel: bool) -> None:
    """Build the search indexes anew."""
    if cancel:
        session.client.search.cancel_rebuild()
        session.one(
            {"result": "cancelled"}, lambda _: session.out.line("The rebuild was stopped; the old index stays.")
        )
        return
    status = session.client.search.rebuild(embedder=embedder)
    if wait:
        status = _followed(session, status)
    session.one(status, lambda now: _shown(session, now))


def _followed(session: Session, status: SearchStatus) -> SearchStatus:
    with Progress(session.err, "rebuild search") as progress:
        while status.rebuild is not None and status.rebuild.get("state", "running") in ("queued", "running"):
            progress.update(int(status.rebuild.get("done") or 0), status.rebuild.get("total"))
            time.sleep(_POLL)
            status = session.client.search.status()
    if status.rebuild is not None and status.rebuild.get("state") == "failed":
        raise Failure(f"The rebuild failed: {status.rebuild.get('error') or 'see devlore status'}")
    return status


def _shown(session: Session, status: SearchStatus) -> None:
    if status.rebuild is None or status.rebuild.get("state") == "done":
        session.out.line(f"Rebuilt with the embedder {status.embedder}.")
    else:
        session.out.line("Started; the old index answers until it is complete. Follow it with: devlore status")
