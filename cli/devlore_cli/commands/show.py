"""`devlore show`."""

from __future__ import annotations

import click

from devlore.types import Memory
from devlore_cli.identifiers import ID
from devlore_cli.render import shown
from devlore_cli.session import Session, command


@click.command()
@click.argument("memory_id", metavar="ID", type=ID)
@click.option("--version", type=click.IntRange(1), help="As it was in this version.")
@command
def show(session: Session, memory_id: str, version: int | None) -> None:
    """Show the memory ID with its links."""
    memories = session.client.memories
    if version is not None:
        found = memories.version(memory_id, version).memory
        session.one(found, lambda memory: shown(session.out, memory, []))
        return
    session.one(memories.get(memory_id), lambda memory: _with_links(session, memory))


def _with_links(session: Session, memory: Memory) -> None:
    links = [] if memory.deleted_at else list(session.client.memories.all_links(memory.id))
    shown(session.out, memory, links)
