"""The vector index under load of others: always as many as asked for, the right ones, within the caller's walls."""

from __future__ import annotations

from datetime import UTC, datetime
from uuid import UUID

import numpy as np
import pytest

from devlore_server.kit.auth import Principal
from devlore_server.kit.db import Database, system
from devlore_server.search.backends.pgvector import PgVectors
from devlore_server.search.embedder import Vectors, normalised
from devlore_server.search.lexical import Filters
from devlore_server.search.store import SearchStore
from devlore_server.search.vectors import Attributes, VectorDocument, VectorModel, VectorQuery

WIDTH = 12
DAY = datetime(2026, 1, 1, tzinfo=UTC)


def tenant(number: int) -> Principal:
    return Principal(UUID(int=(7 << 76) + 1_000 + number), UUID(int=(7 << 76) + 2_000 + number))


def document(number: int, who: Principal, vectors: Vectors) -> VectorDocument:
    access = who.person if number % 5 == 0 else who.organisation
    attributes = Attributes(
        access, f"k{number % 10}", None, [f"t{number % 3}"], [], None, None, "public", "active", DAY, None, None
    )
    spans = [(n, n + 1) for n in range(len(vectors))]
    return VectorDocument(UUID(int=(who.organisation.int << 8) % 2**127 + number), 1, b"x", attributes, spans, vectors)


@pytest.fixture
async def model(database: Database) -> VectorModel:
    return await SearchStore(database).begin("recall", "recall", "recall", WIDTH, "active")


async def put(database: Database, index: PgVectors, model: VectorModel, who: Principal, documents: list) -> None:
    async with database.transaction(system(who.organisation)) as connection:
        assert len(await index.upsert(connection, model, who.organisation, documents)) == len(documents)


@pytest.mark.parametrize("exact_below", [20_000, 1])
async def test_small_tenants_beside_a_large_one_get_all_they_ask_for(
    database: Database, model: VectorModel, exact_below: int
) -> None:
    index = PgVectors(database, exact_below=exact_below)
    random = np.random.default_rng(5)
    sizes = {tenant(0): 600, **{tenant(n): 12 for n in range(1, 12)}}
    held: dict[Principal, list[VectorDocument]] = {}
    for who, size in sizes.items():
        vectors = normalised(random.standard_normal((size, WIDTH)).astype(np.float32))
        held[who] = [document(n, who, vectors[n : n + 1]) for n in range(size)]
        await put(database, index, model, who, held[who])
    target = normalised(random.standard_normal((1, WIDTH)).astype(np.float32))[0]
    for who, documents in held.items():
        own = {one.id: float(one.vectors[0] @ target) for one in documents if one.vectors is not None}
        for asked in (1, 10, 40):
            found = await index.nearest(model, who, VectorQuery(target), asked)
            assert len(found) == min(asked, len(own)), "as many as asked for, where there are as many"
            assert {match.id for match in found} <= own.keys(), "never another tenant's"
            best = sorted(own, key=lambda id: -own[id])[:asked]
            assert len(set(best) & {match.id for match in found}) >= 0.9 * len(best)
            assert all(match.score == pytest.approx(own[match.id], abs=2e-3) for match in found)
        for wanted in (Filters(kind=["k3"]), Filters(kind=["k3"], tag=["t0"]), Filters(tag=["t1", "t2"])):
            fitting = [
                one
                for one in documents
                if one.attributes is not None
                and (not wanted.kind or one.attributes.kind in wanted.kind)
                and (not wanted.tag or set(one.attributes.tag) & set(wanted.tag))
            ]
            found = await index.nearest(model, who, VectorQuery(target, wanted=wanted), 15)
            assert len(found) == min(15, len(fitting))
            assert {match.id for match in found} <= {one.id for one in fitting}


@pytest.mark.parametrize("exact_below", [20_000, 1])
async def test_a_colleague_gets_as_many_of_what_is_shared(
    database: Database, model: VectorModel, exact_below: int
) -> None:
    index = PgVectors(database, exact_below=exact_below)
    random = np.random.default_rng(6)
    who = tenant(0)
    colleague = Principal(who.organisation, UUID(int=(7 << 76) + 9_000))
    vectors = normalised(random.standard_normal((200, WIDTH)).astype(np.float32))
    documents = [document(n, who, vectors[n : n + 1]) for n in range(200)]
    await put(database, index, model, who, documents)
    shared = {one.id for one in documents if one.attributes and one.attributes.access == who.organisation}
    assert len(await index.nearest(model, who, VectorQuery(vectors[0]), 200)) == 200
    found = await index.nearest(model, colleague, VectorQuery(vectors[0]), 200)
    assert {match.id for match in found} == shared


@pytest.mark.parametrize("exact_below", [20_000, 1])
async def test_long_memories_do_not_crowd_out_the_others(
    database: Database, model: VectorModel, exact_below: int
) -> None:
    index = PgVectors(database, exact_below=exact_below)
    random = np.random.default_rng(8)
    who = tenant(0)
    target = normalised(random.standard_normal((1, WIDTH)).astype(np.float32))
    near = normalised(target + 0.02 * random.standard_normal((150, WIDTH)).astype(np.float32))
    far = normalised(random.standard_normal((30, WIDTH)).astype(np.float32))
    long = [document(n, who, near[n * 50 : n * 50 + 50]) for n in range(1, 3)]
    await put(database, index, model, who, [*long, *(document(10 + n, who, far[n : n + 1]) for n in range(30))])
    found = await index.nearest(model, who, VectorQuery(target[0]), 32)
    assert len(found) == 32
    assert {match.id for match in found[:2]} == {one.id for one in long}


async def test_erased_and_moved_passages_leave_the_answer(database: Database, model: VectorModel) -> None:
    index = PgVectors(database, exact_below=1)
    random = np.random.default_rng(9)
    who = tenant(0)
    vectors = normalised(random.standard_normal((60, WIDTH)).astype(np.float32))
    documents = [document(n, who, vectors[n : n + 1]) for n in range(60)]
    await put(database, index, model, who, documents)
    gone = [VectorDocument(one.id, 2) for one in documents[:40]]
    await put(database, index, model, who, gone)
    found = await index.nearest(model, who, VectorQuery(vectors[0]), 60)
    assert {match.id for match in found} == {one.id for one in documents[40:]}
    assert await index.sizes(model) == (20, 20)
    contents = await index.contents(model)
    assert {id for _, id in contents.versions} == {one.id for one in documents[40:]}
    assert contents.incomplete == []
