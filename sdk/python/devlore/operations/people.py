"""Operations on the people of an organisation, its service accounts, and its teams."""

from __future__ import annotations

from typing import Literal

from devlore.calls import Call, keyed, nothing, one
from devlore.operations.arguments import Id, given, params, under
from devlore.operations.organisations import MERGE_PATCH
from devlore.types import Page, Person, Team, TeamMember, TeamRole

_PEOPLE = "/v1/people"
_TEAMS = "/v1/teams"


def list_people(*, limit: int | None = None, cursor: str | None = None) -> Call[Page[Person]]:
    """One page of people and service accounts."""
    return Call("GET", _PEOPLE, one(Page[Person]), params(limit=limit, cursor=cursor))


def get_person(person_id: Id) -> Call[Person]:
    """Somebody of the organisation; raises ``NotFound``."""
    return Call("GET", under(_PEOPLE, person_id), one(Person))


def create_service(
    name: str, *, role: Literal["viewer", "member", "admin"] | None = None, idempotency_key: str | None = None
) -> Call[Person]:
    """Make an account for a program, which signs in with API keys made for it."""
    body = given(name=name, role=role)
    return Call("POST", _PEOPLE, one(Person), body=body, headers=keyed(idempotency_key))


def delete_service(person_id: Id) -> Call[None]:
    """Remove a service account with its keys; raises ``Conflict`` for a human."""
    return Call("DELETE", under(_PEOPLE, person_id), nothing)


def create_team(name: str, *, idempotency_key: str | None = None) -> Call[Team]:
    """Make a team, empty at first; raises ``Conflict`` for a name that is taken."""
    return Call("POST", _TEAMS, one(Team), body={"name": name}, headers=keyed(idempotency_key))


def list_teams(*, limit: int | None = None, cursor: str | None = None) -> Call[Page[Team]]:
    """One page of teams, by name."""
    return Call("GET", _TEAMS, one(Page[Team]), params(limit=limit, cursor=cursor))


def get_team(team_id: Id) -> Call[Team]:
    """A team; raises ``NotFound``."""
    return Call("GET", under(_TEAMS, team_id), one(Team))


def update_team(team_id: Id, *, version: int, name: str) -> Call[Team]:
    """Rename the team whose ``version`` was read; raises ``VersionMismatch``, ``Conflict``."""
    headers = {"If-Match": f'"{version}"', **MERGE_PATCH}
    return Call("PATCH", under(_TEAMS, team_id), one(Team), body={"name": name}, headers=headers, repeatable=False)


def delete_team(team_id: Id) -> Call[None]:
    """Dissolve a team; its memories are their authors' alone from then on."""
    return Call("DELETE", under(_TEAMS, team_id), nothing)


def team_members(team_id: Id, *, limit: int | None = None, cursor: str | None = None) -> Call[Page[TeamMember]]:
    """One page of the people in a team."""
    return Call("GET", under(_TEAMS, team_id, "members"), one(Page[TeamMember]), params(limit=limit, cursor=cursor))


def put_team_member(team_id: Id, person_id: Id, *, role: TeamRole = "member") -> Call[TeamMember]:
    """Take somebody into a team, or give them another role in it."""
    return Call("PUT", under(_TEAMS, team_id, "members", person_id), one(TeamMember), body={"role": role})


def remove_team_member(team_id: Id, person_id: Id) -> Call[None]:
    """Let somebody out of a team, or leave it."""
    return Call("DELETE", under(_TEAMS, team_id, "members", person_id), nothing)
