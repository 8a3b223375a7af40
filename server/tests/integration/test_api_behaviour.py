"""The HTTP face from its edges: odd bodies, limits, pages, patches, other people, and what may never happen."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any
from uuid import UUID

import httpx2 as httpx
import pytest
from fastapi import FastAPI

from devlore_server.integration import api
from devlore_server.integration.service import IntegrationService
from devlore_server.kit.auth import Principal
from devlore_server.kit.http import install
from devlore_server.kit.ids import new_id
from devlore_server.kit.paging import Paging
from tests.integration.conftest import ended
from tests.integration.repositories import Repo
from tests.integration.test_api import admitted

MERGE_PATCH = {"content-type": "application/merge-patch+json"}


@pytest.fixture
def app(service: IntegrationService) -> FastAPI:
    made = FastAPI()
    made.include_router(api.router(service, Paging(b"0123456789abcdef")))
    install(made)
    return made


def entering(app: FastAPI, principal: Principal) -> httpx.AsyncClient:
    return httpx.AsyncClient(transport=httpx.ASGITransport(app=admitted(app, principal)), base_url="http://devlore")


@pytest.fixture
async def http(app: FastAPI, who: Principal) -> AsyncIterator[httpx.AsyncClient]:
    async with entering(app, who) as client:
        yield client


def git(repo: Repo, **config: object) -> dict[str, Any]:
    return {"connector": "git", "config": {"path": str(repo.folder), **config}}


async def connected(http: httpx.AsyncClient, draft: dict[str, Any]) -> dict[str, Any]:
    answer = await http.post("/v1/connections", json=draft)
    assert answer.status_code in (200, 201), answer.text
    made: dict[str, Any] = answer.json()
    return made


@pytest.mark.parametrize(
    "body",
    [
        b"",
        b"{",
        b"null",
        b"[]",
        b'"git"',
        b'{"connector": "git", "config": {"path": "/tmp/\\ud800"}}',
        b'{"connector": "git", "config": {"path": "/tmp", "\\ud800": 1}}',
        b'{"connector": "git", "config": {"\\u0000": 1}}',
        b'{"connector": "git", "name": "\\ud800", "config": {"path": "/tmp"}}',
        b'{"connector": "git", "name": "a\\u0000b", "config": {"path": "/tmp"}}',
        b'{"connector": "git", "config": {"path": "/tmp", "branches": ["\\ud800"]}}',
        b'{"connector": "git", "config": {"path": "/tmp", "since": "\\ud800"}}',
        b'{"connector": "git", "config": {"path": "/tmp", "since": 1e308}}',
        b'{"connector": "git", "config": {"path": ["/tmp"]}}',
        b'{"connector": "git", "config": {"path": {"$ne": 1}}}',
        b'{"connector": "git", "config": {"path": ' + b'"/' + b"a" * 10_000 + b'"}}',
        b'{"connector": "git", "config": {"path": "/' + b"a/" * 1_900 + b'"}}',
        b'{"connector": "markdown", "config": {"path": "/tmp", "identity": ""}}',
        b'{"connector": "markdown", "config": {"path": "/tmp", "identity": "\\udfff"}}',
        b'{"connector": "markdown", "config": {"path": "/etc/passwd"}}',
        b'{"connector": "markdown", "config": ' + b"[" * 5_000 + b"]" * 5_000 + b"}",
        b"\xff\xfe",
    ],
)
async def test_no_body_is_more_than_a_problem(http: httpx.AsyncClient, body: bytes) -> None:
    answer = await http.post("/v1/connections", content=body, headers={"content-type": "application/json"})
    assert answer.status_code in (400, 422), answer.text
    assert answer.headers["content-type"] == "application/problem+json"
    assert answer.json()["status"] == answer.status_code
    assert (await http.get("/v1/connections")).json()["items"] == []


@pytest.mark.parametrize("body", [b"{", b"[]", b'{"full": "perhaps"}', b'{"fast": true}', b'{"full": null}'])
async def test_a_sync_is_asked_for_in_the_right_words_or_refused(
    http: httpx.AsyncClient, repo: Repo, body: bytes
) -> None:
    id = (await connected(http, git(repo)))["id"]
    headers = {"content-type": "application/json"}
    answer = await http.post(f"/v1/connections/{id}/sync", content=body, headers=headers)
    assert answer.status_code in (400, 422)
    assert (await http.get(f"/v1/connections/{id}/syncs")).json()["items"] == []


@pytest.mark.parametrize(
    "path", ["/v1/connections/nonsense", "/v1/syncs/nonsense", "/v1/connections/0", "/v1/syncs/%00"]
)
async def test_ids_that_are_none_are_problems(http: httpx.AsyncClient, path: str) -> None:
    answer = await http.get(path)
    assert answer.status_code in (404, 422)
    assert answer.headers["content-type"] == "application/problem+json"


@pytest.mark.parametrize(
    "query", ["limit=0", "limit=201", "limit=-1", "limit=x", "cursor=%00", "cursor=" + "a" * 3_000]
)
async def test_pages_have_bounds(http: httpx.AsyncClient, query: str) -> None:
    answer = await http.get(f"/v1/connections?{query}")
    assert answer.status_code in (400, 422)


async def test_pages_of_connections_meet_every_one_once(http: httpx.AsyncClient, tmp_path: Path) -> None:
    made = [(await connected(http, git(Repo(tmp_path / f"r{n}"))))["id"] for n in range(5)]
    seen: list[str] = []
    cursor: str | None = None
    while True:
        page = (await http.get("/v1/connections", params={"limit": 2} | ({"cursor": cursor} if cursor else {}))).json()
        seen += [one["id"] for one in page["items"]]
        cursor = page["next"]
        if cursor is None:
            break
        # One that is connected meanwhile is newer than the cursor, and disturbs nothing.
        await connected(http, git(Repo(tmp_path / f"late{len(seen)}")))
    assert seen == made[::-1]


async def test_a_cursor_of_one_connections_syncs_is_no_good_for_another(
    http: httpx.AsyncClient, service: IntegrationService, who: Principal, tmp_path: Path
) -> None:
    ids = [(await connected(http, git(Repo(tmp_path / f"r{n}"))))["id"] for n in range(2)]
    for _ in range(2):
        started = (await http.post(f"/v1/connections/{ids[0]}/sync")).json()
        await http.delete(f"/v1/syncs/{started['id']}")
    cursor = (await http.get(f"/v1/connections/{ids[0]}/syncs?limit=1")).json()["next"]
    assert (await http.get(f"/v1/connections/{ids[0]}/syncs", params={"cursor": cursor})).status_code == 200
    assert (await http.get(f"/v1/connections/{ids[1]}/syncs", params={"cursor": cursor})).status_code == 400
    assert (await http.get("/v1/connections", params={"cursor": cursor})).status_code == 400


@pytest.mark.parametrize(
    ("patch", "status"),
    [
        ({}, 200),
        ({"name": "New"}, 200),
        ({"name": None}, 200),
        ({"project": None}, 200),
        ({"watch": True}, 200),
        ({"watch": None}, 200),
        ({"config": {}}, 200),
        ({"config": None}, 200),
        ({"config": {"merges": True, "since": "2024-01-01"}}, 200),
        ({"config": {"path": None}}, 422),
        ({"config": {"path": "relative"}}, 422),
        ({"config": {"path": "/nowhere"}}, 422),
        ({"config": {"unknown": 1}}, 422),
        ({"config": {"branches": "main"}}, 422),
        ({"connector": "markdown"}, 422),
        ({"id": str(UUID(int=1))}, 422),
        ({"project": "Not A Slug!"}, 422),
        ({"name": "x" * 501}, 422),
    ],
)
async def test_a_patch_changes_what_it_names_or_nothing(
    http: httpx.AsyncClient, repo: Repo, patch: dict[str, Any], status: int
) -> None:
    before = await connected(http, git(repo) | {"name": "Old", "project": "api"})
    url = f"/v1/connections/{before['id']}"
    answer = await http.patch(url, content=json.dumps(patch), headers=MERGE_PATCH)
    assert answer.status_code == status, answer.text
    after = (await http.get(url)).json()
    if status != 200:
        assert after == before
        return
    assert answer.json() == after
    untouched = before.keys() - patch.keys()
    assert {name: after[name] for name in untouched} == {name: before[name] for name in untouched}


async def test_a_patch_takes_a_setting_away_with_null(http: httpx.AsyncClient, repo: Repo) -> None:
    before = await connected(http, git(repo, merges=True, since="2024-01-01"))
    answer = await http.patch(
        f"/v1/connections/{before['id']}", content=json.dumps({"config": {"since": None}}), headers=MERGE_PATCH
    )
    assert answer.json()["config"] == {"path": str(repo.folder), "merges": True}


@pytest.mark.usefixtures("worker")
async def test_the_project_of_a_connection_is_that_of_what_it_brings_next(
    http: httpx.AsyncClient, service: IntegrationService, who: Principal, repo: Repo, memories: Any
) -> None:
    repo.commit("one")
    id = (await connected(http, git(repo) | {"project": "first"}))["id"]
    await ended(service, who, await service.sync(who, UUID(id)))
    await http.patch(f"/v1/connections/{id}", content=json.dumps({"project": "second"}), headers=MERGE_PATCH)
    repo.commit("two")
    await ended(service, who, await service.sync(who, UUID(id)))
    found = {one.title: one.project for one in await memories.scan(None, 10)}
    assert found == {"one": "first", "two": "second"}


@pytest.mark.usefixtures("worker")
async def test_a_full_sync_over_http_reads_everything_and_cancelling_it_late_changes_nothing(
    http: httpx.AsyncClient, service: IntegrationService, who: Principal, repo: Repo
) -> None:
    for number in range(3):
        repo.commit(f"c{number}")
    id = (await connected(http, git(repo)))["id"]
    for full, created, unchanged in ((False, 3, 0), (False, 0, 0), (True, 0, 3)):
        started = await http.post(f"/v1/connections/{id}/sync", json={"full": full})
        assert started.status_code == 202
        assert started.headers["location"] == f"/v1/syncs/{started.json()['id']}"
        done = await ended(service, who, await service.get_sync(who, UUID(started.json()["id"])))
        assert (done.state, done.created, done.unchanged) == ("done", created, unchanged)
        assert (await http.delete(started.headers["location"])).status_code == 204
        assert (await http.get(started.headers["location"])).json()["state"] == "done"


async def test_disconnecting_takes_the_syncs_along_and_is_said_once(http: httpx.AsyncClient, repo: Repo) -> None:
    id = (await connected(http, git(repo)))["id"]
    sync = (await http.post(f"/v1/connections/{id}/sync")).json()["id"]
    assert (await http.delete(f"/v1/connections/{id}")).status_code == 204
    for method, path in (
        ("GET", f"/v1/syncs/{sync}"),
        ("DELETE", f"/v1/syncs/{sync}"),
        ("DELETE", f"/v1/connections/{id}"),
        ("GET", f"/v1/connections/{id}/syncs"),
        ("POST", f"/v1/connections/{id}/sync"),
    ):
        answer = await http.request(method, path)
        assert (answer.status_code, answer.json()["code"]) == (404, "not-found"), (method, path)


async def test_other_people_learn_nothing_and_change_nothing(
    app: FastAPI, http: httpx.AsyncClient, other: Principal, stranger: Principal, repo: Repo
) -> None:
    mine = await connected(http, git(repo))
    sync = (await http.post(f"/v1/connections/{mine['id']}/sync")).json()
    for person in (other, stranger):
        async with entering(app, person) as theirs:
            assert (await theirs.get("/v1/connections")).json() == {"items": [], "next": None}
            for method, path in (
                ("GET", f"/v1/connections/{mine['id']}"),
                ("PATCH", f"/v1/connections/{mine['id']}"),
                ("DELETE", f"/v1/connections/{mine['id']}"),
                ("POST", f"/v1/connections/{mine['id']}/sync"),
                ("GET", f"/v1/connections/{mine['id']}/syncs"),
                ("GET", f"/v1/syncs/{sync['id']}"),
                ("DELETE", f"/v1/syncs/{sync['id']}"),
            ):
                body = {"name": "mine"} if method == "PATCH" else None
                refused = await theirs.request(method, path, json=body)
                absent = await theirs.request(method, path.replace(mine["id"], str(new_id())), json=body)
                assert refused.status_code == absent.status_code == 404
                assert mine["id"] not in refused.text
    assert (await http.get(f"/v1/connections/{mine['id']}")).json() == mine
    assert (await http.get(f"/v1/syncs/{sync['id']}")).json() == sync


@pytest.mark.parametrize("method", ["PUT", "PATCH", "DELETE"])
async def test_what_a_path_does_not_know_is_said(http: httpx.AsyncClient, method: str) -> None:
    answer = await http.request(method, "/v1/connections", json={})
    assert answer.status_code == 405
    assert answer.headers["content-type"] == "application/problem+json"
    assert {verb.strip() for verb in answer.headers["allow"].split(",")} >= {"POST"}
