"""A source's item sent again: updated, unchanged, ignored when older, restored; once, whoever is faster."""

from __future__ import annotations

import asyncio
from typing import Any

import httpx2
import psycopg

from devlore_server.kit.auth import Principal
from devlore_server.kit.db import Database
from devlore_server.kit.log import START, EventLog

from .conftest import Enter, created, held_up

ITEM = {"connector": "github", "external_id": "acme/api#12"}


async def upsert(client: httpx2.AsyncClient, status: int, **draft: Any) -> dict[str, Any]:
    answer = await client.post("/v1/memories", json={"source": ITEM} | draft)
    assert answer.status_code == status, answer.text
    memory: dict[str, Any] = answer.json()
    assert answer.headers["etag"] == f'"{memory["version"]}"'
    assert ("location" in answer.headers) == (status == 201)
    return memory


def at(day: int) -> dict[str, str]:
    return ITEM | {"updated_at": f"2025-01-{day:02}T00:00:00Z"}


async def test_the_same_item_updates_its_memory(http: httpx2.AsyncClient) -> None:
    first = await upsert(http, 201, title="One", tags=["a"])
    second = await upsert(http, 200, title="Two", tags=["b"], body="more")
    assert (second["id"], second["version"]) == (first["id"], 2)
    assert (second["title"], second["tags"], second["body"]) == ("Two", ["b"], "more")
    assert second["created_at"] == first["created_at"] < second["updated_at"]
    versions = (await http.get(f"/v1/memories/{first['id']}/versions")).json()["items"]
    assert [(one["version"], one["memory"]["title"]) for one in versions] == [(2, "Two"), (1, "One")]


async def test_equal_content_makes_no_version_and_no_event(http: httpx2.AsyncClient, log: EventLog) -> None:
    draft = {"title": "One", "body": "text", "tags": ["a"], "importance": 0.1, "occurred_at": "2024-01-01T00:00:00Z"}
    first = await upsert(http, 201, **draft)
    assert await upsert(http, 200, **draft) == first
    assert len(await log.read(START, ["memory.created", "memory.updated"], 10)) == 1


async def test_an_older_state_of_the_source_is_ignored(http: httpx2.AsyncClient) -> None:
    newer = await upsert(http, 201, title="New", source=at(5))
    assert await upsert(http, 200, title="Old", source=at(4)) == newer
    assert (await upsert(http, 200, title="Same day", source=at(5)))["version"] == 2
    assert (await upsert(http, 200, title="No time"))["title"] == "No time"
    assert (await upsert(http, 200, title="Still old", source=at(4)))["title"] == "No time"


async def test_a_source_seen_unchanged_later_outdates_what_came_between(http: httpx2.AsyncClient) -> None:
    await upsert(http, 201, title="A", source=at(1))
    seen = await upsert(http, 200, title="A", source=at(9))
    assert (seen["version"], seen["source"]["updated_at"]) == (1, "2025-01-09T00:00:00Z")
    assert (await upsert(http, 200, title="B", source=at(5)))["title"] == "A"
    assert (await http.get(f"/v1/memories/{seen['id']}")).json() == seen


async def test_what_a_source_does_not_say_stays_a_persons_own(http: httpx2.AsyncClient) -> None:
    first = await upsert(http, 201, title="A", kind="change")
    patch = {"pinned": True, "importance": 0.9, "project": "api", "privacy": "public", "kind": "decision"}
    edited = await http.patch(f"/v1/memories/{first['id']}", json=patch, headers={"If-Match": "*"})
    assert edited.status_code == 200
    after = await upsert(http, 200, title="B")
    assert after["title"] == "B"
    assert {name: after[name] for name in patch} == patch
    assert (await upsert(http, 200, title="B", kind="change"))["kind"] == "change"


async def test_a_moved_occurrence_moves_validity_along_unless_it_was_set_apart(http: httpx2.AsyncClient) -> None:
    await upsert(http, 201, occurred_at="2024-01-01T00:00:00Z")
    assert (await upsert(http, 200, occurred_at="2024-02-01T00:00:00Z"))["valid_from"] == "2024-02-01T00:00:00Z"
    await upsert(http, 200, valid_from="2020-01-01T00:00:00Z")
    assert (await upsert(http, 200, occurred_at="2024-03-01T00:00:00Z"))["valid_from"] == "2020-01-01T00:00:00Z"


