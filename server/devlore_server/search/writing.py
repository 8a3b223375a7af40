"""Owns turning changed memories into stored vectors: what to embed, what to keep, and which are near-duplicates."""

import asyncio
from collections import deque
from collections.abc import AsyncGenerator, Sequence
from contextlib import aclosing
from dataclasses import replace
from datetime import datetime
from itertools import groupby
from uuid import UUID

import numpy as np

from devlore.events import Event, NearDuplicate, NearDuplicates
from devlore_server.kit.clock import Clock, utc_now
from devlore_server.kit.db import Connection, Database, system
from devlore_server.kit.ids import new_id
from devlore_server.kit.log import EventLog
from devlore_server.search.documents import Change, attributes, digest, passages
from devlore_server.search.models import Generation, embed
from devlore_server.search.pace import Pace
from devlore_server.search.vectors import Stored, TextChanged, VectorDocument, VectorIndex

NEAR_DUPLICATE = 0.95
"""Cosine similarity from which two opening passages say nearly the same: rarely wrong rather than complete, since a
suggestion costs somebody's attention. tests/search/test_near_duplicates.py has what lies on either side."""

EMBEDDED_AT_ONCE = 256
"""Passages per call of the embedder: a memory of 1 MiB has two thousand."""

SLICE = 16
"""Memories that are embedded and stored together; the next are embedded meanwhile."""
AHEAD = 3
"""Slices in the embedder's hands, so that no thread of it runs dry while one is stored or the last text of one runs."""

_NOTHING = Stored(0, b"")


class VectorWriter:
    """Brings one generation of the vector index up to date with changed memories."""

    def __init__(
        self,
        database: Database,
        index: VectorIndex,
        log: EventLog,
        clock: Clock = utc_now,
        pace: Pace | None = None,
    ) -> None:
        self._database = database
        self._index = index
        self._log = log
        self._clock = clock
        self._pace = pace or Pace()

    async def write(self, generation: Generation, changes: Sequence[Change], *, report: bool) -> int:
        """Embed what is new, store it, and, if asked to `report`, append the near-duplicates found as events.

        Embeds outside any transaction. Returns how many memories were stored. Raises EmbedderUnavailable.
        """
        stored = 0
        ordered = sorted(changes, key=lambda change: (change.organisation, change.id))
        for organisation, group in groupby(ordered, key=lambda change: change.organisation):
            stored += await self._write(generation, organisation, list(group), report)
        return stored

    async def _write(self, generation: Generation, organisation: UUID, changes: list[Change], report: bool) -> int:
        known = await self._index.known(generation.model, organisation, [change.id for change in changes])
        fresh = [change for change in changes if change.version > known.get(change.id, _NOTHING).version]
        parts = [fresh[at : at + SLICE] for at in range(0, len(fresh), SLICE)]
        stored = 0
        async with aclosing(self._embedded_ahead(generation, parts, known)) as ready:
            async for part, documents in ready:
                try:
                    stored += await self._store(generation, organisation, part, documents, report)
                except TextChanged:
                    # Somebody stored another text in between; embedding all of it is always right.
                    again = await _embedded(generation, part, {})
                    stored += await self._store(generation, organisation, part, again, report)
        return stored

    async def _embedded_ahead(
        self, generation: Generation, parts: Sequence[list[Change]], known: dict[UUID, Stored]
    ) -> AsyncGenerator[tuple[list[Change], list[VectorDocument]], None]:
        """Each part with its documents, in order; while one is stored the next are embedded."""
        waiting = iter(parts)
        under_way: deque[tuple[list[Change], asyncio.Task[list[VectorDocument]]]] = deque()
        try:
            while True:
                while len(under_way) < (1 if self._pace.busy else AHEAD):
                    if (part := next(waiting, None)) is None:
                        break
                    await self._pace.turn()
                    under_way.append((part, asyncio.create_task(_embedded(generation, part, known))))
                if not under_way:
                    return
                part, embedding = under_way.popleft()
                yield part, await embedding
        finally:
            for _, embedding in under_way:
                embedding.cancel()
            await asyncio.gather(*(embedding for _, embedding in under_way), return_exceptions=True)

    async def _store(
        self,
        generation: Generation,
        organisation: UUID,
        changes: list[Change],
        documents: list[VectorDocument],
        report: bool,
    ) -> int:
        async with self._database.transaction(system(organisation)) as connection:
            written = await self._index.upsert(connection, generation.model, organisation, documents)
            new = {document.id for document in documents if document.vectors is not None} & written if report else set()
            await self._report(connection, generation, organisation, [c for c in changes if c.id in new])
        if new:
            self._log.notify()
        return len(written)

    async def _report(
        self, connection: Connection, generation: Generation, organisation: UUID, changes: list[Change]
    ) -> None:
        if not changes:
            return
        found = await self._index.near_duplicates(
            connection, generation.model, organisation, [change.id for change in changes], NEAR_DUPLICATE
        )
        now = self._clock()
        events = [near_duplicates_event(change, found[change.id], now) for change in changes if change.id in found]
        await self._log.append(connection, events)


async def _embedded(generation: Generation, changes: list[Change], known: dict[UUID, Stored]) -> list[VectorDocument]:
    """The documents to store, with vectors where the text is not the stored one."""
    documents = [_document(change, known.get(change.id, _NOTHING)) for change in changes]
    texts = [text for _, cut in documents for text in cut or ()]
    vectors = np.zeros((0, generation.model.dimension), dtype=np.float32)
    for start in range(0, len(texts), EMBEDDED_AT_ONCE):
        rows = await embed(generation, texts[start : start + EMBEDDED_AT_ONCE])
        vectors = np.concatenate([vectors, rows])
    complete, at = [], 0
    for document, cut in documents:
        count = len(cut or ())
        complete.append(document if cut is None else replace(document, vectors=vectors[at : at + count]))
        at += count
    return complete


def _document(change: Change, known: Stored) -> tuple[VectorDocument, list[str] | None]:
    """A change as a document, and the texts whose vectors it lacks; None where it needs none."""
    if change.memory is None:
        return VectorDocument(change.id, change.version), None
    held = VectorDocument(change.id, change.version, digest(change.memory), attributes(change.memory))
    if held.digest == known.digest:
        return held, None
    cut = passages(change.memory)
    return replace(held, spans=[(passage.start, passage.end) for passage in cut]), [passage.text for passage in cut]


def near_duplicates_event(change: Change, found: Sequence[tuple[UUID, float]], now: datetime) -> Event:
    """What was found about a memory, for whoever keeps the links."""
    assert change.memory is not None
    data = NearDuplicates(
        seen_by=change.memory.created_by,
        found=[NearDuplicate(memory_id=id, score=round(score, 4)) for id, score in found],
    )
    return Event(
        id=new_id(),
        type="search.near_duplicates_found",
        organisation_id=change.organisation,
        subject=change.id,
        version=change.version,
        audience=change.memory.created_by,
        occurred_at=now,
        data=data.model_dump(mode="json"),
    )
