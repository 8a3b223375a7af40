"""`devlore history`, `devlore diff`, `devlore restore`."""

from __future__ import annotations

import click

from devlore_cli import render
from devlore_cli.identifiers import ID
from devlore_cli.session import Session, command


@click.command()
@click.argument("memory_id", metavar="ID", type=ID)
@command
def history(session: Session, memory_id: str) -> None:
    """List the versions of the memory ID, newest first."""
    versions = list(session.client.memories.all_versions(memory_id))
    newest = versions[0].version if versions else 0
    session.many(versions, lambda state: render.version(session.out, state, state.version == newest))


@click.command()
@click.argument("memory_id", metavar="ID", type=ID)
@click.argument("old", type=click.IntRange(1), required=False)
@click.argument("new", type=click.IntRange(1), required=False)
@command
def diff(session: Session, memory_id: str, old: int | None, new: int | None) -> None:
    """Show what changed in the memory ID between versions OLD and NEW.

    Without NEW, up to the current version; without both, by the last change.
    """
    found = session.client.memories.diff(memory_id, old=old, new=new)
    session.one(found, lambda difference: render.difference(session.out, difference))


@click.command()
@click.argument("memory_id", metavar="ID", type=ID)
@click.option("--version", type=click.IntRange(1), help="Bring back the content of this version.")
@command
def restore(session: Session, memory_id: str, version: int | None) -> None:
    """Bring back the deleted memory ID, or the content of one of its versions."""
    session.one(
        session.client.memories.restore(memory_id, version=version), lambda memory: render.listed(session.out, memory)
    )
