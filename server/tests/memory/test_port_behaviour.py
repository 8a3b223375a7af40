"""``ports.Memories`` where batches meet each other, people, and what was exported: claims, races, what may be seen."""

from __future__ import annotations

import asyncio
from typing import Any
from uuid import UUID

import httpx2
import pytest

from devlore.types import Memory, MemoryDraft, MemoryPatch, Privacy, Source, Status
from devlore_server.kit.auth import Principal
from devlore_server.kit.db import Database, rows
from devlore_server.kit.ids import new_id
from devlore_server.kit.log import START, EventLog
from devlore_server.memory.history import History
from devlore_server.memory.lifecycle import Lifecycle
from devlore_server.memory.service import MemoryService
from devlore_server.memory.store.listing import Filters
from devlore_server.memory.transfer import Transfer
from devlore_server.ports import Ingest, IngestDraft, IngestResult
from tests.memory.conftest import Enter

CONNECTION = UUID("00000000-0000-7000-8000-00000000c0de")


def item(name: str, *, by: str | None = None, status: Status = Status.ACTIVE, **more: Any) -> IngestDraft:
    fields = {"title": name, "source": Source(connector="git", external_id=name)} | more
    return IngestDraft(MemoryDraft(**fields), status, "said so" if status is not Status.ACTIVE else None, by)


def batch(*drafts: IngestDraft, **more: Any) -> Ingest:
    return Ingest(CONNECTION, "git", list(drafts), **more)


async def named(service: MemoryService, who: Principal, name: str, *, deleted: bool = False) -> Memory:
    (found,) = await service.page(who, Filters(external_id=[name], deleted=deleted), 10)
    return found


async def claims(database: Database, who: Principal) -> int:
    async with database.transaction(who) as transaction:
        return len(await rows(transaction, "SELECT memory_id FROM memory.claim"))


async def test_batches_with_the_same_items_at_once_store_each_once(service: MemoryService, who: Principal) -> None:
    names = [f"c{number}" for number in range(60)]
    orders = [names, names[::-1], names[30:] + names[:30], names]
    results: list[IngestResult] = await asyncio.gather(
        *(service.ingest(who, batch(*(item(name) for name in order))) for order in orders)
    )
    assert sum(result.created for result in results) == 60
    assert sum(result.created + result.updated + result.unchanged for result in results) == 240
    assert await service.count() == 60
    assert {one.version for one in await service.page(who, Filters(), 100)} == {1}


async def test_batches_that_change_and_delete_the_same_items_at_once_end_in_one_of_the_orders(
    service: MemoryService, who: Principal
) -> None:
    names = [f"c{number}" for number in range(20)]
    await service.ingest(who, batch(*(item(name) for name in names)))
    await asyncio.gather(
        service.ingest(who, batch(*(item(name, body="edited") for name in names))),
        service.ingest(who, batch(deleted=names[::-1])),
        service.ingest(who, batch(*(item(name, body="edited") for name in names[::-1]))),
    )
    alive, deleted = [await service.page(who, Filters(deleted=gone), 100) for gone in (False, True)]
    assert (len(alive), len(deleted)) in ((20, 0), (0, 20))
    assert {one.body for one in alive} <= {"edited"}


async def test_two_people_bring_the_same_source_and_keep_apart(
    service: MemoryService, who: Principal, other: Principal, stranger: Principal
) -> None:
    for person in (who, other, stranger):
        result = await service.ingest(person, batch(item("abc", body=str(person.person)), checkpoint={"n": 1}))
        assert result.created == 1
    assert (await service.ingest(who, batch(deleted=["abc"]))).deleted == 1
    for person in (other, stranger):
        (mine,) = await service.page(person, Filters(), 10)
        assert (mine.body, mine.created_by) == (str(person.person), person.person)