async def test_a_deleted_memory_comes_back_with_its_source(http: httpx2.AsyncClient, log: EventLog) -> None:
    first = await upsert(http, 201, title="A")
    assert (await http.delete(f"/v1/memories/{first['id']}")).status_code == 204
    back = await upsert(http, 200, title="A")
    assert (back["id"], back["version"], back["deleted_at"]) == (first["id"], 3, None)
    events = await log.read(START, ["memory.restored"], 10)
    assert [event.version for _, event in events] == [3]


async def test_links_of_a_later_draft_are_added(http: httpx2.AsyncClient) -> None:
    first = await upsert(http, 201, links=[{"target_kind": "url", "target": "https://a"}])
    await upsert(http, 200, links=[{"target_kind": "url", "target": u} for u in ("https://a", "https://b")])
    links = (await http.get(f"/v1/memories/{first['id']}/links")).json()["items"]
    assert [link["target"] for link in links] == ["https://a", "https://b"]


async def test_an_item_is_known_per_person_and_connector(enter: Enter, who: Principal, other: Principal) -> None:
    mine = await upsert(enter(who), 201, title="A", privacy="public")
    theirs = await upsert(enter(other), 201, title="A")
    elsewhere = await created(enter(who), source=ITEM | {"connector": "gitlab"})
    assert len({mine["id"], theirs["id"], elsewhere["id"]}) == 3


async def test_without_an_external_id_nothing_is_merged(http: httpx2.AsyncClient) -> None:
    source = {"connector": "github"}
    assert (await created(http, source=source))["id"] != (await created(http, source=source))["id"]


async def test_concurrent_upserts_of_one_item_make_one_memory(http: httpx2.AsyncClient) -> None:
    draft = {"title": "A", "source": at(1)}
    answers = await asyncio.gather(*(http.post("/v1/memories", json=draft) for _ in range(12)))
    assert sorted(answer.status_code for answer in answers) == [200] * 11 + [201]
    assert len({answer.json()["id"] for answer in answers}) == 1
    assert {answer.json()["version"] for answer in answers} == {1}
    assert len((await http.get("/v1/memories")).json()["items"]) == 1


async def test_racing_updates_keep_the_newest(http: httpx2.AsyncClient) -> None:
    days = [7, 3, 9, 1, 8, 2]
    await asyncio.gather(*(http.post("/v1/memories", json={"title": f"day {day}", "source": at(day)}) for day in days))
    (memory,) = (await http.get("/v1/memories")).json()["items"]
    assert memory["title"] == "day 9"


async def test_bulks_that_cross_each_other_store_each_item_once(http: httpx2.AsyncClient) -> None:
    names = [f"item {n}" for n in range(30)]
    items = [{"title": name, "source": {"connector": "github", "external_id": name}} for name in names]
    orders = [items, items[::-1], items[15:] + items[:15], items[::2] + items[1::2]]
    answers = await asyncio.gather(*(http.post("/v1/memories/bulk", json={"items": order}) for order in orders))
    assert [answer.status_code for answer in answers] == [200] * 4
    assert sum(answer.json()["created"] for answer in answers) == 30
    assert len((await http.get("/v1/memories?limit=200")).json()["items"]) == 30


async def test_a_deadlock_is_somebody_elses_story(http: httpx2.AsyncClient, database: Database, owner_url: str) -> None:
    """PostgreSQL breaks a cycle by failing one of the two; the service tries again and nobody notices."""
    items = [{"title": name, "source": ITEM | {"external_id": name}} for name in ("a", "b")]
    stored = (await http.post("/v1/memories/bulk", json={"items": items})).json()["items"]
    first, second = [one["id"] for one in stored]
    lock = "SELECT 1 FROM memory.memory WHERE id = %s FOR UPDATE"
    changed = [one | {"body": "new"} for one in items]
    async with asyncio.TaskGroup() as group, await psycopg.AsyncConnection.connect(owner_url) as connection:
        await connection.execute("SET deadlock_timeout = '100s'")  # so it is the bulk that is failed
        await connection.execute(lock, (second,))
        bulk = group.create_task(http.post("/v1/memories/bulk", json={"items": changed}))
        await held_up(database, 1)
        # Now the bulk holds the first and waits for the second.
        await connection.execute(lock, (first,))
    answer = bulk.result()
    assert (answer.status_code, answer.json()["updated"]) == (200, 2), answer.text
