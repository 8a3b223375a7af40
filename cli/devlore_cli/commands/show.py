"""`devlore show`."""

from __future__ import annotations

from contextlib import suppress
from uuid import UUID

import click

from devlore.problems import NotAllowed, NotFound
from devlore.types import Memory, Privacy
from devlore_cli import naming
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
        session.one(found, lambda memory: shown(session.out, memory, [], _names(session, memory)))
        return
    session.one(memories.get(memory_id), lambda memory: _with_links(session, memory))


def _with_links(session: Session, memory: Memory) -> None:
    links = [] if memory.deleted_at else list(session.client.memories.all_links(memory.id))
    shown(session.out, memory, links, _names(session, memory))


def _names(session: Session, memory: Memory) -> dict[UUID, str]:
    """Who wrote it, and which team it is for; a private memory is one's own."""
    if memory.privacy is Privacy.PRIVATE:
        return {}
    names = {}
    if (author := naming.known(session.client, memory.created_by)) is not None:
        names[memory.created_by] = author
    if memory.team_id is not None:
        with suppress(NotFound, NotAllowed):
            names[memory.team_id] = session.client.teams.get(memory.team_id).name
    return names
