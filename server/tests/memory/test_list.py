"""Lists: every filter, and pages that neither repeat nor lose a memory; counts of tags and projects."""

from __future__ import annotations

import asyncio
from datetime import UTC, datetime, timedelta
from typing import Any

import httpx2
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from devlore.types import MemoryDraft
from devlore_server.kit.auth import Principal
from devlore_server.kit.db import Database
from devlore_server.kit.ids import new_id
from devlore_server.kit.log import EventLog
from devlore_server.memory.service import MemoryService
from devlore_server.memory.store.listing import Filters

from .conftest import Enter, created


async def titles(client: httpx2.AsyncClient, **query: Any) -> list[str]:
    answer = await client.get("/v1/memories", params=query)
    assert answer.status_code == 200, answer.text
    return [memory["title"] for memory in answer.json()["items"]]


@pytest.fixture
async def shelf(http: httpx2.AsyncClient, who: Principal) -> httpx2.AsyncClient:
    """Three memories that differ in everything a list filters by."""
    team = str(next(iter(who.teams)))
    await created(
        http,
        title="A",
        kind="decision",
        project="api",
        tags=["x", "y"],
        trust="agent",
        pinned=True,
        source={"connector": "git", "external_id": "1", "author": "Ada <ada@x>"},
        occurred_at="2024-01-01T00:00:00Z",
    )
    await created(
        http,
        title="B",
        kind="tip",
        project="web",
        tags=["y"],
        privacy="public",
        source={"connector": "markdown", "external_id": "2", "author": "Bob"},
        occurred_at="2024-02-01T00:00:00Z",
    )
    last = await created(http, title="C", privacy="team", team_id=team, occurred_at="2024-03-01T00:00:00Z")
    answer = await http.post(f"/v1/memories/{last['id']}/invalidate", json={})
    assert answer.status_code == 200
    return http


@pytest.mark.parametrize(
    ("query", "expected"),
    [
        ({}, "CBA"),
        ({"kind": "tip"}, "B"),
        ({"kind": ["tip", "decision"]}, "BA"),
        ({"project": ["api", "nothing"]}, "A"),
        ({"tag": "y"}, "BA"),
        ({"tag": ["x", "z"]}, "A"),
        ({"author": "ada <ADA@x>"}, "A"),
        ({"author": "@me"}, "CBA"),
        ({"author": "Nobody"}, ""),
        ({"source": ["git", "markdown"]}, "BA"),
        ({"external_id": "2"}, "B"),
        ({"status": "active"}, "BA"),
        ({"status": ["invalidated", "superseded"]}, "C"),
        ({"privacy": ["private", "team"]}, "CA"),
        ({"team": "00000000-0000-7000-8000-000000000301"}, "C"),
        ({"team": "00000000-0000-7000-8000-000000000302"}, ""),
        ({"trust": "agent"}, "A"),
        ({"pinned": "true"}, "A"),
        ({"pinned": "false"}, "CB"),
        ({"after": "2024-02-01T00:00:00Z"}, "CB"),
        ({"before": "2024-02-01T00:00:00Z"}, "A"),
        ({"after": "2024-01-15T00:00:00+01:00", "before": "2024-02-15T00:00:00Z", "kind": "tip"}, "B"),
        ({"deleted": "true"}, ""),
        ({"limit": 2}, "CB"),
    ],
)
async def test_filters(shelf: httpx2.AsyncClient, query: dict[str, Any], expected: str) -> None:
    assert await titles(shelf, **query) == list(expected)


@pytest.mark.parametrize(
    "query",
    [
        {"limit": 0},
        {"limit": 201},
        {"limit": "many"},
        {"status": "gone"},
        {"privacy": "secret"},
        {"after": "yesterday"},
        {"after": "2024-01-01T00:00:00"},
        {"kind": "a\0b"},
        {"kin": "tip"},
        {"tag": ["t"] * 101},
        {"team": "platform"},
    ],
)
async def test_a_bad_parameter_is_named_never_ignored(http: httpx2.AsyncClient, query: dict[str, Any]) -> None:
    answer = await http.get("/v1/memories", params=query)
    assert answer.status_code == 422
    assert {error["parameter"] for error in answer.json()["errors"]} == set(query)


async def test_a_persons_id_is_an_author_too(enter: Enter, who: Principal, other: Principal) -> None:
    await created(enter(who), title="W", privacy="public")
    await created(enter(other), title="O")
    assert await titles(enter(other), author=str(who.person)) == ["W"]
    assert await titles(enter(other), author="@me") == ["O"]


async def test_times_at_the_edge_do_not_crash(http: httpx2.AsyncClient) -> None:
    for edge in ("0001-01-01T00:00:00+14:00", "9999-12-31T23:59:59-14:00"):
        assert (await http.get("/v1/memories", params={"after": edge})).status_code in (200, 422)


async def walk(client: httpx2.AsyncClient, path: str, **query: Any) -> list[dict[str, Any]]:
    """Every item of a listing, by its cursors."""
    items: list[dict[str, Any]] = []
    cursor: dict[str, str] = {}
    while True:
        page = (await client.get(path, params=query | cursor)).json()
        items += page["items"]
        if page["next"] is None:
            return items
        cursor = {"cursor": page["next"]}


