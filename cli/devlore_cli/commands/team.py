"""`devlore team`."""

from __future__ import annotations

import click

from devlore.types import Member, Team, TeamRole
from devlore_cli import naming
from devlore_cli.dates import absolute
from devlore_cli.output import one_line
from devlore_cli.session import Session, team_command

_TEAM = click.argument("team", metavar="TEAM", shell_complete=naming.complete_team)


@click.group("team")
def team_() -> None:
    """Teams of the organisation you are in; each shares memories of its own."""


@team_.command()
@click.argument("name")
@team_command
def create(session: Session, name: str) -> None:
    """Make the team NAME."""
    made = session.client.teams.create(name)
    session.one(made, lambda one: session.out.line(f"Made the team {one_line(one.name)}  {one.id}"))
    session.note(f"Nobody is in it yet: devlore team add {made.id} me")


@team_.command("list")
@team_command
def list_(session: Session) -> None:
    """List the teams; * are yours."""
    mine = set(session.me.teams)
    session.table(
        session.client.teams.all(limit=200),
        ["", "name", "members", "since", "id"],
        lambda one: ["*" if one.id in mine else "", one.name, str(one.members), absolute(one.created_at), str(one.id)],
        "No teams yet. Make one: devlore team create NAME",
    )


@team_.command()
@_TEAM
@team_command
def members(session: Session, team: str) -> None:
    """List who is in TEAM."""
    found = naming.team(session.client, team)
    session.table(
        session.client.teams.all_members(found.id, limit=200),
        ["name", "role", "id"],
        lambda one: [one.name, one.role, str(one.person_id)],
        f"Nobody is in {found.name} yet.",
    )


@team_.command()
@_TEAM
@click.argument("people", metavar="PERSON...", nargs=-1, required=True)
@click.option("--maintainer", is_flag=True, help="They may say who else is in the team.")
@team_command
def add(session: Session, team: str, people: tuple[str, ...], maintainer: bool) -> None:
    """Take PERSON into TEAM, or change their role there.

    PERSON is a name, an address, an id, or me.
    """
    role: TeamRole = "maintainer" if maintainer else "member"
    found = naming.team(session.client, team)
    # All of them first: a name that is misspelt changes nothing.
    chosen = [naming.member(session.client, session.me.organisation.id, person) for person in people]
    for person in chosen:
        added = session.client.teams.put_member(found.id, person.person_id, role=role)
        session.one(
            added, lambda one: session.out.line(f"{one_line(one.name)} is a {one.role} of {one_line(found.name)}.")
        )


@team_.command()
@_TEAM
@click.argument("people", metavar="PERSON...", nargs=-1, required=True)
@team_command
def remove(session: Session, team: str, people: tuple[str, ...]) -> None:
    """Let PERSON out of TEAM.

    PERSON is a name, an address, an id, or me.
    """
    found = naming.team(session.client, team)
    chosen = [naming.member(session.client, session.me.organisation.id, person) for person in people]
    for person in chosen:
        session.client.teams.remove_member(found.id, person.person_id)
        _report_left(session, found, person)


def _report_left(session: Session, team: Team, person: Member) -> None:
    result = {"team_id": team.id, "person_id": person.person_id, "name": person.name, "result": "removed"}
    session.one(result, lambda _: session.out.line(f"{one_line(person.name)} left {one_line(team.name)}."))


@team_.command()
@_TEAM
@click.option("--yes", "-y", is_flag=True, help="Do not ask.")
@team_command
def delete(session: Session, team: str, yes: bool) -> None:
    """Dissolve TEAM.

    Its memories are their authors' alone from then on.
    """
    found = naming.team(session.client, team)
    session.agreed(f"Dissolve {one_line(found.name)} ({found.members} in it)?", yes=yes)
    session.client.teams.delete(found.id)
    result = {"id": found.id, "name": found.name, "result": "deleted"}
    session.one(result, lambda _: session.out.line(f"dissolved {one_line(found.name)}"))