async def test_what_a_person_set_is_kept_and_what_the_source_says_is_followed(
    service: MemoryService, who: Principal
) -> None:
    await service.ingest(who, batch(item("abc", kind="change", tags=["a"])))
    memory = await named(service, who, "abc")
    mine = MemoryPatch(pinned=True, importance=1.0, privacy=Privacy.PUBLIC, project="mine", title="My title")
    await service.edit(who, memory.id, mine, None)
    result = await service.ingest(who, batch(item("abc", kind="change", tags=["b"])))
    now = await named(service, who, "abc")
    assert result.updated == 1
    assert (now.pinned, now.importance, now.privacy, now.project) == (True, 1.0, Privacy.PUBLIC, "mine")
    assert (now.title, now.tags, now.version) == ("abc", ["b"], 3)


async def test_what_a_person_deleted_comes_back_with_its_source(service: MemoryService, who: Principal) -> None:
    await service.ingest(who, batch(item("abc")))
    memory = await named(service, who, "abc")
    await service.delete(who, memory.id)
    assert (await service.ingest(who, batch(item("abc")))).updated == 1
    assert (await named(service, who, "abc")).id == memory.id


async def test_what_a_person_erased_is_a_new_memory_when_its_source_sends_it_again(
    service: MemoryService, database: Database, who: Principal
) -> None:
    await service.ingest(who, batch(item("abc", status=Status.INVALIDATED)))
    memory = await named(service, who, "abc")
    await service.purge(who, memory.id)
    assert await claims(database, who) == 0
    assert (await service.ingest(who, batch(item("abc")))).created == 1
    again = await named(service, who, "abc")
    assert again.id != memory.id
    assert (again.version, again.status) == (1, Status.ACTIVE)


async def test_a_claim_is_kept_only_for_what_was_claimed(
    service: MemoryService, database: Database, who: Principal, stranger: Principal
) -> None:
    await service.ingest(who, batch(item("a"), item("b", status=Status.INVALIDATED)))
    assert await claims(database, who) == 1
    assert await claims(database, stranger) == 0
    (told,) = [one for one in await service.page(who, Filters(), 10) if one.status is Status.INVALIDATED]
    assert (told.title, told.status_reason, told.version) == ("b", "said so", 2)


async def test_a_successor_that_is_deleted_and_comes_back_is_the_successor_again(
    service: MemoryService, who: Principal
) -> None:
    old = item("old", status=Status.SUPERSEDED, by="new")
    await service.ingest(who, batch(old, item("new")))
    new = await named(service, who, "new")
    await service.ingest(who, batch(deleted=["new"]))
    await service.ingest(who, batch(item("new"), old))
    assert (await named(service, who, "old")).superseded_by == new.id


async def test_a_successor_another_person_has_is_none(service: MemoryService, who: Principal, other: Principal) -> None:
    await service.ingest(other, batch(item("new", privacy=Privacy.PUBLIC)))
    await service.ingest(who, batch(item("old", status=Status.SUPERSEDED, by="new")))
    assert (await named(service, who, "old")).superseded_by is None


async def test_every_change_of_a_batch_is_one_event_with_its_snapshot(
    service: MemoryService, log: EventLog, who: Principal
) -> None:
    await service.ingest(who, batch(item("a"), item("b")))
    await service.ingest(
        who, batch(item("a", body="edited"), item("c", by="a", status=Status.SUPERSEDED), deleted=["b"])
    )
    told = [event for _, event in await log.read(START, ["memory.created", "memory.updated", "memory.deleted"], 50)]
    seen = sorted((event.data["memory"]["title"], event.type, event.version) for event in told)
    assert seen == [
        ("a", "memory.created", 1),
        ("a", "memory.updated", 2),
        ("b", "memory.created", 1),
        ("b", "memory.deleted", 2),
        ("c", "memory.created", 1),
        ("c", "memory.updated", 2),
    ]


async def test_a_batch_of_nothing_but_a_checkpoint_tells_nobody(
    service: MemoryService, log: EventLog, who: Principal
) -> None:
    assert await service.ingest(who, batch(checkpoint={"tips": []})) == IngestResult(0, 0, 0, 0, [])
    assert await log.read(START, ["memory.created", "memory.updated"], 10) == []
    assert await service.checkpoint(who, CONNECTION) == {"tips": []}