async def test_memories_of_one_moment_page_by_id(http: httpx2.AsyncClient) -> None:
    bulk = await http.post("/v1/memories/bulk", json={"items": [{"title": str(n)} for n in range(25)]})
    ids = [item["id"] for item in bulk.json()["items"]]
    assert [one["id"] for one in await walk(http, "/v1/memories", limit=4)] == ids[::-1]


async def test_the_last_page_has_no_next(http: httpx2.AsyncClient) -> None:
    for _ in range(4):
        await created(http)
    first = (await http.get("/v1/memories?limit=2")).json()
    second = (await http.get("/v1/memories", params={"limit": 2, "cursor": first["next"]})).json()
    assert (len(second["items"]), second["next"]) == (2, None)


async def test_inserts_while_paging_neither_repeat_nor_hide(http: httpx2.AsyncClient) -> None:
    before = [(await created(http, title=str(n)))["id"] for n in range(20)]
    page = (await http.get("/v1/memories?limit=6")).json()
    seen = [one["id"] for one in page["items"]]
    while page["next"]:
        _, answer = await asyncio.gather(
            created(http, title="meanwhile"), http.get("/v1/memories", params={"limit": 6, "cursor": page["next"]})
        )
        page = answer.json()
        seen += [one["id"] for one in page["items"]]
    assert seen == before[::-1]


async def test_a_cursor_is_good_for_its_own_listing_only(http: httpx2.AsyncClient) -> None:
    for n in range(3):
        await created(http, kind="tip", tags=[f"t{n}"], project=f"p{n}")
    cursor = (await http.get("/v1/memories?limit=1&kind=tip")).json()["next"]
    of_tags = (await http.get("/v1/tags?limit=1")).json()["next"]
    assert (await http.get("/v1/memories", params={"limit": 2, "kind": "tip", "cursor": cursor})).status_code == 200
    wrong = [("/v1/memories", cursor), ("/v1/memories", of_tags), ("/v1/projects", of_tags), ("/v1/tags", cursor)]
    for path, given_cursor in [*wrong, ("/v1/memories", "x"), ("/v1/memories", ""), ("/v1/memories", cursor[:-2])]:
        answer = await http.get(path, params={"cursor": given_cursor})
        assert (answer.status_code, answer.json()["code"]) == (400, "bad-cursor")


_moments = st.integers(0, 4).map(lambda second: datetime(2025, 1, 1, tzinfo=UTC) + timedelta(seconds=second))


@settings(max_examples=25, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    moments=st.lists(_moments, max_size=12),
    later=st.lists(_moments, max_size=4),
    limit=st.integers(1, 5),
    kinds=st.sampled_from([(), ("tip",), ("tip", "note")]),
)
async def test_pages_together_are_the_listing(
    database_url: str, moments: list[datetime], later: list[datetime], limit: int, kinds: tuple[str, ...]
) -> None:
    """Whatever the times (ties, clocks that go back): what was there at the first page comes once, in order."""
    # Each example is an organisation of its own, and Hypothesis may run it in a loop of its own.
    who = Principal(organisation=new_id(), person=new_id())
    database = Database(database_url)
    await database.open()
    try:
        await _store(database, who, moments)
        service = MemoryService(database, EventLog(database))
        filters = Filters(kind=kinds)
        expected = [memory.id for memory in await service.page(who, filters, 200)]
        page = await service.page(who, filters, limit)
        seen = [memory.id for memory in page]
        await _store(database, who, later)
        while len(page) == limit:
            page = await service.page(who, filters, limit, (page[-1].created_at, page[-1].id))
            seen += [memory.id for memory in page]
    finally:
        await database.close()
    assert len(seen) == len(set(seen))
    assert [id for id in seen if id in set(expected)] == expected


async def _store(database: Database, who: Principal, moments: list[datetime]) -> None:
    for number, moment in enumerate(moments):
        service = MemoryService(database, EventLog(database), clock=lambda at=moment: at)  # type: ignore[misc]
        await service.create(who, MemoryDraft(kind=("tip", "note", "link")[number % 3]))


async def test_tags_are_counted_most_used_first(http: httpx2.AsyncClient) -> None:
    for tags in (["a", "b"], ["b"], ["b", "c", "Ä"], ["z"]):
        await created(http, tags=tags)
    gone = await created(http, tags=["gone"])
    await http.delete(f"/v1/memories/{gone['id']}")
    expected = [("b", 3), ("a", 1), ("c", 1), ("z", 1), ("Ä", 1)]
    for limit in (1, 2, 200):
        counted = await walk(http, "/v1/tags", limit=limit)
        assert [(one["value"], one["count"]) for one in counted] == expected


async def test_projects_are_counted_for_the_caller_only(enter: Enter, who: Principal, other: Principal) -> None:
    await created(enter(who), project="shared", privacy="public")
    await created(enter(who), project="secret")
    await created(enter(other), project="shared")
    assert await walk(enter(who), "/v1/projects") == [
        {"value": "secret", "count": 1},
        {"value": "shared", "count": 1},
    ]
    assert await walk(enter(other), "/v1/projects") == [{"value": "shared", "count": 2}]
