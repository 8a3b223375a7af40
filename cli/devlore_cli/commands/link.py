"""`devlore link`."""

from __future__ import annotations

import click

from devlore.types import TargetKind
from devlore_cli import drafting
from devlore_cli.failures import EXIT_NOT_FOUND, Failure
from devlore_cli.identifiers import ID
from devlore_cli.render import described
from devlore_cli.session import Session, command


@click.command()
@click.argument("memory_id", metavar="ID", type=ID)
@click.argument("target")
@click.option(
    "--type", "kind", default="relates-to", show_default=True, help="fixes, supersedes, contradicts, mentions …"
)
@click.option(
    "--target-kind", "-k", type=click.Choice([str(kind) for kind in TargetKind]), help="If its looks mislead."
)
@click.option("--note", help="A remark on the link.")
@click.option("--remove", is_flag=True, help="Remove the link instead.")
@command
def link(
    session: Session, memory_id: str, target: str, kind: str, target_kind: str | None, note: str | None, remove: bool
) -> None:
    """Link the memory ID to TARGET: a memory's id, a URL, a commit, a ticket (#12, ABC-3) or a file (path:10-20)."""
    if remove:
        _remove(session, memory_id, target)
        return
    try:
        found = target_kind or str(drafting.target_kind(target))
        draft_type = drafting.link_type(kind)
    except ValueError as error:
        raise click.BadParameter(str(error)) from error
    made = session.client.memories.link(memory_id, target, type=draft_type, target_kind=found, note=note)
    session.one(made, lambda one: session.out.line(described(one)))


def _remove(session: Session, memory_id: str, target: str) -> None:
    found = [one for one in session.client.memories.all_links(memory_id) if target in (one.target, str(one.id))]
    if not found:
        raise Failure(f"The memory has no link to {target}.", f"Its links: devlore show {memory_id}", EXIT_NOT_FOUND)
    for one in found:
        session.client.memories.unlink(memory_id, one.id)
        session.one(one, lambda gone: session.out.line(f"removed: {described(gone)}"))
