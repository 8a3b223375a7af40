"""Real commits as memories, in any number, for speed benchmarks."""

from __future__ import annotations

import importlib.util
import random
import sys
from collections.abc import Iterator
from datetime import datetime
from pathlib import Path
from types import ModuleType
from typing import Any

REPOSITORIES = ("pytest-dev/pytest", "psf/requests", "pallets/flask")


def loaders(data: Path) -> ModuleType:
    """The data pack's own ``loaders.py``."""
    spec = importlib.util.spec_from_file_location("loaders", data / "loaders.py")
    if spec is None or spec.loader is None:
        raise SystemExit(f"no loaders.py in {data}: --data names the unpacked data sets")
    module = importlib.util.module_from_spec(spec)
    sys.modules["loaders"] = module
    spec.loader.exec_module(module)
    return module


def commits(data: Path) -> Iterator[dict[str, Any]]:
    """Every commit of the three histories as a draft, oldest file order."""
    source = loaders(data)
    for repository in REPOSITORIES:
        for commit in source._commits(repository):
            title, _, body = commit["message"].partition("\n")
            files = "\n".join(commit["files"][:50])
            yield {
                "kind": "change",
                "project": repository.replace("/", "-").lower(),
                "title": title.strip()[:500],
                "body": f"{body.strip()}\n\n{files}".strip(),
                "source": {"connector": "git", "external_id": commit["sha"], "author": commit["author"][:200]},
                "occurred_at": _moment(commit["date"]),
            }


def _moment(date: str) -> str:
    """A commit's date, in UTC where its offset is none: one of these histories has a +518:00."""
    try:
        return datetime.fromisoformat(date).isoformat()
    except ValueError:
        return f"{date[:19]}+00:00"


def memories(data: Path, size: int, seed: int = 7) -> list[dict[str, Any]]:
    """``size`` drafts: the real commits in random order, then new pairings of real titles with real bodies."""
    draw = random.Random(seed)
    real = list(commits(data))
    draw.shuffle(real)
    while len(real) < size:
        one, other = draw.choice(real), draw.choice(real)
        source = one["source"] | {"external_id": f"pair-{len(real)}"}
        real.append(one | {"body": other["body"], "source": source})
    return real[:size]


def queries(data: Path, count: int, seed: int = 11) -> list[str]:
    """Real questions about these histories: changelog entries of pytest, then commit titles."""
    draw = random.Random(seed)
    _, entries, _ = loaders(data).changelog2commit("pytest-dev/pytest")
    texts = [text.replace('"', " ").replace(":", " ")[:300] for text in entries.values()]
    draw.shuffle(texts)
    return texts[:count]
