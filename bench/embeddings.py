"""An OpenAI-compatible ``/v1/embeddings`` server on loopback, so that every tool in a comparison embeds alike.

``minilm`` is the bundled model; ``hash`` is a fast stand-in for latency runs where the model is not the point.
"""

from __future__ import annotations

import argparse
import asyncio
import hashlib
import re
from typing import Any

import numpy as np
import uvicorn
from numpy.typing import NDArray
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route

from devlore_server.search.embedders.minilm import BundledMiniLM

DIMENSION = 384
_WORD = re.compile(r"\w+")


def hashed(texts: list[str]) -> NDArray[np.float32]:
    """Bag-of-words vectors by feature hashing (Weinberger et al. 2009), L2-normalised, shape (n, 384)."""
    vectors = np.zeros((len(texts), DIMENSION), dtype=np.float32)
    for number, text in enumerate(texts):
        for word in _WORD.findall(text.lower()):
            digest = hashlib.blake2b(word.encode(), digest_size=8).digest()
            value = int.from_bytes(digest, "big")
            vectors[number, value % DIMENSION] += 1.0 if value >> 63 else -1.0
        if not vectors[number].any():
            vectors[number, 0] = 1.0
    return vectors / np.linalg.norm(vectors, axis=1, keepdims=True)


def application(mode: str) -> Starlette:
    """The server; answers are built whole and sent once (a flush per vector stalls small writes)."""
    model = BundledMiniLM() if mode == "minilm" else None

    async def embed(request: Request) -> Response:
        body: dict[str, Any] = await request.json()
        texts = [body["input"]] if isinstance(body["input"], str) else [str(text) for text in body["input"]]
        vectors = await model.embed(texts, query=False) if model else await asyncio.to_thread(hashed, texts)
        rows = [{"object": "embedding", "index": i, "embedding": v.tolist()} for i, v in enumerate(vectors)]
        return JSONResponse(
            {
                "object": "list",
                "data": rows,
                "model": body.get("model", mode),
                "usage": {"prompt_tokens": 0, "total_tokens": 0},
            }
        )

    return Starlette(routes=[Route("/v1/embeddings", embed, methods=["POST"])])


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--mode", choices=("minilm", "hash"), default="minilm")
    parser.add_argument("--port", type=int, default=18098)
    options = parser.parse_args()
    uvicorn.run(application(options.mode), host="127.0.0.1", port=options.port, log_level="warning")


if __name__ == "__main__":
    main()
