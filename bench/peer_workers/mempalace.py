"""MemPalace: Chroma vectors with BM25; one wing per conversation."""

from __future__ import annotations

import asyncio
import os
import sys
from pathlib import Path

import worker

questions, output, work, embedder = worker.arguments()
palace = str(work / "palace")
os.environ.update(
    MEMPALACE_PALACE_PATH=palace,
    MEMPALACE_EMBEDDING_MODEL="openai-compat",
    MEMPALACE_EMBEDDING_API_URL=embedder,
    MEMPALACE_EMBEDDING_API_MODEL="local-384",
    MEMPALACE_EMBEDDING_API_KEY="none",
    MEMPALACE_BACKEND="chroma",
    ANONYMIZED_TELEMETRY="False",
    HOME=str(work),
)
# This file carries the package's name: its folder must not shadow it.
sys.path = [entry for entry in sys.path if entry != os.path.dirname(os.path.abspath(__file__))]

from mempalace.mcp_server import tool_add_drawer  # noqa: E402
from mempalace.searcher import search_memories  # noqa: E402


async def store(key: str, group: str, text: str) -> None:
    tool_add_drawer(group, "sessions", text, source_file=f"/{key}.md")


async def ask(question: str, group: str) -> list[str]:
    rows = search_memories(question, palace, wing=group, n_results=10)["results"]
    found = [f"{group}/{Path(row['source_file']).stem}" for row in rows]
    return list(dict.fromkeys(found))


asyncio.run(worker.run(questions, output, store, ask))
