"""Jobs that crash are started again, and it shows."""

from __future__ import annotations

import asyncio

import pytest

from devlore_server.kit import supervise
from devlore_server.kit.supervise import JobDown, Supervisor


@pytest.fixture(autouse=True)
def quick(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(supervise, "FIRST_DELAY", 0.01)
    monkeypatch.setattr(supervise, "CALM_AFTER", 60)


async def test_a_job_runs_until_the_supervisor_is_left() -> None:
    ended = asyncio.Event()

    async def job() -> None:
        try:
            await asyncio.sleep(60)
        finally:
            ended.set()

    async with Supervisor() as supervisor:
        supervisor.start("job", job)
        await asyncio.sleep(0)
        await supervisor.ping()
        assert not ended.is_set()
    assert ended.is_set()


async def test_a_crashed_job_is_started_again_and_named_until_it_is_calm(monkeypatch: pytest.MonkeyPatch) -> None:
    runs = 0
    steady, crash = asyncio.Event(), asyncio.Event()

    async def job() -> None:
        nonlocal runs
        runs += 1
        if runs < 3:
            raise ValueError("no")
        steady.set()
        await crash.wait()
        if runs == 3:
            raise ValueError("no more")
        await asyncio.sleep(60)

    async with Supervisor() as supervisor:
        supervisor.start("tail", job)
        await asyncio.wait_for(steady.wait(), 20)
        assert runs == 3
        with pytest.raises(JobDown, match=r"tail: ValueError: no$"):
            await supervisor.ping()
        monkeypatch.setattr(supervise, "CALM_AFTER", 0.1)
        crash.set()
        async with asyncio.timeout(20):
            while runs < 4 or supervisor.down:
                await asyncio.sleep(0.01)
        await supervisor.ping()


async def test_one_crash_leaves_the_others_alone() -> None:
    beats = 0

    async def beat() -> None:
        nonlocal beats
        while True:
            beats += 1
            await asyncio.sleep(0.001)

    async def crash() -> None:
        raise RuntimeError

    async with Supervisor() as supervisor:
        supervisor.start("beat", beat)
        supervisor.start("crash", crash)
        await asyncio.sleep(0.05)
        before = beats
        await asyncio.sleep(0.05)
        assert beats > before
        assert set(supervisor.down) == {"crash"}


async def test_a_job_that_returns_has_finished() -> None:
    runs = 0

    async def once() -> None:
        nonlocal runs
        runs += 1

    async with Supervisor() as supervisor:
        supervisor.start("once", once)
        await asyncio.sleep(0.05)
        await supervisor.ping()
    assert runs == 1


async def test_a_job_that_loses_a_cancellation_ends_all_the_same(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(supervise, "CANCEL_AGAIN_AFTER", 0.01)
    lost = 0

    async def stubborn() -> None:
        nonlocal lost
        while lost < 2:
            try:
                await asyncio.sleep(60)
            except asyncio.CancelledError:
                lost += 1
        await asyncio.sleep(60)

    async with Supervisor() as supervisor:
        supervisor.start("stubborn", stubborn)
        await asyncio.sleep(0)
    assert lost == 2
