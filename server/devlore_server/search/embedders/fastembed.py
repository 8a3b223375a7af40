"""Owns the adapter to fastembed's models. Imported only where one is configured, since the package is optional."""

import asyncio
import threading
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor

import numpy as np
from fastembed import TextEmbedding  # type: ignore[import-not-found,unused-ignore]

from devlore_server.search.embedder import EmbedderUnavailable, Vectors, normalised
from devlore_server.search.embedders.background import step_back


class Fastembed:
    """A model of fastembed's list, loaded on first use; queries and passages get the prefixes it was trained with."""

    def __init__(self, name: str, *, workers: int = 2) -> None:
        self.model = f"fastembed:{name}"
        self._name = name
        self._dimension = _dimension(name)
        self._passages = ThreadPoolExecutor(workers, thread_name_prefix="embed", initializer=step_back)
        self._queries = ThreadPoolExecutor(1, thread_name_prefix="embed-query")
        self._loading = threading.Lock()
        self._loaded: TextEmbedding | None = None

    @property
    def dimension(self) -> int:
        """Length of a vector, from fastembed's own list."""
        return self._dimension

    async def embed(self, texts: Sequence[str], *, query: bool = False) -> Vectors:
        """Embed `texts` in order."""
        if not texts:
            return np.zeros((0, self._dimension), dtype=np.float32)
        pool = self._queries if query else self._passages
        return await asyncio.get_running_loop().run_in_executor(pool, self._run, list(texts), query)

    async def ping(self) -> None:
        """Load the model and embed one word."""
        await self.embed(["ping"], query=True)

    async def close(self) -> None:
        """Stop the threads; work not yet begun is dropped."""
        for pool in (self._passages, self._queries):
            pool.shutdown(wait=False, cancel_futures=True)

    def _run(self, texts: list[str], query: bool) -> Vectors:
        model = self._load()
        rows = model.query_embed(texts) if query else model.passage_embed(texts)
        return normalised(np.asarray(list(rows), dtype=np.float32))

    def _load(self) -> TextEmbedding:
        with self._loading:
            if self._loaded is None:
                try:
                    self._loaded = TextEmbedding(self._name, threads=1)
                except Exception as error:  # the downloader and onnxruntime raise many kinds
                    raise EmbedderUnavailable(f"{self.model} does not load: {error}") from error
            return self._loaded


def _dimension(name: str) -> int:
    for entry in TextEmbedding.list_supported_models():
        if entry["model"] == name:
            return int(entry["dim"])
    raise EmbedderUnavailable(f"fastembed has no model {name!r}")
