"""mcp-memory-service: sqlite-vec and FTS5, its hybrid retrieval; conversations told apart by tag."""

from __future__ import annotations

import asyncio
import os
import sys

import worker

questions, output, work, embedder = worker.arguments()
os.environ.update(
    MCP_EXTERNAL_EMBEDDING_URL=embedder + "/embeddings",
    MCP_EXTERNAL_EMBEDDING_MODEL="local-384",
    MCP_SEMANTIC_DEDUP_ENABLED="false",
    MCP_MEMORY_STORAGE_BACKEND="sqlite_vec",
    HF_HUB_OFFLINE="1",
)
# This file carries the package's name: its folder must not shadow it.
sys.path = [entry for entry in sys.path if entry != os.path.dirname(os.path.abspath(__file__))]

from mcp_memory_service.models.memory import Memory  # noqa: E402
from mcp_memory_service.storage.sqlite_vec import SqliteVecMemoryStorage  # noqa: E402
from mcp_memory_service.utils.hashing import generate_content_hash  # noqa: E402


async def main() -> None:
    stores: dict[str, SqliteVecMemoryStorage] = {}

    async def of(group: str) -> SqliteVecMemoryStorage:
        # One database per conversation: its hybrid search has no filter of its own.
        if group not in stores:
            stores[group] = SqliteVecMemoryStorage(str(work / f"{group}.db"), embedding_model="local-384")
            await stores[group].initialize()
        return stores[group]

    async def store(key: str, group: str, text: str) -> None:
        memory = Memory(
            content=text,
            content_hash=generate_content_hash(text),
            tags=[group],
            memory_type="note",
            metadata={"document": key},
        )
        stored, message = await (await of(group)).store(memory)
        if not stored:
            print(key, message)

    async def ask(question: str, group: str) -> list[str]:
        rows = await (await of(group)).retrieve_hybrid(question, n_results=10)
        return [row.memory.metadata["document"] for row in rows]

    await worker.run(questions, output, store, ask)


asyncio.run(main())
