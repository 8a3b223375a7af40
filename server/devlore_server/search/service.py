"""What can be asked of search: find, similar, wait, status, check, rebuild. Owns no memory, only indexes of them."""

import asyncio
from collections.abc import Sequence
from dataclasses import dataclass
from time import perf_counter
from typing import Any
from uuid import UUID

from prometheus_client import Histogram

from devlore.problems import NotFound, Problem
from devlore.types import CheckResult, Memory, RebuildRequest, SearchPage, SearchRequest, SearchStatus
from devlore_server.kit import audit
from devlore_server.kit.audit import Leaf
from devlore_server.kit.auth import Principal
from devlore_server.kit.clock import Clock, utc_now
from devlore_server.kit.log import Consumer, EventLog
from devlore_server.kit.paging import Paging, listing
from devlore_server.kit.telemetry import REGISTRY
from devlore_server.ports import Memories
from devlore_server.search.analysis import Analyser
from devlore_server.search.bounds import Bounds, combine
from devlore_server.search.check import compare, judged, row_versions
from devlore_server.search.highlight import Marker
from devlore_server.search.hits import facet_counts, hits, shown
from devlore_server.search.legs import LEXICAL, VECTOR, Answers, Legs, Question
from devlore_server.search.lexical import Filters, IndexUnusable
from devlore_server.search.models import Models
from devlore_server.search.place import Place, read_place
from devlore_server.search.query import parse
from devlore_server.search.rank import DEPTH
from devlore_server.search.rebuild import LexicalRebuild, VectorRebuild
from devlore_server.search.replica import LexicalReplica
from devlore_server.search.state import LEXICAL_INDEX, VECTOR_INDEX, Gauges, describe, narrowed
from devlore_server.search.vectors import VectorIndex

LISTED = 100
"""Memories a listing looks at for one page at least: some may be dropped."""
SIMILAR_TEXT = 2_000
"""Characters of a memory's body whose rarest words find its like."""

_LONG = 60.0
_SECONDS = Histogram(
    "devlore_search_seconds",
    "Time of a search in the service, the query's embedding included.",
    buckets=(0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5),
    registry=REGISTRY,
)


@dataclass(frozen=True, slots=True)
class Parts:
    """What the service is made of."""

    memories: Memories
    log: EventLog
    paging: Paging
    replica: LexicalReplica
    vectors: VectorIndex
    models: Models
    legs: Legs
    analyser: Analyser
    lexical_rebuild: LexicalRebuild
    vector_rebuild: VectorRebuild
    gauges: Gauges


