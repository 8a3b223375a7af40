"""Events in: what changed in memory becomes searchable, in the lexical index and in the vector index."""

from collections.abc import Sequence

from devlore.events import Event
from devlore.problems import Problem
from devlore_server.search.documents import changes
from devlore_server.search.models import Models
from devlore_server.search.pace import Pace
from devlore_server.search.replica import LexicalReplica
from devlore_server.search.state import Gauges
from devlore_server.search.writing import VectorWriter


class SearchReactions:
    """Applies `memory.*`; both methods are idempotent by version, in any order."""

    def __init__(
        self, replica: LexicalReplica, models: Models, writer: VectorWriter, gauges: Gauges, pace: Pace
    ) -> None:
        self._replica = replica
        self._models = models
        self._writer = writer
        self._gauges = gauges
        self._pace = pace

    async def index_words(self, events: Sequence[Event]) -> None:
        """Bring this process's lexical index up to date."""
        changed = changes(events)
        self._pace.indexed(len(events))
        await self._replica.apply(changed)
        self._pace.indexed(len(events))
        self._gauges.lexical.did(len(changed))

    async def index_meaning(self, events: Sequence[Event]) -> None:
        """Bring the vector index up to date, the generation that is being built as well.

        Raises Unavailable while the embedder is away or the index is of another model: the consumer then waits, and no
        event is set aside.
        """
        if self._models.active is None:
            await self._models.open()
        changed = changes(events)
        try:
            for generation in self._models.usable():
                report = generation is self._models.active
                await self._writer.write(generation, changed, report=report)
        except Problem as problem:
            self._gauges.vector.failed(problem.detail or problem.title)
            raise
        self._gauges.vector.did(len(changed))
