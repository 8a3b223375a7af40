"""Owns how the parts of the search service fit together, so that the composition root and tests make the same one."""

from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from pathlib import Path

from devlore_server.kit.clock import Clock, utc_now
from devlore_server.kit.db import Database
from devlore_server.kit.log import Consumer, EventLog
from devlore_server.kit.paging import Paging
from devlore_server.ports import Memories
from devlore_server.search.analysis import Analyser
from devlore_server.search.backends.pgvector import PgVectors
from devlore_server.search.backends.tantivy_listing import ListingTantivy
from devlore_server.search.embedder import Embedder
from devlore_server.search.jobs import SearchJobs
from devlore_server.search.legs import Legs
from devlore_server.search.models import Models
from devlore_server.search.pace import Pace
from devlore_server.search.reactions import SearchReactions
from devlore_server.search.rebuild import LexicalRebuild, VectorRebuild
from devlore_server.search.replica import LexicalReplica
from devlore_server.search.service import Parts, SearchService
from devlore_server.search.state import Gauges
from devlore_server.search.store import SearchStore
from devlore_server.search.writing import VectorWriter
from devlore_server.subscriptions import SEARCH_LEXICAL, SEARCH_VECTOR

LEXICAL_BATCH = 512
"""Events per commit of the lexical index at most: a commit costs as much as indexing fifty memories."""

VECTOR_BATCH = 256
"""Events at most that are taken at once for vectors: between two batches nothing is embedded."""


@dataclass(frozen=True, slots=True)
class Search:
    """The service and everything that has to run for it."""

    service: SearchService
    jobs: SearchJobs
    consumers: tuple[Consumer, Consumer]
    replica: LexicalReplica
    models: Models

    async def open(self) -> None:
        """Open what is there; before any consumer or job runs."""
        await self.jobs.open()

    def tasks(self) -> dict[str, Callable[[], Awaitable[None]]]:
        """What to run until the end, by name: the consumers and the jobs."""
        consumers: dict[str, Callable[[], Awaitable[None]]] = {
            consumer.name: consumer.run for consumer in self.consumers
        }
        return consumers | {
            "search.build-words": self.jobs.build_words,
            "search.build-meaning": self.jobs.build_meaning,
            "search.models": self.jobs.look_after_models,
        }

    async def close(self) -> None:
        """Release files and models; after every task has ended."""
        await self.replica.close()
        await self.models.close()


def assemble(
    *,
    database: Database,
    memories: Memories,
    log: EventLog,
    paging: Paging,
    folder: Path,
    make_embedder: Callable[[str], Embedder],
    embedder: str,
    deadline: float = 1.0,
    clock: Clock = utc_now,
) -> Search:
    """Make the service; nothing is opened yet. `folder` is this process's own, `deadline` a leg's time in seconds."""
    analyser, gauges, store = Analyser(), Gauges(), SearchStore(database)
    replica = LexicalReplica(folder, ListingTantivy.open)
    models = Models(store, make_embedder, embedder)
    vectors = PgVectors(database)
    pace = Pace()
    writer = VectorWriter(database, vectors, log, clock, pace)
    words, meaning = LexicalRebuild(memories, replica, log), VectorRebuild(memories, models, store, writer)
    legs = Legs(replica, vectors, models, analyser, deadline)
    service = SearchService(
        Parts(memories, log, paging, replica, vectors, models, legs, analyser, words, meaning, gauges), clock
    )
    reactions = SearchReactions(replica, models, writer, gauges, pace)
    consumers = (
        Consumer(
            log,
            SEARCH_LEXICAL.consumer,
            SEARCH_LEXICAL.types,
            reactions.index_words,
            cursors=replica,
            busy_batch=LEXICAL_BATCH,
        ),
        Consumer(log, SEARCH_VECTOR.consumer, SEARCH_VECTOR.types, reactions.index_meaning, busy_batch=VECTOR_BATCH),
    )
    service.follow(consumers)
    return Search(service, SearchJobs(service, store, replica, models, words, meaning), consumers, replica, models)
