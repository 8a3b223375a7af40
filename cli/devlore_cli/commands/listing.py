"""`devlore list`, `devlore facets`, `devlore tags`."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import islice
from typing import Any

import click

from devlore.types import Count, Memory
from devlore_cli import naming, render
from devlore_cli.querying import for_teams, pointing_at, query_words
from devlore_cli.session import Session, command, filters

_FACETS = ("kind", "project", "tag", "author", "source", "status")
_PAGE = 200


@click.command("list")
@filters()
@click.option("--status", multiple=True, type=click.Choice(["active", "superseded", "invalidated"]), help="Standing.")
@click.option("--pinned", is_flag=True, help="Only pinned ones.")
@click.option("--deleted", is_flag=True, help="What was deleted and can be restored.")
@click.option("--limit", "-n", default=20, show_default=True, type=click.IntRange(1), help="How many.")
@click.option("--all", "everything", is_flag=True, help="All of them.")
@command
def list_(session: Session, limit: int, everything: bool, pinned: bool, deleted: bool, **options: Any) -> None:
    """List memories, newest first."""
    options["team"] = naming.team_ids(session.client, options["team"])
    options["author"] = naming.authors(session.client, options["author"])
    size = _PAGE if everything else min(limit, _PAGE)
    found: Iterator[Memory] = session.client.memories.all(limit=size, pinned=pinned or None, deleted=deleted, **options)
    session.many(
        found if everything else islice(found, limit),
        lambda memory: render.listed(session.out, memory),
        "No memories" + (" match." if any(options.values()) or pinned or deleted else " yet. Begin with: devlore add"),
    )


@click.command(context_settings={"ignore_unknown_options": True, "help_option_names": ["--help"]})
@click.argument("query", nargs=-1)
@filters(short=False)
@click.option("--by", "facets", multiple=True, type=click.Choice(_FACETS), help="Only this facet; may be repeated.")
@command
def facets(session: Session, query: tuple[str, ...], facets: tuple[str, ...], **options: Any) -> None:
    """Count memories (that match QUERY) by kind, project, tag, author, source and status."""
    text = for_teams(" ".join(query_words(query)), naming.team_ids(session.client, options.pop("team")))
    options["author"] = naming.authors(session.client, options["author"])
    with pointing_at(text):
        page = session.client.search(text, limit=1, facets=facets or _FACETS, **options)
    if not any(page.facets.values()):
        session.note("Nothing to count." if query or any(options.values()) else "There is nothing to count yet.")
    for name, found in page.facets.items():
        if session.as_json:
            for item in found:
                session.json({"facet": name, "value": item.value, "count": item.count})
        elif found:
            render.counts(session.out, found, heading=name)


@click.command()
@command
def tags(session: Session) -> None:
    """List tags with the number of memories that carry each, most used first."""
    found: list[Count] = list(session.client.memories.all_tags(limit=_PAGE))
    if session.as_json:
        session.many(found, lambda _: None)
    elif found:
        render.counts(session.out, found)
    else:
        session.note("No tags.")
