"""Supersede, invalidate, reinstate: status, validity, successor and link move together."""

from __future__ import annotations

import asyncio
from datetime import UTC, datetime, timedelta
from uuid import UUID

import psycopg
import pytest

from devlore.events import Event
from devlore.problems import Conflict, Invalid, NotFound
from devlore.types import LinkType, Memory, MemoryDraft, Privacy, Status
from devlore_server.kit.auth import Principal
from devlore_server.kit.db import Database
from devlore_server.kit.ids import new_id
from devlore_server.kit.log import EventLog, Position
from devlore_server.memory.history import History
from devlore_server.memory.lifecycle import Lifecycle
from devlore_server.memory.links import Links
from devlore_server.memory.service import MemoryService

from .conftest import held_up

NOW = datetime(2026, 3, 1, 12, tzinfo=UTC)


@pytest.fixture
def service(database: Database, log: EventLog) -> MemoryService:
    return MemoryService(database, log, lambda: NOW)


@pytest.fixture
def lifecycle(database: Database, log: EventLog) -> Lifecycle:
    return Lifecycle(database, log, lambda: NOW)


async def remembered(service: MemoryService, who: Principal, title: str, **fields: object) -> Memory:
    return (await service.create(who, MemoryDraft(title=title, **fields))).memory  # type: ignore[arg-type]


async def events_of(log: EventLog, subject: UUID) -> list[Event]:
    found = await log.read(Position(0, 0), ["memory.created", "memory.updated"], 100)
    return [event for _, event in found if event.subject == subject]


async def test_superseding_changes_everything_in_one_version(
    service: MemoryService, lifecycle: Lifecycle, database: Database, log: EventLog, who: Principal
) -> None:
    old = await remembered(service, who, "We use MySQL", occurred_at=NOW - timedelta(days=90))
    new = await remembered(service, who, "We use PostgreSQL", occurred_at=NOW - timedelta(days=10))
    stored = await lifecycle.supersede(who, old.id, new.id, "JSON queries")

    assert (stored.status, stored.superseded_by, stored.version) == (Status.SUPERSEDED, new.id, 2)
    assert stored.valid_to == NOW - timedelta(days=10), "the successor's validity ends the old one's"
    assert await service.get(who, old.id) == stored
    links = await Links(database).list(who, new.id, 10)
    assert [(link.type, link.target, link.direction) for link in links] == [
        (LinkType.SUPERSEDES, str(old.id), "outgoing")
    ]
    versions = await History(database).versions(who, old.id, 10)
    assert [(v.version, v.change, v.reason) for v in versions] == [(2, "status", "JSON queries"), (1, "created", None)]
    assert versions[1].memory.status is Status.ACTIVE
    assert [event.data["memory"]["status"] for event in await events_of(log, old.id)] == ["active", "superseded"]


async def test_repeating_a_supersession_changes_nothing(
    service: MemoryService, lifecycle: Lifecycle, who: Principal
) -> None:
    old, new = await remembered(service, who, "old"), await remembered(service, who, "new")
    first = await lifecycle.supersede(who, old.id, new.id, None)
    assert await lifecycle.supersede(who, old.id, new.id, "again") == first


async def test_a_successor_older_than_the_memory_ends_it_now(
    service: MemoryService, lifecycle: Lifecycle, who: Principal
) -> None:
    old = await remembered(service, who, "old", occurred_at=NOW - timedelta(days=1))
    new = await remembered(service, who, "new", occurred_at=NOW - timedelta(days=5))
    assert (await lifecycle.supersede(who, old.id, new.id, None)).valid_to == NOW


async def test_no_memory_succeeds_itself(service: MemoryService, lifecycle: Lifecycle, who: Principal) -> None:
    a, b, c = [await remembered(service, who, title) for title in "abc"]
    with pytest.raises(Conflict):
        await lifecycle.supersede(who, a.id, a.id, None)
    await lifecycle.supersede(who, a.id, b.id, None)
    await lifecycle.supersede(who, b.id, c.id, None)
    with pytest.raises(Conflict, match="itself superseded"):
        await lifecycle.supersede(who, c.id, a.id, None)
    assert (await service.get(who, c.id)).status is Status.ACTIVE


