"""Search over HTTP: parameters, bodies, headers, problems, scopes; and the internal face with its client."""

from __future__ import annotations

from collections.abc import AsyncIterator
from dataclasses import replace

import httpx2
import pytest
from fastapi import FastAPI
from starlette.types import Receive, Scope, Send

from devlore.types import CheckResult, Privacy, SearchPage, SearchStatus
from devlore_server.kit.auth import Principal
from devlore_server.kit.http import SignedCallers, admit, install
from devlore_server.kit.log import Consumer, EventLog
from devlore_server.search.api import internal_router, router
from devlore_server.search.client import IndexingClient
from tests.kit.audited import leaves
from tests.search.conftest import SECRET, Desk


@pytest.fixture
async def client(desk: Desk, who: Principal) -> AsyncIterator[httpx2.AsyncClient]:
    """A client whose every request enters as `who`, or as the person named in the header `As`."""
    app = FastAPI()
    install(app)
    app.include_router(router(desk.service))

    async def entering(scope: Scope, receive: Receive, send: Send) -> None:
        headers = dict(scope.get("headers", []))
        scopes = frozenset(headers[b"scopes"].decode().split()) if b"scopes" in headers else who.scopes
        admit(scope, replace(who, scopes=scopes))
        await app(scope, receive, send)

    async with httpx2.AsyncClient(transport=httpx2.ASGITransport(app=entering), base_url="http://devlore") as made:
        yield made


async def test_get_and_post_find_the_same(client: httpx2.AsyncClient, desk: Desk, who: Principal) -> None:
    await desk.add(who, "Mango crate", "ripe", kind="tip")
    await desk.add(who, "Mango tree", "tall", kind="note")
    got = await client.get("/v1/search", params={"q": "mango", "kind": ["tip", "decision"], "wait": "indexed"})
    assert got.status_code == 200
    assert got.headers["devlore-indexed"] == "true"
    posted = await client.post("/v1/search", json={"q": "mango kind:tip", "explain": True})
    pages = [SearchPage.model_validate_json(answer.content) for answer in (got, posted)]
    assert [[hit.memory.title for hit in page.items] for page in pages] == [["Mango crate"], ["Mango crate"]]
    assert pages[0].items[0].explanation is None
    assert pages[1].items[0].explanation is not None
    assert pages[1].items[0].highlights[0].spans == [(0, 5)]


async def test_pages_follow_by_cursor(client: httpx2.AsyncClient, desk: Desk, who: Principal) -> None:
    for number in range(5):
        await desk.add(who, f"Nut {number}", f"shell{number}")
    await desk.settled()
    seen, cursor = [], None
    while True:
        asked = {"q": "nut", "limit": 2} | ({"cursor": cursor} if cursor else {})
        page = (await client.get("/v1/search", params=asked)).json()
        seen += [hit["memory"]["title"] for hit in page["items"]]
        cursor = page["next"]
        if cursor is None:
            break
    assert sorted(seen) == [f"Nut {number}" for number in range(5)]


@pytest.mark.parametrize(
    ("parameters", "status", "code"),
    [
        ({"q": 'a "b'}, 422, "invalid-query"),
        ({"q": "a", "cursor": "nonsense"}, 400, "bad-cursor"),
        ({"q": "a", "limit": 0}, 422, "invalid"),
        ({"q": "a", "status": "gone"}, 422, "invalid"),
        ({"q": "a", "unknown": "x"}, 422, "invalid"),
        ({"q": "a", "after": "soon"}, 422, "invalid"),
        ({"q": "a", "project": "a\0"}, 422, "invalid"),
    ],
)
async def test_what_cannot_be_asked(client: httpx2.AsyncClient, parameters: dict, status: int, code: str) -> None:
    answer = await client.get("/v1/search", params=parameters)
    assert (answer.status_code, answer.json()["code"]) == (status, code)
    assert answer.headers["content-type"].startswith("application/problem+json")


async def test_a_bad_query_carries_its_position(client: httpx2.AsyncClient) -> None:
    members = (await client.get("/v1/search", params={"q": "x tags:y"})).json()
    assert members["position"] == 2
    assert members["suggestion"] == "tag"


