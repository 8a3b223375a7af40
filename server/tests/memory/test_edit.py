"""Changing a memory: merge patch, If-Match, what null means, who may."""

from __future__ import annotations

import asyncio
from typing import Any

import httpx2
import pytest

from devlore_server.kit.auth import Principal
from devlore_server.kit.ids import new_id
from devlore_server.kit.log import START, EventLog

from .conftest import Enter, Readiness, created, pointers


async def patch(
    client: httpx2.AsyncClient, memory: dict[str, Any], changes: Any, if_match: str | None = "*", **options: Any
) -> httpx2.Response:
    headers = {"Content-Type": "application/merge-patch+json"} | ({"If-Match": if_match} if if_match else {})
    return await client.patch(f"/v1/memories/{memory['id']}", json=changes, headers=headers, **options)


async def test_only_what_is_sent_changes(http: httpx2.AsyncClient, log: EventLog) -> None:
    memory = await created(http, body="text", tags=["a"], project="api", importance=0.7)
    answer = await patch(http, memory, {"title": "New", "tags": ["b", "b"]}, '"1"')
    assert (answer.status_code, answer.headers["etag"]) == (200, '"2"')
    changed = answer.json()
    assert changed == memory | {
        "title": "New",
        "tags": ["b"],
        "version": 2,
        "updated_at": changed["updated_at"],
    }
    assert changed["updated_at"] > memory["updated_at"]
    assert (await http.get(f"/v1/memories/{memory['id']}")).json() == changed
    ((_, event),) = await log.read(START, ["memory.updated"], 10)
    assert (event.version, event.data["memory"]) == (2, changed)


async def test_every_patchable_field(http: httpx2.AsyncClient, who: Principal) -> None:
    memory = await created(http)
    changes = {
        "title": "T",
        "body": "B",
        "kind": "tip",
        "project": "p",
        "tags": ["x"],
        "privacy": "team",
        "team_id": str(next(iter(who.teams))),
        "occurred_at": "2020-01-01T00:00:00Z",
        "importance": 1.0,
        "pinned": True,
    }
    changed = (await patch(http, memory, changes)).json()
    assert {name: changed[name] for name in changes} == changes
    assert changed["valid_from"] == "2020-01-01T00:00:00Z"


async def test_an_edit_is_answered_as_it_will_be_read(http: httpx2.AsyncClient) -> None:
    """In UTC, whatever time zone it came in; the text is the same although the moment was, too."""
    memory = await created(http)
    answer = await patch(http, memory, {"occurred_at": "2024-03-10T01:30:00+05:30", "tags": ["b", "a", "b"]})
    assert answer.json()["occurred_at"] == "2024-03-09T20:00:00Z"
    assert answer.json() == (await http.get(f"/v1/memories/{memory['id']}")).json()
    again = await patch(http, answer.json(), {"occurred_at": "2024-03-09T12:00:00-08:00"})
    assert again.json() == answer.json(), "the same moment is no change"


async def test_without_if_match_nothing_changes(http: httpx2.AsyncClient) -> None:
    memory = await created(http)
    answer = await patch(http, memory, {"title": "New"}, None)
    assert (answer.status_code, answer.json()["code"]) == (428, "precondition-required")
    assert (await patch(http, {"id": new_id()}, {"title": "New"}, None)).status_code == 428


@pytest.mark.parametrize("tag", ['"1"', 'W/"2"', "2", '"02"', '"two"', '""', "", '"99999999999999999999"', '"1", "3"'])
async def test_another_version_is_refused_and_named(http: httpx2.AsyncClient, tag: str) -> None:
    memory = await created(http)
    await patch(http, memory, {"title": "Two"})
    headers = {"If-Match": tag}
    answer = await http.patch(f"/v1/memories/{memory['id']}", json={"title": "Three"}, headers=headers)
    assert (answer.status_code, answer.json()["code"], answer.json()["version"]) == (412, "version-mismatch", 2)


async def test_a_list_of_versions_or_a_star_matches(http: httpx2.AsyncClient) -> None:
    memory = await created(http)
    assert (await patch(http, memory, {"title": "Two"}, '"7", "1"')).json()["version"] == 2
    assert (await patch(http, memory, {"title": "Three"}, "*")).json()["version"] == 3


async def test_null_clears_what_may_be_empty_and_is_an_error_elsewhere(http: httpx2.AsyncClient) -> None:
    memory = await created(http, project="api")
    assert (await patch(http, memory, {"project": None})).json()["project"] is None
    everything = dict.fromkeys(["title", "body", "kind", "tags", "privacy", "occurred_at", "importance", "pinned"])
    answer = await patch(http, memory, everything | {"project": None})
    assert sorted(pointers(answer)) == sorted(f"/{name}" for name in everything)
    assert (await http.get(f"/v1/memories/{memory['id']}")).json()["version"] == 2


