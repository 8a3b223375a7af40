"""A connector's batches: statuses, successors that come sooner or later, deletions, and a person's own verdict."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

import psycopg
import pytest

from devlore.types import Memory, MemoryDraft, Source, Status
from devlore_server.kit.auth import Principal
from devlore_server.kit.db import Database
from devlore_server.kit.ids import new_id
from devlore_server.kit.log import START, EventLog
from devlore_server.memory.history import History
from devlore_server.memory.lifecycle import Lifecycle
from devlore_server.memory.links import Links
from devlore_server.memory.service import MemoryService
from devlore_server.memory.store.listing import Filters
from devlore_server.ports import Ingest, IngestDraft, IngestResult


class Adrs:
    """A folder of decision records being synced."""

    def __init__(self, service: MemoryService, who: Principal) -> None:
        self._service = service
        self._who = who
        self._connection = new_id()

    async def sync(self, *drafts: IngestDraft, deleted: tuple[str, ...] = ()) -> IngestResult:
        batch = Ingest(self._connection, "markdown", list(drafts), deleted=list(deleted), checkpoint={})
        return await self._service.ingest(self._who, batch)

    async def find(self, name: str, *, deleted: bool = False) -> Memory:
        (memory,) = await self._service.page(self._who, Filters(external_id=[name], deleted=deleted), 10)
        return memory


@pytest.fixture
def adrs(service: MemoryService, who: Principal) -> Adrs:
    return Adrs(service, who)


def record(
    name: str, status: str = "active", by: str | None = None, *, year: int | None = None, **draft: Any
) -> IngestDraft:
    written = datetime(year, 1, 1, tzinfo=UTC) if year else None
    source = Source(connector="markdown", external_id=name, updated_at=draft.pop("updated_at", None))
    fields = {"title": name, "kind": "decision", "occurred_at": written} | draft
    return IngestDraft(MemoryDraft(source=source, **fields), Status(status), f"Status: {status}", by)


async def test_a_successor_in_the_same_batch(adrs: Adrs, service: MemoryService, who: Principal) -> None:
    for order in (1, -1):
        result = await adrs.sync(*[record("1", "superseded", "2", year=2020), record("2", year=2022)][::order])
    assert (result.created, result.updated, result.unchanged) == (0, 0, 2)
    old, new = await adrs.find("1"), await adrs.find("2")
    assert (old.status, old.status_reason) == (Status.SUPERSEDED, "Status: superseded")
    assert (old.superseded_by, old.valid_from, old.valid_to) == (new.id, old.occurred_at, new.valid_from)
    assert (new.status, new.valid_to, new.version) == (Status.ACTIVE, None, 1)


async def test_a_successor_is_linked(adrs: Adrs, database: Database, who: Principal) -> None:
    await adrs.sync(record("1", "superseded", "2"), record("2"))
    old, new = await adrs.find("1"), await adrs.find("2")
    (link,) = await Links(database).list(who, new.id, 10)
    assert (link.type, link.target, link.direction) == ("supersedes", str(old.id), "outgoing")


async def test_a_successor_in_the_store(adrs: Adrs) -> None:
    await adrs.sync(record("2", year=2022))
    await adrs.sync(record("1", "superseded", "2", year=2020))
    assert (await adrs.find("1")).superseded_by == (await adrs.find("2")).id


async def test_a_successor_in_a_later_batch(adrs: Adrs, log: EventLog) -> None:
    await adrs.sync(record("1", "superseded", "2", year=2020))
    waiting = await adrs.find("1")
    assert (waiting.status, waiting.superseded_by) == (Status.SUPERSEDED, None)
    await adrs.sync(record("3"))
    assert await adrs.find("1") == waiting
    result = await adrs.sync(record("2", year=2022))
    assert (result.created, result.updated) == (1, 0)
    old, new = await adrs.find("1"), await adrs.find("2")
    assert (old.superseded_by, old.valid_to, old.version) == (new.id, new.valid_from, waiting.version + 1)
    events = [event for _, event in await log.read(START, ["memory.updated"], 10) if event.subject == old.id]
    told = events[-1].data["memory"]
    assert (told["status"], told["superseded_by"]) == ("superseded", None), "whoever may see it finds it in the row"


async def test_a_chain(adrs: Adrs) -> None:
    await adrs.sync(record("1", "superseded", "2"), record("2", "superseded", "3"), record("3"))
    one, two, three = [await adrs.find(name) for name in "123"]
    assert [one.superseded_by, two.superseded_by, three.superseded_by] == [two.id, three.id, None]
    assert [one.status, two.status, three.status] == ["superseded", "superseded", "active"]


async def test_a_status_that_changes_is_a_new_version_with_its_reason(
    adrs: Adrs, database: Database, who: Principal
) -> None:
    await adrs.sync(record("1"))
    result = await adrs.sync(record("1", "invalidated"))
    assert (result.created, result.updated, result.unchanged) == (0, 1, 0)
    memory = await adrs.find("1")
    assert (memory.status, memory.version) == (Status.INVALIDATED, 2)
    assert memory.valid_to is not None
    newest, oldest = await History(database).versions(who, memory.id, 10)
    assert (newest.change, newest.reason, oldest.memory.status) == ("status", "Status: invalidated", "active")
    back = await adrs.sync(record("1"))
    memory = await adrs.find("1")
    assert (back.updated, memory.status, memory.valid_to) == (1, Status.ACTIVE, None)


async def test_without_a_successor_validity_ends_when_the_source_was_changed(adrs: Adrs) -> None:
    changed = datetime(2021, 6, 1, tzinfo=UTC)
    await adrs.sync(record("1", "superseded", year=2020, updated_at=changed))
    assert (await adrs.find("1")).valid_to == changed
    await adrs.sync(record("2", "superseded", year=2022, updated_at=changed))
    memory = await adrs.find("2")
    assert memory.valid_to is not None and memory.valid_to >= memory.created_at


async def test_an_outdated_draft_claims_nothing(adrs: Adrs) -> None:
    days = [datetime(2021, 6, day, tzinfo=UTC) for day in (1, 2)]
    await adrs.sync(record("1", updated_at=days[1]))
    await adrs.sync(record("1", "invalidated", updated_at=days[0]))
    assert (await adrs.find("1")).status is Status.ACTIVE
    await adrs.sync(record("1", updated_at=days[1]), record("1", "invalidated", updated_at=days[0]))
    assert (await adrs.find("1")).status is Status.ACTIVE


async def test_a_memory_does_not_succeed_itself(adrs: Adrs) -> None:
    await adrs.sync(record("1", "superseded", "1"))
    memory = await adrs.find("1")
    assert (memory.status, memory.superseded_by) == (Status.SUPERSEDED, None)


@pytest.mark.parametrize("length", [2, 3])
@pytest.mark.parametrize("at_once", [True, False])
async def test_a_source_that_goes_round_in_circles_makes_none(
    adrs: Adrs, service: MemoryService, who: Principal, length: int, at_once: bool
) -> None:
    names = [str(number) for number in range(length)]
    batch = [record(name, "superseded", names[(place + 1) % length]) for place, name in enumerate(names)]
    for drafts in [batch] if at_once else [[one] for one in batch]:
        await adrs.sync(*drafts)
    stored = {memory.id: memory for memory in [await adrs.find(name) for name in names]}
    assert {memory.status for memory in stored.values()} == {Status.SUPERSEDED}
    (last,) = (memory for memory in stored.values() if memory.superseded_by is None)
    assert last.status_reason == "Status: superseded"
    # A source that mends itself is believed.
    await adrs.sync(*(record(name, "superseded", str(int(name) + 1)) for name in names[:-1]), record(names[-1]))
    assert (await adrs.find("0")).superseded_by == (await adrs.find("1")).id
    assert (await adrs.find(names[-1])).superseded_by is None


async def test_a_source_may_turn_a_succession_round(adrs: Adrs) -> None:
    await adrs.sync(record("1", "superseded", "2"), record("2"))
    for drafts in ([record("2", "superseded", "1"), record("1")], [record("1", "superseded", "2"), record("2")]):
        await adrs.sync(*drafts)
        old, new = [await adrs.find(one.draft.title) for one in drafts]
        assert (old.superseded_by, new.superseded_by, new.status) == (new.id, None, Status.ACTIVE)


async def test_a_persons_verdict_survives_the_next_sync(
    adrs: Adrs, database: Database, log: EventLog, who: Principal
) -> None:
    lifecycle = Lifecycle(database, log)
    await adrs.sync(record("1"), record("2", "superseded", "3"))
    await lifecycle.invalidate(who, (await adrs.find("1")).id, "It was wrong.")
    await lifecycle.reinstate(who, (await adrs.find("2")).id, "It still holds.")
    await adrs.sync(record("1", body="edited"), record("2", "superseded", "3"), record("3"))
    first, second = await adrs.find("1"), await adrs.find("2")
    assert (first.status, first.status_reason, first.body) == (Status.INVALIDATED, "It was wrong.", "edited")
    assert (second.status, second.superseded_by) == (Status.ACTIVE, None)
    await adrs.sync(record("2", "superseded", "4"), record("4"))
    assert (await adrs.find("2")).superseded_by == (await adrs.find("4")).id, "a new claim counts"


async def test_what_is_gone_is_deleted_and_comes_back(adrs: Adrs, database: Database, who: Principal) -> None:
    await adrs.sync(record("1"), record("2"))
    result = await adrs.sync(deleted=("1", "1", "unknown"))
    assert result.deleted == 1
    gone = await adrs.find("1", deleted=True)
    assert (gone.version, gone.deleted_at) == (2, gone.updated_at)
    newest = (await History(database).versions(who, gone.id, 1))[0]
    assert (newest.change, newest.reason) == ("deleted", "Gone from its source.")
    assert (await adrs.sync(deleted=("1",))).deleted == 0
    assert (await adrs.sync(record("1"))).updated == 1
    assert (await adrs.find("1")).id == gone.id


async def test_deleted_and_sent_in_one_batch_stays(adrs: Adrs) -> None:
    await adrs.sync(record("1"))
    result = await adrs.sync(record("1", body="moved"), deleted=("1",))
    assert (result.deleted, result.updated) == (1, 1)
    assert (await adrs.find("1")).body == "moved"


async def test_a_refused_draft_is_named_with_its_reason(adrs: Adrs) -> None:
    result = await adrs.sync(record("1", body="é" * 600_000), record("2"))
    assert (result.created, result.refused) == (1, [("1", "/body: A body has at most 1048576 bytes of UTF-8.")])


async def test_a_failed_batch_leaves_nothing_not_even_its_checkpoint(
    adrs: Adrs, service: MemoryService, who: Principal
) -> None:
    connection = new_id()
    unstorable = {"at": "a\0b"}  # the checkpoint is written last
    with pytest.raises(psycopg.DataError):
        await service.ingest(who, Ingest(connection, "markdown", [record("1")], checkpoint=unstorable))
    assert await service.checkpoint(who, connection) is None
    assert await service.count() == 0
