"""The identity service's HTTP face, split by what is asked; parse, one service call, answer."""

from __future__ import annotations

from devlore_server.identity.api.invitations import router as invitation_routes
from devlore_server.identity.api.members import router as member_routes
from devlore_server.identity.api.organisations import router as organisation_routes
from devlore_server.identity.api.people import router as people_routes
from devlore_server.identity.api.teams import router as team_routes
from devlore_server.identity.departures import Departures
from devlore_server.identity.invitations import Invitations
from devlore_server.identity.members import Members
from devlore_server.identity.organisations import Organisations
from devlore_server.identity.people import People
from devlore_server.identity.teams import Teams
from devlore_server.kit.http import Router
from devlore_server.kit.paging import Paging

__all__ = ["directory_router"]


def directory_router(
    organisations: Organisations,
    members: Members,
    departures: Departures,
    invitations: Invitations,
    teams: Teams,
    people: People,
    paging: Paging,
) -> Router:
    """Who belongs where: organisations with their members and invitations, teams, people, oneself."""
    routes = Router()
    routes.include_router(organisation_routes(organisations, paging))
    routes.include_router(member_routes(members, departures, paging))
    routes.include_router(invitation_routes(invitations, paging))
    routes.include_router(team_routes(teams, paging))
    routes.include_router(people_routes(people, paging))
    return routes
