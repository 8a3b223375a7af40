"""Trouble and recovery: slow and changed embedders, poison, lost files, interrupted and repeated rebuilds, erasure."""

from __future__ import annotations

import asyncio
import json
import shutil
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import psycopg
import pytest

from devlore.events import Event
from devlore.problems import Conflict, EmbedderUnavailable
from devlore.types import MemoryDraft, MemoryPatch, Privacy, RebuildRequest, SearchPage
from devlore_server.kit.auth import Principal
from devlore_server.kit.clock import utc_now
from devlore_server.kit.db import Database
from devlore_server.kit.ids import new_id
from devlore_server.kit.log import EventLog
from devlore_server.search.embedder import Vectors
from tests.search.conftest import Desk, EmbeddingServer, HashingEmbedder, HeldEmbedder, Start, running
from tests.search.waiting import only_vectors_wait, rebuilt, until


class MuteEmbedder(HashingEmbedder):
    """Answers no query while it is `mute`."""

    mute = False

    async def embed(self, texts: Sequence[str], *, query: bool = False) -> Vectors:
        if query and self.mute:
            await asyncio.Event().wait()
        return await super().embed(texts, query=query)


async def test_a_late_leg_is_named_and_the_other_answers(start: Start, who: Principal) -> None:
    embedder = MuteEmbedder()
    desk: Desk = await start(embedder=embedder, deadline=5)
    await desk.add(who, "late train", "delayed")
    await desk.settled()
    embedder.mute = True
    page = await desk.find(who, "late train", facets=["kind"])
    assert page.degraded == ["vector"]
    assert [hit.memory.title for hit in page.items] == ["late train"]
    assert page.facets["kind"][0].count == 1
    embedder.mute = False
    assert (await desk.find(who, "late train")).degraded == []


async def test_an_endpoint_with_other_dimensions_is_waited_out(
    database: Database, log: EventLog, tmp_path: Path, who: Principal, embedding_server: EmbeddingServer
) -> None:
    spec = embedding_server.spec
    async with running(database, log, tmp_path, HashingEmbedder(), embedder_spec=spec) as desk:
        await desk.add(who, "otter one")
        await desk.settled()
    embedding_server.stop()
    embedding_server.width = 32
    embedding_server.start()
    async with running(database, log, tmp_path, HashingEmbedder(), embedder_spec=spec) as desk:
        await desk.add(who, "otter two")
        assert (await desk.find(who, "otter")).degraded == ["vector"]
        with pytest.raises(EmbedderUnavailable, match=r"32 dimensions.*have 64.*devlore rebuild search --embedder"):
            await desk.find(who, "otter", legs=["vector"])
        await until(lambda: only_vectors_wait(desk))
        status = (await desk.service.status()).indexes[1]
        assert (status.state, status.parked, status.lag) == ("unavailable", 0, 1), "waited for, not set aside"
    embedding_server.stop()
    embedding_server.width = 64
    embedding_server.start()
    async with running(database, log, tmp_path, HashingEmbedder(), embedder_spec=spec) as desk:
        await desk.settled(30)
        assert set(await desk.titles(who, "otter", legs=["vector"])) == {"otter one", "otter two"}
        assert (await desk.service.check()).clean


async def test_the_same_model_at_a_new_address_is_used_there_for_good(
    database: Database, log: EventLog, tmp_path: Path, who: Principal, embedding_server: EmbeddingServer
) -> None:
    async with running(database, log, tmp_path, HashingEmbedder(), embedder_spec=embedding_server.spec) as desk:
        await desk.add(who, "moved badger")
        await desk.settled()
    embedding_server.stop()
    moved = EmbeddingServer()
    moved.start()
    try:
        for attempt in range(2):
            async with running(database, log, tmp_path, HashingEmbedder(), embedder_spec=moved.spec) as desk:
                page = await desk.find(who, f"badger {attempt}")
                assert page.degraded == [], f"start {attempt + 1} at the new address"
    finally:
        moved.stop()


async def test_a_poisoned_event_is_set_aside_and_the_others_go_on(desk: Desk, who: Principal, log: EventLog) -> None:
    await desk.add(who, "heron before")
    poison = Event(
        id=new_id(),
        type="memory.created",
        organisation_id=who.organisation,
        subject=new_id(),
        version=1,
        audience=who.organisation,
        occurred_at=utc_now(),
        data={"memory": {"title": "this is no memory"}},
    )
    async with log.database.transaction(who) as connection:
        await log.append(connection, [poison])
    log.notify()
    await desk.add(who, "heron after")
    await desk.settled(30)
    for legs in (["lexical"], ["vector"]):
        assert set(await desk.titles(who, "heron", legs=legs)) == {"heron before", "heron after"}
    assert [index.parked for index in (await desk.service.status()).indexes] == [1, 1]
    check = await desk.service.check()
    assert not check.clean
    assert all("set aside" in problem for problem in check.problems)


