"""Records that were made by hand: what cannot be stored is named and stops no other, and nobody's memory is forged."""

from __future__ import annotations

import asyncio
import copy
from typing import Any
from uuid import UUID

import pytest

from devlore.types import LinkType, MemoryDraft, MemoryPatch, Privacy, Source, Trust
from devlore_server.kit.auth import Principal
from devlore_server.kit.db import Database
from devlore_server.kit.ids import new_id
from devlore_server.kit.log import EventLog
from devlore_server.memory.history import History
from devlore_server.memory.links import Links
from devlore_server.memory.service import MemoryService
from devlore_server.memory.transfer import Transfer

FAR = "9999-12-31T23:59:59-12:00"
"""A time Python reads and PostgreSQL stores, but that Python cannot read back."""

ANOTHER = "0199aa00-0000-7000-8000-000000000007"


@pytest.fixture
def service(database: Database, log: EventLog) -> MemoryService:
    return MemoryService(database, log)


@pytest.fixture
def transfer(database: Database, log: EventLog) -> Transfer:
    return Transfer(database, log)


@pytest.fixture
async def record(service: MemoryService, transfer: Transfer, who: Principal) -> dict[str, Any]:
    """An exported memory of ``who`` with one past version and one link; it is still there."""
    target = (await service.create(who, MemoryDraft(title="Target"))).memory
    draft = {"title": "One", "links": [{"target_kind": "memory", "target": str(target.id)}]}
    memory = (await service.create(who, MemoryDraft.model_validate(draft))).memory
    await service.edit(who, memory.id, MemoryPatch(title="Two", privacy=Privacy.PUBLIC), None)
    records = [one.model_dump(mode="json") async for one in await transfer.export(who)]
    return next(one for one in records if one["memory"]["id"] == str(memory.id))


def changed(record: dict[str, Any], place: str, value: Any) -> dict[str, Any]:
    """A copy of a record with ``value`` at a JSON pointer."""
    copied = copy.deepcopy(record)
    inner: Any = copied
    *path, last = place.split("/")[1:]
    for step in path:
        inner = inner[int(step) if isinstance(inner, list) else step]
    inner[last] = value
    return copied


def renamed(record: dict[str, Any]) -> dict[str, Any]:
    """The same record under an id of its own."""
    memory_id = str(new_id())
    copied = changed(record, "/memory/id", memory_id)
    for version in copied["versions"]:
        version["memory_id"] = version["memory"]["id"] = memory_id
    for link in copied["links"]:
        link["memory_id"] = memory_id
    return copied


@pytest.mark.parametrize(
    ("place", "value"),
    [
        ("/memory/version", 0),
        ("/memory/version", 2**31),
        ("/memory/version", 10**30),
        ("/memory/title", "NUL \0"),
        ("/memory/status_reason", "NUL \0"),
        ("/memory/status_reason", "x" * 2_001),
        ("/memory/created_at", FAR),
        ("/memory/updated_at", "0001-01-01T00:00:00+12:00"),
        ("/memory/valid_to", FAR),
        ("/memory/deleted_at", FAR),
        ("/memory/encryption", {"key": ["\0"]}),
        ("/versions/0/reason", "NUL \0"),
        ("/versions/0/changed_at", FAR),
        ("/versions/0/version", 7),
        ("/versions/0/memory_id", ANOTHER),
        ("/versions/0/memory/body", "NUL \0"),
        ("/versions/0/memory/occurred_at", FAR),
        ("/links/0/score", 1e300),
        ("/links/0/memory_id", ANOTHER),
        ("/links/0/target", "not an id"),
    ],
)
async def test_what_cannot_be_stored_is_named_and_stops_no_other(
    transfer: Transfer, stranger: Principal, record: dict[str, Any], place: str, value: Any
) -> None:
    result = await transfer.take_in(stranger, [changed(record, place, value), renamed(record)])
    assert [item.result for item in result.items] == ["refused", "created"]
    problem = result.items[0].problem
    assert problem is not None
    assert place in [error["pointer"] for error in problem.errors or []]


async def test_a_backslash_before_u0000_is_not_nul(
    transfer: Transfer, stranger: Principal, record: dict[str, Any]
) -> None:
    result = await transfer.take_in(stranger, [changed(record, "/memory/encryption", {"note": "\\u0000"})])
    assert result.created == 1


async def test_nobody_plants_a_past_in_anothers_memory(
    service: MemoryService, transfer: Transfer, database: Database, who: Principal, other: Principal
) -> None:
    victim = (await service.create(who, MemoryDraft(title="Mine", privacy=Privacy.PUBLIC))).memory
    own = (await service.create(other, MemoryDraft(title="Theirs"))).memory
    await service.edit(other, own.id, MemoryPatch(title="Still theirs"), None)
    (forged,) = [one.model_dump(mode="json") async for one in await transfer.export(other) if one.memory.id == own.id]
    answers = []
    for target in (victim.id, new_id()):
        aimed = changed(renamed(forged), "/versions/0/memory_id", str(target))
        answers.append((await transfer.take_in(other, [aimed])).items[0].model_dump())
    assert answers[0] == answers[1], "nor learns whether there is such a memory"
    assert answers[0]["result"] == "refused"
    assert [v.version for v in await History(database).versions(who, victim.id, 10)] == [1]


