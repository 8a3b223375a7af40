"""The integration worker: runs queued syncs, continues interrupted ones, and watches sources."""

from __future__ import annotations

import asyncio
from contextlib import aclosing
from datetime import timedelta
from functools import partial
from uuid import UUID

import structlog

from devlore.problems import NotFound, Problem
from devlore_server.integration.connector import Origin, fingerprint
from devlore_server.integration.service import IntegrationService
from devlore_server.integration.store.connections import Owned, Stored
from devlore_server.integration.syncs import DEAD_AFTER

log = structlog.get_logger("devlore.integration")

_LOOK_SECONDS = 2.0
_WATCH_AGAIN_SECONDS = 30.0
_AT_ONCE = 2
"""Syncs run at the same time: each is bound by the database, and the rest of the server wants it too."""


class SyncJobs:
    """Runs until cancelled; several processes may run one each.

    ``alone`` says that no other process runs syncs: what is marked as running at the start was left by a crash, and
    is continued at once instead of when its worker has been silent for long.
    """

    def __init__(self, service: IntegrationService, *, alone: bool) -> None:
        self._service = service
        self._alone = alone
        self._syncs: dict[UUID, asyncio.Task[None]] = {}
        self._watches: dict[tuple[UUID, str], asyncio.Task[None]] = {}

    async def run(self) -> None:
        """Look for work when there is a hint, and every two seconds."""
        dead_after = timedelta(0) if self._alone else DEAD_AFTER
        try:
            while True:
                self._service.queued.clear()
                await self._start_syncs(dead_after)
                await self._match_watches()
                dead_after = DEAD_AFTER
                await self._hint()
        finally:
            tasks = [*self._syncs.values(), *self._watches.values()]
            for task in tasks:
                task.cancel()
            await asyncio.gather(*tasks, return_exceptions=True)

    async def _hint(self) -> None:
        try:
            async with asyncio.timeout(_LOOK_SECONDS):
                await self._service.queued.wait()
        except TimeoutError:
            pass

    async def _start_syncs(self, dead_after: timedelta) -> None:
        for owned in await self._service.syncs.waiting(dead_after=dead_after):
            if len(self._syncs) >= _AT_ONCE:
                return
            if owned.id in self._syncs:
                continue
            sync = await self._service.syncs.claim(owned, dead_after=dead_after)
            if sync is not None:
                task = asyncio.create_task(self._service.syncs.perform(owned, sync), name=f"sync {owned.id}")
                self._syncs[owned.id] = task
                task.add_done_callback(partial(self._ended, owned.id))

    def _ended(self, id: UUID, task: asyncio.Task[None]) -> None:
        self._syncs.pop(id, None)
        self._service.queued.set()
        if not task.cancelled() and (error := task.exception()) is not None:
            # Its row still says running; when it has been silent for long enough, it is taken up again.
            log.error("sync_crashed", sync=str(id), error=repr(error))

    async def _match_watches(self) -> None:
        """One watch per watched connection and its settings."""
        wanted = {
            (stored.id, fingerprint(stored.config)): (owned, stored) for owned, stored in await self._service.watched()
        }
        for key in [key for key in self._watches if key not in wanted]:
            self._watches.pop(key).cancel()
        for key, (owned, stored) in wanted.items():
            if key not in self._watches or self._watches[key].done():
                self._watches[key] = asyncio.create_task(self._watch(owned, stored), name=f"watch {stored.id}")

    async def _watch(self, owned: Owned, stored: Stored) -> None:
        while True:
            try:
                connector = self._service.syncs.connector(stored.connector)
                if connector is None:
                    return
                async with aclosing(connector.watch(Origin(stored.config, stored.project))) as changes:
                    async for _ in changes:
                        await self._queue(owned)
            except NotFound:
                return
            except Problem as problem:
                log.warning("watch_interrupted", connection=str(owned.id), error=str(problem))
            except Exception:
                log.exception("watch_failed", connection=str(owned.id))
            await asyncio.sleep(_WATCH_AGAIN_SECONDS)

    async def _queue(self, owned: Owned) -> None:
        """Have a sync begin after now: one that runs already may have passed the place that changed."""
        while (await self._service.sync(owned.owner, owned.id)).state == "running":  # noqa: ASYNC110 - of the database
            await asyncio.sleep(0.5)
