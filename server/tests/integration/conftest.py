"""What integration tests stand on: a repository, and the service with its worker over the real memory service."""

from __future__ import annotations

import asyncio
import itertools
from collections.abc import AsyncIterator, Awaitable, Callable
from pathlib import Path

import pytest

from devlore.types import Sync
from devlore_server.integration.jobs import SyncJobs
from devlore_server.integration.service import IntegrationService
from devlore_server.kit.auth import Principal
from devlore_server.kit.db import Database
from devlore_server.kit.log import EventLog
from devlore_server.memory.service import MemoryService
from tests.integration.repositories import Repo


@pytest.fixture
def repo(tmp_path: Path) -> Repo:
    """An empty repository."""
    return Repo(tmp_path / "app")


@pytest.fixture
def memories(database: Database) -> MemoryService:
    """The memory service on this test's database."""
    return MemoryService(database, EventLog(database))


@pytest.fixture
def service(database: Database, memories: MemoryService) -> IntegrationService:
    """The integration service; nothing runs its syncs yet."""
    return IntegrationService(database, memories, local=True)


@pytest.fixture
async def worker(service: IntegrationService) -> AsyncIterator[asyncio.Task[None]]:
    """The worker of ``service``, running."""
    task = asyncio.create_task(SyncJobs(service, alone=True).run())
    yield task
    task.cancel()
    await asyncio.gather(task, return_exceptions=True)


async def ended(service: IntegrationService, who: Principal, sync: Sync, *, within: float = 30) -> Sync:
    """The sync once it has ended."""
    async with asyncio.timeout(within):
        while sync.state in ("queued", "running"):
            await asyncio.sleep(0.02)
            sync = await service.get_sync(who, sync.id)
    return sync


async def until(holds: Callable[[], Awaitable[bool]], *, within: float = 20) -> None:
    """Return once ``holds()``, or time out."""
    async with asyncio.timeout(within):
        for _ in itertools.count():
            if await holds():
                return
            await asyncio.sleep(0.03)