async def test_similar_status_check_and_rebuild(
    client: httpx2.AsyncClient, desk: Desk, who: Principal, owner_url: str
) -> None:
    one = await desk.add(who, "Walnut cake", "with walnuts and sugar")
    two = await desk.add(who, "Walnut bread", "with walnuts and flour")
    await desk.settled()
    like = SearchPage.model_validate_json((await client.get(f"/v1/memories/{one.id}/similar")).content)
    assert [hit.memory.id for hit in like.items] == [two.id]
    status = SearchStatus.model_validate_json((await client.get("/v1/search/status")).content)
    assert {index.name: index.documents for index in status.indexes} == {"search.lexical": 2, "search.vector": 2}
    check = CheckResult.model_validate_json((await client.get("/v1/search/check")).content)
    assert (check.clean, check.memories) == (True, 2)
    assert (await client.delete("/v1/search/rebuild")).status_code == 404
    begun = await client.post("/v1/search/rebuild", json={})
    assert begun.status_code == 202
    assert begun.json()["rebuild"]["state"] in ("running", "done")
    refused = await client.post("/v1/search/rebuild", json={"embedder": "unheard-of"})
    assert refused.status_code in (409, 503)
    asked = [row["action"] for row in leaves(owner_url) if row["action"].startswith("search.")]
    assert asked == ["search.rebuild_requested"] * 2


async def test_the_state_of_the_instance_is_for_whoever_runs_it(
    client: httpx2.AsyncClient, desk: Desk, who: Principal, other: Principal, stranger: Principal
) -> None:
    await desk.add(who, "Mango crate")
    await desk.add(who, "Mango diary", privacy=Privacy.PRIVATE)
    await desk.add(other, "Papaya diary", privacy=Privacy.PRIVATE)
    await desk.add(stranger, "Kumquat")
    await desk.settled()
    await client.post("/v1/search/rebuild", json={})
    for scopes, documents, rebuild in (("search:read", 2, False), ("search:read search:admin", 4, True)):
        said = (await client.get("/v1/search/status", headers={"scopes": scopes})).json()
        assert [index["documents"] for index in said["indexes"]] == [documents] * 2, scopes
        assert (said["rebuild"] is not None) is rebuild
    await desk.settled()


async def test_what_waits_is_counted_for_those_who_may_know_of_it(
    desk: Desk, log: EventLog, who: Principal, other: Principal, stranger: Principal
) -> None:
    reading = Consumer(log, "late", ["memory.created"], ignore)
    await desk.add(who, "Mango diary", privacy=Privacy.PRIVATE)
    await desk.add(other, "Papaya")
    assert await reading.lag() == 2
    assert [await reading.lag_seen(one) for one in (who, other, stranger)] == [2, 1, 0]


async def ignore(_events: object) -> None:
    """Nothing is done with them."""


async def test_scopes_are_required(client: httpx2.AsyncClient) -> None:
    for method, path, scope in (
        ("GET", "/v1/search?q=x", "search:read"),
        ("GET", "/v1/search/check", "search:admin"),
        ("POST", "/v1/search/rebuild", "search:admin"),
    ):
        answer = await client.request(method, path, headers={"scopes": "memories:read"}, json={})
        assert answer.status_code == 403
        assert answer.json()["scope"] == scope


async def test_another_process_waits_through_the_client(desk: Desk, who: Principal) -> None:
    app = FastAPI()
    install(app)
    app.include_router(internal_router(desk.service))
    signed = SignedCallers(app, secret=SECRET)
    await desk.add(who, "fresh")
    async with IndexingClient("http://search", SECRET, transport=httpx2.ASGITransport(app=signed)) as indexing:
        assert await indexing.wait(10) == []
    assert await desk.titles(who, "fresh") == ["fresh"]
    async with IndexingClient("http://search", b"x" * 40, transport=httpx2.ASGITransport(app=signed)) as stranger:
        assert await stranger.wait(1) == ["search"]
    async with IndexingClient("http://127.0.0.1:9", SECRET) as nobody:
        assert await nobody.wait(0.5) == ["search"]
