"""Running a sync: batches from the connector into the memory service, resumable at every batch."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from contextlib import aclosing, suppress
from dataclasses import dataclass, replace
from datetime import timedelta
from itertools import islice
from typing import Final
from uuid import UUID

import structlog

from devlore.problems import NotAllowed, Problem, Unavailable
from devlore.types import AuditResult, Sync
from devlore_server.integration.connector import BATCH, Batch, Connector, Failure, Origin
from devlore_server.integration.progress import Progress
from devlore_server.integration.store import connections, items, syncs
from devlore_server.integration.store.connections import Owned, Stored
from devlore_server.kit import audit
from devlore_server.kit.audit import Leaf
from devlore_server.kit.auth import Principal
from devlore_server.kit.clock import Clock
from devlore_server.kit.db import Connection as Transaction
from devlore_server.kit.db import Database
from devlore_server.kit.ids import new_id
from devlore_server.ports import Ingest, IngestResult, Memories

log = structlog.get_logger("devlore.integration")

REPORT_SECONDS: Final = 1.0
DEAD_AFTER: Final = timedelta(seconds=15)
"""A worker that has not reported for this long is gone, and its sync is another's to continue."""
_ATTEMPTS: Final = 6
_FIRST_PAUSE: Final = 0.5


class _Stopped(Exception):
    """Somebody cancelled the sync, or another worker has it now."""


@dataclass(slots=True)
class _Run:
    """A sync under way, and the generation of the items it sees."""

    who: Principal
    id: UUID
    connection: Stored
    connector: Connector
    progress: Progress
    generation: int
    stop: asyncio.Event


