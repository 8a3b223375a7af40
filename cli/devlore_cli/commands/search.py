"""`devlore search`."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import islice
from typing import Any

import click

from devlore.types import SearchHit, SearchPage
from devlore_cli import naming, render
from devlore_cli.querying import for_teams, pointing_at, query_words
from devlore_cli.session import WHEN, Session, command, filters

_PAGE = 100


# `-word` belongs to the query language, so this command has no short options at all.
@click.command(context_settings={"ignore_unknown_options": True, "help_option_names": ["--help"]})
@click.argument("query", nargs=-1)
@filters(short=False)
@click.option("--as-of", type=WHEN, help="What held at that moment.")
@click.option(
    "--status", multiple=True, type=click.Choice(["active", "superseded", "invalidated", "any"]), help="Standing."
)
@click.option("--all-statuses", is_flag=True, help="Also what was superseded or invalidated.")
@click.option("--limit", default=10, show_default=True, type=click.IntRange(1, 1000), help="How many hits.")
@click.option("--explain", is_flag=True, help="Say why each hit stands where it stands.")
@click.option("--leg", "legs", multiple=True, type=click.Choice(["lexical", "vector"]), help="Ask only this leg.")
@click.option("--wait", is_flag=True, help="First wait until everything stored so far can be found.")
@command
def search(session: Session, query: tuple[str, ...], limit: int, all_statuses: bool, **options: Any) -> None:
    """Find memories by meaning, words and filters, best first.

    \b
    devlore search why did the connection pool run dry kind:bug-fix after:2025-01-01
    devlore search '"prepared statement" -mysql author:ada as_of:2025-06-01'
    """
    if all_statuses:
        options["status"] = ("any",)
    text = for_teams(" ".join(query_words(query)), naming.team_ids(session.client, options.pop("team")))
    options["author"] = naming.authors(session.client, options["author"])
    with pointing_at(text):
        page = session.client.search(text, limit=min(limit, _PAGE), **options)
        found = list(islice(_following(session, text, page, options), limit))
    _show(session, found, explain=bool(options["explain"]))
    _footer(session, page, found)


def _following(session: Session, text: str, page: SearchPage, options: dict[str, Any]) -> Iterator[SearchHit]:
    while True:
        yield from page.items
        if page.next is None or not page.items:
            return
        page = session.client.search(text, limit=_PAGE, cursor=page.next, **options)


def _show(session: Session, found: list[SearchHit], *, explain: bool) -> None:
    for rank, hit in enumerate(found, 1):
        if session.as_json:
            session.json(hit)
            continue
        if rank > 1:
            session.out.line()
        render.hit(session.out, rank, hit)
        if explain:
            render.explained(session.out, hit)


def _footer(session: Session, page: SearchPage, found: list[SearchHit]) -> None:
    if page.degraded:
        session.err.line(f"Answered without: {', '.join(page.degraded)} (see devlore status).")
    if not found:
        session.note("Nothing found. Fewer words or filters find more; --all-statuses looks at history too.")
    else:
        session.note(f"{len(found)} shown · {page.took_ms:.0f} ms")
