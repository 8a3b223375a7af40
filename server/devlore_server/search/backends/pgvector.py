"""Owns the vector index in PostgreSQL: halfvec passages, exact scans for few, HNSW for many."""

import struct
import time
from collections.abc import Collection, Sequence
from operator import itemgetter
from typing import Any, LiteralString
from uuid import UUID

import numpy as np
import orjson
from psycopg import adapters
from psycopg.adapt import Dumper
from psycopg.pq import Format
from psycopg.types.json import Jsonb

from devlore_server.kit.auth import Principal
from devlore_server.kit.db import Connection, Database, row, rows, system
from devlore_server.search.embedder import Vectors, normalised
from devlore_server.search.lexical import Filters
from devlore_server.search.vectors import (
    Contents,
    Stored,
    TextChanged,
    VectorDocument,
    VectorMatch,
    VectorModel,
    VectorQuery,
)

EXACT_BELOW = 4_000
"""Visible passages up to which every vector is compared; above, the HNSW index (Malkov & Yashunin 2018) walks: at
12,000 passages of real text it finds 99.8 % of the exact top 10 and 99.5 % of the top 50, in a quarter of the time."""

EXACT_BOUNDED_BELOW = 20_000
"""The same for a search with filters: few vectors are compared then, while a walk passes many that do not count."""

PASSAGES_PER_MEMORY = 2
"""How many passages are fetched for each memory asked for; when that gives too few memories, more are."""

DUPLICATES_EACH = 5

_REACH_SECONDS = 60.0
_REACH_ENTRIES = 10_000
_PAGE = 5_000
_EXACT = 5
_NEAREST: LiteralString = (
    "SELECT memory_id, score, ordinal, starts, ends, exact, false AS superseded"
    " FROM search.nearest(%(tenant)s, %(audiences)s, %(model)s::smallint, %(vector)s::public.halfvec, %(fetch)s,"
    " %(only_active)s, %(wanted)s, %(unwanted)s, %(width)s)"
)
_WITH_SUPERSEDED: LiteralString = (
    _NEAREST + " UNION ALL SELECT memory_id, score, ordinal, starts, ends, NULL, true"
    " FROM search.nearest_superseded(%(tenant)s, %(audiences)s, %(model)s::smallint, %(vector)s::public.halfvec,"
    " %(superseded)s, %(wanted)s, %(unwanted)s)"
)
_REACH: LiteralString = "SELECT search.reach(%s, %s::uuid[], %s::smallint, %s) AS passages"
_UPSERT: LiteralString = """
INSERT INTO search.document AS held (organisation_id, model, memory_id, version, live, passages, digest, access, kind,
    project, tag, author, team, source, privacy, status, occurred_at, valid_from, valid_to)
SELECT %(organisation)s, %(model)s::smallint, d.id, d.version, d.live, d.passages, decode(d.digest, 'hex'), d.access,
    d.kind, d.project, coalesce(d.tag, '{}'), coalesce(d.author, '{}'), d.team, d.source, d.privacy, d.status,
    d.occurred_at, d.valid_from, d.valid_to
FROM jsonb_to_recordset(%(documents)s) AS d (id uuid, version integer, live boolean, passages smallint, digest text,
    access uuid, kind text, project text, tag text[], author text[], team text, source text, privacy text, status text,
    occurred_at timestamptz, valid_from timestamptz, valid_to timestamptz)
ON CONFLICT (organisation_id, model, memory_id) DO UPDATE SET version = excluded.version, live = excluded.live,
    passages = CASE WHEN excluded.passages < 0 THEN held.passages ELSE excluded.passages END,
    digest = excluded.digest, access = excluded.access, kind = excluded.kind, project = excluded.project,
    tag = excluded.tag, author = excluded.author, team = excluded.team, source = excluded.source,
    privacy = excluded.privacy, status = excluded.status, occurred_at = excluded.occurred_at,
    valid_from = excluded.valid_from, valid_to = excluded.valid_to
WHERE excluded.version > held.version
RETURNING memory_id, old.digest AS digest
"""


