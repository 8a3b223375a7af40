"""A connector whose source is a list in memory: steps that wait, fail, or go away when a test says so."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator
from typing import Any

from devlore.types import MemoryDraft, Source
from devlore_server.integration.connector import Batch, Checkpoint, Failure, Origin, Place
from devlore_server.ports import IngestDraft


def draft(name: str, **more: Any) -> IngestDraft:
    return IngestDraft(MemoryDraft(title=name, source=Source(connector="scripted", external_id=name), **more))


class Scripted:
    """Yields its names two at a time. ``gate`` holds every batch behind the first back until it is set.

    ``errors`` are raised, one per pull, behind the first batch.
    """

    name = "scripted"
    local = False

    def __init__(self, *names: str) -> None:
        self.names = list(names)
        self.failures: list[Failure] = []
        self.errors: list[Exception] = []
        self.gate = asyncio.Event()
        self.gate.set()
        self.pulls: list[Checkpoint | None] = []
        self.changed = asyncio.Event()
        self.watched = 0

    async def check(self, config: dict[str, Any]) -> Place:
        return Place(config, location=str(config.get("place", "here")), name="Scripted")

    async def pull(self, origin: Origin, checkpoint: Checkpoint | None) -> AsyncGenerator[Batch, None]:
        self.pulls.append(checkpoint)
        start = checkpoint["done"] if checkpoint else 0
        names = self.names[start:]
        whole = checkpoint is None or checkpoint.get("whole", False)
        yield Batch(expected=len(names), restart=checkpoint is None, failures=self.failures)
        for index in range(0, len(names), 2):
            drafts = [draft(name) for name in names[index : index + 2]]
            yield Batch(drafts=drafts, checkpoint={"done": start + index + len(drafts), "whole": whole})
            await self.gate.wait()
            if self.errors:
                raise self.errors.pop(0)
        yield Batch(checkpoint={"done": start + len(names), "whole": False}, sweep=whole)

    async def watch(self, origin: Origin) -> AsyncGenerator[None, None]:
        self.watched += 1
        try:
            yield
            while True:
                await self.changed.wait()
                self.changed.clear()
                yield
        finally:
            self.watched -= 1

    def summary(self, checkpoint: Checkpoint) -> dict[str, Any]:
        return {"done": checkpoint["done"]}
