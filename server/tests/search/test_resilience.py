"""What goes wrong and heals: an embedder that is away, events out of order, damaged files, other models, restarts."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest

from devlore.events import Event
from devlore.problems import Conflict, EmbedderChanged, EmbedderUnavailable, NotFound
from devlore.types import MemoryDraft, MemoryPatch, RebuildRequest, SearchRequest
from devlore_server.kit.auth import Principal
from devlore_server.kit.db import Database
from devlore_server.kit.log import START, EventLog
from devlore_server.search.store import SearchStore
from tests.search.conftest import Desk, EmbeddingServer, HashingEmbedder, HeldEmbedder, Start, running
from tests.search.waiting import only_vectors_wait, until


async def test_an_embedder_that_is_away_degrades_parks_nothing_and_recovers(
    start: Start, who: Principal, embedding_server: EmbeddingServer
) -> None:
    desk = await start(embedder_spec=embedding_server.spec)
    await desk.add(who, "river one")
    await desk.settled()
    assert (await desk.find(who, "river")).degraded == []
    embedding_server.stop()
    await desk.add(who, "river two")
    await until(lambda: only_vectors_wait(desk))
    page = await desk.find(who, "river two now")
    assert page.degraded == ["vector"]
    assert page.items[0].memory.title == "river two"
    with pytest.raises(EmbedderUnavailable):
        await desk.find(who, "river never asked", legs=["vector"])

    async def says_so() -> bool:
        vector = (await desk.service.status()).indexes[1]
        return vector.state == "unavailable" and vector.lag == 1 and bool(vector.detail)

    await until(says_so)
    embedding_server.start()
    await desk.settled(30)
    assert set(await desk.titles(who, "river", legs=["vector"])) == {"river one", "river two"}
    status = await desk.service.status()
    assert [(index.state, index.parked) for index in status.indexes] == [("ready", 0), ("ready", 0)]
    assert (await desk.service.check()).clean


async def test_events_in_any_order_and_twice_come_to_the_same(desk: Desk, who: Principal, log: EventLog) -> None:
    memory = await desk.add(who, "first words")
    await desk.memories.edit(who, memory.id, MemoryPatch(title="second words"), None)
    await desk.memories.edit(who, memory.id, MemoryPatch(title="third words"), None)
    gone = await desk.add(who, "gone words")
    await desk.memories.delete(who, gone.id)
    await desk.settled()
    types = ["memory.created", "memory.updated", "memory.deleted"]
    events: list[Event] = [event for _, event in await log.read(START, types, 100)]
    reactions = [consumer._handler for consumer in desk.parts.consumers]
    for order in (events, events[::-1], events[2:] + events[:2]):
        for event in order:
            for react in reactions:
                await react([event])
        assert await desk.titles(who, "words") == ["third words"]
        assert (await desk.service.check()).clean


async def test_unchanged_text_is_not_embedded_again(desk: Desk, who: Principal, other: Principal) -> None:
    memory = await desk.add(who, "lemon", "a lemon tree")
    await desk.settled()
    before = len(desk.embedder.embedded)
    await desk.memories.edit(who, memory.id, MemoryPatch.model_validate({"tags": ["x"], "privacy": "private"}), None)
    await desk.settled()
    assert len(desk.embedder.embedded) == before
    assert await desk.titles(who, "lemon tag:x", legs=["vector"]) == ["lemon"]
    assert await desk.titles(other, "lemon", legs=["vector"]) == []
    assert (await desk.service.check()).clean


async def test_purge_leaves_nothing_in_either_index(desk: Desk, who: Principal, owner_url: str) -> None:
    memory = await desk.add(who, "canary bird", "sings")
    await desk.settled()
    await desk.memories.purge(who, memory.id)
    await desk.settled()
    assert await desk.titles(who, "canary") == []
    result = await desk.service.check()
    assert result.clean
    assert result.memories == 0


@pytest.mark.parametrize("damage", ["removed", "emptied", "scrambled", "pointer"])
async def test_a_damaged_index_is_built_again(
    database: Database, log: EventLog, tmp_path: Path, who: Principal, damage: str
) -> None:
    embedder = HashingEmbedder()
    async with running(database, log, tmp_path, embedder) as desk:
        for number in range(8):
            await desk.add(who, f"fig {number}")
        await desk.settled()
        before = await desk.titles(who, "fig 3")
    _damage(tmp_path, damage)
    async with running(database, log, tmp_path, embedder) as desk:
        await desk.settled()
        assert await desk.titles(who, "fig 3") == before
        assert (await desk.service.check()).clean
        await desk.add(who, "fig nine")
        await desk.settled()
        assert "fig nine" in await desk.titles(who, "nine")


def _damage(root: Path, how: str) -> None:
    (folder,) = [path for path in root.iterdir() if path.is_dir()]
    if how == "removed":
        shutil.rmtree(root)
    elif how == "emptied":
        shutil.rmtree(folder)
        folder.mkdir()
    elif how == "scrambled":
        for file in folder.rglob("*.json"):
            file.write_text("{")
    else:
        (root / "current.json").write_text("nonsense")


async def test_a_restart_goes_on_where_it_stopped(
    database: Database, log: EventLog, tmp_path: Path, who: Principal
) -> None:
    embedder = HashingEmbedder()
    async with running(database, log, tmp_path, embedder) as desk:
        await desk.add(who, "kept one")
        await desk.settled()
        memories = desk.memories
    folder = sorted(path.name for path in tmp_path.iterdir())
    from_before = await memories.create(who, MemoryDraft(title="kept two"))
    async with running(database, log, tmp_path, embedder) as desk:
        await desk.settled()
        assert set(await desk.titles(who, "kept", legs=["lexical"])) == {"kept one", from_before.memory.title}
        assert sorted(path.name for path in tmp_path.iterdir()) == folder, "nothing was built again"


async def test_a_closed_index_takes_nothing_for_done(
    database: Database, log: EventLog, tmp_path: Path, who: Principal
) -> None:
    embedder = HashingEmbedder()
    async with running(database, log, tmp_path, embedder) as desk:
        await desk.settled()
        await desk.parts.replica.close()
        await desk.add(who, "written while closing")
        assert "search.lexical" in await desk.service.wait(0.3)
    async with running(database, log, tmp_path, embedder) as desk:
        await desk.settled()
        assert await desk.titles(who, "closing", legs=["lexical"]) == ["written while closing"]
        assert [index.parked for index in (await desk.service.status()).indexes] == [0, 0]


async def test_a_rebuild_answers_the_same_and_the_old_answers_meanwhile(start: Start, who: Principal) -> None:
    embedder = HeldEmbedder()
    desk = await start(embedder=embedder)
    for number in range(30):
        await desk.add(who, f"peach {number}", f"text {number % 5} about peaches and pears")
    await desk.settled()
    before = await desk.find(who, "peach pears", limit=20, explain=True)
    embedder.hold_after(0)
    status = await desk.service.rebuild(RebuildRequest())
    assert status.rebuild is not None
    with pytest.raises(Conflict):
        await desk.service.rebuild(RebuildRequest())
    assert (await desk.titles(who, "peach")) != []
    await desk.add(who, "late plum", "came during the rebuild")
    embedder.go_on()
    await until(lambda: _rebuilt(desk))
    await desk.settled()
    after = await desk.find(who, "peach pears", limit=20, explain=True)
    assert [h.memory.id for h in after.items] == [h.memory.id for h in before.items]
    assert (await desk.titles(who, "late plum"))[0] == "late plum"
    assert (await desk.service.check()).clean


async def _rebuilt(desk: Desk) -> bool:
    status = await desk.service.status()
    assert status.rebuild is not None
    return bool(status.rebuild["state"] == "done" and status.rebuild["lexical"] == "done")


async def test_switching_the_model_swaps_when_complete_and_outlives_a_restart(
    database: Database, log: EventLog, tmp_path: Path, who: Principal
) -> None:
    embedder = HashingEmbedder()
    async with running(database, log, tmp_path, embedder) as desk:
        for number in range(70):
            await desk.add(who, f"olive {number}")
        await desk.settled()
        await desk.service.rebuild(RebuildRequest(embedder="hashing-128"))
        assert (await desk.find(who, "olive 7")).degraded == []
        await until(lambda: _rebuilt(desk))
        await desk.settled()
        status = await desk.service.status()
        assert status.indexes[1].model == status.embedder == "hashing-128"
        assert status.indexes[1].documents == 70
        assert "olive 7" in await desk.titles(who, "olive 7", legs=["vector"])
    async with running(database, log, tmp_path, embedder) as desk:
        assert (await desk.service.status()).embedder == "hashing-128"
        assert (await desk.find(who, "olive")).degraded == []


async def test_a_rebuild_goes_on_after_a_restart_and_can_be_cancelled(
    database: Database, log: EventLog, tmp_path: Path, who: Principal
) -> None:
    server = EmbeddingServer(32)
    server.start()
    embedder = HashingEmbedder()
    async with running(database, log, tmp_path, embedder) as desk:
        for number in range(3):
            await desk.add(who, f"date {number}")
        await desk.settled()
        await desk.service.rebuild(RebuildRequest(embedder=server.spec))
        server.stop()
    async with running(database, log, tmp_path, embedder) as desk:
        state = (await desk.service.status()).rebuild
        assert state is not None
        assert state["state"] in ("running", "done")
        # The new model may have taken over before its server stopped; since then it cannot.
        assert (await desk.find(who, "date")).degraded == ([] if state["state"] == "running" else ["vector"])
        server.start()
        await until(lambda: _rebuilt(desk), 30)
        assert (await desk.find(who, "date anew")).degraded == []
        with pytest.raises(NotFound):
            await desk.service.cancel_rebuild()
        server.stop()
        await desk.service.rebuild(RebuildRequest(embedder="hashing-16"))
        await until(lambda: _rebuilt(desk), 30)


async def test_a_model_that_is_away_does_not_take_the_place_of_one_that_answers(
    start: Start, who: Principal, embedding_server: EmbeddingServer
) -> None:
    desk = await start()
    await desk.parts.models.embedder(embedding_server.spec).ping()
    embedding_server.stop()
    # With nothing to embed it is complete at once.
    await desk.service.rebuild(RebuildRequest(embedder=embedding_server.spec))

    async def held_up() -> bool:
        state = (await desk.service.status()).rebuild
        assert state is not None
        assert state["state"] == "running"
        return bool(state["detail"])

    await until(held_up)
    await desk.add(who, "medlar")
    assert (await desk.find(who, "medlar")).degraded == []
    embedding_server.start()
    await until(lambda: _rebuilt(desk), 30)
    assert (await desk.service.status()).embedder == "openai:hashing"


async def test_a_generation_that_was_given_up_is_not_promoted(start: Start, database: Database) -> None:
    desk = await start()
    models, store = desk.parts.models, SearchStore(database)
    given_up = await models.begin_building("hashing-16")
    await store.retire(given_up.model)
    assert not await models.promote(given_up)
    assert models.building is None
    assert models.active is not None
    assert [(model.id, model.state) for model in await store.models()] == [
        (models.active.model.id, "active"),
        (given_up.model.id, "retired"),
    ]


async def test_an_index_of_another_model_says_what_to_run(
    database: Database, log: EventLog, tmp_path: Path, who: Principal
) -> None:
    async with running(database, log, tmp_path, HashingEmbedder()) as desk:
        await desk.add(who, "quince")
        await desk.settled()
    async with running(database, log, tmp_path, HashingEmbedder(), embedder_spec="hashing-32") as desk:
        page = await desk.find(who, "quince")
        assert page.degraded == ["vector"]
        assert [hit.memory.title for hit in page.items] == ["quince"]
        with pytest.raises(EmbedderChanged) as refused:
            await desk.service.search(who, SearchRequest(q="quince", legs=["vector"]))
        assert "devlore rebuild search --embedder hashing-32" in str(refused.value.detail)
        assert "devlore rebuild search" in str((await desk.service.status()).indexes[1].detail)
        await desk.add(who, "quince jam")
        await desk.service.rebuild(RebuildRequest(embedder="hashing-32"))
        await until(lambda: _rebuilt(desk))
        await desk.settled(30)
        assert set(await desk.titles(who, "quince", legs=["vector"])) == {"quince", "quince jam"}


async def test_check_names_what_is_missing_and_what_is_too_much(desk: Desk, who: Principal) -> None:
    one, two = [await desk.add(who, f"kiwi {number}") for number in range(2)]
    await desk.settled()
    index = desk.parts.replica.current
    assert index is not None
    index.delete({(who.organisation, one.id): 9})
    index.commit()
    async with desk.parts.service._parts.log.database.transaction(who) as connection:
        await connection.execute("DELETE FROM search.passage WHERE memory_id = %s", (two.id,))
    result = await desk.service.check()
    assert not result.clean
    lexical, vector = result.indexes
    assert lexical["missing"] == [str(one.id)]
    assert vector["incomplete"] == [str(two.id)]
    assert len(result.problems) == 2


async def test_near_duplicates_are_reported_only_where_both_may_be_seen(
    desk: Desk, who: Principal, other: Principal, log: EventLog
) -> None:
    body = "The build failed because the cache key lacked the compiler version, so objects were mixed."
    public = await desk.add(who, "Build cache", body)
    await desk.add(other, "Build cache", body + " again", privacy="private")
    private = await desk.add(who, "Build cache", body + " today", privacy="private")
    await desk.add(who, "Something else", "The canteen serves soup on Mondays and pasta on Tuesdays.")
    await desk.settled()
    found = [event for _, event in await log.read(START, ["search.near_duplicates_found"], 10)]
    pairs = {(event.subject, found_["memory_id"]) for event in found for found_ in event.data["found"]}
    assert (private.id, str(public.id)) in pairs
    assert all(event.subject != public.id for event in found), "a public memory must not point at a private one"
    assert all(0.95 <= one["score"] <= 1 for event in found for one in event.data["found"])
    assert {event.data["seen_by"] for event in found} == {str(who.person), str(other.person)}