async def test_importing_over_anothers_memory_is_an_edit_and_no_more(
    transfer: Transfer, service: MemoryService, database: Database, who: Principal, other: Principal
) -> None:
    source = Source(connector="notes", external_id="a.md")
    draft = MemoryDraft(title="Ours", privacy=Privacy.PUBLIC, source=source, trust=Trust.UNTRUSTED)
    memory = (await service.create(who, draft)).memory
    (record,) = [one.model_dump(mode="json") async for one in await transfer.export(other)]
    past = {"memory_id": record["memory"]["id"], "change": "edited", "changed_at": record["memory"]["updated_at"]}
    past |= {"changed_by": str(who.person), "reason": "forged", "version": 4}
    past["memory"] = record["memory"] | {"version": 4, "body": "forged"}
    wanted = {"version": 5, "title": "Edited", "privacy": "private", "source": {"connector": "x", "external_id": "y"}}
    wanted |= {"trust": "person", "created_at": "2001-01-01T00:00:00Z", "encryption": {"v": 1}}
    result = await transfer.take_in(other, [{"memory": record["memory"] | wanted, "versions": [past], "links": []}])
    assert result.updated == 1
    stored = await service.get(other, memory.id)
    assert (stored.title, stored.privacy, stored.created_by) == ("Edited", Privacy.PUBLIC, who.person)
    assert (stored.source, stored.trust) == (source, Trust.UNTRUSTED)
    assert (stored.created_at, stored.encryption) == (memory.created_at, None)
    versions = await History(database).versions(who, memory.id, 10)
    assert [(v.version, v.changed_by) for v in versions] == [(5, other.person), (1, who.person)]


async def test_a_source_item_of_another_memory_is_a_conflict_for_an_update_too(
    service: MemoryService, transfer: Transfer, who: Principal
) -> None:
    taken = Source(connector="git", external_id="abc")
    await service.create(who, MemoryDraft(title="First", source=taken))
    for title in ("Second", "Third"):
        await service.create(who, MemoryDraft(title=title))
    records = [one.model_dump(mode="json") async for one in await transfer.export(who)]
    _, second, third = (one | {"memory": one["memory"] | {"version": 2}} for one in records)
    free = {"connector": "git", "external_id": "free"}
    result = await transfer.take_in(who, [changed(second, "/memory/source", taken.model_dump(mode="json")), third])
    assert [(item.result, item.status) for item in result.items] == [("refused", 409), ("updated", 200)]
    both = [changed(one, "/memory/source", free) for one in (second, changed(third, "/memory/version", 3))]
    result = await transfer.take_in(who, both)
    assert [item.result for item in result.items] == ["updated", "refused"]


@pytest.mark.parametrize("known", [0, 1, 3])
async def test_a_circle_of_successors_is_a_conflict(
    service: MemoryService, transfer: Transfer, who: Principal, record: dict[str, Any], known: int
) -> None:
    """However many of the three are here already: each record would be right alone."""
    three = [renamed(record) for _ in range(3)]
    await transfer.take_in(who, three[:known])
    replaced = {"status": "superseded", "version": record["memory"]["version"] + 1}
    circle = [
        one | {"memory": one["memory"] | replaced | {"superseded_by": three[place - 1]["memory"]["id"]}}
        for place, one in enumerate(three)
    ]
    result = await transfer.take_in(who, circle)
    (refused,) = (item for item in result.items if item.result == "refused")
    assert (refused.status, refused.index) == (409, 0 if known == 1 else 2)
    assert refused.problem is not None
    assert "itself superseded" in str(refused.problem.detail)
    stored = await service.visible(who, [UUID(one["memory"]["id"]) for one in three])
    # The one that was refused is not there as a successor either, unless it was before.
    assert [len(stored), sum(memory.superseded_by is not None for memory in stored)] == ([3, 2] if known else [2, 1])


async def test_imports_at_the_same_time_store_each_record_once(
    transfer: Transfer, stranger: Principal, record: dict[str, Any]
) -> None:
    records = [renamed(record) for _ in range(5)]
    results = await asyncio.gather(*(transfer.take_in(stranger, one) for one in [records, records[::-1]] * 4))
    assert sum(result.created for result in results) == 5
    assert len([one async for one in await transfer.export(stranger)]) == 5


async def test_an_older_record_is_answered_with_what_is_stored(
    transfer: Transfer, who: Principal, record: dict[str, Any]
) -> None:
    older = {"memory": record["versions"][0]["memory"]}
    (item,) = (await transfer.take_in(who, [older])).items
    assert (item.result, item.version) == ("unchanged", 2)


async def test_more_links_than_a_draft_may_bring_come_back(
    service: MemoryService, transfer: Transfer, database: Database, stranger: Principal, record: dict[str, Any]
) -> None:
    (link,) = record["links"]
    more = [link | {"id": str(new_id()), "target_kind": "file", "target": f"src/{n}.py"} for n in range(250)]
    result = await transfer.take_in(stranger, [record | {"links": more}])
    assert result.created == 1
    held = await Links(database).list(stranger, UUID(record["memory"]["id"]), 300)
    assert len(held) == 250


async def test_one_id_spelled_twice_is_one_link(
    transfer: Transfer, database: Database, who: Principal, record: dict[str, Any]
) -> None:
    copied = renamed(record)
    (link,) = copied["links"]
    copied["links"] = [link, link | {"target": link["target"].upper()}, link | {"target": f"{{{link['target']}}}"}]
    assert (await transfer.take_in(who, [copied])).created == 1
    held = await Links(database).list(who, UUID(copied["memory"]["id"]), 10)
    assert [(one.type, one.target) for one in held] == [(LinkType.RELATES_TO, link["target"])]
