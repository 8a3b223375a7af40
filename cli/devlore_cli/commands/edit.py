"""`devlore edit`."""

from __future__ import annotations

from datetime import datetime
from typing import Any

import click

from devlore.problems import Invalid, VersionMismatch
from devlore.types import Memory
from devlore_cli import documents, editor, naming
from devlore_cli.failures import EXIT_CONFLICT, EXIT_USAGE, Failure, words
from devlore_cli.identifiers import ID
from devlore_cli.render import listed
from devlore_cli.session import WHEN, Session, command, moment_given, sharing, stdin_text


@click.command()
@click.argument("memory_id", metavar="ID", type=ID)
@click.option("--title", help="New title.")
@click.option("--body", help="New body; - reads it from stdin.")
@click.option("--kind", "-k", help="New kind.")
@click.option("--project", "-p", help="New project; empty for none.")
@click.option("--tag", "-t", "tags", multiple=True, help="Replace the tags by these.")
@click.option("--add-tag", multiple=True, help="Add a tag.")
@click.option("--remove-tag", multiple=True, help="Take a tag off.")
@click.option("--occurred-at", type=WHEN, help="When it happened.")
@click.option("--importance", type=click.FloatRange(0, 1), help="From 0 to 1.")
@click.option("--pin/--unpin", "pinned", default=None, help="Pin it or not.")
@click.option("--privacy", type=click.Choice(["private", "team", "public"]), help="Who sees it.")
@click.option("--team", shell_complete=naming.complete_team, help="Team that sees it; by name or id, empty for none.")
@click.option("--allow-secrets", is_flag=True, help="Store secrets in it as they are, if you may; it is audited.")
@click.option("--version", type=click.IntRange(1), help="Change only if this is still the version.")
@command
def edit(session: Session, memory_id: str, version: int | None, occurred_at: datetime | None, **options: Any) -> None:
    """Change the memory ID: by options, or without any in $VISUAL or $EDITOR as Markdown with front matter."""
    memory = session.client.memories.get(memory_id)
    changes = _by_options(memory, options) | moment_given(occurred_at)
    changes |= sharing(session, options["privacy"], options["team"])
    allowed = {"allow_secrets": True} if options["allow_secrets"] else {}
    if changes:
        changes |= allowed
        changed = session.client.memories.update(memory.id, version=version or memory.version, **changes)
    else:
        changed = _in_editor(session, memory, version or memory.version, allowed)
    if changed.version == memory.version:
        session.note("Nothing changed.")
    session.one(changed, lambda now: listed(session.out, now))


def _by_options(memory: Memory, options: dict[str, Any]) -> dict[str, Any]:
    plain = ("title", "kind", "importance", "pinned", "body", "project")
    changes = {name: options[name] for name in plain if options[name] is not None}
    if changes.get("body") == "-":
        changes["body"] = stdin_text()
    if changes.get("project") == "":
        changes["project"] = None
    if options["tags"] or options["add_tag"] or options["remove_tag"]:
        tags = [*(options["tags"] or memory.tags), *options["add_tag"]]
        changes["tags"] = [tag for tag in dict.fromkeys(tags) if tag not in options["remove_tag"]]
    return changes


def _in_editor(session: Session, memory: Memory, version: int, allowed: dict[str, Any]) -> Memory:
    before = documents.for_editing(memory)
    text = editor.edited(before)
    if text == before:
        return memory
    try:
        changes = documents.changes(memory, documents.read(text))
        if not changes:
            return memory
        return session.client.memories.update(memory.id, version=version, **changes, **allowed)
    except VersionMismatch as error:
        advice = f"Your text is kept in {editor.kept(text)}\nLook at what changed: devlore diff {memory.id}"
        raise Failure("Somebody else has changed this memory meanwhile.", advice, EXIT_CONFLICT) from error
    except Invalid as error:
        raise Failure(words(error), f"Your text is kept in {editor.kept(text)}", EXIT_USAGE) from error
    except documents.BadDocument as error:
        message = f"The edited text cannot be read: {error}."
        raise Failure(message, f"Your text is kept in {editor.kept(text)}", EXIT_USAGE) from error
    except Exception:
        click.echo(f"Your text is kept in {editor.kept(text)}", err=True)
        raise
