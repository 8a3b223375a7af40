"""Storing one memory: what is answered, what is committed, what is refused."""

from __future__ import annotations

import asyncio
import random
from datetime import UTC, datetime
from typing import Any
from uuid import UUID

import httpx2
import psycopg
import pytest

from devlore.events import MemorySnapshot
from devlore.types import Memory, MemoryDraft
from devlore_server.kit.auth import Principal
from devlore_server.kit.db import Database, rows
from devlore_server.kit.ids import new_id
from devlore_server.kit.log import START, EventLog
from devlore_server.memory.store import memories
from devlore_server.memory.upsert import new_memory

from .conftest import Enter, Readiness, created, pointers

EVENTS = ["memory.created", "memory.updated", "memory.deleted", "memory.restored", "memory.purged"]


async def test_a_created_memory_is_answered_and_read_back_whole(http: httpx2.AsyncClient, who: Principal) -> None:
    draft = {
        "title": "  We pin psycopg ",
        "body": "3.2.4 leaks 🐘",
        "kind": "decision",
        "project": "api",
        "tags": ["postgres", "pool", "postgres"],
        "occurred_at": "2024-05-06T07:08:09.123456+02:00",
        "importance": 0.123456789,
        "pinned": True,
        "trust": "agent",
        "privacy": "public",
        "source": {"connector": "manual", "author": "Ada", "url": "https://example.org"},
    }
    answer = await http.post("/v1/memories", json=draft)
    assert answer.status_code == 201
    memory = Memory.model_validate_json(answer.content)
    assert answer.headers["location"] == f"/v1/memories/{memory.id}"
    assert answer.headers["etag"] == '"1"'
    assert (memory.title, memory.body, memory.tags) == ("We pin psycopg", "3.2.4 leaks 🐘", ["postgres", "pool"])
    assert memory.occurred_at == memory.valid_from == datetime(2024, 5, 6, 5, 8, 9, 123456, UTC)
    assert (memory.importance, memory.pinned, memory.version) == (0.123456789, True, 1)
    assert (memory.created_by, memory.organisation_id) == (who.person, who.organisation)
    read = await http.get(answer.headers["location"])
    assert (read.status_code, read.headers["etag"]) == (200, '"1"')
    assert read.json() == answer.json()


async def test_an_empty_draft_takes_the_defaults(http: httpx2.AsyncClient) -> None:
    memory = Memory.model_validate_json((await http.post("/v1/memories", json={})).content)
    assert (memory.kind, memory.privacy, memory.status, memory.trust) == ("note", "private", "active", "person")
    assert memory.occurred_at == memory.created_at == memory.updated_at == memory.valid_from


async def test_a_create_leaves_one_event_with_the_whole_state(http: httpx2.AsyncClient, log: EventLog) -> None:
    memory = await created(http, body="text", tags=["a"])
    ((_, event),) = await log.read(START, EVENTS, 10)
    assert (event.type, event.version) == ("memory.created", 1)
    assert event.subject == UUID(memory["id"])
    assert event.data == {"memory": memory}
    assert MemorySnapshot.model_validate(event.data).memory == Memory.model_validate(memory)


async def test_links_of_a_draft_are_stored_with_it(http: httpx2.AsyncClient) -> None:
    target = await created(http)
    drafts = [
        {"type": "fixes", "target_kind": "memory", "target": target["id"].upper()},
        {"type": "fixes", "target_kind": "memory", "target": "{" + target["id"] + "}"},
        {"target_kind": "url", "target": "https://example.org/1", "note": "the ticket"},
        {"target_kind": "url", "target": "https://example.org/1"},
    ]
    memory = await created(http, links=drafts)
    links = (await http.get(f"/v1/memories/{memory['id']}/links")).json()["items"]
    assert {(link["type"], link["target"]) for link in links} == {
        ("fixes", target["id"]),
        ("relates_to", "https://example.org/1"),
    }


async def test_a_link_to_what_one_cannot_see_is_refused_like_one_to_nothing(
    enter: Enter, who: Principal, other: Principal, stranger: Principal
) -> None:
    hidden = [(await created(enter(whose)))["id"] for whose in (other, stranger)]
    answers = []
    for target in [*hidden, str(new_id()), "no id"]:
        links = [{"target_kind": "url", "target": "u"}, {"target_kind": "memory", "target": target}]
        answer = await enter(who).post("/v1/memories", json={"links": links})
        assert pointers(answer) == ["/links/1/target"]
        answers.append(answer.json())
    assert answers[0] == answers[1] == answers[2]
    assert (await enter(who).get("/v1/memories")).json()["items"] == []


