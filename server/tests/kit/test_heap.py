"""Memory that was freed goes back to the system."""

from __future__ import annotations

import asyncio
import subprocess
import sys

import pytest

from devlore_server.kit import heap

GROW_AND_SHRINK = """
import asyncio, psutil
from devlore_server.kit import heap

def resident():
    return psutil.Process().memory_info().rss >> 20

async def main():
    assert heap.bound_arenas()
    kept = []
    # Small pieces with one kept in a while: glibc by itself gives none of the rest back.
    pieces = [bytes(2_000) for _ in range(100_000)]
    kept = pieces[::500]
    pieces.clear()
    before = resident()
    trimming = asyncio.create_task(heap.keep_trimmed(0.01))
    for _ in range(3_000):
        if resident() < before - 100:
            break
        await asyncio.sleep(0.01)
    trimming.cancel()
    print(before, resident())

asyncio.run(main())
"""


@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="glibc only")
def test_what_was_freed_is_given_back() -> None:
    ran = subprocess.run([sys.executable, "-c", GROW_AND_SHRINK], capture_output=True, text=True, check=True)
    before, after = map(int, ran.stdout.split())
    assert after < before - 100


async def test_a_process_that_does_not_grow_is_left_alone(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(heap, "WORTHWHILE", 1 << 40)
    trimming = asyncio.create_task(heap.keep_trimmed(0.001))
    await asyncio.sleep(0.02)
    assert not trimming.done()
    trimming.cancel()


SETTLE = """
import gc
from devlore_server.kit import heap
made = [[number] for number in range(10_000)]
heap.settle_collector()
assert gc.get_freeze_count() > 10_000
assert gc.isenabled() and gc.get_threshold()[0] >= 10_000
class Node: pass
def cycle():
    one = Node()
    one.itself = one
import weakref
one = Node(); one.itself = one; gone = weakref.ref(one); del one
for _ in range(300_000): cycle()
assert gone() is None, "cycles are still found"
"""


def test_the_settled_collector_leaves_start_up_alone_and_still_finds_cycles() -> None:
    subprocess.run([sys.executable, "-c", SETTLE], check=True)