async def test_supersessions_at_once_make_no_circle(
    service: MemoryService, lifecycle: Lifecycle, database: Database, owner_url: str, who: Principal
) -> None:
    """Each of the last two would be right alone: they lock different rows, and neither sees the other's successor."""
    a, b, c, d = [await remembered(service, who, title) for title in "abcd"]
    await lifecycle.supersede(who, a.id, b.id, None)
    await lifecycle.supersede(who, c.id, d.id, None)
    async with await psycopg.AsyncConnection.connect(owner_url) as blocking:
        # Whoever has looked at the chain stops here, before writing its link.
        await blocking.execute("LOCK TABLE memory.link IN SHARE MODE")
        closing = [asyncio.create_task(lifecycle.supersede(who, old.id, by.id, None)) for old, by in ((b, c), (d, a))]
        await held_up(database, 2)
    ended = await asyncio.gather(*closing, return_exceptions=True)
    (refused,) = (one for one in ended if isinstance(one, BaseException))
    assert isinstance(refused, Conflict)
    following = {one.id: (await service.get(who, one.id)).superseded_by for one in (a, b, c, d)}
    assert sorted(by is None for by in following.values()) == [False, False, False, True]


async def test_a_second_successor_is_a_conflict(service: MemoryService, lifecycle: Lifecycle, who: Principal) -> None:
    a, b, c = [await remembered(service, who, title) for title in "abc"]
    await lifecycle.supersede(who, a.id, b.id, None)
    with pytest.raises(Conflict, match="already superseded"):
        await lifecycle.supersede(who, a.id, c.id, None)
    assert (await service.get(who, a.id)).superseded_by == b.id


async def test_invalidate_and_reinstate(service: MemoryService, lifecycle: Lifecycle, who: Principal) -> None:
    memory = await remembered(service, who, "Retries are safe here")
    wrong = await lifecycle.invalidate(who, memory.id, "They are not")
    assert (wrong.status, wrong.status_reason, wrong.valid_to) == (Status.INVALIDATED, "They are not", NOW)
    with pytest.raises(Conflict):
        await lifecycle.invalidate(who, memory.id, None)
    right = await lifecycle.reinstate(who, memory.id, "They are after all")
    assert (right.status, right.valid_to, right.version) == (Status.ACTIVE, None, 3)
    with pytest.raises(Conflict):
        await lifecycle.reinstate(who, memory.id, None)


async def test_reinstating_removes_the_supersession(
    service: MemoryService, lifecycle: Lifecycle, database: Database, who: Principal
) -> None:
    old, new = await remembered(service, who, "old"), await remembered(service, who, "new")
    await lifecycle.supersede(who, old.id, new.id, None)
    back = await lifecycle.reinstate(who, old.id, None)
    assert (back.status, back.superseded_by, back.valid_to) == (Status.ACTIVE, None, None)
    assert await Links(database).list(who, new.id, 10) == []


async def test_what_a_caller_cannot_see_does_not_exist(
    service: MemoryService, lifecycle: Lifecycle, who: Principal, other: Principal, stranger: Principal
) -> None:
    mine = await remembered(service, who, "mine", privacy=Privacy.PRIVATE)
    theirs = await remembered(service, other, "theirs")
    for caller in (other, stranger):
        with pytest.raises(NotFound) as hidden:
            await lifecycle.invalidate(caller, mine.id, None)
        with pytest.raises(NotFound) as absent:
            await lifecycle.invalidate(caller, new_id(), None)
        assert hidden.value.body() == absent.value.body()
    with pytest.raises(Invalid) as hidden_successor:
        await lifecycle.supersede(who, mine.id, theirs.id, None)
    with pytest.raises(Invalid) as absent_successor:
        await lifecycle.supersede(who, mine.id, new_id(), None)
    assert hidden_successor.value.body() == absent_successor.value.body()
    assert (await service.get(who, mine.id)).version == 1
