"""What replaced a memory is named to those who may see that, too; nobody else is told that it exists, or since when."""

from __future__ import annotations

import json
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

import httpx2
import psycopg
import pytest

from devlore.types import LinkDraft, MemoryDraft, MemoryPatch, Source, Status
from devlore_server.kit.auth import Principal
from devlore_server.kit.db import Database
from devlore_server.kit.ids import new_id
from devlore_server.kit.log import START, EventLog
from devlore_server.memory.links import Links
from devlore_server.memory.service import MemoryService
from devlore_server.memory.store.listing import Filters
from devlore_server.ports import Ingest, IngestDraft

from .conftest import Enter, created

BEGAN = "2024-02-03T04:05:06.789012Z"
SOURCE = {"connector": "notes", "external_id": "adr/1.md"}
MERGE = {"Content-Type": "application/merge-patch+json", "If-Match": "*"}


@dataclass
class Scene:
    """``reader`` wrote ``old`` for everybody; ``writer`` replaced it by something of their own."""

    reader: httpx2.AsyncClient
    writer: httpx2.AsyncClient
    third: httpx2.AsyncClient
    old: dict[str, Any]
    hidden: dict[str, Any]
    owner_url: str

    @property
    def path(self) -> str:
        return f"/v1/memories/{self.old['id']}"

    def tells(self, text: str) -> list[str]:
        """What of the hidden memory is in an answer."""
        return [word for word in (self.hidden["id"], BEGAN, "HIDDEN") if word in text]

    async def named(self, client: httpx2.AsyncClient) -> Any:
        return (await client.get(self.path, params={"deleted": "true"})).json()["superseded_by"]

    def stored(self, query: str) -> list[Any]:
        """The first column, past row-level security, of rows of ``old``."""
        with psycopg.connect(self.owner_url) as connection:
            return [one for (one,) in connection.execute(query, (self.old["id"],)).fetchall()]  # type: ignore[arg-type]


@pytest.fixture
async def scene(enter: Enter, who: Principal, other: Principal, owner_url: str) -> Scene:
    third = Principal(who.organisation, new_id(), scopes=who.scopes)
    reader, writer = enter(who), enter(other)
    old = await created(reader, title="old", privacy="public", source=SOURCE, occurred_at="2020-01-01T00:00:00Z")
    hidden = await created(writer, title="HIDDEN", body="HIDDEN words", occurred_at=BEGAN)
    answer = await writer.post(
        f"/v1/memories/{old['id']}/supersede", json={"by": hidden["id"], "reason": "Not any more"}
    )
    assert (answer.status_code, answer.json()["superseded_by"]) == (200, hidden["id"])
    return Scene(reader, writer, enter(third), old, hidden, owner_url)


READS = [
    "",
    "?deleted=true",
    "/versions",
    "/versions/2",
    "/diff",
    "/diff?old=1&new=2",
    "/links",
    "../memories",
    "../memories?status=superseded",
    "../memories/export",
    "../memories/export?deleted=true",
]


async def test_no_answer_tells_of_it(scene: Scene) -> None:
    for read in READS:
        path = f"/v1/{read.removeprefix('../')}" if read.startswith("../") else scene.path + read
        for client in (scene.reader, scene.third):
            answer = await client.get(path)
            assert (answer.status_code, scene.tells(answer.text)) == (200, []), read
        assert scene.tells((await scene.writer.get(path)).text), read


async def test_it_is_told_that_the_memory_holds_no_longer_since_when_and_why(scene: Scene) -> None:
    got = (await scene.third.get(scene.path)).json()
    assert (got["status"], got["status_reason"], got["superseded_by"]) == ("superseded", "Not any more", None)
    assert got["valid_to"] == got["updated_at"], "when somebody said so; not when what nobody may see began"