@pytest.mark.parametrize("how", ["older format", "no stamp", "a file is missing", "other rows", "nonsense"])
async def test_what_cannot_be_opened_is_built_again(
    database: Database, log: EventLog, tmp_path: Path, who: Principal, how: str
) -> None:
    embedder = HashingEmbedder()
    async with running(database, log, tmp_path, embedder) as desk:
        for number in range(6):
            await desk.add(who, f"stork {number}", f"bird of chimney{number}")
        await desk.settled()
        before = answer(await desk.find(who, "stork chimney3"))
    (folder,) = (path for path in tmp_path.iterdir() if path.is_dir())
    stamp = folder / "format.json"
    if how == "older format":
        stamp.write_text(json.dumps(json.loads(stamp.read_text()) | {"format": 0}))
    elif how == "no stamp":
        stamp.unlink()
    elif how == "a file is missing":
        for file in (folder / "passages").glob("*.store"):
            file.unlink()
        for file in (folder / "passages").glob("*.term"):
            file.unlink()
    elif how == "other rows":
        pointer = tmp_path / "current.json"
        pointer.write_text(json.dumps(json.loads(pointer.read_text()) | {"lineage": str(new_id())}))
    else:
        (tmp_path / "current.json").write_text('{"folder": 7, "xid": "x"}')
    async with running(database, log, tmp_path, embedder) as desk:
        await desk.settled()
        assert answer(await desk.find(who, "stork chimney3")) == before
        assert (await desk.service.check()).clean
        assert len([path for path in tmp_path.iterdir() if path.is_dir()]) == 1, "the old files are gone"


def answer(page: SearchPage) -> list[tuple[Any, ...]]:
    """A page without scores: those move in the last digits with the clock and with what waits to be cleared away."""
    return [
        (hit.memory.id, hit.duplicates, [(h.field, h.offset, tuple(h.spans)) for h in hit.highlights])
        for hit in page.items
    ]


async def test_files_that_vanish_while_running_are_built_again(desk: Desk, who: Principal, tmp_path: Path) -> None:
    await desk.add(who, "swift one")
    await desk.settled()
    shutil.rmtree(tmp_path / "lexical")
    await desk.add(who, "swift two")

    async def found() -> bool:
        return set(await desk.titles(who, "swift", legs=["lexical"])) == {"swift one", "swift two"}

    await until(found, 30)
    await desk.settled(30)
    assert [index.parked for index in (await desk.service.status()).indexes] == [0, 0]
    assert (await desk.service.check()).clean


async def test_a_rebuild_given_up_and_asked_for_again_misses_nothing(start: Start, who: Principal) -> None:
    embedder = HeldEmbedder()
    desk: Desk = await start(embedder=embedder)
    for start_at in range(0, 3_000, 1_000):
        drafts = [MemoryDraft(title=f"tern {n}", privacy=Privacy.PUBLIC) for n in range(start_at, start_at + 1_000)]
        await desk.memories.bulk(who, drafts)
    await desk.settled(60)
    for _ in range(3):
        embedder.hold_after(200)
        await desk.service.rebuild(RebuildRequest())
        with pytest.raises(Conflict):
            await desk.service.rebuild(RebuildRequest())
        await asyncio.sleep(0.15)
        await desk.service.cancel_rebuild()
        embedder.go_on()
    await desk.service.rebuild(RebuildRequest())
    await rebuilt(desk, 60)
    await desk.settled(60)
    check = await desk.service.check()
    assert check.clean, check.problems
    assert [index["documents"] for index in check.indexes] == [3_000, 3_000]


async def test_cancelling_leaves_the_old_vectors_answering(
    database: Database, log: EventLog, tmp_path: Path, who: Principal
) -> None:
    server = EmbeddingServer(32)
    server.start()
    async with running(database, log, tmp_path, HashingEmbedder()) as desk:
        await desk.add(who, "crane")
        await desk.settled()
        await desk.parts.models.embedder(server.spec).ping()
        server.stop()  # so that the rebuild cannot end
        await desk.service.rebuild(RebuildRequest(embedder=server.spec))
        await desk.add(who, "crane two")
        status = await desk.service.cancel_rebuild()
        assert status.rebuild is not None
        assert status.rebuild["state"] == "cancelled"
        assert status.embedder == "hashing-64"
        await desk.settled(30)
        assert set(await desk.titles(who, "crane", legs=["vector"])) == {"crane", "crane two"}
        with pytest.raises(EmbedderUnavailable):
            await desk.service.rebuild(RebuildRequest(embedder="no such"))
        with pytest.raises(EmbedderUnavailable):
            await desk.service.rebuild(RebuildRequest(embedder="openai:m@http://127.0.0.1:9/v1"))


