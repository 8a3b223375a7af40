"""Owns building the indexes again from the rows: beside the ones that answer, then in their place."""

import asyncio
from uuid import UUID

import structlog

from devlore.problems import Conflict, Problem
from devlore_server.kit.log import START, EventLog
from devlore_server.ports import Memories
from devlore_server.search.documents import change_of
from devlore_server.search.models import Generation, Models
from devlore_server.search.progress import Progress
from devlore_server.search.replica import LexicalReplica
from devlore_server.search.store import Rebuild, SearchStore
from devlore_server.search.writing import VectorWriter

LEXICAL_PAGE = 1_000
VECTOR_PAGE = 64
RETRY_SECONDS = 2.0

_said = structlog.get_logger("devlore.search")


class LexicalRebuild:
    """Builds this process's lexical index again. Not resumed after a restart: it takes seconds, so it starts over.

    Meanwhile the consumer writes every event into both indexes; versions make the order of row and event unimportant.
    """

    def __init__(self, memories: Memories, replica: LexicalReplica, log: EventLog) -> None:
        self._memories = memories
        self._replica = replica
        self._log = log
        self._position = START
        self.progress = Progress()
        self.running = False
        self.done = 0
        self.total = 0

    async def prepare(self) -> None:
        """Begin the new index; from now on events reach it."""
        # First where the log is settled: what lies before is in the rows that are scanned later, and nothing that
        # commits meanwhile can still get behind it.
        self._position = (await self._log.tail(START, [], 0)).settled
        await self._replica.begin(self._position)
        self.running, self.done = True, 0

    async def fill(self) -> None:
        """Copy the rows and let the new index answer; stop where that index is given up or another one begun.

        Raises what the memory service raises.
        """
        index = self._replica.building
        try:
            self.total = await self._memories.count()
            after: tuple[UUID, UUID] | None = None
            while page := await self._memories.scan(after, LEXICAL_PAGE):
                if self._replica.building is not index:
                    return
                after = (page[-1].organisation_id, page[-1].id)
                await self._replica.fill([change_of(memory) for memory in page])
                self.done += len(page)
                self.progress.did(len(page))
            await self._replica.promote(max(self._position, await self._replica.load("")), index)
            _said.info("lexical_index_rebuilt", memories=self.done)
        finally:
            # Another one that was begun meanwhile is filled next, and still runs.
            self.running = self._replica.building is not None

    async def fill_if_small(self) -> None:
        """Fill now, if that takes no longer than opening an index would."""
        if await self._memories.count() <= LEXICAL_PAGE:
            await self.fill()

    async def run(self) -> None:
        """Prepare and fill, again until it works: without this index only vectors answer."""
        while True:
            try:
                await self.prepare()
                await self.fill()
                return
            except Exception as error:
                _said.warning("lexical_rebuild_failed", error=type(error).__name__)
                await self._replica.drop_building()
                await asyncio.sleep(RETRY_SECONDS)


class VectorRebuild:
    """Fills a second generation of the vector index from the rows, then lets it answer. Resumed after a restart."""

    def __init__(self, memories: Memories, models: Models, store: SearchStore, writer: VectorWriter) -> None:
        self._memories = memories
        self._models = models
        self._store = store
        self._writer = writer
        self.progress = Progress()

    async def begin(self, spec: str) -> Generation:
        """Begin a generation of the embedder setting `spec`. Raises EmbedderUnavailable, Conflict while one runs."""
        state = await self._store.rebuild()
        if state is not None and state.state == "running":
            raise Conflict("A rebuild is running; cancel it first, or wait.")
        generation = await self._models.begin_building(spec)
        await self._store.start_rebuild(spec, await self._memories.count())
        return generation

    async def fill(self) -> None:
        """Go on filling from where the rebuild stands, then swap; stop once it is cancelled.

        Waits while the embedder or the memory service is away.
        """
        generation = self._models.building
        state = await self._store.rebuild()
        if state is None or state.state != "running" or self._models.building is not generation:
            return
        if generation is None:
            await self._store.end_rebuild("failed", "The generation that was being built is gone.")
            return
        after, done = state.scanned_to, state.done
        while self._models.building is generation:
            try:
                page = await self._memories.scan(after, VECTOR_PAGE)
                await self._writer.write(generation, [change_of(memory) for memory in page], report=False)
                if not page:
                    await self._swap(generation, done)
                    return
            except Problem as problem:
                self.progress.failed(problem.detail or problem.title)
                await asyncio.sleep(RETRY_SECONDS)
                continue
            after, done = (page[-1].organisation_id, page[-1].id), done + len(page)
            self.progress.did(len(page))
            await self._store.advance_rebuild(state.started_at, after, done, state.total)

    async def _swap(self, generation: Generation, done: int) -> None:
        if await self._models.promote(generation):
            _said.info("vector_index_rebuilt", memories=done)

    async def cancel(self) -> bool:
        """Give the running rebuild up; False when none runs."""
        state = await self._store.rebuild()
        if state is None or state.state != "running":
            return False
        await self._models.drop_building()
        return await self._store.end_rebuild("cancelled")

    async def fail(self, error: Exception) -> None:
        """Note that the rebuild cannot go on; the index that answers is untouched."""
        await self._models.drop_building()
        await self._store.end_rebuild("failed", type(error).__name__)

    async def state(self) -> Rebuild | None:
        """The running or last rebuild."""
        return await self._store.rebuild()
