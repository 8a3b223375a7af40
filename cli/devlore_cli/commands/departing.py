"""`devlore org departures`, `devlore org settle`: what becomes of the private memories of those who left."""

from __future__ import annotations

from typing import Literal

import click

from devlore.types import Departure
from devlore_cli import naming
from devlore_cli.dates import both
from devlore_cli.failures import EXIT_USAGE, Failure
from devlore_cli.output import one_line
from devlore_cli.session import Session, team_command


@click.command()
@click.option("--all", "everything", is_flag=True, help="Also those that are settled.")
@team_command
def departures(session: Session, everything: bool) -> None:
    """List who left and is still to be settled.

    What becomes of their private memories is for an owner to say: devlore org settle.
    """
    pending = None if everything else True
    session.table(
        session.client.organisations.all_departures(session.me.organisation.id, pending=pending, limit=200),
        ["name", "left", "memories", "keys they know", "id"],
        lambda one: _row(session, one),
        "Nobody has left." if everything else "Nothing waits for a decision.",
    )


def _row(session: Session, one: Departure) -> list[str]:
    heir = one.to and (naming.known(session.client, one.to) or one.to)
    became = {None: "wait for an owner", "transfer": f"went to {heir}", "purge": "were erased"}[one.action]
    # Replace them: they are service accounts' keys, which go on.
    known = f"{len(one.keys)} still hold" if one.keys else ""
    return [one.name, both(one.created_at), became, known, str(one.id)]


@click.command()
@click.argument("person")
@click.argument("action", type=click.Choice(["transfer", "purge"]))
@click.option("--to", help="Who gets them (name, address or id); you, if not given.")
@click.option("--yes", "-y", is_flag=True, help="Do not ask before erasing.")
@team_command
def settle(session: Session, person: str, action: Literal["transfer", "purge"], to: str | None, yes: bool) -> None:
    """Hand on or erase what PERSON kept private.

    PERSON has left; it goes to somebody (transfer), or is gone for good (purge). Owners only.
    """
    if action == "purge" and to is not None:
        raise Failure("What is purged goes to nobody: leave --to out.", code=EXIT_USAGE)
    here = session.me.organisation.id
    left = naming.departure(session.client, here, person)
    heir = naming.member(session.client, here, to).person_id if to else None
    if action == "purge":
        session.agreed(f"Erase the private memories of {one_line(left.name)} for good?", yes=yes)
    settled = session.proven(lambda: session.client.organisations.settle(here, left.id, action, to=heir))
    done = "are erased" if action == "purge" else f"go to {to or 'you'}"
    session.one(settled, lambda one: session.out.line(f"The private memories of {one_line(one.name)} {done}."))
