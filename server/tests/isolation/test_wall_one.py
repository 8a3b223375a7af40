"""Row-level security alone: with every `organisation_id = …` of the queries taken out, nobody sees more than before."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from pathlib import Path

import pytest
import pytest_asyncio
from hypothesis.stateful import run_state_machine_as_test

from devlore_server.kit.db import Database
from tests.isolation.cast import Cast, assembled
from tests.isolation.differ import Differ
from tests.isolation.machine import Machine
from tests.isolation.operations import operations
from tests.isolation.probes import FULL, TALLY, Leaks
from tests.isolation.service_door import service_door
from tests.isolation.stage import Stage, raised
from tests.isolation.test_canaries import answers, mistakes, searches, swept
from tests.isolation.test_differ import LATER
from tests.isolation.test_machine import played
from tests.isolation.walls import FELL, PREDICATE, take_down_functions, wall_one_down

pytestmark = pytest.mark.timeout(3_600 if FULL else 300)
on_stage = pytest.mark.asyncio(loop_scope="module")
ASKERS = ["gus", "gina", "gil", "carl", "alan", "vera"] if FULL else ["gus", "carl"]
LEAST_STATEMENTS, LEAST_FUNCTIONS = 70, 12


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def stage(scratch_url: str, redis_server: str, embedder: str) -> AsyncIterator[Stage]:
    fallen = take_down_functions(scratch_url)
    TALLY.noted["functions without wall one"] = len(fallen)
    assert len(fallen) >= LEAST_FUNCTIONS, fallen
    with wall_one_down():
        async with raised(scratch_url, redis_server, embedder) as found:
            yield found


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def company(stage: Stage) -> Cast:
    """Nobody is in two organisations: of those who are, rows of both are theirs to see, and only a predicate says of
    which is being spoken."""
    return await assembled(stage, wandering=False)


async def test_the_state_machine_holds_as_well(database_url: str, owner_url: str, tmp_path: Path) -> None:
    """First: a stage that stands still meanwhile may have a transaction open, which holds back every event."""
    take_down_functions(owner_url)
    with wall_one_down():
        database = Database(database_url)
    await database.open()
    try:
        async with service_door(database, owner_url, tmp_path / "lexical") as opened:

            class WithoutWallOne(Machine):
                door = opened
                loop = asyncio.get_running_loop()
                kind = "wall one down, state machine"
                wandering = False

            size = played(60, 30) if FULL else played(2, 10)
            await asyncio.to_thread(run_state_machine_as_test, WithoutWallOne, settings=size)
    finally:
        await database.close()
    TALLY.noted["statements without wall one, over services"] = len(FELL)
    assert len(FELL) >= LEAST_STATEMENTS // 4


@on_stage
@pytest.mark.parametrize("name", ASKERS)
async def test_everything_somebody_may_ask_holds_no_word_of_anothers(cast: Cast, name: str) -> None:
    leaks = Leaks("wall one down, canaries")
    for ask in (answers, searches, mistakes):
        async for what, sent, text in ask(cast, name):
            words = swept(cast, name, text, sent)
            if "/v1/audit" in what and name not in ("gus", "gina", "gil"):
                words = [word for word in words if word in cast.words]
            leaks.same(words, [], f"{name}: {what}")
    leaks.assert_none()


@on_stage
@pytest.mark.parametrize("name", ASKERS)
async def test_what_ann_knows_is_answered_like_what_nobody_knows(cast: Cast, name: str) -> None:
    differ = Differ(cast, Leaks("wall one down, differ"), values=100 if FULL else 1)
    for one in sorted(operations(), key=lambda one: one.id in LATER):
        await differ.replay(one, name)
    differ.leaks.assert_none()


@on_stage
async def test_that_wall_was_down(cast: Cast) -> None:
    """Last of those on the stage: what ran until here ran without it."""
    TALLY.noted["statements without wall one, over HTTP"] = len(FELL)
    assert len(FELL) >= LEAST_STATEMENTS, f"{len(FELL)} statements only"
    assert all(PREDICATE.search(query) for query in FELL)