class PgVectors:
    """Passages of every organisation in partitions by model and hash of the organisation (VectorIndex)."""

    def __init__(
        self, database: Database, *, exact_below: int = EXACT_BELOW, exact_bounded_below: int = EXACT_BOUNDED_BELOW
    ) -> None:
        self._database = database
        self._exact_below = exact_below
        self._exact_bounded_below = exact_bounded_below
        self._reaches: dict[tuple[int, UUID, frozenset[UUID] | None], tuple[float, int]] = {}

    async def known(self, model: VectorModel, organisation: UUID, ids: Collection[UUID]) -> dict[UUID, Stored]:
        """What is held of these memories, tombstones included."""
        async with self._database.transaction(system(organisation)) as connection:
            found = await rows(
                connection,
                "SELECT memory_id, version, digest FROM search.document"
                " WHERE organisation_id = %s AND model = %s AND memory_id = ANY (%s)",
                (organisation, model.id, list(ids)),
            )
        return {held["memory_id"]: Stored(held["version"], held["digest"] or b"") for held in found}

    async def upsert(
        self, connection: Connection, model: VectorModel, organisation: UUID, documents: Sequence[VectorDocument]
    ) -> set[UUID]:
        """Store what is newer than what is held, in the caller's transaction; answer which. Raises TextChanged."""
        by_id = {document.id: document for document in sorted(documents, key=lambda d: d.version)}
        # In one order everywhere, or two writers that overlap would wait for each other.
        ordered = [_record(by_id[id]) for id in sorted(by_id)]
        values = {"organisation": organisation, "model": model.id, "documents": Jsonb(ordered, dumps=orjson.dumps)}
        written = {held["memory_id"]: held["digest"] for held in await rows(connection, _UPSERT, values)}
        fresh = [by_id[id] for id in written]
        if any(_keeps(document) and written[document.id] != document.digest for document in fresh):
            raise TextChanged
        await self._replace(connection, model, organisation, [d for d in fresh if not _keeps(d)])
        await self._move(connection, model, organisation, [d for d in fresh if _keeps(d)])
        return set(written)

    async def nearest(self, model: VectorModel, who: Principal, query: VectorQuery, limit: int) -> list[VectorMatch]:
        """The best `limit` memories `who` may see, fewer only where fewer are visible within the bounds."""
        bounds = [_bounds(side) for side in (query.wanted, query.unwanted)]
        exact_below = self._exact_bounded_below if any(bounds) else self._exact_below
        many = await self._reach(model, who.organisation, who.audiences) > exact_below
        asked: dict[str, Any] = {
            "tenant": who.organisation,
            "audiences": who.audiences,
            "model": model.id,
            "vector": HalfVector(query.vector),
            "fetch": limit * PASSAGES_PER_MEMORY,
            "only_active": query.only_active,
            "wanted": Jsonb(bounds[0], dumps=orjson.dumps),
            "unwanted": Jsonb(bounds[1], dumps=orjson.dumps),
            "width": model.dimension if many else None,
            "superseded": query.superseded * PASSAGES_PER_MEMORY,
        }
        statement = _WITH_SUPERSEDED if query.superseded else _NEAREST
        while True:
            # The functions are told whose vectors they may read and need no context: one statement, one round trip.
            found = await self._database.tuples(statement, asked)
            passages = [passage for passage in found if not passage[-1]]
            best = pooled_passages(passages)
            exact = passages[0][_EXACT] if passages else asked["width"] is None
            if len(best) >= limit or (len(passages) < asked["fetch"] and exact):
                besides = pooled_passages([passage for passage in found if passage[-1]])[: query.superseded]
                return best[:limit] + [match._replace(superseded=True) for match in besides]
            # Long memories took several places, or the index walk ended early behind the bounds.
            if len(passages) < asked["fetch"]:
                asked["width"] = None
            else:
                asked["fetch"] *= 4

    async def near_duplicates(
        self, connection: Connection, model: VectorModel, organisation: UUID, ids: Collection[UUID], threshold: float
    ) -> dict[UUID, list[tuple[UUID, float]]]:
        """For each memory, others that say nearly the same, best first, with their similarity."""
        size = await self._reach(model, organisation, None, connection)
        found = await rows(
            connection,
            "SELECT memory_id, other_id, score FROM search.near_duplicates(%s, %s::smallint, %s, %s::real, %s, %s)",
            (
                organisation,
                model.id,
                list(ids),
                threshold,
                DUPLICATES_EACH,
                model.dimension if size > self._exact_below else None,
            ),
        )
        pairs: dict[UUID, list[tuple[UUID, float]]] = {}
        for held in sorted(found, key=lambda pair: -pair["score"]):
            pairs.setdefault(held["memory_id"], []).append((held["other_id"], min(1.0, held["score"])))
        return pairs

    async def centre(self, model: VectorModel, organisation: UUID, id: UUID) -> Vectors | None:
        """The mean of a memory's vectors, or None while it has none."""
        async with self._database.transaction(system(organisation)) as connection:
            found = await row(
                connection,
                "SELECT avg(embedding)::text AS centre FROM search.passage"
                " WHERE organisation_id = %s AND model = %s AND memory_id = %s",
                (organisation, model.id, id),
            )
        if not found or not found["centre"]:
            return None
        mean = np.array([orjson.loads(found["centre"])], dtype=np.float32)
        centre: Vectors = normalised(mean)[0]
        return centre

    async def sizes(self, model: VectorModel) -> tuple[int, int]:
        """How many memories and passages a generation holds, over all organisations."""
        async with self._database.transaction(None) as connection:
            found = await row(connection, "SELECT documents, passages FROM search.sizes(%s::smallint)", (model.id,))
        return (found["documents"], found["passages"]) if found else (0, 0)

    async def seen(self, model: VectorModel, who: Principal) -> int:
        """How many memories that `who` may see a generation holds."""
        async with self._database.transaction(who) as connection:
            found = await row(
                connection,
                "SELECT count(*) AS seen FROM search.document d"
                " WHERE d.organisation_id = %s AND d.model = %s AND d.live AND d.access = ANY (%s)",
                (who.organisation, model.id, who.audiences),
            )
        return int(found["seen"]) if found else 0

    async def contents(self, model: VectorModel) -> Contents:
        """Everything a generation holds."""
        held = Contents()
        after = (UUID(int=0), UUID(int=0))
        while True:
            async with self._database.transaction(None) as connection:
                page = await rows(
                    connection,
                    "SELECT organisation_id, memory_id, version, passages, stored"
                    " FROM search.contents(%s::smallint, %s, %s, %s)",
                    (model.id, *after, _PAGE),
                )
            for document in page:
                after = (document["organisation_id"], document["memory_id"])
                held.versions[after] = document["version"]
                if document["passages"] != document["stored"]:
                    held.incomplete.append(document["memory_id"])
            if len(page) < _PAGE:
                return held

    async def _reach(
        self,
        model: VectorModel,
        organisation: UUID,
        audiences: Sequence[UUID] | None,
        connection: Connection | None = None,
    ) -> int:
        """How many passages an audience sees (None: everybody's).

        Counted at most once a minute, and no further than it matters.
        """
        key = (model.id, organisation, None if audiences is None else frozenset(audiences))
        held = self._reaches.get(key)
        if held is not None and held[0] > time.monotonic():
            return held[1]
        most = max(self._exact_below, self._exact_bounded_below) + 1
        parameters = (organisation, None if audiences is None else list(audiences), model.id, most)
        # Whoever holds a connection must not wait for another: ten such would wait for ever.
        found = await (
            self._database.statement(_REACH, parameters) if connection is None else row(connection, _REACH, parameters)
        )
        if len(self._reaches) >= _REACH_ENTRIES:
            self._reaches.clear()
        count = int(found["passages"]) if found else 0
        self._reaches[key] = (time.monotonic() + _REACH_SECONDS, count)
        return count

    async def _replace(
        self, connection: Connection, model: VectorModel, organisation: UUID, documents: Sequence[VectorDocument]
    ) -> None:
        """Put a document's passages in the place of those it had."""
        if not documents:
            return
        await connection.execute(
            "DELETE FROM search.passage WHERE organisation_id = %s AND model = %s AND memory_id = ANY (%s)",
            (organisation, model.id, [document.id for document in documents]),
        )
        lines = [line for document in documents for line in _passages(document)]
        if not lines:
            return
        columns = [list(column) for column in zip(*lines, strict=True)]
        await connection.execute(
            "INSERT INTO search.passage"
            " (organisation_id, model, memory_id, ordinal, starts, ends, access, active, embedding)"
            " SELECT %s, %s::smallint, p.memory_id, p.ordinal, p.starts, p.ends, p.access, p.active,"
            " p.embedding::public.halfvec"
            " FROM unnest(%s::uuid[], %s::smallint[], %s::integer[], %s::integer[], %s::uuid[], %s::boolean[],"
            " %s::text[])"
            " AS p (memory_id, ordinal, starts, ends, access, active, embedding)",
            (organisation, model.id, *columns),
        )

    async def _move(
        self, connection: Connection, model: VectorModel, organisation: UUID, documents: Sequence[VectorDocument]
    ) -> None:
        """Give kept passages the audience and status the memory has now."""
        for document in documents:
            assert document.attributes is not None
            access, active = document.attributes.access, document.attributes.status == "active"
            await connection.execute(
                "UPDATE search.passage SET access = %s, active = %s"
                " WHERE organisation_id = %s AND model = %s AND memory_id = %s AND (access, active) <> (%s, %s)",
                (access, active, organisation, model.id, document.id, access, active),
            )