async def test_a_patch_that_changes_nothing_makes_no_version(http: httpx2.AsyncClient, log: EventLog) -> None:
    memory = await created(http, body="text", tags=["a"], occurred_at="2024-01-01T00:00:00Z")
    for same in ({}, {"body": "text"}, {"tags": ["a"], "occurred_at": "2024-01-01T01:00:00+01:00"}):
        answer = await patch(http, memory, same, '"1"')
        assert (answer.status_code, answer.json()) == (200, memory)
    assert await log.read(START, ["memory.updated"], 10) == []


@pytest.mark.parametrize(
    ("changes", "where"),
    [
        ({"title": "x" * 501}, ["/title"]),
        ({"body": "é" * 600_000}, ["/body"]),
        ({"body": "a\0"}, ["/body"]),
        ({"occurred_at": "0001-01-01T00:00:00Z"}, ["/occurred_at"]),
        ({"privacy": "team"}, ["/team_id"]),
        ({"status": "invalidated"}, ["/status"]),
        ({"version": 3}, ["/version"]),
        ({"tags": ["a", ""]}, ["/tags/1"]),
        ([], [""]),
    ],
)
async def test_bad_patches_name_the_place(http: httpx2.AsyncClient, changes: Any, where: list[str]) -> None:
    memory = await created(http)
    assert pointers(await patch(http, memory, changes)) == where
    assert (await http.get(f"/v1/memories/{memory['id']}")).json() == memory


async def test_another_content_type_is_not_read(http: httpx2.AsyncClient) -> None:
    memory = await created(http)
    path, headers = f"/v1/memories/{memory['id']}", {"If-Match": "*", "Content-Type": "text/plain"}
    assert (await http.patch(path, content=b'{"title": "x"}', headers=headers)).status_code == 415
    headers["Content-Type"] = "application/json"
    assert (await http.patch(path, content=b'{"title": "x"}', headers=headers)).status_code == 200


async def test_of_two_edits_of_one_version_one_wins(http: httpx2.AsyncClient) -> None:
    memory = await created(http)
    answers = await asyncio.gather(*(patch(http, memory, {"title": f"edit {n}"}, '"1"') for n in range(8)))
    assert sorted(answer.status_code for answer in answers) == [200] + [412] * 7
    winner = next(answer for answer in answers if answer.status_code == 200)
    assert (await http.get(f"/v1/memories/{memory['id']}")).json() == winner.json()


async def test_only_the_author_changes_who_sees_it(enter: Enter, who: Principal, other: Principal) -> None:
    memory = await created(enter(who), privacy="public")
    edited = await patch(enter(other), memory, {"title": "Improved"})
    assert (edited.status_code, edited.json()["created_by"]) == (200, str(who.person))
    team = str(next(iter(other.teams)))
    for changes in ({"privacy": "private"}, {"team_id": team}, {"privacy": "team", "team_id": team}):
        assert (await patch(enter(other), memory, changes)).status_code == 403
    assert (await patch(enter(other), memory, {"privacy": "public", "title": "Again"})).status_code == 200
    assert (await patch(enter(who), memory, {"privacy": "private"})).status_code == 200
    assert (await patch(enter(other), memory, {"title": "Mine"})).status_code == 404


async def test_a_team_of_others_cannot_be_told_from_none(enter: Enter, who: Principal, other: Principal) -> None:
    memory = await created(enter(who))
    answers = [
        await patch(enter(who), memory, {"privacy": "team", "team_id": str(team)})
        for team in (next(iter(other.teams)), new_id())
    ]
    assert [pointers(answer) for answer in answers] == [["/team_id"]] * 2
    assert answers[0].content == answers[1].content


async def test_wait_indexed(http: httpx2.AsyncClient, indexing: Readiness) -> None:
    memory = await created(http)
    answer = await patch(http, memory, {"title": "New"}, params={"wait": "indexed"})
    assert (answer.headers["devlore-indexed"], indexing.waits) == ("true", 1)


async def test_a_reader_that_has_the_version_gets_304(http: httpx2.AsyncClient) -> None:
    memory = await created(http)
    path = f"/v1/memories/{memory['id']}"
    for tag in ('"1"', 'W/"1"', '"7", "1"', "*"):
        answer = await http.get(path, headers={"If-None-Match": tag})
        assert (answer.status_code, answer.content, answer.headers["etag"]) == (304, b"", '"1"')
    await patch(http, memory, {"title": "New"})
    assert (await http.get(path, headers={"If-None-Match": '"1"'})).status_code == 200
