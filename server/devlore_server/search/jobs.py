"""Clock in: opening the indexes, the rebuilds, and looking after generations. Started once, supervised by the app."""

import asyncio
from contextlib import suppress

import structlog

from devlore_server.search import embedder as port
from devlore_server.search.models import Models
from devlore_server.search.rebuild import LexicalRebuild, VectorRebuild
from devlore_server.search.replica import LexicalReplica
from devlore_server.search.service import SearchService
from devlore_server.search.store import SearchStore

LOOK_SECONDS = 5.0
DROP_EVERY = 12
"""Looks between two droppings of retired generations: a minute, longer than any search reads one."""

_said = structlog.get_logger("devlore.search")


class SearchJobs:
    """The search service's work by the clock."""

    def __init__(
        self,
        service: SearchService,
        store: SearchStore,
        replica: LexicalReplica,
        models: Models,
        lexical_rebuild: LexicalRebuild,
        vector_rebuild: VectorRebuild,
    ) -> None:
        self._service = service
        self._store = store
        self._replica = replica
        self._models = models
        self._lexical_rebuild = lexical_rebuild
        self._vector_rebuild = vector_rebuild

    async def open(self) -> None:
        """Make the indexes answer as far as they can, quickly; call before consumers run."""
        if not await self._replica.open(await self._store.lineage()):
            with suppress(Exception):  # the job tries again; a start must not fail for what heals itself
                await self._lexical_rebuild.prepare()
                await self._lexical_rebuild.fill_if_small()
        await self._models.open()

    async def build_words(self) -> None:
        """Build the lexical index whenever none answers or a rebuild was asked for."""
        while True:
            if self._replica.current is None:
                await self._lexical_rebuild.run()
            elif self._replica.building is not None:
                await self._lexical_rebuild.fill()
            await self._wanted()

    async def build_meaning(self) -> None:
        """Fill a generation of vectors that is being built, also one that a restart interrupted."""
        while True:
            if self._models.building is not None:
                await self._fill()
            await self._wanted()

    async def look_after_models(self) -> None:
        """Load the model before the first search needs it, see what other processes changed, drop what is retired."""
        if self._models.active is not None:
            with suppress(port.EmbedderUnavailable, port.EmbedderMismatch):
                await self._models.active.embedder.ping()
        looks = 0
        while True:
            await asyncio.sleep(LOOK_SECONDS)
            await self._models.refresh()
            looks += 1
            if looks % DROP_EVERY == 0:
                await self._models.drop_retired()

    async def _fill(self) -> None:
        try:
            await self._vector_rebuild.fill()
        except Exception as error:
            _said.error("vector_rebuild_failed", error=type(error).__name__)
            await self._vector_rebuild.fail(error)

    async def _wanted(self) -> None:
        """Sleep until a rebuild is asked for, or for a while."""
        with suppress(TimeoutError):
            async with asyncio.timeout(LOOK_SECONDS):
                await self._service.rebuild_wanted.wait()
            # Both jobs wait on the one event: the next turn of the loop lets the other see it, too.
            await asyncio.sleep(0)
            self._service.rebuild_wanted.clear()
