"""`devlore rm`."""

from __future__ import annotations

import sys

import click

from devlore.problems import NotFound
from devlore_cli.failures import EXIT_USAGE, Failure
from devlore_cli.identifiers import memories_given
from devlore_cli.render import title_of
from devlore_cli.session import Session, command, no_memory


@click.command("rm")
@click.argument("memory_ids", metavar="ID...", nargs=-1, required=True)
@click.option("--purge", is_flag=True, help="Erase it with all its versions; nothing can bring it back.")
@click.option("--yes", "-y", is_flag=True, help="Do not ask.")
@command
def remove(session: Session, memory_ids: tuple[str, ...], purge: bool, yes: bool) -> None:
    """Delete the memories ID; devlore restore brings them back, unless they are purged.

    - reads them from stdin: ids, or what devlore list and devlore search say with --json.
    """
    ids = list(memories_given(memory_ids))
    if purge and not yes:
        _confirm(session, ids)
    missing = [memory_id for memory_id in ids if not _removed(session, memory_id, purge=purge)]
    if missing:
        raise no_memory(", ".join(missing))


def _removed(session: Session, memory_id: str, *, purge: bool) -> bool:
    """Delete one memory and say so; False when there is none, so that the others go all the same."""
    try:
        session.proven(lambda: session.client.memories.delete(memory_id, purge=purge))
    except NotFound:
        return False
    done = {"id": memory_id, "result": "purged" if purge else "deleted"}
    session.one(done, lambda one: session.out.line(f"{one['result']} {one['id']}"))
    return True


def _confirm(session: Session, ids: list[str]) -> None:
    if not sys.stdin.isatty():
        raise Failure("Erasing needs a yes.", "Add --yes.", EXIT_USAGE)
    for memory_id in ids:
        session.err.line(f"{memory_id}  {title_of(session.client.memories.get(memory_id))}")
    if not session.ask(f"Erase {'it' if len(ids) == 1 else f'these {len(ids)}'} for good?"):
        raise click.Abort