@pytest.mark.parametrize(
    ("draft", "where"),
    [
        ({"title": "x" * 501}, ["/title"]),
        ({"title": "a\0b"}, ["/title"]),
        ({"body": "a\0b", "kind": "Not A Kind"}, ["/body", "/kind"]),
        ({"tags": ["fine", "a,b"]}, ["/tags/1"]),
        ({"tags": ["t"] * 51}, ["/tags"]),
        ({"importance": 1.5}, ["/importance"]),
        ({"occurred_at": "2024-01-01T00:00:00"}, ["/occurred_at"]),
        ({"occurred_at": "0001-01-01T00:00:00+14:00"}, ["/occurred_at"]),
        ({"valid_from": "9999-12-31T23:00:00-12:00"}, ["/valid_from"]),
        ({"source": {"connector": "git", "updated_at": "9999-12-31T23:59:59Z"}}, ["/source/updated_at"]),
        ({"source": {"connector": "git", "external_id": ""}}, ["/source/external_id"]),
        ({"source": {"connector": "git", "external_id": "日" * 667}}, ["/source/external_id"]),
        ({"links": [{"target_kind": "url", "target": "日" * 667}]}, ["/links/0/target"]),
        ({"privacy": "team"}, ["/team_id"]),
        ({"links": [{"target_kind": "url", "target": "a\0"}]}, ["/links/0/target"]),
        ({"id": "0199aa00-0000-7000-8000-000000000001"}, ["/id"]),
        ({"version": 7}, ["/version"]),
        ({"organisation_id": "0199aa00-0000-7000-8000-000000000001"}, ["/organisation_id"]),
    ],
)
async def test_bad_input_names_each_place(http: httpx2.AsyncClient, draft: dict[str, Any], where: list[str]) -> None:
    assert sorted(pointers(await http.post("/v1/memories", json=draft))) == where
    assert (await http.get("/v1/memories")).json()["items"] == []


async def test_the_longest_keys_can_be_stored(http: httpx2.AsyncClient) -> None:
    # Random, because PostgreSQL compresses what repeats.
    shuffled = random.Random(7).sample([chr(0x4E00 + n) for n in range(666)], 666)
    key, connector = "".join(shuffled), "c" * 40
    links = [{"type": "near_duplicate", "target_kind": "commit", "target": key}]
    memory = await created(http, source={"connector": connector, "external_id": key}, links=links)
    path = f"/v1/memories/{memory['id']}/links"
    assert (await http.get(path)).json()["items"][0]["target"] == key
    assert (await http.post(path, json={"target_kind": "ticket", "target": key})).status_code == 201
    assert pointers(await http.post(path, json={"target_kind": "url", "target": key + "日"})) == ["/target"]


async def test_a_body_is_limited_in_bytes_not_in_characters(http: httpx2.AsyncClient) -> None:
    fits = "é" * 524_288
    assert (await http.post("/v1/memories", json={"body": fits})).status_code == 201
    assert pointers(await http.post("/v1/memories", json={"body": fits + "é"})) == ["/body"]
    assert pointers(await http.post("/v1/memories", json={"body": "x" * 1_048_577})) == ["/body"]


@pytest.mark.parametrize(
    "body", [rb'{"title": "\ud800"}', rb'{"tags": ["\udfff"]}', rb'{"\ud800": 1}', b'{"title": "\xff"}']
)
async def test_what_is_no_unicode_is_refused_not_a_crash(http: httpx2.AsyncClient, body: bytes) -> None:
    answer = await http.post("/v1/memories", content=body, headers={"Content-Type": "application/json"})
    assert answer.status_code in (400, 422)
    assert answer.headers["content-type"] == "application/problem+json"


async def test_a_team_one_is_not_in_and_one_that_is_not_are_the_same(
    enter: Enter, who: Principal, other: Principal
) -> None:
    answers = []
    for team in [next(iter(other.teams)), new_id()]:
        answer = await enter(who).post("/v1/memories", json={"privacy": "team", "team_id": str(team)})
        assert pointers(answer) == ["/team_id"]
        answers.append(answer.content)
        private = await enter(who).post("/v1/memories", json={"team_id": str(team)})
        assert pointers(private) == ["/team_id"]
    assert answers[0] == answers[1]
    mine = next(iter(who.teams))
    assert (await created(enter(who), privacy="team", team_id=str(mine)))["team_id"] == str(mine)


