"""The embedders: what the bundled model returns, and that an endpoint's failures are told apart from its answers."""

import asyncio
import json
import threading
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from devlore_server.search.embedder import EmbedderMismatch, EmbedderUnavailable
from devlore_server.search.embedders import BUNDLED, BundledMiniLM, OpenAICompatible, open_embedder

TEXTS = [
    "The connection pool ran dry because a worker kept its connection.",
    "Why are there no free database connections?",
    "Lunch is at noon.",
    "",
    "word " * 2_000,
    "数据库连接池",
]


@pytest.fixture(scope="module")
def bundled() -> BundledMiniLM:
    return BundledMiniLM()


async def test_vectors_are_of_length_one_and_in_order(bundled: BundledMiniLM) -> None:
    vectors = await bundled.embed(TEXTS)
    assert vectors.shape == (len(TEXTS), bundled.dimension) == (len(TEXTS), 384)
    assert vectors.dtype == np.float32
    assert np.allclose(np.linalg.norm(vectors, axis=1), 1, atol=1e-5)
    for number, text in enumerate(TEXTS):
        assert np.allclose(vectors[number], (await bundled.embed([text]))[0], atol=2e-3)


async def test_texts_that_mean_the_same_are_near(bundled: BundledMiniLM) -> None:
    dog, puppy, invoice = await bundled.embed(
        ["The dog ran over the field.", "A puppy is running across a meadow.", "The invoice is due on Friday."]
    )
    assert dog @ puppy > 0.5
    assert dog @ invoice < 0.2


async def test_only_the_first_256_tokens_count(bundled: BundledMiniLM) -> None:
    long, longer = await bundled.embed(["pool " * 400, "pool " * 400 + "lunch"])
    assert np.allclose(long, longer, atol=1e-5)


async def test_a_query_is_embedded_as_a_passage_is(bundled: BundledMiniLM) -> None:
    assert np.allclose(await bundled.embed(TEXTS[:1]), await bundled.embed(TEXTS[:1], query=True), atol=1e-5)


async def test_nothing_gives_nothing(bundled: BundledMiniLM) -> None:
    assert (await bundled.embed([])).shape == (0, 384)


async def test_a_query_does_not_wait_for_an_import(bundled: BundledMiniLM) -> None:
    held = threading.Event()
    for _ in range(8):
        bundled._passages.submit(held.wait)  # every thread for passages has its hands full
    work = asyncio.create_task(bundled.embed(["a passage"]))
    try:
        await bundled.embed(["why"], query=True)
        assert not work.done()
    finally:
        held.set()
    await work


async def test_a_missing_model_says_so(tmp_path: Path) -> None:
    with pytest.raises(EmbedderUnavailable, match="does not load"):
        await BundledMiniLM(model_path=tmp_path / "none.onnx").ping()


# ------------------------------------------------------------------ an endpoint


Answer = Callable[[dict[str, Any]], tuple[int, bytes]]


class Endpoint:
    """A real server on loopback that answers what the test says."""

    def __init__(self, answer: Answer) -> None:
        self.answer = answer
        self.patience = 10_000
        self.requests: list[dict[str, Any]] = []
        self.headers: list[str] = []
        self.url = ""

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        head = (await reader.readuntil(b"\r\n\r\n")).decode()
        size = next(int(line.split(":")[1]) for line in head.lower().splitlines() if line.startswith("content-length"))
        request = json.loads(await reader.readexactly(size))
        self.requests.append(request)
        self.headers.append(head)
        if len(request["input"]) > self.patience:
            await reader.read()  # until whoever asked has given up
        status, body = self.answer(request)
        writer.write(f"HTTP/1.1 {status} X\r\ncontent-length: {len(body)}\r\nconnection: close\r\n\r\n".encode() + body)
        await writer.drain()
        writer.close()


def vectors_of(size: int) -> Answer:
    def answer(request: dict[str, Any]) -> tuple[int, bytes]:
        rows = [
            {"index": i, "embedding": [float(len(text))] + [1.0] * (size - 1)}
            for i, text in enumerate(request["input"])
        ]
        return 200, json.dumps({"data": rows[::-1]}).encode()

    return answer


@asynccontextmanager
async def serving(answer: Answer, **settings: Any) -> AsyncIterator[tuple[OpenAICompatible, Endpoint]]:
    endpoint = Endpoint(answer)
    server = await asyncio.start_server(endpoint.serve, "127.0.0.1", 0)
    url = f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}/v1"
    embedder = OpenAICompatible(url, "local", retry_after=(0.0, 0.0), **settings)
    try:
        yield embedder, endpoint
    finally:
        await embedder.close()
        server.close()


