"""An instance gets its first owner by a link, and one person's instance becomes a team's without losing anything."""

from __future__ import annotations

import httpx2
import psycopg
import pytest

from devlore_server.app import AlreadyRunning, WrongTier, application
from devlore_server.app.ownership import first_owner, upgraded
from devlore_server.settings import Settings
from tests.people import PASSWORD, secret_of


def client(app: object, **headers: str) -> httpx2.AsyncClient:
    transport = httpx2.ASGITransport(app)  # type: ignore[arg-type]
    return httpx2.AsyncClient(transport=transport, base_url="http://localhost:7700", headers=headers)


async def signed_up(app: object, link: str | None, name: str = "Ada") -> dict[str, str]:
    assert link is not None
    draft = {"email": f"{name.lower()}@example.com", "name": name, "password": PASSWORD, "invitation": secret_of(link)}
    async with client(app) as api:
        answer = await api.post("/v1/identity/sign-up", json=draft)
    assert answer.status_code == 201, answer.text
    return {"Authorization": f"Bearer {answer.json()['access_token']}"}


@pytest.fixture
def team(team_settings: Settings) -> Settings:
    return team_settings.model_copy(update={"port": 7700})


async def test_a_link_makes_the_first_owner_and_only_the_last_link_does(team: Settings) -> None:
    first, second = await first_owner(team, "Acme"), await first_owner(team, "Other name")
    assert first is not None
    assert first.startswith("http://localhost:7700/invitation#")
    async with application(team) as app:
        async with client(app) as api:
            looked = await api.post("/v1/invitations/look", json={"token": secret_of(first)})
            assert looked.status_code == 404, "withdrawn"
        me = await signed_up(app, second)
        async with client(app, **me) as api:
            said = (await api.get("/v1/identity")).json()
        assert (said["role"], said["organisation"]["name"]) == ("owner", "Acme")
    assert await first_owner(team, "Acme") is None


async def test_a_link_for_an_address_is_nobody_elses(team: Settings) -> None:
    link = await first_owner(team, "Acme", "olga@example.com")
    async with application(team) as app:
        with pytest.raises(AssertionError, match="not-allowed"):
            await signed_up(app, link, "Ada")
        await signed_up(app, link, "Olga")


async def test_nothing_is_lost_when_one_persons_instance_becomes_a_teams(settings: Settings, team: Settings) -> None:
    async with application(settings) as app, client(app) as api:
        made = [
            (await api.post("/v1/memories", json={"title": f"Heron {privacy}", "privacy": privacy})).json()
            for privacy in ("private", "public")
        ]
        with pytest.raises(AlreadyRunning):
            await upgraded(team, "Acme")
    with pytest.raises(WrongTier, match="upgrade-tier team"):
        async with application(team):
            pass
    links = [await upgraded(team, "Acme"), await upgraded(team, "Acme")]
    async with application(team) as app:
        me = await signed_up(app, links[1])
        async with client(app, **me) as api:
            for memory in made:
                assert (await api.get(f"/v1/memories/{memory['id']}")).json() == memory
            found = await api.get("/v1/search", params={"q": "heron", "wait": "indexed"})
            assert {hit["memory"]["id"] for hit in found.json()["items"]} == {memory["id"] for memory in made}
            edited = await api.patch(
                f"/v1/memories/{made[0]['id']}", json={"title": "Still mine"}, headers={"If-Match": '"1"'}
            )
            assert edited.status_code == 200, edited.text
            actions = {leaf["action"] for leaf in (await api.get("/v1/audit")).json()["items"]}
        assert "instance.tier_changed" in actions
    assert await upgraded(team, "Acme") is None, "it has its owner"


async def test_others_see_what_was_public_and_not_what_was_private(settings: Settings, team: Settings) -> None:
    async with application(settings) as app, client(app) as api:
        made = [
            (await api.post("/v1/memories", json={"title": "x", "privacy": privacy})).json()
            for privacy in ("private", "public")
        ]
    link = await upgraded(team, "Acme")
    async with application(team) as app:
        me = await signed_up(app, link)
        async with client(app, **me) as api:
            place = f"/v1/organisations/{made[0]['organisation_id']}/invitations"
            invited = (await api.post(place, json={"role": "member"})).json()["link"]
        other = await signed_up(app, invited, "Bo")
        async with client(app, **other) as api:
            seen = [(await api.get(f"/v1/memories/{memory['id']}")).status_code for memory in made]
    assert seen == [404, 200]


@pytest.mark.parametrize("tier", ["individual", "team"])
async def test_a_database_is_served_as_what_it_is(settings: Settings, team: Settings, tier: str) -> None:
    own, other = (settings, team) if tier == "individual" else (team, settings)
    async with application(own):
        pass
    with pytest.raises(WrongTier, match="DEVLORE_TIER=team" if tier == "team" else "upgrade-tier"):
        async with application(other):
            pass
    if tier == "individual":
        with pytest.raises(WrongTier):
            await first_owner(team, "Acme")
    async with application(own):
        pass


async def test_the_database_itself_holds_one_tier(settings: Settings, owner_url: str) -> None:
    async with application(settings):
        pass
    with psycopg.connect(owner_url, autocommit=True) as connection:
        assert connection.execute("SELECT tier FROM identity.instance").fetchall() == [("individual",)]
        with pytest.raises(psycopg.errors.UniqueViolation):
            connection.execute("INSERT INTO identity.instance (tier) VALUES ('team')")