def _keeps(document: VectorDocument) -> bool:
    return document.attributes is not None and document.vectors is None


def _record(document: VectorDocument) -> dict[str, Any]:
    """A document as one JSON record; -1 passages: as many as there are."""
    if document.attributes is None:
        return {"id": document.id, "version": document.version, "live": False, "passages": 0}
    held = document.attributes
    return {
        "id": document.id,
        "version": document.version,
        "live": True,
        "passages": -1 if document.vectors is None else len(document.spans),
        "digest": document.digest.hex(),
        **{name: getattr(held, name) for name in ("access", "kind", "project", "team", "source", "privacy", "status")},
        "tag": list(held.tag),
        "author": list(held.author),
        **{name: getattr(held, name) for name in ("occurred_at", "valid_from", "valid_to")},
    }


def _passages(document: VectorDocument) -> list[tuple[Any, ...]]:
    if document.attributes is None or document.vectors is None:
        return []
    access, active = document.attributes.access, document.attributes.status == "active"
    return [
        (document.id, ordinal, start, end, access, active, _text(vector))
        for ordinal, ((start, end), vector) in enumerate(zip(document.spans, document.vectors, strict=True))
    ]


class HalfVector:
    """A vector as a parameter in pgvector's binary form: PostgreSQL need not read four kilobytes of digits."""

    def __init__(self, vector: Vectors) -> None:
        halves = np.asarray(vector, dtype=">f2")
        self.sent = struct.pack(">HH", halves.size, 0) + halves.tobytes()


