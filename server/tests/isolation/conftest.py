"""The instance all tests of this folder look at, and the tally at the end of the run."""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterator
from typing import Any

import pytest
import pytest_asyncio
import redis

from tests.isolation.cast import Cast, assembled
from tests.isolation.probes import TALLY
from tests.isolation.stage import Stage, raised, scratch_database


@pytest.fixture(scope="module")
def stage_url(postgres: str, template: str) -> Iterator[str]:
    """The superuser's URL of the database that the tests of one file share."""
    with scratch_database(postgres, template) as url:
        yield url


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def stage(stage_url: str, redis_server: str) -> AsyncIterator[Stage]:
    """A team instance in this process."""
    with redis.Redis.from_url(redis_server) as client:
        client.flushall()
    async with raised(stage_url, redis_server) as found:
        yield found


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def company(stage: Stage) -> Cast:
    """Everybody, and what they keep."""
    return await assembled(stage)


@pytest_asyncio.fixture(loop_scope="module")
async def cast(company: Cast) -> AsyncIterator[Cast]:
    """The same, with credentials that hold from the beginning of the test to its end."""
    await company.hold()
    yield company
    await company.hold()


def pytest_terminal_summary(terminalreporter: Any) -> None:
    if TALLY.asked:
        terminalreporter.section("isolation")
        terminalreporter.write_line(TALLY.table())