async def test_an_endpoint_is_asked_in_batches_and_answers_in_order() -> None:
    async with serving(vectors_of(3), key="secret") as (embedder, endpoint):
        texts = ["x" * (number + 1) for number in range(150)]
        vectors = await embedder.embed(texts)
        expected = np.array([[len(text), 1, 1] for text in texts], dtype=np.float32)
        assert np.allclose(vectors, expected / np.linalg.norm(expected, axis=1, keepdims=True), atol=1e-5)
        assert sorted(len(request["input"]) for request in endpoint.requests) == [22, 64, 64]
        assert {request["model"] for request in endpoint.requests} == {"local"}
        assert all("authorization: bearer secret" in head.lower() for head in endpoint.headers)
        assert (embedder.dimension, embedder.model) == (3, "openai:local")


async def test_the_dimension_is_unknown_until_it_answers() -> None:
    async with serving(vectors_of(3)) as (embedder, _):
        with pytest.raises(EmbedderUnavailable):
            _ = embedder.dimension
        await embedder.ping()
        assert embedder.dimension == 3


async def test_another_dimension_is_a_mismatch_only_when_it_answered() -> None:
    async with serving(vectors_of(4), dimension=3) as (embedder, _):
        with pytest.raises(EmbedderMismatch, match="4 dimensions, not 3"):
            await embedder.ping()


@pytest.mark.parametrize(
    ("status", "body", "requests"),
    [
        (500, b"oops", 3),
        (503, b"", 3),
        (429, b"slow down", 3),
        (401, b"who are you", 1),
        (404, b"no such model", 1),
        (200, b"<html>", 1),
        (200, b'{"data": []}', 1),
        (200, b'{"data": [{"index": 0, "embedding": []}, {"index": 1, "embedding": []}]}', 1),
        (200, b'{"data": [{"index": 0, "embedding": [1, null]}]}', 1),
        (200, b'{"error": "loading"}', 1),
        (200, b"[]", 1),
    ],
)
async def test_a_failed_probe_is_an_error_and_leaves_the_dimension(status: int, body: bytes, requests: int) -> None:
    async with serving(lambda _: (status, body), dimension=3) as (embedder, endpoint):
        with pytest.raises(EmbedderUnavailable):
            await embedder.ping()
        assert embedder.dimension == 3
        assert len(endpoint.requests) == requests


async def test_a_busy_endpoint_is_tried_again() -> None:
    answers = iter([(503, b""), (429, b"")])
    async with serving(lambda request: next(answers, None) or vectors_of(2)(request)) as (embedder, endpoint):
        assert (await embedder.embed(["a"])).shape == (1, 2)
        assert len(endpoint.requests) == 3


async def test_an_endpoint_that_is_too_slow_for_many_texts_is_sent_fewer() -> None:
    async with serving(vectors_of(2), timeout=4) as (embedder, endpoint):
        endpoint.patience = 20
        texts = ["x" * (number + 1) for number in range(128)]
        for _ in range(2):
            endpoint.requests.clear()
            vectors = await embedder.embed(texts)
            assert np.allclose(vectors[:, 0] / vectors[:, 1], [len(text) for text in texts], rtol=1e-4)
        assert {len(request["input"]) for request in endpoint.requests} == {16}, "it is not tried again"
    async with serving(vectors_of(2), timeout=0.1) as (embedder, endpoint):
        endpoint.patience = 0
        with pytest.raises(EmbedderUnavailable, match="no answer"):
            await embedder.ping()


async def test_nobody_there_is_unavailable() -> None:
    embedder = OpenAICompatible("http://127.0.0.1:9", "local", retry_after=())
    with pytest.raises(EmbedderUnavailable, match="no answer"):
        await embedder.embed(["a", "b"] * 100)
    await embedder.close()


# ------------------------------------------------------------------ settings


def test_a_setting_names_the_embedder() -> None:
    assert open_embedder().model == open_embedder("bundled").model == BUNDLED
    assert open_embedder("openai:bge-m3@http://127.0.0.1:1/v1").model == "openai:bge-m3"


@pytest.mark.parametrize("setting", ["nonsense", "openai:", "openai:model", "fastembed:", "fastembed:no/such-model"])
def test_a_setting_that_names_nothing_is_refused(setting: str) -> None:
    with pytest.raises(EmbedderUnavailable):
        open_embedder(setting)
