"""Noticing changes of a folder: soon, once per burst, and also where no notice comes."""

from __future__ import annotations

import asyncio
import shutil
from contextlib import aclosing
from pathlib import Path

from devlore_server.integration.connectors.changes import changes


def listing(folder: Path) -> list[tuple[str, str]]:
    return sorted((path.name, path.read_text()) for path in folder.glob("*")) if folder.is_dir() else []


async def test_a_burst_is_one_change_and_the_same_state_none(tmp_path: Path) -> None:
    async def state() -> list[tuple[str, str]]:
        return listing(tmp_path)

    async with aclosing(changes(tmp_path, state, poll_seconds=60)) as moved:
        await anext(moved)
        waiting = asyncio.create_task(anext(moved))
        await asyncio.sleep(0.3)
        for number in range(20):
            (tmp_path / "a").write_text(str(number))
        await asyncio.wait_for(waiting, 10)
        again = asyncio.create_task(anext(moved))
        await asyncio.sleep(0.3)
        (tmp_path / "a").write_text("19")
        done, _ = await asyncio.wait([again], timeout=1.5)
        assert not done
        again.cancel()
        await asyncio.gather(again, return_exceptions=True)


async def test_the_slow_look_sees_what_gives_no_notice(tmp_path: Path) -> None:
    value = 0

    async def state() -> int:
        return value

    async with aclosing(changes(tmp_path / "missing", state, poll_seconds=0.1)) as moved:
        await anext(moved)
        waiting = asyncio.create_task(anext(moved))
        await asyncio.sleep(0.3)
        assert not waiting.done()
        value = 1
        await asyncio.wait_for(waiting, 10)


async def test_a_folder_that_is_replaced_is_seen_again(tmp_path: Path) -> None:
    folder = tmp_path / "notes"
    folder.mkdir()
    (folder / "a").write_text("1")

    async def state() -> list[tuple[str, str]]:
        return listing(folder)

    async with aclosing(changes(folder, state, poll_seconds=0.3)) as moved:
        await anext(moved)
        waiting = asyncio.create_task(anext(moved))
        await asyncio.sleep(0.2)
        shutil.rmtree(folder)
        await asyncio.wait_for(waiting, 10)
        waiting = asyncio.create_task(anext(moved))
        folder.mkdir()
        (folder / "a").write_text("2")
        await asyncio.wait_for(waiting, 10)