async def test_hits_of_a_search_do_not_name_it(
    scene: Scene, service: MemoryService, who: Principal, other: Principal
) -> None:
    for asking, named in ((who, None), (other, scene.hidden["id"])):
        for _ in range(8):  # past the change to a plan that is kept
            (found,) = await service.visible(asking, [scene.old["id"]])
            assert (found.status, found.superseded_by and str(found.superseded_by)) == (Status.SUPERSEDED, named)
    assert [one.superseded_by for one in await service.scan(None, 10)] == [None, None], "indexes need not know"


async def patched(scene: Scene, client: httpx2.AsyncClient) -> httpx2.Response:
    return await client.patch(scene.path, json={"title": "edited"}, headers=MERGE)


async def patched_with_what_it_is(scene: Scene, client: httpx2.AsyncClient) -> httpx2.Response:
    return await client.patch(scene.path, json={"title": "old"}, headers=MERGE)


async def moved(scene: Scene, client: httpx2.AsyncClient) -> httpx2.Response:
    await scene.reader.patch(scene.path, json={"privacy": "private"}, headers=MERGE)
    return await scene.reader.patch(scene.path, json={"privacy": "public"}, headers=MERGE)


async def deleted_and_restored(scene: Scene, client: httpx2.AsyncClient) -> httpx2.Response:
    assert (await client.delete(scene.path)).status_code == 204
    return await client.post(f"{scene.path}/restore", json={})


async def restored(scene: Scene, client: httpx2.AsyncClient) -> httpx2.Response:
    await client.patch(scene.path, json={"title": "edited"}, headers=MERGE)
    return await client.post(f"{scene.path}/restore", json={"version": 1})


async def stored_again(scene: Scene, client: httpx2.AsyncClient) -> httpx2.Response:
    return await scene.reader.post("/v1/memories", json={"title": "again", "source": SOURCE})


async def stored_as_it_is(scene: Scene, client: httpx2.AsyncClient) -> httpx2.Response:
    return await scene.reader.post("/v1/memories", json={"title": "old", "source": SOURCE})


async def stored_in_bulk(scene: Scene, client: httpx2.AsyncClient) -> httpx2.Response:
    items = [{"title": "again", "source": SOURCE}, {"title": "another"}]
    return await scene.reader.post("/v1/memories/bulk", json={"items": items})


async def exported_and_taken_in(scene: Scene, client: httpx2.AsyncClient) -> httpx2.Response:
    lines = (await client.get("/v1/memories/export")).text.splitlines()
    (record,) = [one for line in lines if (one := json.loads(line))["memory"]["id"] == scene.old["id"]]
    record["memory"] |= {"title": "newer", "version": record["memory"]["version"] + 1}
    return await client.post("/v1/memories/import", json={"items": [record]})


async def linked(scene: Scene, client: httpx2.AsyncClient) -> httpx2.Response:
    draft = {"type": "supersedes", "target_kind": "memory", "target": scene.old["id"]}
    mine = await created(client, title="mine")
    return await client.post(f"/v1/memories/{mine['id']}/links", json=draft)


CHANGES: list[Callable[[Scene, httpx2.AsyncClient], Awaitable[httpx2.Response]]] = [
    patched, patched_with_what_it_is, moved, deleted_and_restored, restored, stored_again, stored_as_it_is,
    stored_in_bulk, exported_and_taken_in, linked,
]  # fmt: skip


@pytest.mark.parametrize("change", CHANGES, ids=lambda one: one.__name__)
async def test_a_change_tells_nothing_and_loses_nothing(
    scene: Scene, change: Callable[[Scene, httpx2.AsyncClient], Awaitable[httpx2.Response]]
) -> None:
    """Whoever writes back what they were shown was not shown the successor, which stays all the same."""
    for by in (scene.reader, scene.third, scene.writer):
        answer = await change(scene, by)
        assert answer.is_success, answer.text
        assert by is scene.writer or scene.tells(answer.text) == []
        for client, named in ((scene.reader, None), (scene.third, None), (scene.writer, scene.hidden["id"])):
            assert await scene.named(client) == named
    states = scene.stored("SELECT state->>'superseded_by' FROM memory.version WHERE memory_id = %s ORDER BY version")
    assert states == [None, *[scene.hidden["id"]] * (len(states) - 1)], "in its past, too"
    for client in (scene.reader, scene.third):
        assert scene.tells((await client.get(f"{scene.path}/versions")).text) == []


