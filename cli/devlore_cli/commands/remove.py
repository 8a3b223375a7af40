"""`devlore rm`."""

from __future__ import annotations

import sys

import click

from devlore_cli.failures import EXIT_USAGE, Failure
from devlore_cli.render import title_of
from devlore_cli.session import Session, command


@click.command("rm")
@click.argument("memory_ids", metavar="ID...", nargs=-1, required=True)
@click.option("--purge", is_flag=True, help="Erase it with all its versions; nothing can bring it back.")
@click.option("--yes", "-y", is_flag=True, help="Do not ask.")
@command
def remove(session: Session, memory_ids: tuple[str, ...], purge: bool, yes: bool) -> None:
    """Delete the memories ID; devlore restore brings them back, unless they are purged."""
    ids = sys.stdin.read().split() if memory_ids == ("-",) else list(memory_ids)
    if purge and not yes:
        _confirm(session, ids)
    for memory_id in ids:
        session.client.memories.delete(memory_id, purge=purge)
        done = "purged" if purge else "deleted"
        session.one({"id": memory_id, "result": done}, lambda one: session.out.line(f"{one['result']} {one['id']}"))


def _confirm(session: Session, ids: list[str]) -> None:
    if not sys.stdin.isatty():
        raise Failure("Erasing needs a yes.", "Add --yes.", EXIT_USAGE)
    for memory_id in ids:
        session.err.line(f"{memory_id}  {title_of(session.client.memories.get(memory_id))}")
    if not session.ask(f"Erase {'it' if len(ids) == 1 else f'these {len(ids)}'} for good?"):
        raise click.Abort
