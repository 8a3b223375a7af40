"""The instance all tests of this folder look at, and the tally at the end of the run.

Everybody is assembled once in a run; each file has a copy of that database, and a server of its own on it.
"""

from __future__ import annotations

import asyncio
import io
from collections.abc import AsyncIterator, Iterator
from dataclasses import dataclass
from typing import Any

import pytest
import pytest_asyncio
from psycopg.conninfo import conninfo_to_dict

from tests.isolation.cast import Cast, assembled
from tests.isolation.probes import TALLY
from tests.isolation.stage import Stage, logged_to, raised, scratch_database
from tests.search.conftest import EmbeddingServer


@dataclass(frozen=True)
class Assembled:
    """The database everybody is in, what they keep there, and what the server logged while they came."""

    url: str
    cast: Cast
    log: str


@pytest.fixture(scope="session")
def embedder() -> Iterator[str]:
    """What makes vectors, as the settings name it."""
    server = EmbeddingServer()
    server.start()
    yield server.spec
    server.stop()


@pytest.fixture(scope="session")
def everybody(postgres: str, template: str, redis_server: str, embedder: str) -> Iterator[Assembled]:
    """Two organisations and all that is in them; the server that made it is gone."""

    async def made(url: str) -> Cast:
        async with raised(url, redis_server, embedder) as stage:
            return await assembled(stage)

    text = io.StringIO()
    with scratch_database(postgres, template) as url:
        with logged_to(text):
            cast = asyncio.run(made(url))
        yield Assembled(url, cast, text.getvalue())


@pytest.fixture(scope="module")
def scratch_url(postgres: str, template: str) -> Iterator[str]:
    """The superuser's URL of an empty database that the tests of one file share."""
    with scratch_database(postgres, template) as url:
        yield url


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def stage(scratch_url: str, redis_server: str, embedder: str) -> AsyncIterator[Stage]:
    """A team instance in this process, with nobody in it."""
    async with raised(scratch_url, redis_server, embedder) as found:
        yield found


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def company(postgres: str, everybody: Assembled, redis_server: str, embedder: str) -> AsyncIterator[Cast]:
    """Everybody, and what they keep, in an instance that the tests of one file share."""
    with scratch_database(postgres, str(conninfo_to_dict(everybody.url)["dbname"])) as url:
        async with raised(url, redis_server, embedder) as stage:
            cast = await everybody.cast.on(stage)
            await stage.settled(cast["ann"])
            await cast.hold()
            yield cast


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def cast(company: Cast) -> AsyncIterator[Cast]:
    """The same, with credentials that still hold when the last test is done."""
    yield company
    await company.hold()


def pytest_sessionfinish(session: pytest.Session) -> None:
    if hasattr(session.config, "workeroutput"):
        session.config.workeroutput["isolation"] = TALLY.told()


@pytest.hookimpl(optionalhook=True)
def pytest_testnodedown(node: Any) -> None:
    # A worker that was killed told nothing.
    if told := getattr(node, "workeroutput", {}).get("isolation"):
        TALLY.add(told)


def pytest_terminal_summary(terminalreporter: Any) -> None:
    if TALLY.asked:
        terminalreporter.section("isolation")
        terminalreporter.write_line(TALLY.table())
