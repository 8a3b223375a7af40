"""The trail as the whole server keeps and shows it to a person alone."""

from __future__ import annotations

import httpx2


async def test_what_is_done_over_http_is_in_the_trail(server: str) -> None:
    async with httpx2.AsyncClient(base_url=server, timeout=30) as http:
        start = (await http.get("/v1/audit", params={"follow": "true"})).json()["next"]
        made = await http.post("/v1/memories", json={"title": "A"}, headers={"X-Request-Id": "the-request"})
        id = made.json()["id"]
        await http.get("/v1/memories/export")
        await http.delete(f"/v1/memories/{id}", params={"purge": "true"})
        followed = (await http.get("/v1/audit", params={"follow": "true", "cursor": start})).json()["items"]
        newest = (await http.get("/v1/audit", params={"action": "memory.*"})).json()["items"]
    actions = ["memory.created", "memory.exported", "memory.purged"]
    assert [one["action"] for one in followed if one["action"] != "audit.read"] == actions
    assert [one["action"] for one in reversed(newest)] == actions
    created = newest[-1]
    assert (created["targets"], created["context"]["request"]) == ([{"type": "memory", "id": id}], "the-request")
    assert created["names"][created["actor"]["id"]]["type"] == "person"
