"""`devlore upgrade-tier`."""

from __future__ import annotations

import click

from devlore_cli import instance
from devlore_cli.progress import Progress
from devlore_cli.session import Session, command

_START = "DEVLORE_TIER=team devlore up"


@click.command("upgrade-tier")
@click.argument("tier", type=click.Choice(["team"]))
@click.option(
    "--organisation", default="My team", show_default=True, help="What it will be called, if it has no name yet."
)
@click.option("--email", help="Your address: nobody with another one can use the link.")
@click.option("--timeout", default=120.0, show_default=True, help="Seconds to wait until it has stopped.")
@command
def upgrade_tier(session: Session, tier: str, organisation: str, email: str | None, timeout: float) -> None:
    """Make the Devlore of this machine a team's: everybody signs in, and everything in it becomes yours there.

    Stops it first. Nothing is moved and nothing is lost.
    """
    where = instance.place()
    with Progress(session.err, "Stopping") as progress:
        instance.stop(where, timeout, progress.waiting)
    link = instance.upgrade(where, tier, organisation, email)
    result = {"tier": tier, "home": str(where.home), "link": link, "start": _START}
    session.one(result, lambda _: _told(session, link))


def _told(session: Session, link: str | None) -> None:
    out = session.out
    if link is None:
        out.line(f"It is a team's already, and has an owner. Start it with: {_START}")
        return
    out.line("It is a team's now. Start it:")
    out.line(f"  {out.style(_START, 'bold')}")
    out.line("Then open this link and choose a password; what you have remembered is yours there:")
    out.line(f"  {link}")
    session.note("From then on: devlore login")
    session.note("It stays yours alone until you share it: devlore list --all --json | devlore edit - --team NAME")
    session.note("A team's server reads no folders of its machine: what was synced stays, and goes on by import.")
