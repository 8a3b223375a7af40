"""Numbers as people read them: aligned tables, percentiles, one JSON line."""

from __future__ import annotations

import json
import statistics
from collections.abc import Sequence
from typing import Any


def percentile(values: Sequence[float], share: float) -> float:
    """The nearest-rank percentile; ``share`` in 0–1."""
    ordered = sorted(values)
    return ordered[min(len(ordered) - 1, int(share * len(ordered)))]


def latency(seconds: Sequence[float]) -> dict[str, float]:
    """p50, p95, p99 and mean in milliseconds."""
    return {
        "p50_ms": round(percentile(seconds, 0.50) * 1e3, 2),
        "p95_ms": round(percentile(seconds, 0.95) * 1e3, 2),
        "p99_ms": round(percentile(seconds, 0.99) * 1e3, 2),
        "mean_ms": round(statistics.fmean(seconds) * 1e3, 2),
    }


def show(header: Sequence[str], rows: Sequence[Sequence[Any]]) -> None:
    """Print an aligned table."""
    cells = [[str(c) for c in header], *[[str(c) for c in row] for row in rows]]
    widths = [max(len(line[i]) for line in cells) for i in range(len(header))]
    for number, line in enumerate(cells):
        print("  ".join(cell.ljust(width) for cell, width in zip(line, widths, strict=True)).rstrip())
        if number == 0:
            print("  ".join("-" * width for width in widths))


def emit(result: dict[str, Any]) -> None:
    """Print the one JSON line a script can read."""
    print(json.dumps(result, separators=(",", ":")), flush=True)
