"""The directory over HTTP: status, headers, pages, and answers that do not tell one tenant about another."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import replace
from typing import Any

import httpx2
import pytest
from fastapi.routing import APIRoute

from devlore.types import InvitationDraft, TeamDraft
from devlore_server.kit.auth import Principal
from devlore_server.kit.http import Public, RequiredScope
from devlore_server.kit.ids import new_id

from .conftest import Enter
from .directory import Directory

MERGE = "application/merge-patch+json"


async def patched(client: httpx2.AsyncClient, path: str, body: object, tag: str | None = '"1"') -> httpx2.Response:
    headers = {"Content-Type": MERGE} | ({"If-Match": tag} if tag else {})
    return await client.patch(path, json=body, headers=headers)


async def pages(client: httpx2.AsyncClient, path: str, limit: int) -> list[dict[str, Any]]:
    """Every item of a listing, page by page."""
    items: list[dict[str, Any]] = []
    cursor = None
    while True:
        answer = await client.get(path, params={"limit": limit} | ({"cursor": cursor} if cursor else {}))
        assert answer.status_code == 200, answer.text
        page = answer.json()
        assert len(page["items"]) <= limit
        items += page["items"]
        cursor = page["next"]
        if cursor is None:
            return items


def test_what_cannot_be_undone_needs_a_sign_in_just_now(directory: Directory) -> None:
    needs = {
        route.operation_id: [one.dependency for one in route.dependencies] for route in _routes(directory.app().routes)
    }
    assert len(needs) == 30
    fresh = {name for name, found in needs.items() if any(isinstance(o, RequiredScope) and o.fresh for o in found)}
    assert fresh == {"delete_organisation", "settle_departure"}
    assert {name for name, found in needs.items() if any(isinstance(o, Public) for o in found)} == {
        "look_at_invitation"
    }


async def test_a_stale_sign_in_has_to_be_renewed_first(
    enter: Enter, directory: Directory, owner: Principal, member: Principal
) -> None:
    await directory.members.remove(owner, owner.organisation, member.person)
    (departure,) = await directory.departures.page(owner, owner.organisation, True, 10)
    stale = enter(replace(owner, fresh=False))
    path = f"/v1/organisations/{owner.organisation}"
    for answer in (
        await stale.delete(path),
        await stale.post(f"{path}/departures/{departure.id}", json={"action": "purge"}),
    ):
        assert (answer.status_code, answer.json()["code"]) == (403, "step-up-required")
    assert (await enter(owner).delete(path)).status_code == 202


async def test_an_organisation_over_http(enter: Enter, owner: Principal) -> None:
    http = enter(owner)
    made = await http.post("/v1/organisations", json={"name": "Aside"})
    assert made.status_code == 201
    assert made.headers["location"] == f"/v1/organisations/{made.json()['id']}"
    assert made.headers["etag"] == '"1"'
    assert [one["name"] for one in await pages(http, "/v1/organisations", 1)] == ["Acme", "Aside"]
    path = f"/v1/organisations/{owner.organisation}"
    assert (await patched(http, path, {"name": "New"}, None)).json()["code"] == "precondition-required"
    renamed = await patched(http, path, {"name": "New"})
    assert (renamed.status_code, renamed.headers["etag"], renamed.json()["name"]) == (200, '"2"', "New")
    late = await patched(http, path, {"name": "Late"})
    assert (late.status_code, late.json()["code"], late.json()["version"]) == (412, "version-mismatch", 2)
    got = await http.get(path)
    assert got.json() == renamed.json()
    assert (await http.get(path, headers={"If-None-Match": got.headers["etag"]})).status_code == 304
    ending = await http.delete(path)
    assert ending.status_code == 202
    assert ending.json()["delete_after"] is not None
    kept = await http.post(f"{path}/restore")
    assert (kept.status_code, kept.json()["delete_after"]) == (200, None)
    assert (await http.post(f"{path}/restore")).status_code == 409


async def test_members_and_departures_over_http(
    enter: Enter, directory: Directory, owner: Principal, member: Principal, viewer: Principal
) -> None:
    http, path = enter(owner), f"/v1/organisations/{owner.organisation}"
    members = await pages(http, f"{path}/members", 2)
    assert [one["role"] for one in members] == ["owner", "member", "viewer"]
    changed = await patched(http, f"{path}/members/{member.person}", {"role": "admin"}, None)
    assert (changed.status_code, changed.json()["role"]) == (200, "admin")
    assert (await patched(http, f"{path}/members/{member.person}", {"role": "king"}, None)).status_code == 422
    for person in (member.person, viewer.person):
        assert (await http.delete(f"{path}/members/{person}")).status_code == 204
        assert (await http.delete(f"{path}/members/{person}")).status_code == 404
    departures = await pages(http, f"{path}/departures", 1)
    assert [one["name"] for one in departures] == ["Vera", "Mary"]
    settled = await http.post(f"{path}/departures/{departures[0]['id']}", json={"action": "transfer"})
    assert (settled.status_code, settled.json()["to"]) == (200, str(owner.person))
    open_ = await http.get(f"{path}/departures", params={"pending": True})
    assert [one["name"] for one in open_.json()["items"]] == ["Mary"]


async def test_invitations_over_http(enter: Enter, directory: Directory, owner: Principal, stranger: Principal) -> None:
    http, path = enter(owner), f"/v1/organisations/{owner.organisation}/invitations"
    made = await http.post(path, json={"role": "viewer", "email": "ADA@example.org"})
    assert made.status_code == 201
    assert made.headers["cache-control"] == "no-store"
    assert made.json()["email"] == "ada@example.org"
    listed = await pages(http, path, 1)
    assert "token" not in listed[0] and "link" not in listed[0]
    secret = {"token": made.json()["token"]}
    seen = await enter(None).post("/v1/invitations/look", json=secret)
    assert (seen.status_code, seen.json()["organisation_name"], seen.json()["role"]) == (200, "Acme", "viewer")
    assert (await enter(None).post("/v1/invitations/accept", json=secret)).status_code == 401
    assert (await enter(stranger).post("/v1/invitations/accept", json=secret)).json()["code"] == "not-allowed"
    assert (await http.delete(f"{path}/{made.json()['id']}")).status_code == 204
    for token in (made.json()["token"], "never-was"):
        gone = await enter(None).post("/v1/invitations/look", json={"token": token})
        assert (gone.status_code, gone.json()["code"]) == (404, "not-found")
    anybody = await directory.invitations.create(owner, owner.organisation, InvitationDraft())
    joined = await enter(stranger).post("/v1/invitations/accept", json={"token": anybody.token})
    assert (joined.status_code, joined.json()["role"]) == (200, "member")


@pytest.mark.parametrize("email", ["ada", "ada@", "@example.org", "a b@example.org", "a@b..c", "<a@b.c>", "a@b.c\n"])
async def test_what_is_no_address_is_refused(enter: Enter, owner: Principal, email: str) -> None:
    path = f"/v1/organisations/{owner.organisation}/invitations"
    answer = await enter(owner).post(path, json={"email": email})
    if email == "a@b.c\n":  # space around it is a slip, not another address
        assert answer.json()["email"] == "a@b.c"
    else:
        assert (answer.status_code, answer.json()["errors"][0]["pointer"]) == (422, "/email")


async def test_teams_over_http(enter: Enter, owner: Principal, member: Principal, viewer: Principal) -> None:
    http = enter(owner)
    made = await http.post("/v1/teams", json={"name": "Platform"})
    assert (made.status_code, made.headers["etag"]) == (201, '"1"')
    path = made.headers["location"]
    assert (await http.post("/v1/teams", json={"name": "platform"})).status_code == 409
    assert (await patched(http, path, {"name": "Ground"})).headers["etag"] == '"2"'
    put = await http.put(f"{path}/members/{member.person}", json={"role": "maintainer"})
    assert (put.status_code, put.json()["role"]) == (200, "maintainer")
    of_theirs = enter(member)
    assert (await of_theirs.put(f"{path}/members/{viewer.person}", json={})).status_code == 200
    names = [one["name"] for one in await pages(of_theirs, f"{path}/members", 1)]
    assert sorted(names) == ["Mary", "Vera"]
    assert (await http.get(path)).json()["members"] == 2
    assert (await enter(viewer).delete(f"{path}/members/{viewer.person}")).status_code == 204
    assert (await http.delete(path)).status_code == 204
    assert (await http.get(path)).status_code == 404
    for name in ("a", "B", "c"):
        await http.post("/v1/teams", json={"name": name})
    assert [one["name"] for one in await pages(http, "/v1/teams", 2)] == ["a", "B", "c"]


async def test_people_and_oneself_over_http(enter: Enter, owner: Principal, member: Principal) -> None:
    http = enter(owner)
    made = await http.post("/v1/people", json={"name": "CI", "role": "viewer"})
    assert made.status_code == 201
    assert (await http.get(made.headers["location"])).json() == made.json()
    assert {one["kind"] for one in await pages(http, "/v1/people", 1)} == {"human", "service"}
    assert (await http.post("/v1/people", json={"name": "CI", "role": "owner"})).status_code == 422
    assert (await http.delete(f"/v1/people/{member.person}")).status_code == 409
    assert (await http.delete(made.headers["location"])).status_code == 204
    assert (await http.get(made.headers["location"])).status_code == 404
    me = (await enter(member).get("/v1/identity")).json()
    assert (me["person"]["name"], me["role"], me["organisation"]["name"]) == ("Mary", "member", "Acme")
    renamed = await patched(enter(member), "/v1/identity", {"name": "Mary K"}, None)
    assert (renamed.status_code, renamed.json()["name"]) == (200, "Mary K")
    for name in ("", "  ", "a\x00b", "x" * 201, None):
        assert (await patched(enter(member), "/v1/identity", {"name": name}, None)).status_code == 422


async def test_an_id_of_another_organisation_is_answered_like_one_that_never_was(
    enter: Enter, directory: Directory, owner: Principal, member: Principal, stranger: Principal
) -> None:
    """Status, body and headers, for every route that takes an id."""
    team = await directory.teams.create(owner, TeamDraft(name="Platform"))
    invitation = await directory.invitations.create(owner, owner.organisation, InvitationDraft())
    leaver = await directory.join(owner.organisation, "member", "Leaver")
    await directory.members.remove(owner, owner.organisation, leaver.person)
    (departure,) = await directory.departures.page(owner, owner.organisation, True, 10)
    known = {
        "org": owner.organisation,
        "mine": stranger.organisation,
        "team": team.id,
        "invitation": invitation.id,
        "departure": departure.id,
        "person": member.person,
    }
    made_up = {name: new_id() for name in known} | {"mine": stranger.organisation}
    http = enter(stranger)
    for method, path, body in _PROBES:
        real, fake = [
            await http.request(method, path.format(**ids), json=body, headers={"If-Match": "*"})
            for ids in (known, made_up)
        ]
        assert (real.status_code, real.content) == (fake.status_code, fake.content), path
        assert real.status_code == 404, (path, real.text)
        assert dict(real.headers) == dict(fake.headers), path


_ORG = "/v1/organisations/{org}"
_MINE = "/v1/organisations/{mine}"
_PROBES: list[tuple[str, str, object]] = [
    ("GET", _ORG, None),
    ("PATCH", _ORG, {"name": "x"}),
    ("DELETE", _ORG, None),
    ("POST", _ORG + "/restore", None),
    ("GET", _ORG + "/members", None),
    ("PATCH", _ORG + "/members/{person}", {"role": "owner"}),
    ("DELETE", _ORG + "/members/{person}", None),
    ("GET", _ORG + "/departures", None),
    ("POST", _ORG + "/departures/{departure}", {"action": "purge"}),
    ("GET", _ORG + "/invitations", None),
    ("POST", _ORG + "/invitations", {}),
    ("DELETE", _ORG + "/invitations/{invitation}", None),
    ("PATCH", _MINE + "/members/{person}", {"role": "owner"}),
    ("DELETE", _MINE + "/members/{person}", None),
    ("POST", _MINE + "/departures/{departure}", {"action": "purge"}),
    ("DELETE", _MINE + "/invitations/{invitation}", None),
    ("GET", "/v1/teams/{team}", None),
    ("PATCH", "/v1/teams/{team}", {"name": "x"}),
    ("DELETE", "/v1/teams/{team}", None),
    ("GET", "/v1/teams/{team}/members", None),
    ("PUT", "/v1/teams/{team}/members/{person}", {}),
    ("DELETE", "/v1/teams/{team}/members/{person}", None),
    ("GET", "/v1/people/{person}", None),
    ("DELETE", "/v1/people/{person}", None),
]


async def test_a_cursor_is_good_for_its_own_listing_only(enter: Enter, owner: Principal, stranger: Principal) -> None:
    http = enter(owner)
    for name in ("a", "b"):
        await http.post("/v1/teams", json={"name": name})
        await http.post("/v1/organisations", json={"name": name})
    cursor = (await http.get("/v1/teams", params={"limit": 1})).json()["next"]
    other = (await http.get("/v1/organisations", params={"limit": 1})).json()["next"]
    for path in ("/v1/organisations", "/v1/people", f"/v1/organisations/{owner.organisation}/members"):
        answer = await http.get(path, params={"cursor": cursor})
        assert (answer.status_code, answer.json()["code"]) == (400, "bad-cursor"), path
    assert (await http.get("/v1/teams", params={"cursor": other})).status_code == 400
    # Somebody else's cursor shows their own rows behind that place, never the other's.
    assert (await enter(stranger).get("/v1/teams", params={"cursor": cursor})).json()["items"] == []


def _routes(found: Iterable[Any]) -> Iterator[APIRoute]:
    """The routes of the services, not those FastAPI adds."""
    for route in found:
        if isinstance(route, APIRoute):
            yield route
        else:
            yield from _routes(getattr(getattr(route, "original_router", None), "routes", []))
