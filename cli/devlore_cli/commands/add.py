"""`devlore add`."""

from __future__ import annotations

import sys
import time
from datetime import datetime
from typing import Any
from uuid import UUID

import click

from devlore.types import Link, LinkType, Memory
from devlore_cli import editor, naming
from devlore_cli.drafting import parse_link, split_title, trimmed
from devlore_cli.failures import EXIT_USAGE, Failure
from devlore_cli.render import listed
from devlore_cli.session import WHEN, Session, command, moment_given, sharing, stdin_text

_PATIENCE = 1.0


@click.command()
@click.argument("text", required=False)
@click.option("--title", help="Title; else the first line or sentence of TEXT.")
@click.option("--kind", "-k", default="note", show_default=True, help="decision, bug-fix, snippet, insight …")
@click.option("--tag", "-t", "tags", multiple=True, help="Tag; may be repeated.")
@click.option("--project", "-p", help="Project it belongs to.")
@click.option("--link", "-l", "links", multiple=True, metavar="[TYPE=]TARGET", help="Link: fixes=#12, a URL, an id …")
@click.option("--occurred-at", type=WHEN, help="When it happened; now if not given.")
@click.option("--importance", type=click.FloatRange(0, 1), help="From 0 to 1.")
@click.option("--pin", is_flag=True, help="Pin it.")
@click.option(
    "--privacy", type=click.Choice(["private", "team", "public"]), help="Who sees it; you alone, if not given."
)
@click.option("--team", shell_complete=naming.complete_team, help="Team that sees it; by name or id.")
@click.option("--allow-secrets", is_flag=True, help="Store secrets in it as they are, if you may; it is audited.")
@click.option("--source", "connector", help="Where it comes from, e.g. wiki. With --source-id, again means update.")
@click.option("--source-id", help="Its id there.")
@click.option("--source-url", help="Its address there.")
@click.option("--source-author", help="Who wrote it there.")
@click.option("--wait", is_flag=True, help="Return when it can be found by search.")
@command
def add(session: Session, text: str | None, occurred_at: datetime | None, wait: bool, **options: Any) -> None:
    """Remember TEXT; - reads it from stdin, and without TEXT your editor opens.

    \b
    devlore add "We pin psycopg because 3.2.4 leaks prepared statements" --kind decision --tag postgres
    git log -1 --format=%B | devlore add - --kind change
    """
    fields = _fields(_text(text, options["title"]), options) | moment_given(occurred_at)
    fields |= sharing(session, options["privacy"], options["team"])
    memory = session.client.memories.create(wait=wait, **fields)
    session.one(memory, lambda made: listed(session.out, made))
    if session.out.terminal and not session.as_json:
        session.out.stream.flush()
        _hint(session, memory)


def _text(text: str | None, title: str | None) -> str:
    """What to remember: the argument, stdin, or what is written in the editor."""
    if text == "-" or (text is None and title is None and not sys.stdin.isatty()):
        return stdin_text()
    if text is None and title is None:
        return editor.edited("")
    return text or ""


def _fields(text: str, options: dict[str, Any]) -> dict[str, Any]:
    title, body = (options["title"], trimmed(text)) if options["title"] is not None else split_title(text)
    if not title and not body:
        raise Failure("There is nothing to remember: the text is empty.", code=EXIT_USAGE)
    try:
        links = [parse_link(link) for link in options["links"]]
    except ValueError as error:
        raise click.BadParameter(str(error), param_hint="--link") from error
    fields: dict[str, Any] = {"title": title, "body": body, "kind": options["kind"]}
    plain = {name: options[name] for name in ("project", "importance")}
    fields |= {name: value for name, value in plain.items() if value is not None}
    fields |= {name: value for name, value in (("tags", list(options["tags"])), ("links", links)) if value}
    if options["pin"]:
        fields["pinned"] = True
    if options["allow_secrets"]:
        fields["allow_secrets"] = True
    if source := _source(options):
        fields["source"] = source
    return fields


def _source(options: dict[str, Any]) -> dict[str, Any] | None:
    names = {"source_id": "external_id", "source_url": "url", "source_author": "author"}
    given = {field: options[name] for name, field in names.items() if options[name] is not None}
    if options["connector"] is None and not given:
        return None
    return {"connector": options["connector"] or "cli", **given}


def _hint(session: Session, memory: Memory) -> None:
    """Say when the server, a moment later, has found memories that say nearly the same."""
    for link in _near_duplicates(session, memory.id):
        other = UUID(link.target) if link.direction == "outgoing" else link.memory_id
        title = session.client.memories.get(other).title
        session.note(f"Much like {other}: {title}")
        session.note(f"  If it replaces that one: devlore supersede {other} --by {memory.id}")


def _near_duplicates(session: Session, memory_id: UUID) -> list[Link]:
    until = time.monotonic() + _PATIENCE
    while True:
        caught_up = all(index.lag == 0 for index in session.client.search.status().indexes)
        found = session.client.memories.links(memory_id).items
        near = [link for link in found if link.type is LinkType.NEAR_DUPLICATE]
        if near or caught_up or time.monotonic() > until:
            return near
        time.sleep(0.1)
