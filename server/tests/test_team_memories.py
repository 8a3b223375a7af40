"""Memories for a team whose author leaves it, or leaves altogether, and those of a dissolved team: over HTTP."""

from __future__ import annotations

import asyncio

import pytest

from devlore_server.gateway.individual import ORGANISATION
from devlore_server.identity.founding import found
from devlore_server.kit.db import Database
from tests.people import Person

pytestmark = pytest.mark.timeout(180)
LISTED = {"get": True, "list": True, "search": False}
"""An index knows the one circle of a memory; its author, outside it, lists it."""
EVERYWHERE = {"get": True, "list": True, "search": True}
NOWHERE = {"get": False, "list": False, "search": False}


class Company:
    """Ada owns it, Bo wrote for the team, Cy is in it; Dee is not."""

    def __init__(self, url: str, token: str | None) -> None:
        self.ada = Person.signing_up(url, token, "Ada")
        self.bo, self.cy, self.dee = (self.ada.invite("member", name) for name in ("Bo", "Cy", "Dee"))
        self.team = self.ada.team_of(self.bo, self.cy)
        self.memory = self.bo.remember("quokka pool ran dry", "team", team_id=self.team)
        self.path = f"/v1/memories/{self.memory['id']}"

    def leaves_team(self, person: Person) -> None:
        assert person.delete(f"/v1/teams/{self.team}/members/{person.id}").status_code == 204

    def dissolve(self) -> None:
        assert self.ada.delete(f"/v1/teams/{self.team}").status_code == 204

    def edit(self, by: Person, **changes: object) -> int:
        merge = {"If-Match": "*", "Content-Type": "application/merge-patch+json"}
        return by.patch(self.path, json=changes, headers=merge).status_code


async def test_whoever_leaves_the_team_keeps_what_they_wrote_for_it(team_server: str, database: Database) -> None:
    token = await found(database, ORGANISATION, "Acme")
    await asyncio.to_thread(_left_the_team, team_server, token)


def _left_the_team(url: str, token: str | None) -> None:
    acme = Company(url, token)
    assert acme.cy.sees(acme.memory) == EVERYWHERE and acme.dee.sees(acme.memory) == NOWHERE
    acme.leaves_team(acme.bo)
    assert acme.bo.sees(acme.memory) == LISTED, "it is still theirs"
    assert acme.cy.sees(acme.memory) == EVERYWHERE, "and the team's"
    assert acme.edit(acme.cy, body="it was the proxy") == acme.edit(acme.bo, body="it was the proxy, again") == 200
    acme.leaves_team(acme.cy)
    assert acme.cy.sees(acme.memory) == NOWHERE and acme.edit(acme.cy, body="mine") == 404


async def test_of_a_dissolved_team_the_author_alone_has_what_they_wrote(team_server: str, database: Database) -> None:
    token = await found(database, ORGANISATION, "Acme")
    await asyncio.to_thread(_dissolved, team_server, token)


def _dissolved(url: str, token: str | None) -> None:
    acme = Company(url, token)
    acme.dissolve()
    for person in (acme.cy, acme.dee, acme.ada):
        assert person.sees(acme.memory) == NOWHERE
        assert acme.edit(person, body="mine") == 404
    assert acme.bo.sees(acme.memory) == LISTED
    assert acme.edit(acme.bo, body="it was the proxy") == 200
    assert acme.edit(acme.bo, privacy="public", team_id=None) == 200
    assert acme.cy.sees(acme.memory) == EVERYWHERE


async def test_who_leaves_the_organisation_leaves_the_team_what_they_wrote_for_it(
    team_server: str, database: Database
) -> None:
    token = await found(database, ORGANISATION, "Acme")
    await asyncio.to_thread(_left_altogether, team_server, token)


def _left_altogether(url: str, token: str | None) -> None:
    acme = Company(url, token)
    assert acme.ada.delete(f"/v1/organisations/{acme.ada.organisation}/members/{acme.bo.id}").status_code == 204
    assert acme.cy.sees(acme.memory) == EVERYWHERE and acme.edit(acme.cy, body="ours") == 200
    assert acme.cy.delete(acme.path, params={"purge": True}).status_code == 403, "only its author erases it"
    assert acme.cy.delete(acme.path).status_code == 204
    assert acme.cy.post(f"{acme.path}/restore", json={}).status_code == 200
    # Nobody is left who could take it on: docs/guide/teams.md says what to do before.
    acme.dissolve()
    assert {acme.cy.get(acme.path).status_code, acme.ada.get(acme.path).status_code} == {404}