async def test_a_sync_tells_nothing_and_loses_nothing(scene: Scene, service: MemoryService, who: Principal) -> None:
    draft = MemoryDraft(title="synced", source=Source(**SOURCE))  # type: ignore[arg-type]
    result = await service.ingest(who, Ingest(new_id(), "notes", [IngestDraft(draft)]))
    assert (result.updated, await scene.named(scene.writer)) == (1, scene.hidden["id"])
    await service.ingest(who, Ingest(new_id(), "notes", [], deleted=[SOURCE["external_id"]]))
    assert await scene.named(scene.writer) == scene.hidden["id"]
    (gone,) = await service.page(who, Filters(deleted=True), 10)
    assert (gone.superseded_by, gone.status) == (None, Status.SUPERSEDED)


async def test_one_that_is_named_instead_leaves_it_in_the_past(scene: Scene) -> None:
    """Who does not see it may say what replaced the memory; the history of those who do keeps it."""
    mine = await created(scene.reader, title="mine", privacy="public")
    record = {"memory": (await scene.reader.get(scene.path)).json(), "versions": [], "links": []}
    record["memory"] |= {"superseded_by": mine["id"], "version": 3}
    answer = await scene.reader.post("/v1/memories/import", json={"items": [record]})
    assert answer.json()["updated"] == 1, answer.text
    for client, before in ((scene.reader, None), (scene.writer, scene.hidden["id"])):
        assert await scene.named(client) == mine["id"]
        past = (await client.get(f"{scene.path}/versions/2")).json()
        assert past["memory"]["superseded_by"] == before


async def test_saying_again_what_is_hidden_is_answered_like_what_never_was(scene: Scene) -> None:
    answers = [
        await scene.reader.post(f"{scene.path}/supersede", json={"by": by})
        for by in (scene.hidden["id"], str(new_id()))
    ]
    assert [answer.status_code for answer in answers] == [422, 422]
    assert answers[0].json() == answers[1].json()
    mine = await created(scene.reader)
    conflict = await scene.reader.post(f"{scene.path}/supersede", json={"by": mine["id"]})
    assert (conflict.status_code, scene.tells(conflict.text)) == (409, [])


async def test_a_circle_that_closes_out_of_sight_is_not_refused(scene: Scene) -> None:
    """Being refused would tell of the one in between; who sees it is refused."""
    new = await created(scene.writer, title="new", privacy="public")
    await scene.writer.post(f"/v1/memories/{scene.hidden['id']}/supersede", json={"by": new["id"]})
    path = f"/v1/memories/{new['id']}/supersede"
    assert (await scene.writer.post(path, json={"by": scene.old["id"]})).status_code == 409
    answer = await scene.third.post(path, json={"by": scene.old["id"]})
    assert (answer.status_code, scene.tells(answer.text)) == (200, [])


async def test_whoever_has_its_id_does_not_learn_what_it_replaced(scene: Scene) -> None:
    """An import says that an id is taken, and must not say more: not that this closes a circle."""
    base = (await scene.third.get(scene.path)).json() | {"id": scene.hidden["id"], "source": None}
    another = await created(scene.third, privacy="public")
    told = []
    for by in (None, another["id"], scene.old["id"]):
        record = {"memory": base | {"superseded_by": by}, "versions": [], "links": []}
        told.append((await scene.third.post("/v1/memories/import", json={"items": [record]})).json())
    assert told[0]["refused"] == 1
    assert told[0] == told[1] == told[2]


