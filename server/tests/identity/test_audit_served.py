"""The trail as the whole server keeps and shows it to a person alone."""

from __future__ import annotations

import asyncio

import httpx2


async def followed_from(http: httpx2.AsyncClient, cursor: str, most: int) -> list[str]:
    """What was done, apart from reading; a leaf is shown once no transaction under way could still precede it."""
    found: list[str] = []
    async with asyncio.timeout(30):
        while len(found) < most:
            page = (await http.get("/v1/audit", params={"follow": "true", "cursor": cursor})).json()
            found += [one["action"] for one in page["items"] if one["action"] != "audit.read"]
            cursor = page["next"]
            await asyncio.sleep(0.05)
    return found


async def test_what_is_done_over_http_is_in_the_trail(server: str) -> None:
    async with httpx2.AsyncClient(base_url=server, timeout=30) as http:
        start = (await http.get("/v1/audit", params={"follow": "true"})).json()["next"]
        made = await http.post("/v1/memories", json={"title": "A"}, headers={"X-Request-Id": "the-request"})
        id = made.json()["id"]
        await http.get("/v1/memories/export")
        await http.delete(f"/v1/memories/{id}", params={"purge": "true"})
        followed = await followed_from(http, start, 3)
        newest = (await http.get("/v1/audit", params={"action": "memory.*"})).json()["items"]
    actions = ["memory.created", "memory.exported", "memory.purged"]
    assert followed == actions
    assert [one["action"] for one in reversed(newest)] == actions
    created = newest[-1]
    assert (created["targets"], created["context"]["request"]) == ([{"type": "memory", "id": id}], "the-request")
    assert created["names"][created["actor"]["id"]]["type"] == "person"