class SearchService:
    """Implements `ports.Indexing`. The consumers that feed its indexes are handed in by `follow`."""

    def __init__(self, parts: Parts, clock: Clock = utc_now) -> None:
        self._parts = parts
        self._clock = clock
        self._consumers: list[Consumer] = []
        self.rebuild_wanted = asyncio.Event()
        """Set when a rebuild was asked for; jobs carry it out."""

    def follow(self, consumers: Sequence[Consumer]) -> None:
        """Take note of the consumers whose progress `wait` and `status` speak of."""
        self._consumers = list(consumers)
        self._parts.legs.words_settled = self._words_settled

    async def search(self, who: Principal, request: SearchRequest) -> SearchPage:
        """The hits of a search that `who` may see, best first; without words, newest first.

        Raises InvalidQuery, BadCursor; EmbedderChanged or EmbedderUnavailable where only vectors were asked for.
        """
        started = perf_counter()
        # A relative date must mean the same on every page: the cursor is bound to the words and holds the moment.
        name = listing(
            "search", who=[who.organisation, who.person], **request.model_dump(exclude={"cursor", "explain"})
        )
        place = self._place(name, request.cursor)
        query = parse(request.q, place.moment)
        bounds = combine(query, request, who)
        # Phrases and exclusions without a word cannot be ranked by anything but time, either.
        depth = max(DEPTH if query.text.strip() else LISTED, 2 * request.limit)
        legs = request.legs or (LEXICAL, VECTOR)
        answers = await self._parts.legs.ask(
            Question(
                who, query.text, bounds, depth, legs, () if request.cursor else request.facets, behind=place.behind
            )
        )
        self._refuse_if_alone(answers, request)
        found = await shown(self._parts.memories, who, answers, bounds, place, request.limit)
        marker = Marker(self._parts.analyser, query.text, query.phrases)
        page = SearchPage.model_construct(
            items=hits(found.hits, marker, answers, request.explain),
            next=self._parts.paging.encode(name, found.next.key()) if found.next is not None else None,
            degraded=sorted(set(answers.degraded)),
            facets=facet_counts(answers),
            took_ms=round((perf_counter() - started) * 1_000, 3),
        )
        _SECONDS.observe(perf_counter() - started)
        return page

    async def similar(self, who: Principal, id: UUID, limit: int) -> SearchPage:
        """Memories most like one: by its stored vectors and its rarest words. Raises NotFound."""
        started = perf_counter()
        seen = await self._parts.memories.visible(who, [id])
        if not seen:
            raise NotFound
        (memory,) = seen
        bounds = Bounds(Filters(status=("active",)))
        text = f"{memory.title}\n{memory.body[:SIMILAR_TEXT]}"
        near = await self._centre(memory)
        legs = (LEXICAL, VECTOR) if near else (LEXICAL,)
        answers = await self._parts.legs.ask(
            Question(who, text, bounds, max(DEPTH, 2 * limit), legs, near=near, but=id)
        )
        if near is None:
            answers.degraded.append(VECTOR)
        found = await shown(self._parts.memories, who, answers, bounds, Place(self._clock()), limit)
        marker = Marker(self._parts.analyser, memory.title or text[:200])
        return SearchPage.model_construct(
            items=hits(found.hits, marker, answers, explain=False),
            next=None,
            degraded=sorted(set(answers.degraded)),
            facets={},
            took_ms=round((perf_counter() - started) * 1_000, 3),
        )

    async def wait(self, timeout: float) -> list[str]:
        """Wait until what is committed now is searchable; the names of the consumers that took longer."""
        head = await self._parts.log.head()
        waits = [consumer.wait_for(head, timeout) for consumer in self._consumers]
        *caught_up, answering = await asyncio.gather(*waits, self._answers(timeout))
        behind = [one.name for one, there in zip(self._consumers, caught_up, strict=True) if not there]
        # A lexical index that is built for the first time has read the log before it has the rows.
        return behind if answering else sorted({*behind, LEXICAL_INDEX})

    async def status(self, who: Principal | None = None) -> SearchStatus:
        """How far each index is, what holds it up, how a rebuild is going; with `who`, what that caller may know."""
        parts = self._parts
        status = await describe(
            parts.replica,
            parts.vectors,
            parts.models,
            self._consumers,
            parts.lexical_rebuild,
            parts.vector_rebuild,
            parts.gauges,
        )
        if who is None:
            return status
        return await narrowed(status, who, parts.replica, parts.vectors, parts.models, self._consumers)

    async def check(self) -> CheckResult:
        """Compare the rows with every index; what differs is named, twenty ids of each kind."""
        parts = self._parts
        rows = await row_versions(parts.memories)
        indexes: list[dict[str, Any]] = []
        try:
            held = await parts.replica.search(lambda index: index.contents())
            indexes.append(compare(LEXICAL_INDEX, rows, held, []))
        except IndexUnusable:
            indexes.append(compare(LEXICAL_INDEX, rows, None, []))
        if parts.models.active is None:
            indexes.append(compare(VECTOR_INDEX, rows, None, []))
        else:
            contents = await parts.vectors.contents(parts.models.active.model)
            indexes.append(compare(VECTOR_INDEX, rows, contents.versions, contents.incomplete))
        behind = {one.name: (await one.lag(), await one.parked()) for one in self._consumers}
        return judged(rows, indexes, behind)

    async def rebuild(self, request: RebuildRequest, who: Principal | None = None) -> SearchStatus:
        """Begin to build the indexes again from the rows, in the background; the old ones answer until then.

        With `embedder`, only vectors are built, of that model. That `who` asked for it is audited, whatever comes of
        it. Raises Conflict while a rebuild runs, EmbedderUnavailable when the model cannot be used.
        """
        if who is not None:
            async with self._parts.log.database.transaction(who) as connection:
                await audit.append(connection, who, Leaf("search.rebuild_requested"))
        models = self._parts.models
        spec = request.embedder or (models.active.model.spec if models.active else models.configured)
        await self._parts.vector_rebuild.begin(spec)
        if request.embedder is None:
            await self._parts.lexical_rebuild.prepare()
        self.rebuild_wanted.set()
        return await self.status()

    async def cancel_rebuild(self) -> SearchStatus:
        """Give up the running rebuild; raises NotFound when none runs."""
        if not await self._parts.vector_rebuild.cancel():
            raise NotFound("No rebuild is running.")
        self.rebuild_wanted.set()
        return await self.status()

    async def ping(self) -> None:
        """Raise the reason while an index cannot answer."""
        if self._parts.replica.current is None:
            raise IndexUnusable(self._parts.replica.fault or "the lexical index is being built")
        if self._parts.models.problem is not None:
            raise self._parts.models.problem

    async def _words_settled(self) -> None:
        head = await self._parts.log.head()
        for consumer in self._consumers:
            if consumer.name == LEXICAL_INDEX:
                while not await consumer.wait_for(head, _LONG):
                    pass

    async def _answers(self, timeout: float) -> bool:
        try:
            async with asyncio.timeout(timeout):
                await self._parts.replica.answering.wait()
        except TimeoutError:
            return False
        return True

    def _place(self, name: str, cursor: str | None) -> Place:
        return Place(self._clock()) if cursor is None else read_place(self._parts.paging.decode(name, cursor))

    def _refuse_if_alone(self, answers: Answers, request: SearchRequest) -> None:
        """A leg that alone was asked for and says why it cannot answer is the answer."""
        problem: Problem | None = answers.problems.get(VECTOR)
        if problem is not None and list(request.legs) == [VECTOR]:
            raise problem

    async def _centre(self, memory: Memory) -> Any:
        active = self._parts.models.active
        if active is None:
            return None
        vector = await self._parts.vectors.centre(active.model, memory.organisation_id, memory.id)
        return None if vector is None else (active.model, vector)
