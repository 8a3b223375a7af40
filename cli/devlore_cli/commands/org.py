"""`devlore org`: organisations, and being in one."""

from __future__ import annotations

import click

from devlore.types import Membership, Organisation
from devlore_cli import naming
from devlore_cli.commands import departing, inviting, membership
from devlore_cli.dates import absolute, both
from devlore_cli.failures import EXIT_USAGE, Failure
from devlore_cli.output import one_line
from devlore_cli.session import Session, team_command


@click.group()
def org() -> None:
    """Organisations, the people in them, and invitations."""


@org.command()
@click.argument("name")
@team_command
def create(session: Session, name: str) -> None:
    """Found the organisation NAME; you are its owner."""
    made = session.client.organisations.create(name)
    session.one(made, lambda one: session.out.line(f"Founded {one_line(one.name)}  {one.id}"))
    session.note(f"Work in it: devlore org switch {made.id}")


@org.command("list")
@team_command
def list_(session: Session) -> None:
    """List the organisations you belong to; * is where you are."""
    here = session.me.organisation.id
    session.table(
        session.client.organisations.all(limit=200),
        ["", "name", "role", "since", "id", ""],
        lambda one: _row(one, "*" if one.id == here else ""),
    )


def _row(one: Organisation, mark: str) -> list[str]:
    ending = f"is deleted on {absolute(one.delete_after)}" if one.delete_after else ""
    return [mark, one.name, one.role or "", absolute(one.created_at), str(one.id), ending]


@org.command()
@click.argument("organisation", shell_complete=naming.complete_organisation)
@team_command
def switch(session: Session, organisation: str) -> None:
    """Work in another ORGANISATION of yours from now on."""
    place = naming.membership(session.client, organisation)
    if place.organisation_id != session.me.organisation.id:
        session.client.adopt(session.client.sessions.switch(place.organisation_id))
    session.one(place, lambda one: _switched(session, one))


def _switched(session: Session, place: Membership) -> None:
    session.out.line(f"You work in {one_line(place.organisation_name)} now, as {place.role}.")


@org.command()
@click.argument("link")
@team_command
def join(session: Session, link: str) -> None:
    """Accept an invitation by its LINK, and work there.

    Who has no account yet opens it in a browser instead.
    """
    token = link.rpartition("#")[2]
    if not token:
        raise Failure("There is no secret in this link: was it copied whole?", code=EXIT_USAGE)
    place = session.client.invitations.accept(token)
    session.client.adopt(session.client.sessions.switch(place.organisation_id))
    session.one(place, lambda one: _switched(session, one))


@org.command()
@click.option("--yes", "-y", is_flag=True, help="Do not ask.")
@team_command
def delete(session: Session, yes: bool) -> None:
    """Delete the organisation you are in.

    It is final in 30 days; until then its owners may restore it.
    """
    here = session.me.organisation
    session.agreed(f"Delete {one_line(here.name)} with everything in it?", yes=yes)
    ending = session.proven(lambda: session.client.organisations.delete(here.id))
    session.one(ending, lambda one: _ending(session, one))


def _ending(session: Session, one: Organisation) -> None:
    when = both(one.delete_after) if one.delete_after else "now"
    session.out.line(f"{one_line(one.name)} will be deleted {when}.")
    session.note("Until then only its owners come in. Undo it: devlore org restore")


@org.command()
@team_command
def restore(session: Session) -> None:
    """Undo the deletion of the organisation you are in."""
    kept = session.client.organisations.restore(session.me.organisation.id)
    session.one(kept, lambda one: session.out.line(f"{one_line(one.name)} stays."))


for member in (inviting.invite, inviting.invitations, membership.members, membership.role, membership.remove):
    org.add_command(member)
for other in (membership.service, departing.departures, departing.settle):
    org.add_command(other)
