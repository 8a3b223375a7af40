"""Owns the adapter to any endpoint that speaks OpenAI's embeddings API (Ollama, vLLM, LiteLLM, Azure, OpenAI)."""

import asyncio
from collections.abc import Sequence
from typing import Any

import httpx2
import numpy as np

from devlore_server.search.embedder import EmbedderMismatch, EmbedderUnavailable, Vectors, normalised

BATCH = 64
"""Texts in one request: every known server accepts as many, and a slow one is sent fewer."""

CONCURRENCY = 4
TIMEOUT = 30.0
_RETRY_AFTER = (0.5, 2.0)


class OpenAICompatible:
    """`POST {url}/embeddings`, batched, a bounded number of requests at a time.

    Busy answers (429, 5xx) and broken connections are tried again twice. Texts that are not answered in time, as from a
    model without a GPU, are sent in two halves, and from then on no more at once. Whatever still fails is
    EmbedderUnavailable, never a conclusion about the model: only a good answer can show another dimension
    (EmbedderMismatch).
    """

    def __init__(
        self,
        url: str,
        model: str,
        *,
        key: str | None = None,
        dimension: int | None = None,
        retry_after: Sequence[float] = _RETRY_AFTER,
        timeout: float = TIMEOUT,
    ) -> None:
        self.model = f"openai:{model}"
        self._name = model
        self._dimension = dimension
        self._pauses = tuple(retry_after)
        headers = {"authorization": f"Bearer {key}"} if key else {}
        self._client = httpx2.AsyncClient(base_url=url.rstrip("/") + "/", headers=headers, timeout=timeout)
        self._at_once = BATCH
        self._slots = asyncio.Semaphore(CONCURRENCY)
        self._query_slots = asyncio.Semaphore(CONCURRENCY)

    @property
    def dimension(self) -> int:
        """Length of a vector: configured, or as first answered. Raises EmbedderUnavailable before that."""
        if self._dimension is None:
            raise EmbedderUnavailable(f"{self.model} has not answered yet, so its dimension is not known")
        return self._dimension

    async def embed(self, texts: Sequence[str], *, query: bool = False) -> Vectors:
        """Embed `texts` in order. Empty texts, which some servers refuse, are sent as a blank."""
        if not texts:
            return np.zeros((0, self._dimension or 0), dtype=np.float32)
        size = self._at_once
        batches = [[text or " " for text in texts[i : i + size]] for i in range(0, len(texts), size)]
        slots = self._query_slots if query else self._slots
        failed: list[BaseException] = []
        try:
            async with asyncio.TaskGroup() as group:
                tasks = [group.create_task(self._in_turn(batch, slots)) for batch in batches]
        except* (EmbedderUnavailable, EmbedderMismatch) as failures:
            failed.extend(failures.exceptions)
        if failed:
            raise failed[0]  # one reason is enough; the group cancelled the other batches
        return normalised(np.concatenate([task.result() for task in tasks]))

    async def ping(self) -> None:
        """Embed one word."""
        await self.embed(["ping"], query=True)

    async def close(self) -> None:
        """Close connections."""
        await self._client.aclose()

    async def _in_turn(self, batch: list[str], slots: asyncio.Semaphore) -> Vectors:
        async with slots:
            return await self._halving(batch)

    async def _halving(self, batch: list[str]) -> Vectors:
        if len(batch) <= self._at_once:
            try:
                return await self._attempt(batch)
            except _Slow:
                self._at_once = min(self._at_once, len(batch) // 2)
        half = len(batch) // 2
        return np.concatenate([await self._halving(batch[:half]), await self._halving(batch[half:])])

    async def _attempt(self, batch: list[str]) -> Vectors:
        for pause in (*self._pauses, None):
            try:
                return self._vectors(await self._post(batch), len(batch))
            except _Busy as busy:
                if pause is None:
                    raise EmbedderUnavailable(f"{self.model}: {busy}") from busy
                await asyncio.sleep(pause)
        raise AssertionError("the last attempt returns or raises")

    async def _post(self, batch: list[str]) -> Any:
        body: dict[str, Any] = {"model": self._name, "input": batch, "encoding_format": "float"}
        try:
            answer = await self._client.post("embeddings", json=body)
        except httpx2.HTTPError as error:
            if isinstance(error, httpx2.ReadTimeout) and len(batch) > 1:
                raise _Slow from error
            raise _Busy(f"no answer from {self._client.base_url}: {error!r}") from error
        if answer.status_code == 429 or answer.status_code >= 500:
            raise _Busy(f"{self._client.base_url} answered {answer.status_code}")
        if answer.status_code != 200:
            raise EmbedderUnavailable(f"{self.model}: answered {answer.status_code}: {answer.text[:200]}")
        try:
            return answer.json()
        except ValueError as error:
            raise EmbedderUnavailable(f"{self.model}: the answer is not JSON: {answer.text[:200]}") from error

    def _vectors(self, answer: Any, expected: int) -> Vectors:
        try:
            rows = [row["embedding"] for row in sorted(answer["data"], key=lambda row: row["index"])]
            vectors = np.asarray(rows, dtype=np.float32)
        except (KeyError, TypeError, ValueError) as error:
            raise EmbedderUnavailable(f"{self.model}: not an embeddings answer: {str(answer)[:200]}") from error
        if vectors.ndim != 2 or len(vectors) != expected or not np.isfinite(vectors).all():
            raise EmbedderUnavailable(f"{self.model}: {expected} texts, but an answer of shape {vectors.shape}")
        if self._dimension is None:
            self._dimension = int(vectors.shape[1])
        if vectors.shape[1] != self._dimension:
            raise EmbedderMismatch(f"{self.model} answers {vectors.shape[1]} dimensions, not {self._dimension}")
        return vectors


class _Busy(Exception):
    """Worth another try."""


class _Slow(Exception):
    """Too many texts for the time there is."""
