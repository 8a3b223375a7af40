"""The HTTP face: routes, statuses, problems, scopes and pages."""

from __future__ import annotations

from collections.abc import AsyncIterator
from dataclasses import replace
from uuid import UUID

import httpx2 as httpx
import pytest
from fastapi import FastAPI
from starlette.types import ASGIApp, Receive, Scope, Send

from devlore_server.integration import api
from devlore_server.integration.service import IntegrationService
from devlore_server.kit.auth import Principal
from devlore_server.kit.http import admit, install
from devlore_server.kit.ids import new_id
from devlore_server.kit.paging import Paging
from tests.integration.conftest import ended
from tests.integration.repositories import Repo


def admitted(app: ASGIApp, principal: Principal) -> ASGIApp:
    async def face(scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "http":
            admit(scope, principal)
        await app(scope, receive, send)

    return face


@pytest.fixture
def app(service: IntegrationService) -> FastAPI:
    made = FastAPI()
    made.include_router(api.router(service, Paging(b"0123456789abcdef")))
    install(made)
    return made


@pytest.fixture
async def http(app: FastAPI, who: Principal) -> AsyncIterator[httpx.AsyncClient]:
    transport = httpx.ASGITransport(app=admitted(app, who))
    async with httpx.AsyncClient(transport=transport, base_url="http://devlore") as client:
        yield client


def draft(repo: Repo) -> dict[str, object]:
    return {"connector": "git", "config": {"path": str(repo.folder)}}


async def test_a_source_is_connected_read_changed_and_disconnected(http: httpx.AsyncClient, repo: Repo) -> None:
    made = await http.post("/v1/connections", json=draft(repo))
    assert made.status_code == 201
    assert made.headers["location"] == f"/v1/connections/{made.json()['id']}"
    assert made.json()["config"] == {"path": str(repo.folder)}
    assert (await http.post("/v1/connections", json=draft(repo))).status_code == 200
    assert (await http.get(made.headers["location"])).json() == made.json()
    changed = await http.patch(
        made.headers["location"],
        json={"name": "Ours", "config": {"merges": True}},
        headers={"content-type": "application/merge-patch+json"},
    )
    assert (changed.status_code, changed.json()["name"], changed.json()["config"]["merges"]) == (200, "Ours", True)
    listed = (await http.get("/v1/connections")).json()
    assert listed == {"items": [changed.json()], "next": None}
    assert (await http.delete(made.headers["location"])).status_code == 204
    assert (await http.get(made.headers["location"])).status_code == 404


@pytest.mark.usefixtures("worker")
async def test_a_sync_is_started_followed_and_listed(
    http: httpx.AsyncClient, service: IntegrationService, who: Principal, repo: Repo
) -> None:
    repo.commit("base")
    id = (await http.post("/v1/connections", json=draft(repo))).json()["id"]
    for body in (None, {}, {"full": True}):
        started = await http.post(f"/v1/connections/{id}/sync", json=body) if body is not None else (
            await http.post(f"/v1/connections/{id}/sync")
        )  # fmt: skip
        assert started.status_code == 202
        sync = await service.get_sync(who, UUID(started.json()["id"]))
        assert (await ended(service, who, sync)).state == "done"
    shown = (await http.get(started.headers["location"])).json()
    assert (shown["state"], shown["total"], shown["unchanged"]) == ("done", 1, 1)
    first = (await http.get(f"/v1/connections/{id}/syncs", params={"limit": 2})).json()
    assert [len(first["items"]), first["items"][0]] == [2, shown]
    rest = (await http.get(f"/v1/connections/{id}/syncs", params={"limit": 2, "cursor": first["next"]})).json()
    assert (len(rest["items"]), rest["next"]) == (1, None)
    assert (await http.delete(started.headers["location"])).status_code == 204
    connection = (await http.get(f"/v1/connections/{id}")).json()
    assert connection["checkpoint"]["complete"]
    assert connection["last_synced_at"]


@pytest.mark.parametrize(
    ("body", "pointer"),
    [
        ({"connector": "git", "config": {"path": "/nowhere"}}, "/config/path"),
        ({"connector": "git", "config": []}, "/config"),
        ({"connector": "GIT"}, "/connector"),
        ({"connector": "nothing"}, "/connector"),
        ({}, "/connector"),
        ({"connector": "git", "config": {"path": "/tmp"}, "color": 1}, "/color"),
        ({"connector": "git", "config": {"path": "/a\0b"}}, "/config/path"),
    ],
)
async def test_a_bad_draft_is_a_problem_that_points(
    http: httpx.AsyncClient, body: dict[str, object], pointer: str
) -> None:
    refused = await http.post("/v1/connections", json=body)
    assert (refused.status_code, refused.json()["code"]) == (422, "invalid")
    assert pointer in [error["pointer"] for error in refused.json()["errors"]]


async def test_cursors_are_good_for_their_own_listing_only(http: httpx.AsyncClient, repo: Repo) -> None:
    await http.post("/v1/connections", json=draft(repo))
    refused = await http.get("/v1/connections", params={"cursor": "made-up"})
    assert (refused.status_code, refused.json()["code"]) == (400, "bad-cursor")


@pytest.mark.parametrize("method", ["GET", "PATCH", "DELETE"])
async def test_unknown_ids_are_not_found(http: httpx.AsyncClient, method: str) -> None:
    body = {"json": {}} if method == "PATCH" else {}
    assert (await http.request(method, f"/v1/connections/{new_id()}", **body)).status_code == 404
    if method != "PATCH":
        assert (await http.request(method, f"/v1/syncs/{new_id()}")).status_code == 404


async def test_every_route_needs_its_scope(app: FastAPI, who: Principal) -> None:
    powerless = admitted(app, replace(who, scopes=frozenset({"memories:write"})))
    async with httpx.AsyncClient(transport=httpx.ASGITransport(app=powerless), base_url="http://devlore") as client:
        for path, operations in app.openapi()["paths"].items():
            for method in operations:
                answer = await client.request(
                    method, path.replace("{id}", str(new_id())), **({"json": {}} if method != "get" else {})
                )
                assert answer.status_code in (403, 422), (method, path)
                if answer.status_code == 422:
                    # The body is looked at first; a good one is refused too.
                    good = await client.request(method, path, json={"connector": "git"})
                    assert good.status_code == 403


def test_every_operation_is_described(app: FastAPI) -> None:
    for operations in app.openapi()["paths"].values():
        for operation in operations.values():
            assert operation["summary"]
            assert operation["description"]
            assert operation["operationId"]
            assert operation["tags"] == ["connections"]
