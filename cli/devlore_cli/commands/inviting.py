"""`devlore org invite`, `devlore org invitations`."""

from __future__ import annotations

from typing import Any, get_args

import click

from devlore.types import Invitation, InvitationCreated, Role
from devlore_cli import naming
from devlore_cli.dates import absolute, both
from devlore_cli.identifiers import Identifier
from devlore_cli.session import Session, team_command

ROLES: tuple[Role, ...] = get_args(Role)


@click.command()
@click.option("--role", type=click.Choice(ROLES), default="member", show_default=True, help="What they will be.")
@click.option("--email", help="Only whoever has this address may use the link.")
@click.option(
    "--team", "-t", "teams", multiple=True, shell_complete=naming.complete_team, help="Team to be in; may be repeated."
)
@click.option("--days", type=click.IntRange(1, 30), default=7, show_default=True, help="How long it is good for.")
@team_command
def invite(session: Session, teams: tuple[str, ...], **options: Any) -> None:
    """Invite somebody: prints the link to send them. It is good once, and not shown again."""
    chosen = naming.team_ids(session.client, teams)
    made = session.client.invitations.create(session.me.organisation.id, teams=chosen, **options)
    session.one(made, lambda one: _made(session, one))


def _made(session: Session, made: InvitationCreated) -> None:
    session.out.line(made.link)
    bound = f" for {made.email}" if made.email else ""
    session.note(
        f"Invites one {made.role}{bound} to {session.me.organisation.name}, until {absolute(made.expires_at)}."
    )


@click.command()
@click.option("--all", "everything", is_flag=True, help="Also those that are used, withdrawn or expired.")
@click.option(
    "--withdraw",
    metavar="ID",
    type=Identifier("devlore org invitations"),
    help="Make this one good for nothing instead.",
)
@team_command
def invitations(session: Session, everything: bool, withdraw: str | None) -> None:
    """List invitations that are open, or withdraw one."""
    here = session.me.organisation.id
    if withdraw is not None:
        session.client.invitations.withdraw(here, withdraw)
        result = {"id": withdraw, "result": "withdrawn"}
        session.one(result, lambda one: session.out.line(f"withdrawn {one['id']}"))
        return
    found = session.client.invitations.all(here, limit=200)
    session.table(
        (one for one in found if everything or one.state == "pending"),
        ["id", "state", "role", "for", "until"],
        _row,
        "No invitations" + ("." if everything else " are open. Make one: devlore org invite"),
    )


def _row(one: Invitation) -> list[str]:
    return [str(one.id), one.state, one.role, one.email or "anybody", both(one.expires_at)]
