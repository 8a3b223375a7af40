"""`devlore supersede`, `devlore invalidate`, `devlore reinstate`."""

from __future__ import annotations

import click

from devlore.types import Memory
from devlore_cli.identifiers import ID
from devlore_cli.render import listed
from devlore_cli.session import Session, command

_REASON = click.option("--reason", "-m", help="Why.")


@click.command()
@click.argument("memory_id", metavar="OLD", type=ID)
@click.option("--by", "by", required=True, metavar="NEW", type=ID, help="The memory that replaces it.")
@_REASON
@command
def supersede(session: Session, memory_id: str, by: str, reason: str | None) -> None:
    """Say that NEW has replaced OLD: OLD was true, and stays as history."""
    _done(session, session.client.memories.supersede(memory_id, by, reason=reason))


@click.command()
@click.argument("memory_id", metavar="ID", type=ID)
@_REASON
@command
def invalidate(session: Session, memory_id: str, reason: str | None) -> None:
    """Say that the memory ID was wrong."""
    _done(session, session.client.memories.invalidate(memory_id, reason=reason))


@click.command()
@click.argument("memory_id", metavar="ID", type=ID)
@_REASON
@command
def reinstate(session: Session, memory_id: str, reason: str | None) -> None:
    """Say that the superseded or invalidated memory ID holds after all."""
    _done(session, session.client.memories.reinstate(memory_id, reason=reason))


def _done(session: Session, memory: Memory) -> None:
    session.one(memory, lambda changed: listed(session.out, changed))
