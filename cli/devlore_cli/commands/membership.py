"""`devlore org members`, `role`, `remove` and `service`: who is in an organisation, and as what."""

from __future__ import annotations

import click

from devlore.types import Member, Person, Role
from devlore_cli import naming
from devlore_cli.commands.inviting import ROLES
from devlore_cli.dates import absolute
from devlore_cli.output import one_line
from devlore_cli.session import Session, team_command


@click.command()
@team_command
def members(session: Session) -> None:
    """List who is in the organisation you are in."""
    session.table(
        session.client.organisations.all_members(session.me.organisation.id, limit=200),
        ["name", "role", "e-mail", "since", "id"],
        _row,
    )


def _row(one: Member) -> list[str]:
    address = one.email or ("(service account)" if one.kind == "service" else "")
    return [one.name, one.role, address, absolute(one.joined_at), str(one.person_id)]


@click.command()
@click.argument("person")
@click.argument("role", type=click.Choice(ROLES))
@team_command
def role(session: Session, person: str, role: Role) -> None:
    """Give PERSON another ROLE; it holds at once.

    PERSON is a name, an address or an id.
    """
    here = session.me.organisation.id
    found = naming.member(session.client, here, person)
    changed = session.client.organisations.change_member(here, found.person_id, role=role)
    session.one(changed, lambda one: session.out.line(f"{one_line(one.name)} is {one.role} now."))


@click.command()
@click.argument("person")
@click.option("--yes", "-y", is_flag=True, help="Do not ask.")
@team_command
def remove(session: Session, person: str, yes: bool) -> None:
    """Remove PERSON (name, address or id), or yourself (me).

    Their sessions and keys end at once. What becomes of their private memories is for an owner to say: devlore org
    departures.
    """
    here = session.me.organisation
    found = naming.member(session.client, here.id, person)
    session.agreed(f"Remove {one_line(found.name)} from {one_line(here.name)}?", yes=yes)
    if found.kind == "service":
        session.client.people.delete_service(found.person_id)
    else:
        session.client.organisations.remove_member(here.id, found.person_id)
    result = {"person_id": found.person_id, "name": found.name, "result": "removed"}
    session.one(result, lambda _: session.out.line(f"removed {one_line(found.name)}"))
    session.note("An owner decides what becomes of their private memories: devlore org departures")


@click.command()
@click.argument("name")
@click.option("--role", type=click.Choice(["viewer", "member", "admin"]), default="member", show_default=True)
@team_command
def service(session: Session, name: str, role: str) -> None:
    """Make a service account NAME, for a program.

    It signs in with keys: devlore keys create KEY-NAME --for NAME.
    """
    made: Person = session.client.people.create_service(name, role=role)  # type: ignore[arg-type]
    session.one(made, lambda one: session.out.line(f"{one_line(one.name)}  {one.role}  {one.id}"))
    session.note(f"Make it a key: devlore keys create KEY-NAME --for {made.id}")
