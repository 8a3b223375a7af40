"""The vector index in PostgreSQL: exact and approximate answers, walls between organisations, versions."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import LiteralString
from uuid import UUID

import numpy as np
import psycopg
import pytest
from hypothesis import given
from hypothesis import strategies as st

from devlore_server.kit.auth import NIL, Principal
from devlore_server.kit.db import Database, row, system
from devlore_server.kit.ids import new_id
from devlore_server.search.backends.pgvector import HalfVector, PgVectors, pooled_passages
from devlore_server.search.embedder import Vectors, normalised
from devlore_server.search.lexical import Filters
from devlore_server.search.store import SearchStore
from devlore_server.search.vectors import Attributes, TextChanged, VectorDocument, VectorModel, VectorQuery

WIDTH = 16
RANDOM = np.random.default_rng(7)


def some(count: int) -> Vectors:
    return normalised(RANDOM.standard_normal((count, WIDTH)).astype(np.float32))


def document(access: UUID, vectors: Vectors | None, *, id: UUID | None = None, version: int = 1, **values: object):
    fields: dict[str, object] = {
        "access": access, "kind": "note", "project": None, "tag": [], "author": [], "team": None, "source": None,
        "privacy": "public", "status": "active", "occurred_at": datetime(2026, 1, 1, tzinfo=UTC), "valid_from": None,
        "valid_to": None,
    }  # fmt: skip
    attributes = Attributes(**(fields | values))  # type: ignore[arg-type]
    spans = [(n * 10, n * 10 + 9) for n in range(0 if vectors is None else len(vectors))]
    return VectorDocument(id or new_id(), version, b"same text", attributes, spans, vectors)


@pytest.fixture
async def model(database: Database) -> VectorModel:
    return await SearchStore(database).begin("test", "test", "test", WIDTH, "active")


async def put(database: Database, index: PgVectors, model: VectorModel, who: Principal, *documents: VectorDocument):
    async with database.transaction(system(who.organisation)) as connection:
        return await index.upsert(connection, model, who.organisation, documents)


@pytest.mark.parametrize("exact_below", [20_000, 10])
async def test_nearest_is_by_cosine_and_as_long_as_asked(
    database: Database, model: VectorModel, who: Principal, exact_below: int
) -> None:
    index = PgVectors(database, exact_below=exact_below, exact_bounded_below=exact_below)
    vectors = some(300)
    documents = [document(who.organisation, vectors[n : n + 1]) for n in range(300)]
    await put(database, index, model, who, *documents)
    target = some(1)[0]
    expected = [documents[n].id for n in np.argsort(-(vectors @ target))]
    found = await index.nearest(model, who, VectorQuery(target), 50)
    assert len(found) == 50
    scores = [match.score for match in found]
    assert scores == sorted(scores, reverse=True)
    assert len({match.id for match in found} & set(expected[:50])) >= 47
    assert found[0].id == expected[0]
    # A bound that few satisfy: the index walk ends early, the answer is complete all the same.
    rare = [document(who.organisation, some(1), kind="tip") for _ in range(7)]
    await put(database, index, model, who, *rare)
    few = await index.nearest(model, who, VectorQuery(target, wanted=Filters(kind=["tip"])), 5)
    assert len(few) == 5
    assert {match.id for match in few} <= {document.id for document in rare}


async def test_a_long_memory_counts_once_by_its_best_passage(
    database: Database, model: VectorModel, who: Principal
) -> None:
    index = PgVectors(database)
    target = some(1)
    long = document(who.organisation, normalised(np.concatenate([target + 0.01 * n for n in range(120)])))
    others = [document(who.organisation, some(1)) for _ in range(12)]
    await put(database, index, model, who, long, *others)
    found = await index.nearest(model, who, VectorQuery(target[0]), 10)
    assert len(found) == 10
    assert found[0].id == long.id
    assert (found[0].passage, found[0].span) == (0, (0, 9))
    assert len({match.id for match in found}) == 10


async def test_nobody_finds_behind_a_wall(
    database: Database, model: VectorModel, who: Principal, other: Principal, stranger: Principal
) -> None:
    index = PgVectors(database)
    (team,) = who.teams
    mine, ours, public = (document(access, some(1)) for access in (who.person, team, who.organisation))
    await put(database, index, model, who, mine, ours, public)
    query = VectorQuery(some(1)[0])
    assert {m.id for m in await index.nearest(model, who, query, 10)} == {mine.id, ours.id, public.id}
    assert {m.id for m in await index.nearest(model, other, query, 10)} == {public.id}
    assert await index.nearest(model, stranger, query, 10) == []
    assert await index.centre(model, stranger.organisation, mine.id) is None
    async with database.transaction(None) as connection:
        seen = await row(connection, "SELECT count(*) AS n FROM search.passage")
        assert seen == {"n": 0}
    with pytest.raises(psycopg.errors.RaiseException):
        async with database.transaction(None) as connection:
            await connection.execute(
                "SELECT * FROM search.nearest(%s, '{}', 1::smallint, '[1]'::public.halfvec, 1, true, '{}', '{}', NULL)",
                (NIL,),
            )
    with pytest.raises(psycopg.errors.InsufficientPrivilege):
        async with database.transaction(system(stranger.organisation)) as connection:
            await index.upsert(connection, model, who.organisation, [document(who.organisation, some(1))])


async def test_older_versions_and_tombstones(database: Database, model: VectorModel, who: Principal) -> None:
    index = PgVectors(database)
    id = new_id()
    assert await put(database, index, model, who, document(who.organisation, some(2), id=id, version=3)) == {id}
    assert await put(database, index, model, who, document(who.organisation, some(1), id=id, version=2)) == set()
    assert await index.sizes(model) == (1, 2)
    assert await put(database, index, model, who, VectorDocument(id, 5)) == {id}
    assert await put(database, index, model, who, document(who.organisation, some(1), id=id, version=4)) == set()
    assert await index.sizes(model) == (0, 0)
    assert (await index.known(model, who.organisation, [id]))[id].version == 5
    assert await put(database, index, model, who, document(who.organisation, some(1), id=id, version=6)) == {id}
    assert (await index.contents(model)).versions == {(who.organisation, id): 6}


async def test_kept_vectors_need_the_same_text(database: Database, model: VectorModel, who: Principal) -> None:
    index = PgVectors(database)
    id = new_id()
    await put(database, index, model, who, document(who.organisation, some(2), id=id))
    await put(database, index, model, who, document(who.person, None, id=id, version=2, status="superseded"))
    query = VectorQuery(some(1)[0], only_active=False)
    assert [match.id for match in await index.nearest(model, who, query, 3)] == [id]
    assert await index.nearest(model, who, VectorQuery(query.vector), 3) == []
    changed = VectorDocument(id, 3, b"another text", document(who.person, None).attributes)
    with pytest.raises(TextChanged):
        await put(database, index, model, who, changed)
    assert (await index.contents(model)).incomplete == []


async def test_generations_live_side_by_side_and_are_dropped_whole(database: Database, who: Principal) -> None:
    store, index = SearchStore(database), PgVectors(database)
    old = await store.begin("old", "old", "old", WIDTH, "active")
    new = await store.begin("new", "new", "old", 8, "building")
    await put(database, index, old, who, document(who.organisation, some(1)))
    await put(database, index, new, who, document(who.organisation, normalised(np.ones((1, 8), dtype=np.float32))))
    with pytest.raises(psycopg.errors.UniqueViolation):
        await store.begin("third", "third", "old", 8, "building")
    await store.promote(new)
    assert {model.name: model.state for model in await store.models()} == {"old": "retired", "new": "active"}
    await store.drop(old)
    assert [model.name for model in await store.models()] == ["new"]
    assert await index.sizes(new) == (1, 1)
    with pytest.raises(psycopg.errors.RaiseException):
        await store.drop(new)


async def test_every_partition_is_behind_forced_row_level_security(
    database: Database, model: VectorModel, owner_url: str
) -> None:
    async with await psycopg.AsyncConnection.connect(owner_url) as connection:
        cursor = await connection.execute(
            "SELECT relname FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace WHERE n.nspname = 'search'"
            " AND relkind IN ('r', 'p') AND relname ~ '^(passage|document)'"
            " AND NOT (relrowsecurity AND relforcerowsecurity)"
        )
        assert await cursor.fetchall() == []


async def test_an_answer_says_whether_every_memory_within_the_bounds_was_measured(
    database: Database, model: VectorModel, who: Principal
) -> None:
    index = PgVectors(database)
    kinds = ["tip"] * 3 + ["note"] * 30
    await put(database, index, model, who, *(document(who.organisation, some(1), kind=kind) for kind in kinds))
    vector = HalfVector(some(1)[0])

    async def measured(wanted: str, width: int | None) -> set[tuple[int, bool]]:
        query: LiteralString = (
            "SELECT count(*) OVER (), exact"
            " FROM search.nearest(%s, %s, %s::smallint, %s::public.halfvec, 50, true, %s, '{}', %s)"
        )
        return set(
            await database.tuples(query, (who.organisation, [who.organisation], model.id, vector, wanted, width))
        )

    assert await measured('{"kind": ["tip"]}', WIDTH) == {(3, True)}, "few were measured one by one, not walked to"
    assert await measured("{}", None) == {(33, True)}
    assert {exact for _, exact in await measured("{}", WIDTH)} == {False}


@given(st.lists(st.tuples(st.integers(0, 5), st.integers(1, 9)), min_size=1, max_size=30))
def test_pooling_keeps_the_best_of_each(passages: list[tuple[int, int]]) -> None:
    from_rows = [(UUID(int=id), score / 10, ordinal, 0, 1) for ordinal, (id, score) in enumerate(passages)]
    pooled = pooled_passages(from_rows)
    best = {UUID(int=id): max(s / 10 for i, s in passages if i == id) for id, _ in passages}
    assert {match.id: match.score for match in pooled} == best
    assert [match.score for match in pooled] == sorted(best.values(), reverse=True)
