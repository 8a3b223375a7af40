"""Two organisations: Acme with somebody in each role, and Globex, whose owner is a stranger to it."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable
from contextlib import AsyncExitStack

import httpx2
import pytest

from devlore_server.kit.audit import refusals
from devlore_server.kit.auth import Principal
from devlore_server.kit.db import Database
from devlore_server.kit.limit import LocalLimiter
from devlore_server.kit.log import EventLog

from .credentials import Credentials
from .directory import Directory, Time, admitting

Enter = Callable[[Principal | None], httpx2.AsyncClient]
"""A client that enters as a caller, or as nobody."""


@pytest.fixture
def time() -> Time:
    return Time()


@pytest.fixture
def directory(database: Database, log: EventLog, owner_url: str, time: Time) -> Directory:
    return Directory(database, log, owner_url, time)


@pytest.fixture(autouse=True)
def room_for_refusals(monkeypatch: pytest.MonkeyPatch) -> None:
    """No test starts with the audit's limit of refusals used up by those before it."""
    monkeypatch.setattr(refusals, "_limiter", LocalLimiter())


@pytest.fixture
def credentials(directory: Directory) -> Credentials:
    return Credentials(directory)


@pytest.fixture
async def owner(directory: Directory) -> Principal:
    """The owner of Acme."""
    return await directory.found("Acme")


@pytest.fixture
async def admin(directory: Directory, owner: Principal) -> Principal:
    return await directory.join(owner.organisation, "admin", "Alan")


@pytest.fixture
async def member(directory: Directory, owner: Principal) -> Principal:
    return await directory.join(owner.organisation, "member", "Mary")


@pytest.fixture
async def viewer(directory: Directory, owner: Principal) -> Principal:
    return await directory.join(owner.organisation, "viewer", "Vera")


@pytest.fixture
async def stranger(directory: Directory) -> Principal:
    """The owner of Globex."""
    return await directory.found("Globex")


@pytest.fixture
async def enter(directory: Directory) -> AsyncIterator[Enter]:
    """Makes clients of the directory's routes; closes them after the test."""
    app = directory.app()
    async with AsyncExitStack() as stack:

        def make(principal: Principal | None) -> httpx2.AsyncClient:
            transport = httpx2.ASGITransport(app=admitting(app, principal), raise_app_exceptions=True)
            client = httpx2.AsyncClient(transport=transport, base_url="http://devlore.test")
            stack.push_async_callback(client.aclose)
            return client

        yield make