class Syncs:
    """What a worker does; ``worker`` is this process's name on the rows it runs."""

    def __init__(
        self, database: Database, memories: Memories, clock: Clock, connectors: Mapping[str, Connector], *, local: bool
    ) -> None:
        self._database = database
        self._memories = memories
        self._clock = clock
        self._connectors = connectors
        self._local = local
        self._worker = new_id()

    def connector(self, name: str) -> Connector | None:
        """The connector of that name; raises ``NotAllowed`` when it reads this machine and the server may not."""
        connector = self._connectors.get(name)
        if connector is not None and connector.local and not self._local:
            raise NotAllowed(f"This server does not read its own files, so the {name} connector is switched off.")
        return connector

    async def waiting(self, *, dead_after: timedelta = DEAD_AFTER) -> list[Owned]:
        """Syncs that nobody runs, longest waiting first."""
        async with self._database.transaction(None) as transaction:
            return await syncs.waiting(transaction, self._clock() - dead_after)

    async def claim(self, owned: Owned, *, dead_after: timedelta = DEAD_AFTER) -> Sync | None:
        """Take a waiting sync; None when there is nothing to run any more."""
        now = self._clock()
        async with self._database.transaction(owned.owner) as transaction:
            claimed = await syncs.claim(transaction, owned, self._worker, at=now, dead_before=now - dead_after)
        return claimed if claimed is not None and claimed.state == "running" else None

    async def perform(self, owned: Owned, sync: Sync) -> None:
        """Run a claimed sync to its end. Cancelling the task puts it back in the queue, to be continued."""
        who = owned.owner
        async with self._database.transaction(who) as transaction:
            connection = await connections.find(transaction, who, sync.connection_id)
        if connection is None:
            return
        progress = Progress.of(sync)
        try:
            state, error = await self._attempts(who, sync.id, connection, progress)
        except asyncio.CancelledError:
            with suppress(Exception):
                await asyncio.shield(self._release(who, sync.id))
            raise
        await self._finish(who, sync.id, connection.id, progress, state, error)
        log.info("sync_ended", sync=str(sync.id), connector=connection.connector, state=state, error=error)

    async def _attempts(
        self, who: Principal, id: UUID, connection: Stored, progress: Progress
    ) -> tuple[str, str | None]:
        """How the sync ended. A failure that may pass is tried again; progress in between starts the count anew."""
        failed, done = 0, -1
        while True:
            try:
                await self._pull(who, id, connection, progress)
                return "done", None
            except _Stopped:
                return "cancelled", None
            except Exception as error:
                lasting = isinstance(error, Problem) and not isinstance(error, Unavailable)
                failed = 1 if progress.done > done else failed + 1
                done = progress.done
                if lasting or failed >= _ATTEMPTS:
                    if not isinstance(error, Problem):
                        log.exception("sync_failed", sync=str(id))
                    return "failed", _told(error)
                log.warning("sync_interrupted", sync=str(id), error=str(error), attempt=failed)
            await asyncio.sleep(_FIRST_PAUSE * 2**failed)

    async def _pull(self, who: Principal, id: UUID, connection: Stored, progress: Progress) -> None:
        connector = self.connector(connection.connector)
        if connector is None:
            raise NotAllowed(f"This server has no connector named {connection.connector}.")
        await self._begin(who, id, connection.id)
        checkpoint = await self._memories.checkpoint(who, connection.id)
        async with self._database.transaction(who) as transaction:
            now = await connections.find(transaction, who, connection.id)
        if now is None:
            raise _Stopped
        run = _Run(who, id, now, connector, progress, now.generation, asyncio.Event())
        heartbeat = asyncio.create_task(self._report_regularly(run))
        try:
            pulled = connector.pull(Origin(now.config, now.project), checkpoint)
            async with aclosing(pulled) as batches:
                async for batch in batches:
                    await self._store(run, batch)
            if run.stop.is_set():
                raise _Stopped
        finally:
            heartbeat.cancel()
            await asyncio.gather(heartbeat, return_exceptions=True)

    async def _begin(self, who: Principal, id: UUID, connection_id: UUID) -> None:
        async with self._database.transaction(who) as transaction:
            anew = await syncs.is_anew(transaction, who, id)
        if anew:
            await self._memories.forget_checkpoint(who, connection_id)
            async with self._database.transaction(who) as transaction:
                await syncs.note_begun(transaction, who, id)

    async def _store(self, run: _Run, batch: Batch) -> None:
        """One batch: remember its items, store it with its checkpoint. Each step may be repeated without harm."""
        batch, arrived = await self._masked(run.who, batch)
        run.progress.announce(batch)
        async with self._database.transaction(run.who) as transaction:
            if await connections.find(transaction, run.who, run.connection.id, lock=True) is None:
                raise _Stopped
            await self._ensure_wanted(transaction, run)
            if batch.restart:
                run.generation = await connections.start_generation(transaction, run.who, run.connection.id)
            seen = arrived + batch.present
            await items.note(transaction, run.who, run.connection.id, run.connection.connector, run.generation, seen)
            await items.forget(transaction, run.who, run.connection.id, batch.deleted)
            gone = await self._only_here(transaction, run, batch.deleted)
        if batch.sweep:
            await self._sweep(run)
        if batch.drafts or gone or batch.checkpoint is not None:
            run.progress.add(batch, await self._ingest(run, batch, gone))
        await self._report(run)

    async def _masked(self, who: Principal, batch: Batch) -> tuple[Batch, list[str]]:
        """A batch whose names and failures may be kept here, and the names of what it brings."""
        arrived = [id for one in batch.drafts if one.draft.source and (id := one.draft.source.external_id)]
        told = [text for failure in batch.failures for text in (failure.item, failure.reason)]
        groups = (arrived, batch.present, batch.deleted, told)
        masked = iter(await self._memories.masked(who, [text for group in groups for text in group]))
        arrived, present, deleted, told = ([*islice(masked, len(group))] for group in groups)
        failures = [Failure(item, reason) for item, reason in zip(told[::2], told[1::2], strict=True)]
        return replace(batch, present=present, deleted=deleted, failures=failures), arrived

    async def _ingest(self, run: _Run, batch: Batch, gone: list[str]) -> IngestResult:
        ingest = Ingest(run.connection.id, run.connection.connector, batch.drafts, gone, batch.checkpoint)
        return await self._memories.ingest(run.who, ingest)

    async def _sweep(self, run: _Run) -> None:
        """Delete what was brought in before and was not seen since everything was read anew."""
        while True:
            async with self._database.transaction(run.who) as transaction:
                await self._ensure_wanted(transaction, run)  # before the checkpoint says that everything is in order
                old = await items.older(transaction, run.who, run.connection.id, run.generation, BATCH)
                gone = await self._only_here(transaction, run, old)
            if not old:
                return
            run.progress.add(Batch(), await self._ingest(run, Batch(), gone))
            async with self._database.transaction(run.who) as transaction:
                await items.forget(transaction, run.who, run.connection.id, old)

    async def _only_here(self, transaction: Transaction, run: _Run, gone: list[str]) -> list[str]:
        if not gone:
            return []
        return await items.only_here(transaction, run.who, run.connection.id, run.connection.connector, gone)

    async def _ensure_wanted(self, transaction: Transaction, run: _Run) -> None:
        if not await syncs.goes_on(transaction, run.who, run.id, self._worker):
            raise _Stopped

    async def _report(self, run: _Run) -> None:
        async with self._database.transaction(run.who) as transaction:
            goes_on = await syncs.report(transaction, run.who, run.id, self._worker, run.progress, at=self._clock())
        if not goes_on:
            run.stop.set()

    async def _report_regularly(self, run: _Run) -> None:
        """Tell that the worker lives while a batch takes long."""
        while True:
            await asyncio.sleep(REPORT_SECONDS)
            try:
                await self._report(run)
            except Exception as error:  # a report lost with the database is made up by the next
                log.warning("sync_not_reported", sync=str(run.id), error=str(error))

    async def _finish(
        self, who: Principal, id: UUID, connection_id: UUID, progress: Progress, state: str, error: str | None
    ) -> None:
        now = self._clock()
        async with self._database.transaction(who) as transaction:
            gone = await connections.find(transaction, who, connection_id, lock=True) is None
            if await syncs.finish(transaction, who, id, self._worker, progress, state=state, error=error, at=now):
                await audit.append(transaction, who, _leaf(id, connection_id, progress, state), at=now)
            if state == "done":
                await connections.note_synced(transaction, who, connection_id, now)
            await syncs.prune(transaction, who, connection_id, keep=50)
        if gone:
            # Removed while it was read: the last batch may have left a checkpoint behind.
            await self._memories.forget_checkpoint(who, connection_id)

    async def _release(self, who: Principal, id: UUID) -> None:
        async with self._database.transaction(who) as transaction:
            await syncs.release(transaction, who, id, self._worker)


def _leaf(id: UUID, connection_id: UUID, progress: Progress, state: str) -> Leaf:
    counts = {name: getattr(progress, name) for name in ("created", "updated", "deleted", "failed")}
    result: AuditResult = "failed" if state == "failed" else "ok"
    return Leaf("sync.finished", [("connection", connection_id), ("sync", id)], result, {"state": state, **counts})


def _told(error: Exception) -> str:
    """What the person is told: a problem's own words; of anything unforeseen only its kind."""
    if isinstance(error, Problem):
        return error.detail or error.title
    return f"Something went wrong on our side ({type(error).__name__}); the next sync goes on from here."
