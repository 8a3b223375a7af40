"""The memory service behind its HTTP face, as several callers see it; no network in between."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import AsyncExitStack
from typing import Any

import httpx2
import pytest
from fastapi import FastAPI
from starlette.types import ASGIApp, Receive, Scope, Send

from devlore_server.kit.auth import Principal
from devlore_server.kit.db import Database, row
from devlore_server.kit.http import admit, install
from devlore_server.kit.log import EventLog
from devlore_server.kit.paging import Paging
from devlore_server.memory.api import internal_router, router
from devlore_server.memory.history import History
from devlore_server.memory.lifecycle import Lifecycle
from devlore_server.memory.links import Links
from devlore_server.memory.service import MemoryService
from devlore_server.memory.transfer import Transfer

Enter = Callable[[Principal], httpx2.AsyncClient]
"""A client that enters as a caller."""


class Readiness:
    """An index that is behind, or not; counts how often it was waited for."""

    def __init__(self) -> None:
        self.behind: list[str] = []
        self.waits = 0

    async def wait(self, timeout: float) -> list[str]:
        assert timeout <= 10
        self.waits += 1
        return self.behind


@pytest.fixture
def log(database: Database) -> EventLog:
    return EventLog(database)


@pytest.fixture
def service(database: Database, log: EventLog) -> MemoryService:
    return MemoryService(database, log)


@pytest.fixture
def indexing() -> Readiness:
    return Readiness()


@pytest.fixture
def app(database: Database, log: EventLog, service: MemoryService, indexing: Readiness) -> FastAPI:
    """Every route of the service, with problems rendered as the server renders them."""
    app = FastAPI()
    install(app)
    parts = History(database), Links(database), Lifecycle(database, log), Transfer(database, log)
    app.include_router(router(service, *parts, Paging(b"a secret of the tests"), indexing))
    app.include_router(internal_router(service))
    return app


@pytest.fixture
async def enter(app: FastAPI) -> AsyncIterator[Enter]:
    """Makes clients; closes them after the test."""
    async with AsyncExitStack() as stack:
        clients: list[httpx2.AsyncClient] = []

        def make(principal: Principal) -> httpx2.AsyncClient:
            transport = httpx2.ASGITransport(app=admitting(app, principal), raise_app_exceptions=True)
            client = httpx2.AsyncClient(transport=transport, base_url="http://devlore.test")
            stack.push_async_callback(client.aclose)
            clients.append(client)
            return client

        yield make


@pytest.fixture
def http(enter: Enter, who: Principal) -> httpx2.AsyncClient:
    """A client that enters as ``who``."""
    return enter(who)


def admitting(app: ASGIApp, principal: Principal) -> ASGIApp:
    """``app`` behind a gateway that admits everybody as ``principal``."""

    async def call(scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "http":
            admit(scope, principal)
        await app(scope, receive, send)

    return call


async def created(client: httpx2.AsyncClient, **draft: Any) -> dict[str, Any]:
    """A memory stored over HTTP, as the server answers it."""
    answer = await client.post("/v1/memories", json={"title": "A memory"} | draft)
    assert answer.status_code == 201, answer.text
    memory: dict[str, Any] = answer.json()
    return memory


async def held_up(database: Database, many: int) -> None:
    """Return once so many transactions wait for locks."""
    waiting = 0
    async with asyncio.timeout(20):
        while waiting < many:
            await asyncio.sleep(0.01)
            async with database.transaction(None) as connection:
                found = await row(connection, "SELECT count(DISTINCT pid) AS n FROM pg_locks WHERE NOT granted")
            waiting = int(found["n"]) if found else 0


def pointers(answer: httpx2.Response) -> list[str]:
    """Where a 422 points."""
    assert answer.status_code == 422, answer.text
    assert answer.headers["content-type"] == "application/problem+json"
    return [error["pointer"] for error in answer.json()["errors"]]