async def test_reinstating_undoes_it_whole_without_seeing_it(scene: Scene) -> None:
    answer = await scene.third.post(f"{scene.path}/reinstate", json={})
    back = answer.json()
    assert (back["status"], back["superseded_by"], back["valid_to"]) == ("active", None, None)
    assert await scene.named(scene.writer) is None
    assert (await scene.writer.get(f"/v1/memories/{scene.hidden['id']}/links")).json()["items"] == []
    past = (await scene.writer.get(f"{scene.path}/versions/2")).json()["memory"]
    assert past["superseded_by"] == scene.hidden["id"], "its history still knows"


async def test_who_may_see_it_changes_at_once_what_is_told(scene: Scene) -> None:
    """Without a version of the memory itself, so that its entity tag says nothing of it."""
    path, hidden = f"/v1/memories/{scene.hidden['id']}", scene.hidden["id"]
    for privacy, named in (("public", hidden), ("private", None)):
        tag = (await scene.third.get(scene.path)).headers["etag"]
        assert (await scene.writer.patch(path, json={"privacy": privacy}, headers=MERGE)).status_code == 200
        again = await scene.third.get(scene.path, headers={"If-None-Match": tag})
        assert (again.status_code, again.headers["etag"], again.json()["superseded_by"]) == (200, tag, named)
        (past, _) = (await scene.third.get(f"{scene.path}/versions")).json()["items"]
        assert past["memory"]["superseded_by"] == named
        links = (await scene.third.get(f"{scene.path}/links")).json()["items"]
        assert [one["memory_id"] for one in links] == ([named] if named else [])


async def test_erased_it_is_as_if_it_had_never_been(scene: Scene) -> None:
    for _ in range(2):
        assert await scene.named(scene.reader) is None
        await scene.writer.delete(f"/v1/memories/{scene.hidden['id']}", params={"purge": "true"})
    assert await scene.named(scene.writer) is None
    assert (await scene.writer.get(f"{scene.path}/versions/2")).json()["memory"]["superseded_by"] is None


async def test_no_event_names_a_successor(
    scene: Scene, service: MemoryService, log: EventLog, who: Principal, other: Principal
) -> None:
    """An event is for everybody who may see the memory; one of them wrote it, and saw more."""
    await service.edit(other, scene.old["id"], MemoryPatch(title="edited by who knows"), None)
    events = [event for _, event in await log.read(START, ["memory.created", "memory.updated"], 100)]
    of_old = [event for event in events if str(event.subject) == scene.old["id"]]
    assert [event.data["memory"]["status"] for event in of_old] == ["active", "superseded", "superseded"]
    assert {event.audience for event in of_old} == {who.organisation}
    assert scene.tells(json.dumps([event.data for event in of_old])) == []


async def test_no_leaf_joins_the_two(scene: Scene, owner_url: str) -> None:
    with psycopg.connect(owner_url) as connection:
        leaves = connection.execute("SELECT action, targets::text, context::text FROM audit.leaf").fetchall()
    of_old = [leaf for leaf in leaves if scene.old["id"] in leaf[1]]
    assert [action for action, *_ in of_old] == ["memory.created", "memory.superseded"]
    assert scene.tells(str(of_old)) == []


async def test_a_link_to_what_was_replaced_is_seen_from_neither_end(
    scene: Scene, database: Database, who: Principal, other: Principal
) -> None:
    links = Links(database)
    draft = LinkDraft(target_kind="memory", target=scene.hidden["id"])  # type: ignore[arg-type]
    await links.add(other, scene.old["id"], draft)
    assert len(await links.list(other, scene.old["id"], 10)) == 2
    assert await links.list(who, scene.old["id"], 10) == []
    record = next(line for line in (await scene.reader.get("/v1/memories/export")).text.splitlines() if "adr/1" in line)
    assert json.loads(record)["links"] == []


