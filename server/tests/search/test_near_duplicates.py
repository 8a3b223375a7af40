"""Where the threshold for near-duplicates lies, by the bundled model: repeats above it, mere kinship below."""

from __future__ import annotations

import pytest

from devlore_server.search.embedders import BundledMiniLM
from devlore_server.search.passages import split
from devlore_server.search.writing import NEAR_DUPLICATE

SAME = [
    (
        ("Fix leak in connection pool", "The pool kept connections after a timeout. Close them in the finally block."),
        ("Fix leak in connection pool", "The pool kept connections after a time-out; close them in the finally block."),
    ),
    (
        ("Weekly sync 2025-03-03", "Agreed to move the search index to Tantivy and to drop Elasticsearch by summer."),
        ("Weekly sync 2025-03-03", "Agreed to move the search index to Tantivy, and drop Elasticsearch by summer!"),
    ),
    (
        ("Deploy fails on arm64", "The image is built for amd64 only; pass --platform linux/arm64 to buildx."),
        ("Deploy fails on arm64", "The image is built for amd64 only: pass `--platform linux/arm64` to `buildx`."),
    ),
]
KIN = [
    (
        ("Use PostgreSQL", "We chose PostgreSQL for its row-level security."),
        ("Use MySQL", "We chose MySQL for its tools."),
    ),
    (
        ("Fix leak in connection pool", "The pool kept connections after a timeout. Close them in the finally block."),
        ("Fix deadlock in connection pool", "Two threads waited for each other's connection. Take locks in one order."),
    ),
    (
        ("Release 1.2.0", "Adds export to CSV. Fixes the crash on empty tables."),
        ("Release 1.3.0", "Adds import from JSON. Fixes the time zone of reminders."),
    ),
    (("Bump ruff to 0.5", "Dependency update."), ("Bump mypy to 1.11", "Dependency update.")),
]


@pytest.fixture(scope="module")
def model() -> BundledMiniLM:
    return BundledMiniLM(workers=1)


async def likeness(model: BundledMiniLM, pair: tuple[tuple[str, str], tuple[str, str]]) -> float:
    one, other = await model.embed([split(title, body)[0].text for title, body in pair])
    return float(one @ other)


@pytest.mark.parametrize("pair", SAME)
async def test_the_same_said_twice_is_above(model: BundledMiniLM, pair: tuple) -> None:
    assert await likeness(model, pair) >= NEAR_DUPLICATE


@pytest.mark.parametrize("pair", KIN)
async def test_what_is_only_alike_is_below(model: BundledMiniLM, pair: tuple) -> None:
    assert await likeness(model, pair) < NEAR_DUPLICATE
