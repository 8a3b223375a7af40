"""Words go first while much arrives; one memory waits for nobody; embedding goes on while vectors are stored."""

from __future__ import annotations

import asyncio
import os
import sys
import threading
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor

import pytest

from devlore.problems import EmbedderUnavailable
from devlore.types import MemoryDraft, Privacy
from devlore_server.kit.auth import Principal
from devlore_server.search.documents import Change, change_of
from devlore_server.search.embedder import Vectors
from devlore_server.search.embedders.background import NICENESS, step_back
from devlore_server.search.pace import CALM_SECONDS, LONGEST_SECONDS, MANY, Pace
from devlore_server.search.writing import AHEAD, SLICE
from tests.search.conftest import HashingEmbedder, Start
from tests.search.waiting import standing_still, until


class Clock:
    def __init__(self) -> None:
        self.seconds = 100.0

    def __call__(self) -> float:
        return self.seconds

    async def sleep(self, seconds: float) -> None:
        self.seconds += seconds


def test_a_load_is_many_events_at_once_and_ends_some_time_after_the_last() -> None:
    clock = Clock()
    pace = Pace(clock)
    assert not pace.busy
    pace.indexed(MANY - 1)
    assert not pace.busy
    pace.indexed(MANY)
    assert pace.busy
    clock.seconds += CALM_SECONDS / 2
    pace.indexed(1)
    clock.seconds += CALM_SECONDS / 2
    assert not pace.busy, "a single memory does not make a load longer"


async def test_the_vectors_turn_comes_when_the_load_is_over_and_in_any_case() -> None:
    clock = Clock()
    pace = Pace(clock, clock.sleep)
    await pace.turn()
    assert clock.seconds == 100, "at once"
    pace.indexed(MANY)
    await pace.turn()
    assert clock.seconds == pytest.approx(100 + CALM_SECONDS)

    async def sleep_under_load(seconds: float) -> None:
        for _ in range(5):
            await clock.sleep(seconds / 5)
            pace.indexed(MANY)

    pace = Pace(clock, sleep_under_load)
    pace.indexed(MANY)
    started = clock.seconds
    await pace.turn()
    assert clock.seconds - started == pytest.approx(LONGEST_SECONDS), "a load for ever is not waited for"


@pytest.mark.skipif(sys.platform != "linux", reason="priorities of threads are Linux's")
def test_only_the_thread_that_steps_back_has_less_of_the_processor() -> None:
    def niceness() -> int:
        return os.getpriority(os.PRIO_PROCESS, threading.get_native_id())

    before = niceness()
    with ThreadPoolExecutor(1, initializer=step_back) as pool:
        assert pool.submit(niceness).result() == max(before, NICENESS)
    assert niceness() == before


class SlowEmbedder(HashingEmbedder):
    """Counts how many calls are under way at once, and can be held up."""

    def __init__(self) -> None:
        super().__init__()
        self.go_on = asyncio.Event()
        self.under_way = 0
        self.most = 0

    async def embed(self, texts: Sequence[str], *, query: bool = False) -> Vectors:
        if query:
            return await super().embed(texts, query=True)
        self.under_way += 1
        self.most = max(self.most, self.under_way)
        try:
            await self.go_on.wait()
            return await super().embed(texts)
        finally:
            self.under_way -= 1


def drafts(count: int) -> list[MemoryDraft]:
    return [MemoryDraft(title=f"memory {number} of a load", privacy=Privacy.PUBLIC) for number in range(count)]


async def test_words_are_searchable_while_vectors_wait(start: Start, who: Principal) -> None:
    embedder = SlowEmbedder()
    desk = await start(embedder=embedder)
    await desk.settled()
    await desk.memories.bulk(who, drafts(8 * SLICE))

    async def found() -> bool:
        return len((await desk.find(who, "load", legs=["lexical"], limit=100)).items) == 100

    await until(found)
    assert embedder.embedded == []
    embedder.go_on.set()
    await desk.settled()
    assert len(set(embedder.embedded)) == 8 * SLICE
    assert 1 <= embedder.most <= AHEAD
    assert (await desk.service.check()).clean


async def test_the_next_slices_are_embedded_while_one_is_stored(start: Start, who: Principal) -> None:
    embedder = SlowEmbedder()
    desk = await start(embedder=embedder)
    await desk.settled()
    embedder.go_on.set()
    # Below what counts as a load in one batch of words, but several slices for the vectors once they wait.
    await desk.memories.bulk(who, drafts(6 * SLICE))
    await desk.settled()
    generation = desk.parts.models.active
    assert generation is not None
    embedder.most = 0
    embedder.go_on.clear()
    changed = await desk.memories.scan(None, 1_000)
    writer = desk.parts.jobs._vector_rebuild._writer
    from_rows = [
        Change(row.organisation_id, row.id, row.version + 1, row.model_copy(update={"title": f"again {row.title}"}))
        for row in changed
    ]
    await asyncio.sleep(CALM_SECONDS)
    writing = asyncio.create_task(writer.write(generation, from_rows, report=False))

    async def several() -> bool:
        return embedder.under_way == AHEAD

    await until(several)
    embedder.go_on.set()
    assert await writing == 6 * SLICE
    assert embedder.most == AHEAD


async def test_a_failure_leaves_no_embedding_behind_and_what_was_stored_is_not_done_again(
    start: Start, who: Principal
) -> None:
    embedder = SlowEmbedder()
    desk = await start(embedder=embedder)
    await desk.settled()
    generation = desk.parts.models.active
    assert generation is not None
    embedder.away = True
    embedder.go_on.set()
    async with standing_still(desk):  # or another try would be under way
        await desk.memories.bulk(who, drafts(3 * SLICE))
        rows = await desk.memories.scan(None, 1_000)
        with pytest.raises(EmbedderUnavailable):
            await desk.parts.jobs._vector_rebuild._writer.write(generation, list(map(change_of, rows)), report=False)
        assert embedder.under_way == 0

    async def said() -> bool:
        return (await desk.service.status()).indexes[1].state == "unavailable"

    await until(said)
    embedder.away = False
    await desk.settled()
    assert sorted(embedder.embedded) == sorted(set(embedder.embedded)), "nothing was embedded twice"
    assert (await desk.service.check()).clean