async def test_a_late_successor_does_not_override_a_person_whose_own_is_hidden(
    service: MemoryService, enter: Enter, who: Principal, other: Principal
) -> None:
    def record(name: str, **claim: Any) -> IngestDraft:
        source = Source(connector="notes", external_id=name)
        return IngestDraft(MemoryDraft(title=name, source=source, privacy="public"), **claim)  # type: ignore[arg-type]

    waiting = record("1", status=Status.SUPERSEDED, superseded_by="2")
    await service.ingest(who, Ingest(new_id(), "notes", [waiting]))
    (one,) = await service.page(who, Filters(external_id=["1"]), 1)
    hidden, path = await created(enter(other)), f"/v1/memories/{one.id}"
    await enter(who).post(f"{path}/reinstate", json={})
    await enter(other).post(f"{path}/supersede", json={"by": hidden["id"]})
    await service.ingest(who, Ingest(new_id(), "notes", [record("2")]))
    for asking, named in ((who, None), (other, hidden["id"])):
        assert (await enter(asking).get(path)).json()["superseded_by"] == named


MAY, JUNE = (datetime(2024, month, 1, tzinfo=UTC) for month in (5, 6))


ENDS = [
    ("mine private", "mine private", True),
    ("mine private", "mine team", True),
    ("mine private", "theirs team", True),
    ("mine private", "theirs public", True),
    ("mine team", "mine private", False),
    ("mine team", "mine team", True),
    ("mine team", "mine team two", False),
    ("mine team", "theirs team", True),
    ("mine team", "theirs public", True),
    ("theirs team", "mine private", False),
    ("theirs team", "mine team", False),
    ("theirs team", "theirs team", True),
    ("theirs team", "mine public", True),
    ("mine public", "mine private", False),
    ("mine public", "mine team", False),
    ("theirs public", "mine public", True),
    ("theirs public", "theirs team", False),
]
"""Who wrote a memory and who sees it, the same of what replaces it, and whether all may know when that began."""


async def test_a_memory_ends_when_its_successor_began_if_all_who_see_the_one_see_the_other(
    enter: Enter, who: Principal
) -> None:
    """A team's memory is its author's even after they left: of a colleague's, the end is when it was said."""
    team, two = new_id(), new_id()
    mates = {
        name: Principal(who.organisation, new_id(), frozenset({team, two}), who.scopes) for name in ("mine", "theirs")
    }

    async def made(wanted: str, began: datetime) -> dict[str, Any]:
        author, privacy, *second = wanted.split()
        where = {"team_id": str(two if second else team)} if privacy == "team" else {}
        return await created(enter(mates[author]), privacy=privacy, occurred_at=began.isoformat(), **where)

    found = []
    for of_old, of_new, _ in ENDS:
        old, new = await made(of_old, MAY), await made(of_new, JUNE)
        answer = await enter(mates["mine"]).post(f"/v1/memories/{old['id']}/supersede", json={"by": new["id"]})
        ended = answer.json()
        assert ended["valid_to"] in (new["valid_from"], ended["updated_at"])
        found.append((of_old, of_new, ended["valid_to"] == new["valid_from"]))
    assert found == ENDS


@pytest.mark.parametrize(("privacy", "told"), [("public", True), ("private", False)])
async def test_so_it_is_when_a_source_says_so(service: MemoryService, who: Principal, privacy: str, told: bool) -> None:
    changed = datetime(2024, 7, 1, tzinfo=UTC)

    def record(name: str, privacy: str, began: datetime, **claim: Any) -> IngestDraft:
        source = Source(connector="notes", external_id=name, updated_at=changed)
        draft = MemoryDraft(title=name, source=source, privacy=privacy, occurred_at=began)  # type: ignore[arg-type]
        return IngestDraft(draft, **claim)

    old = record("1", "public", MAY, status=Status.SUPERSEDED, superseded_by="2")
    await service.ingest(who, Ingest(new_id(), "notes", [old, record("2", privacy, JUNE)]))
    (ended,) = await service.page(who, Filters(external_id=["1"]), 1)
    assert ended.valid_to == (JUNE if told else changed)
