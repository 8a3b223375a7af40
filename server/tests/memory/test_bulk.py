"""Bulk: every item answered in its place, one transaction, bad ones stop no other."""

from __future__ import annotations

from typing import Any

import httpx2
import pytest

from devlore_server.kit.auth import Principal
from devlore_server.kit.db import Database, rows
from devlore_server.kit.ids import new_id
from devlore_server.kit.log import START, EventLog

from .conftest import Enter, Readiness, created, pointers


async def bulk(client: httpx2.AsyncClient, items: list[Any]) -> dict[str, Any]:
    answer = await client.post("/v1/memories/bulk", json={"items": items})
    assert answer.status_code == 200, answer.text
    result: dict[str, Any] = answer.json()
    assert [item["index"] for item in result["items"]] == list(range(len(items)))
    for name in ("created", "updated", "unchanged", "refused"):
        assert result[name] == sum(item["result"] == name for item in result["items"])
    return result


def item(external_id: str, day: int = 1, **draft: Any) -> dict[str, Any]:
    source = {"connector": "git", "external_id": external_id, "updated_at": f"2025-01-{day:02}T00:00:00Z"}
    return {"title": external_id, "source": source} | draft


async def test_a_thousand_in_one_transaction(http: httpx2.AsyncClient, database: Database, who: Principal) -> None:
    drafts = [{"title": f"Memory {n}", "body": "text " * 50, "tags": [f"t{n % 7}"]} for n in range(1_000)]
    result = await bulk(http, drafts)
    assert (result["created"], {one["status"] for one in result["items"]}) == (1_000, {201})
    async with database.transaction(who) as connection:
        (found,) = await rows(
            connection,
            "SELECT count(DISTINCT m.xmin::text) AS transactions, count(*) AS memories,"
            " count(*) FILTER (WHERE e.data->'memory'->>'title' = m.title) AS events"
            " FROM memory.memory m JOIN log.event e ON e.subject = m.id",
        )
    assert found == {"transactions": 1, "memories": 1_000, "events": 1_000}
    listed = (await http.get("/v1/memories?limit=200")).json()["items"]
    assert [one["title"] for one in listed] == [f"Memory {n}" for n in range(999, 799, -1)]


async def test_refused_items_stop_no_other_and_say_where(http: httpx2.AsyncClient, other: Principal) -> None:
    foreign = str(next(iter(other.teams)))
    result = await bulk(
        http,
        [
            {"title": "first"},
            {"title": "x" * 501, "importance": "much"},
            {"body": "é" * 600_000},
            {"title": "a", "links": [{"target_kind": "memory", "target": str(new_id())}]},
            {"privacy": "team", "team_id": foreign},
            {"occurred_at": "0001-01-01T00:00:00Z"},
            {"a/b~c": 1},
            {"title": "last"},
        ],
    )
    assert [one["result"] for one in result["items"]] == ["created", *["refused"] * 6, "created"]
    refused = {one["index"]: one for one in result["items"] if one["result"] == "refused"}
    places = {index: [e["pointer"] for e in one["problem"]["errors"]] for index, one in refused.items()}
    assert places == {
        1: ["/items/1/title", "/items/1/importance"],
        2: ["/items/2/body"],
        3: ["/items/3/links/0/target"],
        4: ["/items/4/team_id"],
        5: ["/items/5/occurred_at"],
        6: ["/items/6/a~1b~0c"],
    }
    assert all((one["status"], one["id"], one["version"]) == (422, None, None) for one in refused.values())
    assert refused[2]["problem"]["detail"].startswith("/items/2/body: ")
    assert refused[2]["problem"]["code"] == "invalid"
    listed = (await http.get("/v1/memories")).json()["items"]
    assert [one["title"] for one in listed] == ["last", "first"]


async def test_all_refused_is_an_answer_too(http: httpx2.AsyncClient) -> None:
    assert (await bulk(http, [{"kind": 7}, {"nothing": 1}]))["refused"] == 2


@pytest.mark.parametrize(
    ("body", "where"),
    [({}, "/items"), ({"items": []}, "/items"), ({"items": [{}] * 1001}, "/items"), ({"items": [{}, 1]}, "/items/1")],
)
async def test_what_is_no_bulk_is_refused_whole(http: httpx2.AsyncClient, body: Any, where: str) -> None:
    assert pointers(await http.post("/v1/memories/bulk", json=body)) == [where]
    assert (await http.get("/v1/memories")).json()["items"] == []


async def test_known_items_are_updated_ignored_or_unchanged(http: httpx2.AsyncClient) -> None:
    first = await bulk(http, [item("a", 5), item("b", 5), item("c", 5), item("d", 5)])
    gone = first["items"][3]["id"]
    await http.delete(f"/v1/memories/{gone}")
    again = await bulk(
        http, [item("e"), item("a", 6, body="new"), item("b", 5), item("c", 4, body="old"), item("d", 5)]
    )
    answered = [(one["result"], one["status"], one["version"]) for one in again["items"]]
    assert answered == [
        ("created", 201, 1),
        ("updated", 200, 2),
        ("unchanged", 200, 1),
        ("unchanged", 200, 1),
        ("updated", 200, 3),
    ]
    assert [one["id"] for one in again["items"][1:]] == [one["id"] for one in first["items"]]


async def test_of_an_item_sent_twice_the_newest_is_stored(http: httpx2.AsyncClient, log: EventLog) -> None:
    result = await bulk(
        http,
        [
            item("a", 2, body="2"),
            item("a", 9, body="9"),
            item("a", 5, body="5"),
            item("b", 1, body="x"),
            item("b", 1, body="y"),
        ],
    )
    assert [one["result"] for one in result["items"]] == ["unchanged", "created", "unchanged", "unchanged", "created"]
    assert len({one["id"] for one in result["items"][:3]}) == 1
    assert [one["body"] for one in (await http.get("/v1/memories")).json()["items"]] == ["y", "9"]
    assert len(await log.read(START, ["memory.created", "memory.updated"], 10)) == 2


async def test_a_refused_duplicate_does_not_speak_for_its_item(http: httpx2.AsyncClient) -> None:
    result = await bulk(http, [item("a", 1, body="fine"), item("a", 9, body="é" * 600_000)])
    assert [one["result"] for one in result["items"]] == ["created", "refused"]
    assert (await http.get("/v1/memories")).json()["items"][0]["body"] == "fine"


async def test_links_in_bulk(http: httpx2.AsyncClient) -> None:
    target = await created(http)
    links = [{"target_kind": "memory", "target": target["id"]}]
    await bulk(http, [{"title": str(n), "links": links} for n in range(3)])
    assert len((await http.get(f"/v1/memories/{target['id']}/links")).json()["items"]) == 3


async def test_a_bulk_touches_only_the_callers_items(enter: Enter, who: Principal, other: Principal) -> None:
    await bulk(enter(other), [item("a", privacy="public")])
    assert (await bulk(enter(who), [item("a", 9, body="mine")]))["created"] == 1
    assert {one["body"] for one in (await enter(other).get("/v1/memories")).json()["items"]} == {""}


async def test_wait_indexed(http: httpx2.AsyncClient, indexing: Readiness) -> None:
    answer = await http.post("/v1/memories/bulk?wait=indexed", json={"items": [{}]})
    assert (answer.headers["devlore-indexed"], indexing.waits) == ("true", 1)
