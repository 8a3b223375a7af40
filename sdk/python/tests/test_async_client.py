"""The awaiting client does what the blocking one does."""

from __future__ import annotations

import asyncio
import inspect
import threading
from collections.abc import AsyncIterator

import pytest
from sdk.python.tests.samples import ID, OTHER, hits, memory, page, problem
from sdk.python.tests.scripted import Reply, Scripted

import devlore
from devlore import problems
from devlore.aclient import AsyncConnections, AsyncInstance, AsyncMemories, AsyncSearch, AsyncSyncs
from devlore.client import Connections, Instance, Memories, Search, Syncs

PAIRS = [
    (Memories, AsyncMemories),
    (Search, AsyncSearch),
    (Connections, AsyncConnections),
    (Syncs, AsyncSyncs),
    (Instance, AsyncInstance),
]


@pytest.fixture
async def client(scripted: Scripted) -> AsyncIterator[devlore.AsyncClient]:
    async with devlore.AsyncClient(scripted.url, retry=devlore.Retry(attempts=4, first=0.01)) as client:
        yield client


@pytest.mark.parametrize(("blocking", "awaiting"), PAIRS)
def test_both_clients_have_the_same_methods(blocking: type, awaiting: type) -> None:
    kept = {"__call__"}
    names = [{name for name in vars(cls) if name in kept or not name.startswith("_")} for cls in (blocking, awaiting)]
    assert names[0] == names[1]


def test_methods_have_the_signature_and_words_of_their_operation() -> None:
    method = devlore.AsyncClient().memories.create
    assert "draft" in inspect.signature(method).parameters
    assert "Store a memory" in (method.__doc__ or "")


async def test_create_read_and_search(scripted: Scripted, client: devlore.AsyncClient) -> None:
    scripted.play(Reply(201, memory()), Reply(body=memory()), Reply(body=hits(memory())))
    made = await client.memories.create(title="t")
    assert (await client.memories.get(made.id)).id == made.id
    assert (await client.search("q")).items[0].memory.id == made.id


async def test_it_retries_with_one_key(scripted: Scripted, client: devlore.AsyncClient) -> None:
    scripted.play(Reply(drop=True), Reply(429, headers={"Retry-After": "0"}), Reply(201, memory()))
    await client.memories.create(title="t")
    assert len({seen.headers["idempotency-key"] for seen in scripted.seen}) == 1
    assert len(scripted.seen) == 3


async def test_it_raises_the_same_classes(scripted: Scripted, client: devlore.AsyncClient) -> None:
    scripted.play(Reply(404, problem(404, "not-found")))
    with pytest.raises(problems.NotFound):
        await client.memories.get(ID)


async def test_it_iterates_over_pages(scripted: Scripted, client: devlore.AsyncClient) -> None:
    scripted.play(Reply(body=page(memory(), next="one")), Reply(body=page(memory(id=OTHER))))
    assert [str(item.id) async for item in client.memories.all()] == [ID, OTHER]
    assert scripted.seen[1].query["cursor"] == ["one"]


async def test_it_streams_the_export(scripted: Scripted, client: devlore.AsyncClient) -> None:
    line = '{"memory": %s}'
    scripted.play(Reply(503), Reply(body=(line % Reply(body=memory()).content().decode()).encode() + b"\n"))
    assert [str(record.memory.id) async for record in client.memories.export()] == [ID]


async def test_a_broken_stream_is_an_error(scripted: Scripted, client: devlore.AsyncClient) -> None:
    scripted.play(Reply(body=b'{"memory": {', headers={"Content-Length": "500"}, cut_after=5))
    with pytest.raises(devlore.Unreachable):
        [record async for record in client.memories.export()]


async def test_a_refused_stream_raises_the_problem(scripted: Scripted, client: devlore.AsyncClient) -> None:
    scripted.play(Reply(403, problem(403, "not-allowed")))
    with pytest.raises(problems.NotAllowed):
        [record async for record in client.memories.export()]


async def test_calls_run_side_by_side(
    scripted: Scripted, client: devlore.AsyncClient, monkeypatch: pytest.MonkeyPatch
) -> None:
    """None is answered before all have been asked."""
    together = threading.Barrier(5, timeout=20)

    def next_reply() -> Reply:
        together.wait()
        return Reply(body=memory())

    monkeypatch.setattr(scripted, "next_reply", next_reply)
    found = await asyncio.gather(*(client.memories.get(ID) for _ in range(5)))
    assert len(found) == len(scripted.seen) == 5


async def test_nothing_listening_is_unreachable(closed_port: int) -> None:
    address = f"http://127.0.0.1:{closed_port}"
    async with devlore.AsyncClient(address, retry=devlore.Retry(attempts=2, first=0.01)) as client:
        with pytest.raises(devlore.Unreachable):
            await client.instance()
