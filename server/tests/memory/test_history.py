"""Versions and diffs."""

from __future__ import annotations

import pytest

from devlore.problems import NotFound
from devlore.types import MemoryDraft, MemoryPatch, Privacy, Restoration
from devlore_server.kit.auth import Principal
from devlore_server.kit.db import Database
from devlore_server.kit.ids import new_id
from devlore_server.kit.log import EventLog
from devlore_server.memory.history import History
from devlore_server.memory.service import MemoryService


@pytest.fixture
def service(database: Database, log: EventLog) -> MemoryService:
    return MemoryService(database, log)


@pytest.fixture
def history(database: Database) -> History:
    return History(database)


async def test_every_change_is_a_version(service: MemoryService, history: History, who: Principal) -> None:
    memory = (await service.create(who, MemoryDraft(title="One", body="a\nb\nc", tags=["x"]))).memory
    await service.edit(who, memory.id, MemoryPatch(body="a\nB\nc"), None)
    await service.edit(who, memory.id, MemoryPatch(title="Two", tags=["x", "y"]), None)
    versions = await history.versions(who, memory.id, 10)
    assert [(v.version, v.memory.title, v.memory.body) for v in versions] == [
        (3, "Two", "a\nB\nc"),
        (2, "One", "a\nB\nc"),
        (1, "One", "a\nb\nc"),
    ]
    assert {v.changed_by for v in versions} == {who.person}
    assert [v.version for v in await history.versions(who, memory.id, 2)] == [3, 2]
    assert [v.version for v in await history.versions(who, memory.id, 10, below=3)] == [2, 1]
    assert await history.version(who, memory.id, 1) == versions[2]


async def test_a_diff_names_fields_and_shows_lines(service: MemoryService, history: History, who: Principal) -> None:
    memory = (await service.create(who, MemoryDraft(title="One", body="a\nb\nc"))).memory
    await service.edit(who, memory.id, MemoryPatch(title="Two", body="a\nB\nc"), None)
    diff = await history.diff(who, memory.id, None, None)
    assert (diff.old_version, diff.new_version) == (1, 2)
    assert [(change.field, change.old, change.new) for change in diff.fields] == [("title", "One", "Two")]
    assert diff.body.splitlines()[-4:] == [" a", "-b", "+B", " c"]
    backwards = await history.diff(who, memory.id, 2, 1)
    assert "+b" in backwards.body and backwards.fields[0].new == "One"
    same = await history.diff(who, memory.id, 2, 2)
    assert (same.fields, same.body) == ([], "")


async def test_a_deleted_memory_keeps_its_history(service: MemoryService, history: History, who: Principal) -> None:
    memory = (await service.create(who, MemoryDraft(title="One"))).memory
    await service.delete(who, memory.id)
    assert [v.change for v in await history.versions(who, memory.id, 10)] == ["deleted", "created"]
    await service.restore(who, memory.id, Restoration(version=None))
    assert [v.change for v in await history.versions(who, memory.id, 10)] == ["restored", "deleted", "created"]


async def test_absent_versions_and_hidden_memories(
    service: MemoryService, history: History, who: Principal, other: Principal, stranger: Principal
) -> None:
    memory = (await service.create(who, MemoryDraft(title="One", privacy=Privacy.PRIVATE))).memory
    with pytest.raises(NotFound):
        await history.version(who, memory.id, 2)
    with pytest.raises(NotFound):
        await history.diff(who, memory.id, 1, 9)
    for caller in (other, stranger):
        for id in (memory.id, new_id()):
            with pytest.raises(NotFound) as refused:
                await history.versions(caller, id, 10)
            assert refused.value.detail is None
