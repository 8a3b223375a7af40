"""What every peer's worker does: store each document, ask each question, write what came back and how long it took.

Runs inside the peer's own environment, so it uses the standard library only.
"""

from __future__ import annotations

import asyncio
import json
import sys
import time
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any

Store = Callable[[str, str, str], Awaitable[None]]
"""Store (document id, its group, its text)."""
Ask = Callable[[str, str], Awaitable[list[str]]]
"""Ask (question, group) and answer up to ten document ids, best first."""


def arguments() -> tuple[dict[str, Any], Path, Path, str]:
    """Questions, output file, work folder and the embedder's base URL from the command line."""
    questions, output, work, embedder = sys.argv[1:5]
    return json.loads(Path(questions).read_text()), Path(output), Path(work), embedder


async def run(questions: dict[str, Any], output: Path, store: Store, ask: Ask) -> None:
    """Do the work, one call after another, and write the result as JSON."""
    started = time.perf_counter()
    for key, text in questions["documents"].items():
        await store(key, key.split("/")[0], text)
    stored = time.perf_counter() - started
    found: list[list[str]] = []
    taken: list[float] = []
    for question in questions["questions"]:
        started = time.perf_counter()
        found.append(await ask(question["q"], question["group"]))
        taken.append(time.perf_counter() - started)
    await asyncio.to_thread(output.write_text, json.dumps({"found": found, "seconds": taken, "stored_s": stored}))
