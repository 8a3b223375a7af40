"""A memory that was replaced by one that is hidden reads like one whose successor is gone for good, on every path."""

from __future__ import annotations

import json
import re
from collections.abc import AsyncIterator
from dataclasses import dataclass
from typing import Any

import pytest
import pytest_asyncio

from devlore_server.kit.ids import new_id
from tests.isolation.operations import call, operations
from tests.isolation.probes import Leaks
from tests.isolation.stage import Caller, Stage

pytestmark = [pytest.mark.asyncio(loop_scope="module"), pytest.mark.timeout(300)]
BEGAN = "2021-02-03T04:05:06.789012Z"
MERGE = {"Content-Type": "application/merge-patch+json", "If-Match": "*"}
ID = re.compile(r"[0-9a-f]{8}-[0-9a-f]{4}-7[0-9a-f]{3}-[0-9a-f]{4}-[0-9a-f]{12}")
MOMENT = re.compile(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(\.\d+)?(Z|\+00:00)")
TOOK = re.compile(r'"took_ms":[0-9.]+')
HIDDEN = "zyxhidden"


@dataclass
class Replaced:
    """Ann's two memories for everybody, and what Ben, alone, replaced them by: the second of those he erased."""

    people: dict[str, Caller]
    ids: tuple[str, str]
    words: tuple[str, str]
    successors: tuple[str, str]

    def said(self, text: str) -> str:
        """An answer without what differs between any two memories."""
        for word in self.words:
            text = text.replace(word, "<word>")
        return TOOK.sub("", MOMENT.sub("<moment>", ID.sub("<id>", text)))

    def tells(self, text: str) -> list[str]:
        """What of the successors is in an answer."""
        return [word for word in (*self.successors, BEGAN, HIDDEN) if word in text]


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def replaced(stage: Stage) -> Replaced:
    people = {"olga": await stage.sign_up("olga", stage.first)}
    for name, role in (("alan", "admin"), ("ann", "member"), ("ben", "member"), ("carl", "member"), ("vera", "viewer")):
        people[name] = await stage.invite(people["olga"], name, role)
    ann, ben = people["ann"], people["ben"]
    words = "abcdefgh", "ijklmnop"
    drafts = [{"title": f"{word} runs dry", "body": f"{word} " * 9, "privacy": "public"} for word in words]
    ids = [(await ann.made("/v1/memories", draft))["id"] for draft in drafts]
    hidden = {"title": HIDDEN, "body": f"{HIDDEN} {new_id()}", "occurred_at": BEGAN}
    successors = [(await ben.made("/v1/memories", hidden))["id"] for _ in ids]
    for id, by in zip(ids, successors, strict=True):
        await ben.made(f"/v1/memories/{id}/supersede", {"by": by, "reason": "it does not"})
    await ben.done("DELETE", f"/v1/memories/{successors[1]}", params={"purge": "true"})
    await stage.settled(ann)
    return Replaced(people, (ids[0], ids[1]), (words[0], words[1]), (successors[0], successors[1]))


READERS = ["ann", "carl", "alan", "olga", "vera"]


async def of_one(asker: Caller, id: str, word: str) -> AsyncIterator[tuple[str, str]]:
    """Everything that can be read about a memory: what was asked, and what was told."""
    for one in operations():
        slots = one.of("path")
        if one.method != "GET" or "memory" not in {slot.kind for slot in slots}:
            continue
        for number in ("1", "2"):
            asked = call(one, {slot: id if slot.kind == "memory" else number for slot in slots})
            answer = await asker.get(asked.url)
            yield one.path, f"{answer.status_code} {answer.headers.get('etag')} {answer.text}"
    facets = [("facets", name) for name in ("kind", "author", "status", "privacy")]
    for bounds in ("", "status:any", "status:superseded", f"as_of:{BEGAN}", "as_of:2022", "as_of:2026-01-01"):
        for legs in ([], [("legs", "lexical")], [("legs", "vector")]):
            params = [("q", f"{word} {bounds}"), ("explain", "true"), *facets, *legs]
            page = (await asker.get("/v1/search", params=params)).json()
            hits = [hit["memory"] | {"score": 0} for hit in page["items"] if hit["memory"]["id"] == id]
            yield f"search {bounds} {legs}", json.dumps([hits, page["facets"] if hits else None])


@pytest.mark.parametrize("name", READERS)
async def test_hidden_reads_like_gone(replaced: Replaced, name: str) -> None:
    leaks, asker = Leaks("hidden successors"), replaced.people[name]
    told = [
        [one async for one in of_one(asker, id, word)] for id, word in zip(replaced.ids, replaced.words, strict=True)
    ]
    assert len(told[0]) > 25
    for (what, hidden), (_, gone) in zip(*told, strict=True):
        leaks.same(replaced.said(hidden), replaced.said(gone), f"{name}: {what}")
        leaks.same(replaced.tells(hidden), [], f"{name}: {what}")
    leaks.assert_none()


@pytest.mark.parametrize("name", READERS)
async def test_no_list_tells_of_it(replaced: Replaced, name: str) -> None:
    leaks, asker = Leaks("hidden successors"), replaced.people[name]
    for path in (
        "memories",
        "memories?status=superseded",
        "tags",
        "projects",
        "memories/export",
        "search?q=status:any",
    ):
        if "export" not in path or name != "vera":
            answer = await asker.done("GET", f"/v1/{path}")
            leaks.same(replaced.tells(answer.text), [], f"{name}: {path}")
    leaks.assert_none()


@pytest.mark.parametrize("name", ["alan", "olga"])
async def test_the_trail_names_what_was_done_to_which_memory_and_joins_no_two(replaced: Replaced, name: str) -> None:
    """Owners and admins read that something private was stored, by its id; not what it was or what it replaced."""
    items = (await replaced.people[name].get("/v1/audit", params={"limit": "200"})).json()["items"]
    of_them = [one for one in items if {target["id"] for target in one["targets"]} & set(replaced.ids)]
    assert {one["action"] for one in of_them} == {"memory.created", "memory.superseded"}
    assert replaced.tells(json.dumps(of_them)) == []
    assert not [word for word in (BEGAN, HIDDEN) if word in json.dumps(items)]


@pytest.mark.parametrize("name", ["ann", "carl"])
async def test_what_they_change_tells_nothing_and_loses_nothing(replaced: Replaced, name: str) -> None:
    leaks, asker, id = Leaks("hidden successors"), replaced.people[name], replaced.ids[0]
    path = f"/v1/memories/{id}"
    steps: list[tuple[str, str, dict[str, Any], dict[str, str]]] = [
        ("PATCH", path, {"pinned": True}, MERGE),
        ("PATCH", path, {"pinned": True}, MERGE),
        ("DELETE", path, {}, {}),
        ("POST", f"{path}/restore", {}, {}),
        ("POST", f"{path}/restore", {"version": 1}, {}),
        ("POST", f"{path}/supersede", {"by": replaced.successors[0]}, {}),
        ("POST", f"{path}/supersede", {"by": replaced.ids[1]}, {}),
        ("POST", f"{path}/invalidate", {}, {}),
    ]
    for method, url, body, headers in steps:
        answer = await asker.client.request(method, url, json=body, headers=headers)
        leaks.same(replaced.tells(answer.text), [], f"{name}: {method} {url}")
    leaks.assert_none()
    ben = replaced.people["ben"]
    assert (await ben.get(path)).json()["superseded_by"] == replaced.successors[0]
    versions = (await ben.get(f"{path}/versions")).json()["items"]
    assert {one["memory"]["superseded_by"] for one in versions[:-1]} == {replaced.successors[0]}


async def test_nothing_that_is_told_to_all_holds_it(replaced: Replaced, stage: Stage) -> None:
    """Ben, who knows the successor, changes the memory as well: what the log then holds is for everybody."""
    path = f"/v1/memories/{replaced.ids[0]}"
    await replaced.people["ben"].done("PATCH", path, json={"title": "Ben's words"}, headers=MERGE)
    events = stage.rows(
        "SELECT data::text FROM log.event WHERE subject = ANY (%s::uuid[]) AND audience = organisation_id",
        list(replaced.ids),
    )
    assert len(events) > 5
    assert [replaced.tells(text) for (text,) in events] == [[]] * len(events)