async def test_a_rebuild_gives_the_same_answers(desk: Desk, who: Principal, other: Principal) -> None:
    for number in range(25):
        fields: dict[str, Any] = {"kind": "tip" if number % 3 else "decision", "tags": [f"t{number % 4}"]}
        fields["privacy"] = Privacy.PUBLIC if number % 2 else Privacy.PRIVATE
        body = f"getNest{number}() in rook/nest.py:{number} 乌鸦{number}"
        made = await desk.add(who, f"Rook {number}", body, **fields)
        if number % 5 == 0:
            await desk.memories.edit(who, made.id, MemoryPatch(body=f"moved to tree{number} and rook"), None)
        if number % 7 == 6:
            await desk.memories.delete(who, made.id)
    await desk.settled()
    asked = ["rook nest", "getNest4", "nest.py:7", "乌鸦", '"moved to"', "-tree5 rook", "kind:tip", "tag:t1 rook"]

    async def ask() -> list[Any]:
        return [
            answer(await desk.find(asker, q, limit=30, legs=legs))
            for q in asked
            for asker in (who, other)
            for legs in ([], ["lexical"], ["vector"])
        ]

    before = await ask()
    await desk.service.rebuild(RebuildRequest())
    await rebuilt(desk)
    await desk.settled()
    after = await ask()
    # Hits with equal words may change places: what is deleted counts in an index until it is cleared away.
    assert [sorted(one, key=str) for one in after] == [sorted(one, key=str) for one in before]
    assert [one[0] for one in after[6:18]] == [one[0] for one in before[6:18]], "what one note has alone comes first"


async def test_erasure_leaves_no_word_and_no_vector_anywhere(
    desk: Desk, who: Principal, tmp_path: Path, owner_url: str
) -> None:
    kept = await desk.add(who, "kept", "an ordinary note")
    gone = await desk.add(who, "xylocanary", "the xylocanarybird sings xylocanarysong")
    await desk.settled()
    await desk.memories.edit(who, gone.id, MemoryPatch(body="xylocanaryagain"), None)
    await desk.settled()
    await desk.memories.purge(who, gone.id)
    await desk.settled()
    for q in ("xylocanary", '"xylocanary"', "xylocanaryagain", "status:any"):
        assert gone.id not in {hit.memory.id for hit in (await desk.find(who, q)).items}
    assert (await desk.service.check()).memories == 1
    index = desk.parts.replica.current
    assert index is not None
    assert {id for _, id in index.contents()} == {kept.id}
    async with await psycopg.AsyncConnection.connect(owner_url, autocommit=True) as connection:
        cursor = await connection.execute("SELECT count(*) FROM search.passage WHERE memory_id = %s", (gone.id,))
        assert await cursor.fetchone() == (0,)
        cursor = await connection.execute(
            "SELECT live, digest, access, author FROM search.document WHERE memory_id = %s", (gone.id,)
        )
        assert await cursor.fetchall() in ([], [(False, None, None, [])]), "at most a tombstone that says nothing"
        for table in ("search.document", "search.passage", "log.event", "memory.memory", "memory.version"):
            cursor = await connection.execute(f"SELECT count(*) FROM {table} t WHERE t::text ILIKE '%xylocanary%'")
            assert await cursor.fetchone() == (0,), table


async def test_events_of_before_an_erasure_bring_nothing_back(desk: Desk, who: Principal, log: EventLog) -> None:
    memory = await desk.add(who, "vanishing gull")
    await desk.settled()
    late = Event(
        id=new_id(),
        type="memory.updated",
        organisation_id=who.organisation,
        subject=memory.id,
        version=memory.version,
        audience=who.organisation,
        occurred_at=utc_now(),
        data={"memory": json.loads(memory.model_dump_json())},
    )
    await desk.memories.purge(who, memory.id)
    await desk.settled()
    for consumer in desk.parts.consumers:
        await consumer._handler([late, late])
    assert (await desk.service.check()).clean
    for legs in ([], ["lexical"], ["vector"]):
        assert await desk.titles(who, "vanishing gull", legs=legs) == []
