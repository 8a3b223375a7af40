"""How fast search answers through the gateway, at several sizes, and how that grows.

The query's embedding is excluded by asking every question once before the clock runs: its vector is then in the query
cache, every other step is done anew. The column ``cold`` includes it. Vectors come from the hashing stand-in unless
``--embedder minilm``; the legs' work is the same, only the vectors' meaning differs.
"""

from __future__ import annotations

import argparse
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import httpx2
import psutil

import corpus
import instance
import table


def measure(client: httpx2.Client, queries: list[str]) -> list[float]:
    """Seconds per search, one after another over one connection."""
    taken = []
    for query in queries:
        started = time.perf_counter()
        answer = client.get("/v1/search", params={"q": query, "limit": 10})
        taken.append(time.perf_counter() - started)
        answer.raise_for_status()
    return taken


def processor_seconds(running: instance.Instance) -> float:
    """What the server's own process has used so far; unlike elapsed time it hardly depends on what else runs."""
    used = psutil.Process(running.process.pid).cpu_times()
    return float(used.user + used.system)


def bare_roundtrip(client: httpx2.Client, times: int) -> list[float]:
    """Seconds per ``/healthz``: the part of a search that is HTTP."""
    taken = []
    for _ in range(times):
        started = time.perf_counter()
        client.get("/healthz").raise_for_status()
        taken.append(time.perf_counter() - started)
    return taken


def at_size(size: int, options: argparse.Namespace, environment: dict[str, str]) -> dict[str, Any]:
    """Fill a fresh instance and measure it."""
    queries = corpus.queries(options.data, options.queries)
    with instance.running(**environment) as running, running.client() as client:
        filled = instance.fill(client, corpus.memories(options.data, size))
        instance.wait_indexed(client, "lexical")
        waited = instance.wait_indexed(client, "vector")
        cold = measure(client, queries)
        degraded = [client.get("/v1/search", params={"q": q}).json()["degraded"] for q in queries[:20]]
        if any(degraded):
            raise RuntimeError(f"a leg did not answer: {degraded}")
        used = processor_seconds(running)
        warm = table.latency(measure(client, queries))
        used = processor_seconds(running) - used
        resident = running.resident_bytes()
        return {
            "memories": size,
            **warm,
            "server_cpu_ms": round(used / len(queries) * 1_000, 2),
            "cold_p50_ms": table.latency(cold)["p50_ms"],
            "http_p50_ms": table.latency(bare_roundtrip(client, 200))["p50_ms"],
            "filled_s": round(filled, 1),
            "vectors_after_s": round(waited, 1),
            "resident_mb": round(sum(resident.values()) / 2**20),
        }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--data", type=Path, default=Path("../data"))
    parser.add_argument("--sizes", type=int, nargs="+", default=[10_000, 100_000])
    parser.add_argument("--queries", type=int, default=300)
    parser.add_argument("--embedder", choices=("hash", "minilm"), default="hash")
    options = parser.parse_args()
    environment: dict[str, str] = {}
    port = instance.free_port()
    stand_in = None
    if options.embedder == "hash":
        script = str(Path(__file__).with_name("embeddings.py"))
        stand_in = subprocess.Popen([sys.executable, script, "--mode", "hash", "--port", str(port)])
        environment["DEVLORE_EMBEDDER"] = f"openai:hash-384@http://127.0.0.1:{port}/v1"
    try:
        results = [at_size(size, options, environment) for size in options.sizes]
    finally:
        if stand_in is not None:
            stand_in.terminate()
    header = list(results[0])
    table.show(header, [[result[column] for column in header] for result in results])
    growth = round(results[-1]["p95_ms"] / results[0]["p95_ms"], 2)
    print(f"\np95 at {results[-1]['memories']:,} is {growth} × that at {results[0]['memories']:,}")
    table.emit({"bench": "search", "embedder": options.embedder, "sizes": results, "p95_growth": growth})


if __name__ == "__main__":
    main()
