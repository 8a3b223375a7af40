"""`devlore audit`."""

from __future__ import annotations

import time
from collections.abc import Iterator
from datetime import datetime
from itertools import islice
from typing import Any
from uuid import UUID

import click

from devlore.types import AuditLeaf, AuditReference
from devlore_cli import naming
from devlore_cli.drafting import is_id
from devlore_cli.output import one_line, pad
from devlore_cli.session import WHEN, Session, command

_PAGE = 200
_POLL = 1.0
_QUIET = frozenset({"request", "session", "network"})
"""What a line leaves out of a leaf's context; ``--json`` has it."""
_COLOURS = {"ok": "green", "refused": "yellow", "failed": "red"}


@click.command()
@click.option("--follow", "-f", is_flag=True, help="Go on with what happens from now on; Ctrl-C ends it.")
@click.option("--action", "-a", multiple=True, help="Only this, e.g. session.started or member.*; may be repeated.")
@click.option("--actor", help="Who did it: name, address or id of a member, system, nobody, or me.")
@click.option("--target", help="What it was about: an id, an address, a network.")
@click.option("--result", multiple=True, type=click.Choice(["ok", "refused", "failed"]), help="How it ended.")
@click.option("--after", type=WHEN, help="Not before: a date, or an age like 3d or 2w.")
@click.option("--before", type=WHEN, help="Before this.")
@click.option("--limit", "-n", default=20, show_default=True, type=click.IntRange(1), help="How many.")
@click.option("--all", "everything", is_flag=True, help="All of them.")
@command
def audit(session: Session, follow: bool, actor: str | None, limit: int, everything: bool, **filters: Any) -> None:
    """Show what was done in the organisation, by whom, and what was refused; for owners and admins.

    \b
    devlore audit --action 'session.*' --result failed --after 1d
    devlore audit --follow --json | …
    """
    if follow and filters["before"] is not None:
        raise click.UsageError("What is followed has no end: leave out --before or --follow.")
    chosen = filters | {"actor": _actor(session, actor)}
    if follow:
        _follow(session, chosen, None if everything else limit)
        return
    found: Iterator[AuditLeaf] = session.client.audit.all(limit=_PAGE if everything else min(limit, _PAGE), **chosen)
    shown = found if everything else islice(found, limit)
    session.many(shown, lambda leaf: _shown(session, leaf), "Nothing of the kind has happened.")


def _actor(session: Session, text: str | None) -> str | None:
    if text is None or text in ("system", "nobody") or is_id(text):
        return text
    return str(naming.member(session.client, session.me.organisation.id, text).person_id)


def _follow(session: Session, filters: dict[str, Any], limit: int | None) -> None:
    """The last leaves, then every one that is committed: the place to go on from is asked for first."""
    place = session.client.audit.follow(**filters).next
    last = list(islice(session.client.audit.all(limit=_PAGE, **filters), limit))
    seen = {leaf.id for leaf in last}
    fresh = last[::-1]
    while True:
        for leaf in fresh:
            session.one(leaf, lambda one: _shown(session, one))
        session.out.stream.flush()
        page = session.client.audit.follow(cursor=place, limit=_PAGE, **filters)
        place, fresh = page.next, [leaf for leaf in page.items if leaf.id not in seen]
        if len(page.items) < _PAGE:
            time.sleep(_POLL)


def _shown(session: Session, leaf: AuditLeaf) -> None:
    out = session.out
    when = _moment(leaf.occurred_at)
    result = out.style(pad(leaf.result, 7), _COLOURS[leaf.result])
    about = ", ".join(_said(leaf, target) for target in leaf.targets)
    told = {name: value for name, value in leaf.context.items() if name not in _QUIET and value is not None}
    extra = " ".join(f"{name}={_plain(leaf, value)}" for name, value in told.items())
    who = pad(one_line(_said(leaf, leaf.actor, person=False)), 20)
    line = f"{out.style(when, 'dim')}  {result}  {pad(leaf.action, 24)}  {who}  {one_line(about)}"
    out.line(f"{line}  {out.style(one_line(extra), 'dim')}".rstrip())


def _moment(then: datetime) -> str:
    return then.astimezone().strftime("%Y-%m-%d %H:%M:%S")


def _said(leaf: AuditLeaf, reference: AuditReference, *, person: bool = True) -> str:
    """Whom or what a reference names; a pseudonym as what it stands for, as long as that is known."""
    if reference.id is None:
        return reference.type
    known = leaf.names.get(UUID(reference.id)) if is_id(reference.id) else None
    if known is None:
        return f"{reference.type} {reference.id}"
    name = known.name or known.value
    return f"{reference.type} {name}" if person else name


def _plain(leaf: AuditLeaf, value: Any) -> str:
    if isinstance(value, dict) and {"type", "id"} <= value.keys():
        return _said(leaf, AuditReference(**value), person=False)
    return ",".join(map(str, value)) if isinstance(value, list) else str(value)
