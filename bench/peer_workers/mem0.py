"""mem0 without an LLM: dense vectors in a local Qdrant."""

from __future__ import annotations

import asyncio
import os
import sys

import worker

questions, output, work, embedder = worker.arguments()
os.environ.update(MEM0_TELEMETRY="False", MEM0_DIR=str(work), OPENAI_API_KEY="none")
# This file is called mem0.py too: its folder must not shadow the package.
sys.path = [entry for entry in sys.path if entry != os.path.dirname(os.path.abspath(__file__))]

from mem0 import Memory  # noqa: E402

endpoint = {"model": "local-384", "openai_base_url": embedder, "api_key": "none"}
memory = Memory.from_config(
    {
        "vector_store": {
            "provider": "qdrant",
            "config": {
                "path": str(work / "qdrant"),
                "embedding_model_dims": 384,
                "on_disk": True,
                "collection_name": "bench",
            },
        },
        "embedder": {"provider": "openai", "config": endpoint | {"embedding_dims": 384}},
        "llm": {"provider": "openai", "config": endpoint},
        "history_db_path": str(work / "history.db"),
    }
)


async def store(key: str, group: str, text: str) -> None:
    memory.add(text, user_id=group, metadata={"document": key}, infer=False)


async def ask(question: str, group: str) -> list[str]:
    answer = memory.search(question, filters={"user_id": group}, top_k=10, threshold=0.0)
    return [row["metadata"]["document"] for row in answer["results"]]


asyncio.run(worker.run(questions, output, store, ask))