async def test_wait_indexed_says_whether_search_has_caught_up(http: httpx2.AsyncClient, indexing: Readiness) -> None:
    assert "devlore-indexed" not in (await http.post("/v1/memories", json={})).headers
    answer = await http.post("/v1/memories?wait=indexed", json={})
    assert (answer.headers["devlore-indexed"], indexing.waits) == ("true", 1)
    indexing.behind = ["search.lexical", "search.vector"]
    answer = await http.post("/v1/memories?wait=indexed", json={})
    assert (answer.status_code, answer.headers["devlore-indexed"]) == (201, "false; search.lexical; search.vector")
    assert (await http.post("/v1/memories?wait=forever", json={})).status_code == 422


async def test_nobody_and_the_unprivileged_are_refused(enter: Enter, app: Any, who: Principal) -> None:
    reader = Principal(who.organisation, who.person, who.teams, frozenset({"memories:read"}))
    assert (await enter(reader).post("/v1/memories", json={})).status_code == 403
    async with httpx2.AsyncClient(transport=httpx2.ASGITransport(app=app), base_url="http://devlore.test") as nobody:
        assert (await nobody.post("/v1/memories", json={})).status_code == 401
        assert (await nobody.get("/v1/memories")).status_code == 401


async def test_a_create_is_committed_when_it_is_answered(http: httpx2.AsyncClient, owner_url: str) -> None:
    ids = {(await created(http))["id"] for _ in range(3)}
    separate = Database(owner_url)
    await separate.open()
    async with separate.transaction(None) as connection:
        assert {str(row["id"]) for row in await rows(connection, "SELECT id FROM memory.memory")} == ids
    await separate.close()


async def test_concurrent_creates_are_all_stored_once(http: httpx2.AsyncClient) -> None:
    made = await asyncio.gather(*(created(http, title=str(n)) for n in range(40)))
    listed = (await http.get("/v1/memories", params={"limit": 200})).json()["items"]
    assert sorted(one["id"] for one in listed) == sorted(one["id"] for one in made)


async def test_a_create_that_is_sent_twice_is_one(database: Database, who: Principal, log: EventLog) -> None:
    """As when the connection breaks after the commit and before the answer."""
    memory = new_memory(who, MemoryDraft(title="once"), datetime.now(UTC))
    for _ in range(2):
        await memories.insert(database, who, memory)
    async with database.transaction(who) as connection:
        assert await memories.find_many(connection, who, [memory.id]) == [memory]
    assert [event.subject for _, event in await log.read(START, EVENTS, 10)] == [memory.id]


async def test_a_create_replaces_connections_that_died(http: httpx2.AsyncClient, owner_url: str, log: EventLog) -> None:
    await created(http)
    async with await psycopg.AsyncConnection.connect(owner_url, autocommit=True) as owner:
        await owner.execute(
            "SELECT pg_terminate_backend(pid, 5000) FROM pg_stat_activity"
            " WHERE datname = current_database() AND usename = 'devlore_app'"
        )
    memory = await created(http, title="after the restart")
    assert (await http.get(f"/v1/memories/{memory['id']}")).json() == memory
    assert len(await log.read(START, EVENTS, 10)) == 2


async def test_nobody_can_create_in_another_name(
    database: Database, who: Principal, other: Principal, stranger: Principal, log: EventLog
) -> None:
    for whose in (other, stranger):
        memory = new_memory(whose, MemoryDraft(), datetime.now(UTC))
        with pytest.raises(psycopg.errors.InsufficientPrivilege):
            await memories.insert(database, who, memory.model_copy(update={"organisation_id": who.organisation}))
    assert await log.read(START, EVENTS, 10) == []


async def test_of_many_new_memories_those_whose_id_is_taken_leave_no_event(
    database: Database, who: Principal, log: EventLog
) -> None:
    drafts = [MemoryDraft(title=str(number)) for number in range(4)]
    taken, *fresh = (new_memory(who, draft, datetime.now(UTC)) for draft in drafts)
    await memories.insert(database, who, taken)
    async with database.transaction(who) as connection:
        stored = await memories.insert_many(connection, who, [fresh[0], taken, *fresh[1:]], at=taken.created_at)
    assert stored == {memory.id for memory in fresh}
    assert [event.subject for _, event in await log.read(START, EVENTS, 10)] == [taken.id, *(m.id for m in fresh)]
