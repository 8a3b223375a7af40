"""Whoever left has nothing connected any more, and only they."""

from __future__ import annotations

import asyncio
from datetime import UTC, datetime, timedelta
from pathlib import Path
from uuid import UUID

import psycopg
import pytest

from devlore.events import Event, EventType
from devlore.problems import NotFound
from devlore.types import ConnectionDraft
from devlore_server.integration.departures import Disconnections
from devlore_server.integration.reactions import IntegrationReactions
from devlore_server.integration.service import IntegrationService
from devlore_server.kit.auth import Principal
from devlore_server.kit.db import Database
from devlore_server.kit.ids import new_id
from devlore_server.memory.service import Filters, MemoryService
from tests.integration.conftest import ended
from tests.integration.repositories import Repo


@pytest.fixture
def reactions(database: Database, memories: MemoryService) -> IntegrationReactions:
    return IntegrationReactions(Disconnections(database, memories))


def event(type: EventType, organisation: UUID, subject: UUID, at: datetime | None = None) -> Event:
    return Event(
        id=new_id(),
        type=type,
        organisation_id=organisation,
        subject=subject,
        version=1,
        audience=organisation,
        occurred_at=at or datetime.now(UTC) + timedelta(seconds=1),
        data={},
    )


async def connected(service: IntegrationService, who: Principal, folder: Path) -> UUID:
    folder.mkdir(exist_ok=True)
    draft = ConnectionDraft(connector="markdown", config={"path": str(folder)})
    connection, _ = await service.connect(who, draft)
    return connection.id


async def left(service: IntegrationService, who: Principal) -> list[UUID]:
    return [one.id for one in await service.page(who, 10)]


async def test_a_member_who_left_has_nothing_connected(
    service: IntegrationService,
    reactions: IntegrationReactions,
    who: Principal,
    other: Principal,
    tmp_path: Path,
    owner_url: str,
) -> None:
    elsewhere = Principal(new_id(), who.person)
    for number in range(2):
        await connected(service, who, tmp_path / str(number))
    of_other, there = await connected(service, other, tmp_path), await connected(service, elsewhere, tmp_path)
    for _ in range(2):
        await reactions.disconnect([event("identity.member_removed", who.organisation, who.person)])
    assert await left(service, who) == []
    assert (await left(service, other), await left(service, elsewhere)) == ([of_other], [there])
    with psycopg.connect(owner_url) as connection:
        query = "SELECT actor_type, count(*) FROM audit.leaf WHERE action = 'connection.deleted' GROUP BY 1"
        assert connection.execute(query).fetchall() == [("system", 2)]


async def test_whoever_came_back_keeps_what_they_connected_since(
    service: IntegrationService, reactions: IntegrationReactions, who: Principal, tmp_path: Path
) -> None:
    await connected(service, who, tmp_path / "before")
    removed_at = datetime.now(UTC)
    since = await connected(service, who, tmp_path / "since")
    await reactions.disconnect([event("identity.member_removed", who.organisation, who.person, removed_at)])
    assert await left(service, who) == [since]


async def test_an_organisation_that_is_gone_has_nothing_connected(
    service: IntegrationService,
    reactions: IntegrationReactions,
    who: Principal,
    other: Principal,
    stranger: Principal,
    tmp_path: Path,
) -> None:
    for person in (who, other):
        await connected(service, person, tmp_path)
    kept = await connected(service, stranger, tmp_path)
    await reactions.disconnect([event("identity.organisation_erased", who.organisation, who.organisation)])
    assert await left(service, who) + await left(service, other) == []
    assert await left(service, stranger) == [kept]


async def test_a_sync_goes_with_its_connection_and_its_place_is_forgotten(
    service: IntegrationService,
    reactions: IntegrationReactions,
    memories: MemoryService,
    worker: asyncio.Task[None],
    who: Principal,
    repo: Repo,
) -> None:
    repo.commit("one", {"a": "1"})
    connection, _ = await service.connect(who, ConnectionDraft(connector="git", config={"path": str(repo.folder)}))
    sync = await ended(service, who, await service.sync(who, connection.id))
    assert await memories.checkpoint(who, connection.id) is not None
    await reactions.disconnect([event("identity.member_removed", who.organisation, who.person)])
    with pytest.raises(NotFound):
        await service.get_sync(who, sync.id)
    assert await memories.checkpoint(who, connection.id) is None
    assert len(await memories.page(who, Filters(), 10)) == 1, "what was read is for an owner to decide"
