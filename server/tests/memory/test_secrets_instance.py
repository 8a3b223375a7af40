"""Secrets in a whole instance: what it was started with decides how they look, and a restart changes nothing."""

from __future__ import annotations

from random import Random

import httpx2

from devlore_server.app import application
from devlore_server.settings import Settings
from tests.memory.secrets_formats import checked

TOKEN = checked(Random(51), "gh" + "p_")


async def marker_of(settings: Settings, title: str) -> str:
    """What the whole application, started afresh, makes of the secret; in an answer, and again out of search."""
    async with application(settings) as app:
        transport = httpx2.ASGITransport(app=app)
        async with httpx2.AsyncClient(transport=transport, base_url="http://127.0.0.1:7700", timeout=60) as client:
            stored = await client.post("/v1/memories?wait=indexed", json={"title": title, "body": f"with {TOKEN}"})
            assert stored.status_code == 201, stored.text
            hit = await client.get("/v1/search", params={"q": f"title:{title} {title}"})
            by_secret = await client.get("/v1/search", params={"q": TOKEN})
            metrics = await client.get("/metrics")
    assert hit.json()["items"][0]["memory"]["id"] == stored.json()["id"]
    assert TOKEN not in stored.text + hit.text + by_secret.text + metrics.text
    body: str = stored.json()["body"]
    return body.removeprefix("with ")


async def test_a_secret_looks_the_same_after_a_restart_and_is_not_in_the_index(settings: Settings) -> None:
    quick = settings.model_copy(update={"embedder": "none"})
    first = await marker_of(quick, "before")
    assert first.startswith("[[secret:github:token:")
    assert await marker_of(quick, "afterwards") == first
    index = [path for path in (settings.home / "search").rglob("*") if path.is_file()]
    assert index
    assert [path for path in index if TOKEN.encode() in path.read_bytes()] == []


async def test_an_idempotent_answer_is_kept_without_the_secret(settings: Settings) -> None:
    async with application(settings.model_copy(update={"embedder": "none"})) as app:
        transport = httpx2.ASGITransport(app=app)
        async with httpx2.AsyncClient(transport=transport, base_url="http://127.0.0.1:7700", timeout=60) as client:
            asked = {"headers": {"Idempotency-Key": "once"}, "json": {"title": f"t {TOKEN}"}}
            first, second = [await client.post("/v1/memories", **asked) for _ in range(2)]
            assert second.headers["Idempotency-Replayed"] == "true"
            assert (first.status_code, first.text) == (second.status_code, second.text)
            assert TOKEN not in second.text
            assert first.json()["title"].startswith("t [[secret:github:token:")
