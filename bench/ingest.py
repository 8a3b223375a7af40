"""How fast memories go in: create, bulk, sync git, vectors; beside a bare insert and the embedder's raw rate.

All in one run on one machine. The bare server (FastAPI + psycopg) inserts the same text into one table of the same
kind of embedded PostgreSQL, with no version, event, policy or validation: the floor a single insert over HTTP has.
"""

from __future__ import annotations

import argparse
import asyncio
import time
from pathlib import Path
from typing import Any

import httpx2

import corpus
import instance
import table
from bare_insert import running_bare
from devlore_server.search.embedders.minilm import BundledMiniLM
from devlore_server.search.passages import split
from repository import synthesise


def create_one_by_one(client: httpx2.Client, path: str, drafts: list[dict[str, Any]]) -> list[float]:
    """Seconds per POST, sequentially over one connection."""
    taken = []
    for draft in drafts:
        started = time.perf_counter()
        client.post(path, json=draft).raise_for_status()
        taken.append(time.perf_counter() - started)
    return taken


async def concurrently(url: str, path: str, drafts: list[dict[str, Any]], clients: int) -> float:
    """Requests per second with ``clients`` connections."""
    queue = list(reversed(drafts))

    async def worker(client: httpx2.AsyncClient) -> None:
        while queue:
            (await client.post(path, json=queue.pop())).raise_for_status()

    async with httpx2.AsyncClient(base_url=url, timeout=120) as client:
        started = time.perf_counter()
        await asyncio.gather(*(worker(client) for _ in range(clients)))
        return len(drafts) / (time.perf_counter() - started)


def embedder_rate(drafts: list[dict[str, Any]]) -> float:
    """Passages per second of the bundled embedder alone, over these drafts' passages."""
    passages = [p.text for d in drafts for p in split(d["title"], d["body"])]

    async def embed() -> float:
        model = BundledMiniLM()
        await model.embed(["warm"], query=False)
        started = time.perf_counter()
        for first in range(0, len(passages), 64):
            await model.embed(passages[first : first + 64], query=False)
        return len(passages) / (time.perf_counter() - started)

    return asyncio.run(embed())


def bulk(drafts: list[dict[str, Any]]) -> dict[str, float]:
    """Memories per second: committed, and lexically searchable, counted from the first request."""
    with instance.running(DEVLORE_EMBEDDER="none") as running, running.client() as client:
        started = time.perf_counter()
        committed = instance.fill(client, drafts)
        instance.wait_indexed(client, "lexical")
        searchable = time.perf_counter() - started
    return {"committed_per_s": round(len(drafts) / committed), "searchable_per_s": round(len(drafts) / searchable)}


def vectors(drafts: list[dict[str, Any]]) -> dict[str, float]:
    """Passages per second through the product with the bundled embedder, and its raw rate in the same run."""
    before = embedder_rate(drafts)
    passages = sum(len(split(d["title"], d["body"])) for d in drafts)
    with instance.running() as running, running.client() as client:
        client.get("/v1/search", params={"q": "warm up the model"}).raise_for_status()
        started = time.perf_counter()
        instance.fill(client, drafts)
        instance.wait_indexed(client, "vector")
        product = passages / (time.perf_counter() - started)
    raw = (before + embedder_rate(drafts)) / 2
    return {
        "vector_passages_per_s": round(product, 1),
        "embedder_raw_per_s": round(raw, 1),
        "ratio": round(product / raw, 2),
    }


def sync_git(data: Path) -> dict[str, float]:
    """Seconds until a 17,000-commit repository is lexically searchable."""
    with instance.running() as running, running.client() as client:
        repository = synthesise(data, running.home / "repository")
        connection = client.post(
            "/v1/connections", json={"connector": "git", "config": {"path": str(repository), "merges": True}}
        ).json()
        started = time.perf_counter()
        sync = client.post(f"/v1/connections/{connection['id']}/sync", json={}).json()
        while sync["state"] in ("queued", "running"):
            time.sleep(0.1)
            sync = client.get(f"/v1/syncs/{sync['id']}").json()
        synced = time.perf_counter() - started
        instance.wait_indexed(client, "lexical")
        searchable = time.perf_counter() - started
        if sync["state"] != "done":
            raise RuntimeError(f"the sync ended as {sync['state']}: {sync['error']}")
        return {"commits": sync["created"], "synced_s": round(synced, 1), "searchable_s": round(searchable, 1)}


def create(drafts: list[dict[str, Any]]) -> dict[str, Any]:
    """Latency and throughput of one memory per request, Devlore beside the bare server."""
    half = len(drafts) // 2
    with running_bare() as bare, httpx2.Client(base_url=bare, timeout=60) as client:
        create_one_by_one(client, "/insert", drafts[:100])
        bare_latency = table.latency(create_one_by_one(client, "/insert", drafts[:half]))
        bare_rate = asyncio.run(concurrently(bare, "/insert", drafts[half:], 8))
    with instance.running(DEVLORE_EMBEDDER="none") as running, running.client() as client:
        fresh = [draft | {"source": None} for draft in drafts]
        create_one_by_one(client, "/v1/memories", fresh[:100])
        latency = table.latency(create_one_by_one(client, "/v1/memories", fresh[:half]))
        rate = asyncio.run(concurrently(running.url, "/v1/memories", fresh[half:], 8))
    return {
        "create": latency,
        "bare": bare_latency,
        "create_per_s": round(rate),
        "bare_per_s": round(bare_rate),
        "throughput_ratio": round(rate / bare_rate, 2),
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--data", type=Path, default=Path("../data"))
    parser.add_argument("--only", nargs="+", choices=("create", "bulk", "vectors", "sync"), default=None)
    parser.add_argument("--creates", type=int, default=2_000)
    parser.add_argument("--bulk", type=int, default=20_000)
    parser.add_argument("--vectors", type=int, default=2_000)
    options = parser.parse_args()
    steps = {
        "create": lambda: create(corpus.memories(options.data, options.creates)),
        "bulk": lambda: bulk(corpus.memories(options.data, options.bulk)),
        "vectors": lambda: vectors(corpus.memories(options.data, options.vectors)),
        "sync": lambda: sync_git(options.data),
    }
    results: dict[str, Any] = {}
    for name in options.only or list(steps):
        results[name] = steps[name]()
        table.show(["block", "measure", "value"], [[name, key, value] for key, value in results[name].items()])
        print()
    table.emit({"bench": "ingest", **results})


if __name__ == "__main__":
    main()
