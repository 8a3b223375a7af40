"""A whole search service on real PostgreSQL and Tantivy, with small real embedders where the model is not the point."""

from __future__ import annotations

import asyncio
import hashlib
import json
import re
import threading
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from devlore.types import Memory, MemoryDraft, Privacy, SearchPage, SearchRequest
from devlore_server.kit.auth import Principal
from devlore_server.kit.db import Database
from devlore_server.kit.log import EventLog
from devlore_server.kit.paging import Paging
from devlore_server.memory.service import MemoryService
from devlore_server.search.embedder import Embedder, EmbedderUnavailable, Vectors, normalised
from devlore_server.search.embedders import open_embedder
from devlore_server.search.wiring import Search, assemble
from tests.instance import free_port

SECRET = b"a secret of more than thirty-two bytes"


def hashed(text: str, width: int) -> list[float]:
    """A bag of words and CJK pairs, hashed: alike texts get alike vectors, and nothing has to be loaded."""
    vector = np.zeros(width)
    lowered = text.lower()
    words = re.findall(r"[a-z0-9]+", lowered) + re.findall(r"(?=([\u4e00-\u9fff]{2}))", lowered)
    for word in words or ["nothing"]:
        digest = hashlib.blake2b(word.encode(), digest_size=8).digest()
        vector[int.from_bytes(digest[:4], "big") % width] += 1.0 if digest[4] & 1 else -1.0
    vector[0] += 1e-3
    return [float(x) for x in vector]


class HashingEmbedder:
    """A real embedder in miniature; `away` makes it fail as a model that cannot be reached does."""

    def __init__(self, model: str = "hashing-64", dimension: int = 64) -> None:
        self.model = model
        self.dimension = dimension
        self.away = False
        self.embedded: list[str] = []

    async def embed(self, texts: Sequence[str], *, query: bool = False) -> Vectors:
        await asyncio.sleep(0)
        if self.away:
            raise EmbedderUnavailable("the hashing embedder was told to be away")
        if not query:
            self.embedded += texts
        rows = np.array([hashed(text, self.dimension) for text in texts], dtype=np.float32)
        return normalised(rows.reshape(len(texts), self.dimension))

    async def ping(self) -> None:
        await self.embed(["ping"], query=True)

    async def close(self) -> None:
        return None


class HeldEmbedder(HashingEmbedder):
    """Embeds `left` more passages; who asks for more waits until it goes on. Queries are answered."""

    def __init__(self) -> None:
        super().__init__()
        self.left = 0
        self._may = asyncio.Event()
        self.go_on()

    def hold_after(self, left: int) -> None:
        self.left = left
        self._may.clear()

    def go_on(self) -> None:
        self._may.set()

    async def embed(self, texts: Sequence[str], *, query: bool = False) -> Vectors:
        if not query:
            self.left -= len(texts)
            if self.left < 0:
                await self._may.wait()
        return await super().embed(texts, query=query)


class EmbeddingServer:
    """An HTTP server that speaks the OpenAI embeddings protocol on loopback, and can be stopped and started again."""

    def __init__(self, width: int = 64) -> None:
        self.width = width
        self.port = free_port()  # below those the system gives out: it is still free when it is started again
        self._server: ThreadingHTTPServer | None = None

    def start(self) -> None:
        width = self.width

        class Handler(BaseHTTPRequestHandler):
            def do_POST(self) -> None:
                asked = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
                given = asked["input"] if isinstance(asked["input"], list) else [asked["input"]]
                data = [{"object": "embedding", "index": i, "embedding": hashed(t, width)} for i, t in enumerate(given)]
                body = json.dumps({"object": "list", "model": asked["model"], "data": data}).encode()
                self.send_response(200)
                self.send_header("Content-Type", "application/json")
                self.send_header("Content-Length", str(len(body)))
                self.end_headers()
                self.wfile.write(body)

            def log_message(self, format: str, *args: Any) -> None:
                return None

        self._server = ThreadingHTTPServer(("127.0.0.1", self.port), Handler)
        self._server.daemon_threads = True
        threading.Thread(target=self._server.serve_forever, kwargs={"poll_interval": 0.02}, daemon=True).start()

    def stop(self) -> None:
        if self._server is not None:
            self._server.shutdown()
            self._server.server_close()
            self._server = None

    @property
    def spec(self) -> str:
        return f"openai:hashing@http://127.0.0.1:{self.port}/v1"


class Desk:
    """What a test works with: memory and search as one running instance, and shorthands."""

    def __init__(self, memories: MemoryService, search: Search, embedder: HashingEmbedder) -> None:
        self.memories = memories
        self.parts = search
        self.service = search.service
        self.embedder = embedder

    async def add(self, who: Principal, title: str, body: str = "", **fields: Any) -> Memory:
        fields.setdefault("privacy", Privacy.PUBLIC)
        outcome = await self.memories.create(who, MemoryDraft(title=title, body=body, **fields))
        return outcome.memory

    async def find(self, who: Principal, q: str, **fields: Any) -> SearchPage:
        return await self.service.search(who, SearchRequest(q=q, **fields))

    async def titles(self, who: Principal, q: str, **fields: Any) -> list[str]:
        return [hit.memory.title for hit in (await self.find(who, q, **fields)).items]

    async def settled(self, timeout: float = 20) -> None:
        behind = await self.service.wait(timeout)
        assert behind == [], await self.service.status()


Start = Callable[..., Awaitable[Desk]]


@asynccontextmanager
async def running(
    database: Database, log: EventLog, folder: Path, embedder: HashingEmbedder, **options: Any
) -> AsyncIterator[Desk]:
    """An instance as the composition root makes it; leaving stops its tasks the way a shutdown does."""
    made: dict[str, Embedder] = {}

    def make(spec: str) -> Embedder:
        if spec.startswith("openai:") or spec == "bundled":
            return open_embedder(spec)
        if spec == "hashing":
            return embedder
        if spec.startswith("hashing-"):
            width = int(spec.removeprefix("hashing-"))
            return made.setdefault(spec, HashingEmbedder(spec, width))
        raise EmbedderUnavailable(f"no embedder {spec}")

    memories = MemoryService(database, log)
    search = assemble(
        database=database,
        memories=memories,
        log=log,
        paging=Paging(SECRET),
        folder=folder,
        make_embedder=make,
        embedder=options.pop("embedder_spec", "hashing"),
        deadline=options.pop("deadline", 60.0),
        **options,
    )
    await search.open()
    tasks = [asyncio.create_task(run(), name=name) for name, run in search.tasks().items()]
    try:
        yield Desk(memories, search, embedder)
    finally:
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        await search.close()


@pytest.fixture
async def start(database: Database, log: EventLog, tmp_path: Path) -> AsyncIterator[Start]:
    """Starts an instance; a second call starts another on the same folder and database once the first was stopped."""
    async with AsyncExitStack() as stack:

        async def begin(**options: Any) -> Desk:
            embedder = options.pop("embedder", None) or HashingEmbedder()
            return await stack.enter_async_context(running(database, log, tmp_path / "lexical", embedder, **options))

        yield begin


@pytest.fixture
async def desk(start: Start) -> Desk:
    """A running instance with an empty memory."""
    instance = await start()
    await instance.settled()
    return instance


@pytest.fixture
def embedding_server() -> Any:
    """A running OpenAI-compatible embeddings server."""
    server = EmbeddingServer()
    server.start()
    yield server
    server.stop()
