"""Export and import lose nothing, and import refuses without stopping."""

from __future__ import annotations

from typing import Any

import pytest

from devlore.types import LinkDraft, LinkType, MemoryDraft, MemoryPatch, MemoryRecord, Privacy, Source, TargetKind
from devlore_server.kit.auth import Principal
from devlore_server.kit.db import Database
from devlore_server.kit.ids import new_id
from devlore_server.kit.log import EventLog
from devlore_server.memory.history import History
from devlore_server.memory.lifecycle import Lifecycle
from devlore_server.memory.links import Links, memory_link
from devlore_server.memory.service import MemoryService
from devlore_server.memory.transfer import Transfer


@pytest.fixture
def service(database: Database, log: EventLog) -> MemoryService:
    return MemoryService(database, log)


@pytest.fixture
def transfer(database: Database, log: EventLog) -> Transfer:
    return Transfer(database, log)


async def exported(transfer: Transfer, who: Principal, **options: Any) -> list[dict[str, Any]]:
    return [record.model_dump(mode="json") async for record in await transfer.export(who, **options)]


def without_owner(record: dict[str, Any]) -> dict[str, Any]:
    def stripped(memory: dict[str, Any]) -> dict[str, Any]:
        return {key: value for key, value in memory.items() if key not in ("organisation_id", "created_by")}

    versions = [version | {"memory": stripped(version["memory"])} for version in record["versions"]]
    links = [{key: value for key, value in link.items() if key not in ("id", "created_at")} for link in record["links"]]
    return {"memory": stripped(record["memory"]), "versions": versions, "links": links}


async def a_full_memory(service: MemoryService, database: Database, log: EventLog, who: Principal) -> None:
    source = Source(connector="notes", external_id="adr/1.md", url="https://example.org/1", author="Ada")
    draft = MemoryDraft(title="Use Redis", body="# Why\n数据库连接池", kind="decision", tags=["cache"], source=source)
    old = (await service.create(who, draft)).memory
    await service.edit(who, old.id, MemoryPatch(body="# Why\nSpeed", importance=0.9, pinned=True), None)
    new = (await service.create(who, MemoryDraft(title="Use Valkey", kind="decision"))).memory
    await Links(database).add(who, old.id, LinkDraft(target_kind=TargetKind.FILE, target="src/cache.py#L3-L9"))
    await Lifecycle(database, log).supersede(who, old.id, new.id, "licence")


async def test_a_round_trip_loses_nothing(
    service: MemoryService, transfer: Transfer, database: Database, log: EventLog, who: Principal, stranger: Principal
) -> None:
    await a_full_memory(service, database, log, who)
    records = await exported(transfer, who)
    assert [len(record["versions"]) for record in records] == [2, 0]
    result = await transfer.take_in(stranger, [])
    assert result.items == []
    before = [without_owner(record) for record in records]
    # Another organisation, other ids: the same instance cannot hold an id twice only within one organisation.
    result = await transfer.take_in(stranger, records)
    assert (result.created, result.refused) == (2, 0)
    assert [without_owner(record) for record in await exported(transfer, stranger)] == before
    versions = await History(database).versions(stranger, result.items[0].id or new_id(), 10)
    assert [version.version for version in versions] == [3, 2, 1]


async def test_links_may_arrive_before_their_targets(
    service: MemoryService, transfer: Transfer, database: Database, log: EventLog, who: Principal, stranger: Principal
) -> None:
    await a_full_memory(service, database, log, who)
    first, second = await exported(transfer, who)
    await transfer.take_in(stranger, [second])
    links = Links(database)
    new_memory = MemoryRecord.model_validate(second).memory.id
    assert await links.list(stranger, new_memory, 10) == [], "its target is not here yet"
    await transfer.take_in(stranger, [first])
    assert [link.type for link in await links.list(stranger, new_memory, 10)] == [LinkType.SUPERSEDES]


async def test_importing_again_changes_nothing_and_newer_wins(
    service: MemoryService, transfer: Transfer, who: Principal
) -> None:
    memory = (await service.create(who, MemoryDraft(title="One"))).memory
    old = await exported(transfer, who)
    assert (await transfer.take_in(who, old)).unchanged == 1
    await service.edit(who, memory.id, MemoryPatch(title="Two"), None)
    new = await exported(transfer, who)
    assert (await transfer.take_in(who, old)).unchanged == 1
    assert (await service.get(who, memory.id)).title == "Two"
    newer = [new[0] | {"memory": new[0]["memory"] | {"version": 7, "title": "Seven"}}]
    result = await transfer.take_in(who, [*old, *newer])
    assert [item.result for item in result.items] == ["unchanged", "updated"]
    stored = await service.get(who, memory.id)
    assert (stored.title, stored.version) == ("Seven", 7)


async def test_a_bad_record_is_named_and_stops_no_other(
    service: MemoryService, transfer: Transfer, who: Principal, stranger: Principal
) -> None:
    for title in ("One", "Two"):
        await service.create(who, MemoryDraft(title=title))
    good, spoilt = await exported(transfer, who)
    spoilt["memory"]["title"] = "x" * 501
    result = await transfer.take_in(stranger, [{"memory": {"title": 3}}, spoilt, good])
    assert [item.result for item in result.items] == ["refused", "refused", "created"]
    pointers = [[error["pointer"] for error in item.problem.errors or []] for item in result.items if item.problem]
    assert "/memory/id" in pointers[0]
    assert pointers[1] == ["/memory/title"]


async def test_a_source_item_that_is_taken_is_a_conflict(
    service: MemoryService, transfer: Transfer, who: Principal, stranger: Principal
) -> None:
    source = Source(connector="git", external_id="abc")
    await service.create(who, MemoryDraft(title="Mine", source=source))
    theirs = (await service.create(stranger, MemoryDraft(title="Theirs", source=source))).memory
    records = await exported(transfer, stranger)
    result = await transfer.take_in(who, records)
    assert [(item.result, item.status) for item in result.items] == [("refused", 409)]
    assert str(theirs.id) not in str(await exported(transfer, who))


async def test_an_erased_memory_can_come_back_from_an_export(
    service: MemoryService, transfer: Transfer, log: EventLog, who: Principal
) -> None:
    memory = (await service.create(who, MemoryDraft(title="One"))).memory
    records = await exported(transfer, who)
    await service.purge(who, memory.id)
    result = await transfer.take_in(who, records)
    assert result.created == 1
    assert (await service.get(who, memory.id)).version == 3, "above the version indexes remember the erasure by"


async def test_export_shows_only_what_the_caller_sees(
    service: MemoryService,
    transfer: Transfer,
    database: Database,
    who: Principal,
    other: Principal,
    stranger: Principal,
) -> None:
    private = (await service.create(who, MemoryDraft(title="p", privacy=Privacy.PRIVATE))).memory
    public = (await service.create(who, MemoryDraft(title="o", privacy=Privacy.PUBLIC, project="api"))).memory
    await Links(database).add(who, public.id, memory_link(LinkType.RELATES_TO, private.id))
    theirs = await exported(transfer, other)
    assert [record["memory"]["id"] for record in theirs] == [str(public.id)]
    assert theirs[0]["links"] == []
    assert await exported(transfer, stranger) == []
    assert len(await exported(transfer, who, project="api")) == 1
    await service.delete(who, private.id)
    assert len(await exported(transfer, who)) == 1
    assert len(await exported(transfer, who, deleted=True)) == 2
