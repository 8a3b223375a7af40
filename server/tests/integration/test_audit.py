"""What connecting and syncing sources leave in the audit trail."""

from __future__ import annotations

from typing import Any

import psycopg
import pytest

from devlore.problems import NotFound
from devlore.types import ConnectionDraft, ConnectionPatch
from devlore_server.integration.service import IntegrationService
from devlore_server.kit.auth import Principal
from devlore_server.kit.db import Database
from devlore_server.memory.service import MemoryService
from tests.integration.conftest import ended
from tests.integration.scripted import Scripted
from tests.kit.audited import leaves, rehash


@pytest.fixture
def source() -> Scripted:
    return Scripted("a", "b", "c")


@pytest.fixture
def service(database: Database, memories: MemoryService, source: Scripted) -> IntegrationService:
    return IntegrationService(database, memories, connectors={"scripted": source})


def told(owner_url: str) -> list[dict[str, Any]]:
    """The leaves that are not about memories."""
    found = [row for row in leaves(owner_url) if not row["action"].startswith("memory.")]
    assert [rehash(row) for row in found] == [row["hash"] for row in found]
    return found


async def test_the_life_of_a_connection(service: IntegrationService, who: Principal, owner_url: str) -> None:
    draft = ConnectionDraft(connector="scripted", config={"place": "a secret place"})
    connection, _ = await service.connect(who, draft)
    await service.connect(who, draft)
    await service.change(who, connection.id, ConnectionPatch(watch=True))
    await service.disconnect(who, connection.id)
    found = told(owner_url)
    actions = ["connection.created", "connection.updated", "connection.updated", "connection.deleted"]
    assert [row["action"] for row in found] == actions
    assert {row["targets"][0]["id"] for row in found} == {str(connection.id)}
    assert [row["context"].get("watch") for row in found] == [False, False, True, None]
    assert "secret place" not in str(found)


@pytest.mark.usefixtures("worker")
async def test_a_sync_is_asked_for_and_ends(
    service: IntegrationService, who: Principal, source: Scripted, owner_url: str
) -> None:
    connection, _ = await service.connect(who, ConnectionDraft(connector="scripted"))
    sync = await ended(service, who, await service.sync(who, connection.id))
    _, asked, finished = told(owner_url)
    about = [{"type": "connection", "id": str(connection.id)}, {"type": "sync", "id": str(sync.id)}]
    assert (asked["action"], asked["targets"], asked["context"]) == ("sync.requested", about, {"full": False})
    counts = {"created": 3, "updated": 0, "deleted": 0, "failed": 0}
    assert (finished["action"], finished["targets"]) == ("sync.finished", about)
    assert (finished["result"], finished["context"]) == ("ok", {"state": "done"} | counts)
    assert sum(row["action"] == "memory.created" for row in leaves(owner_url)) == 3
    source.errors = [NotFound("The source is gone.")]
    await ended(service, who, await service.sync(who, connection.id, full=True))
    failed = told(owner_url)[-1]
    assert (failed["result"], failed["context"]["state"]) == ("failed", "failed")


async def test_cancelling_is_noted_and_asking_twice_is_one_request(
    service: IntegrationService, who: Principal, stranger: Principal, owner_url: str
) -> None:
    connection, _ = await service.connect(who, ConnectionDraft(connector="scripted"))
    sync = await service.sync(who, connection.id)
    await service.sync(who, connection.id)
    with pytest.raises(NotFound):
        await service.cancel_sync(stranger, sync.id)
    await service.cancel_sync(who, sync.id)
    assert [row["action"] for row in told(owner_url)] == ["connection.created", "sync.requested", "sync.cancelled"]


async def test_nothing_is_connected_without_its_leaf(
    service: IntegrationService, who: Principal, owner_url: str
) -> None:
    with psycopg.connect(owner_url) as connection:
        connection.execute("REVOKE INSERT ON audit.leaf FROM devlore_app")
    with pytest.raises(psycopg.errors.InsufficientPrivilege):
        await service.connect(who, ConnectionDraft(connector="scripted"))
    assert await service.page(who, 10) == []
