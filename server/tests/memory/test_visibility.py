"""What one may not see does not exist: same status, same body, same headers, on every operation."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import httpx2
import pytest

from devlore_server.kit.auth import Principal
from devlore_server.kit.db import Database, rows
from devlore_server.kit.ids import new_id

from .conftest import Enter, created

OPERATIONS = [
    ("GET", "", None),
    ("GET", "?deleted=true", None),
    ("PATCH", "", {"title": "mine"}),
    ("PATCH", "", {"privacy": "public"}),
    ("PATCH", "", {"title": None}),
    ("DELETE", "", None),
    ("DELETE", "?purge=true", None),
    ("POST", "/restore", {}),
    ("POST", "/restore", {"version": 1}),
    ("GET", "/versions", None),
    ("GET", "/versions/1", None),
    ("GET", "/diff", None),
    ("GET", "/links", None),
    ("POST", "/links", {"target_kind": "url", "target": "u"}),
    ("POST", "/invalidate", {}),
    ("POST", "/reinstate", {}),
]


async def ask(client: httpx2.AsyncClient, id: Any, operation: tuple[str, str, Any], if_match: str) -> tuple[Any, ...]:
    method, rest, body = operation
    answer = await client.request(method, f"/v1/memories/{id}{rest}", json=body, headers={"If-Match": if_match})
    return answer.status_code, answer.content.replace(str(id).encode(), b"<id>"), sorted(answer.headers.items())


@pytest.mark.parametrize("operation", OPERATIONS, ids=lambda one: f"{one[0]} {one[1]} {one[2]}")
async def test_hidden_and_absent_are_the_same(
    enter: Enter, who: Principal, other: Principal, stranger: Principal, operation: tuple[str, str, Any]
) -> None:
    team = str(next(iter(who.teams)))
    hidden = [
        await created(enter(who), body="secret"),
        await created(enter(who), body="secret", privacy="team", team_id=team),
    ]
    public = await created(enter(who), body="secret", privacy="public")
    for asking, ids in [(other, hidden), (stranger, [*hidden, public])]:
        client = enter(asking)
        for if_match in ("*", '"1"', '"7"'):
            absent = await ask(client, new_id(), operation, if_match)
            assert absent[0] == 404
            for memory in ids:
                assert await ask(client, memory["id"], operation, if_match) == absent
    for memory in hidden:
        assert (await enter(who).get(f"/v1/memories/{memory['id']}")).json() == memory


async def test_lists_show_what_one_may_see(enter: Enter, who: Principal, other: Principal, stranger: Principal) -> None:
    team = next(iter(who.teams))
    await created(enter(who), title="private")
    await created(enter(who), title="team", privacy="team", team_id=str(team))
    await created(enter(who), title="public", privacy="public")
    mate = Principal(who.organisation, new_id(), who.teams, who.scopes)

    async def listed(asking: Principal) -> list[str]:
        return [one["title"] for one in (await enter(asking).get("/v1/memories")).json()["items"]]

    assert await listed(who) == ["public", "team", "private"]
    assert await listed(mate) == ["public", "team"]
    assert await listed(other) == ["public"]
    assert await listed(stranger) == []


async def test_taking_everything_along_needs_a_scope_of_its_own(enter: Enter, who: Principal) -> None:
    """A key to read with is not one to export with, nor is a viewer."""
    for scope, status in (("memories:read", 403), ("memories:export", 200)):
        client = enter(replace(who, scopes=frozenset({scope})))
        assert (await client.get("/v1/memories/export")).status_code == status


async def test_a_team_mate_may_edit(enter: Enter, who: Principal) -> None:
    team = str(next(iter(who.teams)))
    mate = Principal(who.organisation, new_id(), who.teams, who.scopes)
    memory = await created(enter(who), privacy="team", team_id=team)
    path = f"/v1/memories/{memory['id']}"
    answer = await enter(mate).patch(path, json={"title": "Ours"}, headers={"If-Match": '"1"'})
    assert (answer.status_code, answer.json()["created_by"]) == (200, str(who.person))
    (newest, _) = (await enter(who).get(f"{path}/versions")).json()["items"]
    assert newest["changed_by"] == str(mate.person)


async def test_row_level_security_alone_keeps_tenants_apart(
    enter: Enter, database: Database, who: Principal, stranger: Principal
) -> None:
    """Wall two without wall one: no statement here names an organisation."""
    memory = await created(
        enter(who), privacy="public", source={"connector": "git", "external_id": "1"}, links=[_URL], tags=["t"]
    )
    await enter(who).patch(f"/v1/memories/{memory['id']}", json={"title": "x"}, headers={"If-Match": "*"})
    for asking in (stranger, None):
        async with database.transaction(asking) as connection:
            for table in ("memory.memory", "memory.version", "memory.link", "memory.claim", "log.event"):
                assert await rows(connection, f"SELECT * FROM {table}") == []
            cursor = await connection.execute("UPDATE memory.memory SET title = 'theirs'")
            assert cursor.rowcount == 0
            cursor = await connection.execute("DELETE FROM memory.memory")
            assert cursor.rowcount == 0


_URL = {"target_kind": "url", "target": "https://example.org"}