async def test_large_checkpoints_come_back_as_they_were(service: MemoryService, who: Principal) -> None:
    checkpoint = {"files": {f"notes/{n} ünï 中.md": [n, 2**62, "x" * 24, None, True] for n in range(3_000)}}
    await service.ingest(who, batch(checkpoint=checkpoint))
    assert await service.checkpoint(who, CONNECTION) == checkpoint


async def test_an_imported_item_is_the_one_its_source_updates(
    service: MemoryService, database: Database, log: EventLog, who: Principal, stranger: Principal
) -> None:
    """Moving to another instance and syncing there goes on where the old one stopped, with nothing doubled."""
    await service.ingest(who, batch(item("abc"), item("old", status=Status.SUPERSEDED, by="abc")))
    transfer = Transfer(database, log)
    records = [record.model_dump(mode="json") async for record in await transfer.export(who)]
    await transfer.take_in(stranger, records)
    result = await service.ingest(stranger, batch(item("abc"), item("old", status=Status.SUPERSEDED, by="abc")))
    assert (result.created, result.updated) == (0, 0)
    old, new = [await named(service, stranger, name) for name in ("old", "abc")]
    assert (old.status, old.superseded_by) == (Status.SUPERSEDED, new.id)
    await service.ingest(stranger, batch(item("abc", body="edited")))
    assert [one.version for one in await History(database).versions(stranger, new.id, 10)] == [2, 1]


async def test_a_person_who_supersedes_by_hand_is_not_undone_by_a_source_without_an_opinion(
    service: MemoryService, database: Database, log: EventLog, who: Principal
) -> None:
    await service.ingest(who, batch(item("old"), item("new")))
    old, new = [await named(service, who, name) for name in ("old", "new")]
    await Lifecycle(database, log).supersede(who, old.id, new.id, "by hand")
    await service.ingest(who, batch(item("old", body="edited"), item("new")))
    now = await named(service, who, "old")
    assert (now.status, now.superseded_by, now.body) == (Status.SUPERSEDED, new.id, "edited")


async def test_what_came_from_a_connector_is_like_any_memory_over_http(
    service: MemoryService, enter: Enter, who: Principal, other: Principal
) -> None:
    await service.ingest(who, batch(item("abc", body="one"), item("hidden")))
    await service.ingest(who, batch(item("abc", body="two")))
    http: httpx2.AsyncClient = enter(who)
    (found,) = (await http.get("/v1/memories", params={"external_id": "abc", "source": "git"})).json()["items"]
    url = f"/v1/memories/{found['id']}"
    shown = await http.get(url)
    assert (shown.headers["etag"], shown.json()["body"], shown.json()["trust"]) == ('"2"', "two", "person")
    diff = (await http.get(f"{url}/diff")).json()
    assert (diff["old_version"], diff["new_version"]) == (1, 2)
    assert (await http.get(url, headers={"if-none-match": '"2"'})).status_code == 304
    stale = await http.patch(url, json={"title": "mine"}, headers={"if-match": '"1"'})
    assert stale.status_code == 412
    assert (await enter(other).get(url)).status_code == 404
    assert (await http.delete(url)).status_code == 204
    assert (await http.get("/v1/memories", params={"source": "git"})).json()["items"][0]["title"] == "hidden"


@pytest.mark.parametrize("connector", ["markdown", "wiki"])
async def test_a_draft_of_another_connector_is_refused_and_stops_no_other(
    service: MemoryService, who: Principal, connector: str
) -> None:
    stray = IngestDraft(MemoryDraft(title="stray", source=Source(connector=connector, external_id="x")))
    nameless = IngestDraft(MemoryDraft(title="nameless"))
    result = await service.ingest(who, batch(stray, nameless, item("good"), checkpoint={"at": str(new_id())}))
    assert (result.created, [name for name, _ in result.refused]) == (1, ["x", "nameless"])
