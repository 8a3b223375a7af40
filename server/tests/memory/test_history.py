"""Versions and diffs."""

from __future__ import annotations

import psycopg
import pytest

from devlore.problems import Invalid, NotFound
from devlore.types import MemoryDraft, MemoryPatch, Privacy, Restoration
from devlore_server.kit.auth import Principal
from devlore_server.kit.db import Database, rows
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


async def test_what_was_private_before_it_was_published_stays_so(
    service: MemoryService, history: History, who: Principal, other: Principal
) -> None:
    memory = (await service.create(who, MemoryDraft(body="the password is hunter2"))).memory
    await service.edit(who, memory.id, MemoryPatch(body="the password is in the vault"), None)
    await service.edit(who, memory.id, MemoryPatch(privacy=Privacy.PUBLIC), None)
    await service.edit(other, memory.id, MemoryPatch(title="Ours"), None)
    await service.edit(who, memory.id, MemoryPatch(title="Everybody's"), None)
    assert [v.version for v in await history.versions(who, memory.id, 10)] == [5, 4, 3, 2, 1]
    seen = await history.versions(other, memory.id, 10)
    assert [v.version for v in seen] == [5, 4, 3]
    assert "hunter2" not in str(seen)
    assert [v.version for v in await history.versions(other, memory.id, 2, below=5)] == [4, 3]
    for hidden in (1, 2):
        for ask in (history.version(other, memory.id, hidden), history.diff(other, memory.id, hidden, 5)):
            with pytest.raises(NotFound):
                await ask
        with pytest.raises(Invalid):
            await service.restore(other, memory.id, Restoration(version=hidden))
    oldest = await history.diff(other, memory.id, None, 3)
    assert (oldest.old_version, oldest.fields) == (3, []), "it differs from nothing the caller may see"


async def test_a_teams_past_is_for_the_team(
    service: MemoryService, history: History, who: Principal, other: Principal
) -> None:
    (team,) = who.teams
    mate = Principal(who.organisation, new_id(), who.teams, who.scopes)
    memory = (await service.create(who, MemoryDraft(body="draft", privacy=Privacy.TEAM, team_id=team))).memory
    await service.edit(who, memory.id, MemoryPatch(body="final", privacy=Privacy.PUBLIC), None)
    assert [v.memory.body for v in await history.versions(mate, memory.id, 10)] == ["final", "draft"]
    assert [v.memory.body for v in await history.versions(other, memory.id, 10)] == ["final"]
    await service.edit(who, memory.id, MemoryPatch(privacy=Privacy.PRIVATE), None)
    for asking in (mate, other):
        with pytest.raises(NotFound):
            await history.versions(asking, memory.id, 10)


async def test_row_level_security_alone_hides_what_was_private(
    service: MemoryService, database: Database, who: Principal, other: Principal
) -> None:
    memory = (await service.create(who, MemoryDraft(body="one"))).memory
    await service.edit(who, memory.id, MemoryPatch(body="two", privacy=Privacy.PUBLIC), None)
    for asking, seen in ((who, 1), (other, 0)):
        async with database.transaction(asking) as connection:
            assert len(await rows(connection, "SELECT state FROM memory.version")) == seen
    with pytest.raises(psycopg.errors.InsufficientPrivilege):
        async with database.transaction(who) as connection:
            await connection.execute("DELETE FROM memory.version")