class _HalfVectorDumper(Dumper):
    format = Format.BINARY

    def dump(self, obj: HalfVector) -> bytes:
        return obj.sent


# Without a type of its own: PostgreSQL takes it from the cast in the statement.
adapters.register_dumper(HalfVector, _HalfVectorDumper)


def _text(vector: Vectors) -> str:
    """A vector as pgvector reads it."""
    return orjson.dumps(np.ascontiguousarray(vector, dtype=np.float32), option=orjson.OPT_SERIALIZE_NUMPY).decode()


def _bounds(filters: Filters) -> dict[str, Any]:
    """Filters as the JSON that `search.conditions` reads."""
    names = ("kind", "project", "tag", "author", "team", "source", "privacy", "status")
    bounds: dict[str, Any] = {name: list(values) for name in names if (values := getattr(filters, name))}
    after, before = filters.occurred
    moments = {"after": after, "before": before, "as_of": filters.as_of}
    return bounds | {name: moment for name, moment in moments.items() if moment is not None}


def pooled_passages(passages: Sequence[tuple[Any, ...]]) -> list[VectorMatch]:
    """Each memory once, by its best passage, best first."""
    # By number: a UUID computes its hash anew each time, in Python.
    best: dict[int, VectorMatch] = {}
    # The walk answers nearly in order, not quite; of equal passages the first one found stays.
    for id, score, ordinal, start, end, *_ in sorted(passages, key=itemgetter(1), reverse=True):
        if id.int not in best:
            best[id.int] = VectorMatch(id, score, ordinal, (start, end))
    return list(best.values())
