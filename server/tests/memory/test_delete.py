"""Deleting so that it can be undone, erasing so that it cannot, and bringing back."""

from __future__ import annotations

from dataclasses import replace
from typing import Any
from uuid import UUID

import httpx2
import psycopg

from devlore_server.kit.auth import Principal
from devlore_server.kit.ids import new_id
from devlore_server.kit.log import START, EventLog

from .conftest import Enter, Readiness, created, pointers

CANARY = "canary-7f3a"


async def edited(client: httpx2.AsyncClient, memory: dict[str, Any], **changes: Any) -> dict[str, Any]:
    answer = await client.patch(f"/v1/memories/{memory['id']}", json=changes, headers={"If-Match": "*"})
    assert answer.status_code == 200, answer.text
    changed: dict[str, Any] = answer.json()
    return changed


async def test_a_deleted_memory_is_gone_and_comes_back(http: httpx2.AsyncClient, log: EventLog) -> None:
    memory = await created(http, body="text")
    path = f"/v1/memories/{memory['id']}"
    assert (await http.delete(path)).status_code == 204
    assert (await http.get(path)).status_code == 404
    assert (await http.get("/v1/memories")).json()["items"] == []
    (deleted,) = (await http.get("/v1/memories?deleted=true")).json()["items"]
    assert (deleted["id"], deleted["version"], deleted["deleted_at"]) == (memory["id"], 2, deleted["updated_at"])
    assert (await http.get(path, params={"deleted": True})).json() == deleted
    restored = await http.post(f"{path}/restore", json={})
    assert (restored.status_code, restored.headers["etag"]) == (200, '"3"')
    assert restored.json() == memory | {"version": 3, "updated_at": restored.json()["updated_at"]}
    types = ["memory.created", "memory.deleted", "memory.restored"]
    assert [(e.type, e.version) for _, e in await log.read(START, types, 10)] == list(
        zip(types, [1, 2, 3], strict=True)
    )


async def test_deleting_twice_or_nothing_is_not_found(http: httpx2.AsyncClient) -> None:
    memory = await created(http)
    assert (await http.delete(f"/v1/memories/{memory['id']}")).status_code == 204
    assert (await http.delete(f"/v1/memories/{memory['id']}")).status_code == 404
    assert (await http.delete(f"/v1/memories/{new_id()}")).status_code == 404
    headers = {"If-Match": "*"}
    assert (await http.patch(f"/v1/memories/{memory['id']}", json={"title": "x"}, headers=headers)).status_code == 404


async def test_if_match_is_optional_but_heard(http: httpx2.AsyncClient) -> None:
    memory = await created(http)
    path = f"/v1/memories/{memory['id']}"
    for purge in ("false", "true"):
        answer = await http.delete(path, params={"purge": purge}, headers={"If-Match": '"2"'})
        assert (answer.status_code, answer.json()["version"]) == (412, 1)
    assert (await http.delete(path, headers={"If-Match": '"1"'})).status_code == 204


async def test_wait_indexed(http: httpx2.AsyncClient, indexing: Readiness) -> None:
    memory = await created(http)
    answer = await http.delete(f"/v1/memories/{memory['id']}", params={"wait": "indexed"})
    assert (answer.status_code, answer.headers["devlore-indexed"], indexing.waits) == (204, "true", 1)


async def test_an_erased_memory_leaves_no_word_anywhere(
    http: httpx2.AsyncClient, log: EventLog, owner_url: str
) -> None:
    links = [{"target_kind": "url", "target": "https://example.org", "note": CANARY}]
    memory = await created(http, title=CANARY, body=CANARY, tags=[CANARY], links=links)
    fan = await created(http, links=[{"target_kind": "memory", "target": memory["id"]}])
    for body in ("two", CANARY, "four"):
        await edited(http, memory, body=body)
    path = f"/v1/memories/{memory['id']}"
    assert (await http.delete(path, params={"purge": True})).status_code == 204
    for gone in (path, f"{path}?deleted=true", f"{path}/versions", f"{path}/versions/1", f"{path}/links"):
        assert (await http.get(gone)).status_code == 404
    assert (await http.delete(path, params={"purge": True})).status_code == 404
    assert (await http.post(f"{path}/restore", json={"version": 1})).status_code == 404
    assert (await http.get(f"/v1/memories/{fan['id']}/links")).json()["items"] == []
    assert rows_with(owner_url, CANARY) == []
    events = await log.read(START, ["memory.created", "memory.updated", "memory.deleted", "memory.purged"], 100)
    about = [event for _, event in events if event.subject == UUID(memory["id"])]
    assert [(event.type, event.version, event.data) for event in about] == [("memory.purged", 5, {})]


def rows_with(url: str, word: str) -> list[str]:
    """The tables of the services in which any row contains ``word``."""
    with psycopg.connect(url) as connection:
        tables = connection.execute(
            "SELECT format('%I.%I', schemaname, tablename) FROM pg_tables WHERE schemaname IN ('memory', 'log')"
        ).fetchall()
        query = "SELECT count(*) FROM {} AS t WHERE t::text LIKE %s"
        return [
            table
            for (table,) in tables
            if connection.execute(query.format(table), (f"%{word}%",)).fetchone() != (0,)  # type: ignore[arg-type]
        ]


async def test_a_deleted_memory_can_still_be_erased(http: httpx2.AsyncClient) -> None:
    memory = await created(http)
    path = f"/v1/memories/{memory['id']}"
    await http.delete(path)
    assert (await http.delete(path, params={"purge": True})).status_code == 204
    assert (await http.get("/v1/memories?deleted=true")).json()["items"] == []


async def test_an_erased_item_of_a_source_can_be_stored_anew(http: httpx2.AsyncClient) -> None:
    source = {"connector": "git", "external_id": "abc"}
    memory = await created(http, source=source)
    await http.delete(f"/v1/memories/{memory['id']}", params={"purge": True})
    assert (await created(http, source=source))["id"] != memory["id"]


async def test_others_may_delete_what_they_see_but_not_erase_it(enter: Enter, who: Principal, other: Principal) -> None:
    memory = await created(enter(who), privacy="public")
    path = f"/v1/memories/{memory['id']}"
    assert (await enter(other).delete(path, params={"purge": True})).status_code == 403
    assert (await enter(other).delete(path)).status_code == 204
    assert (await enter(other).delete(path, params={"purge": True})).status_code == 403
    assert (await enter(who).post(f"{path}/restore", json={})).status_code == 200


async def test_an_older_content_becomes_a_new_version(http: httpx2.AsyncClient) -> None:
    memory = await created(http, body="one", tags=["a"], project="api")
    await edited(http, memory, body="two", tags=[], project=None, privacy="public")
    answer = await http.post(f"/v1/memories/{memory['id']}/restore", json={"version": 1})
    restored = answer.json()
    assert (restored["body"], restored["tags"], restored["project"], restored["version"]) == ("one", ["a"], "api", 3)
    assert restored["privacy"] == "public", "who may see it is not content"
    newest = (await http.get(f"/v1/memories/{memory['id']}/versions")).json()["items"][0]
    assert (newest["change"], newest["reason"]) == ("restored", "Content of version 1.")


async def test_a_deleted_memory_comes_back_with_an_older_content(http: httpx2.AsyncClient) -> None:
    memory = await created(http, body="one")
    await edited(http, memory, body="two")
    await http.delete(f"/v1/memories/{memory['id']}")
    restored = (await http.post(f"/v1/memories/{memory['id']}/restore", json={"version": 1})).json()
    assert (restored["body"], restored["version"], restored["deleted_at"]) == ("one", 4, None)


async def test_there_is_not_always_something_to_restore(http: httpx2.AsyncClient) -> None:
    memory = await created(http)
    path = f"/v1/memories/{memory['id']}/restore"
    assert (await http.post(path, json={})).status_code == 409
    assert pointers(await http.post(path, json={"version": 2})) == ["/version"]
    assert pointers(await http.post(path, json={"version": 0})) == ["/version"]
    assert pointers(await http.post(path, json={"version": 2**40})) == ["/version"]
    assert (await http.post(path, json={"version": 1})).json() == memory
    assert (await http.post(path, json={"version": 1}, headers={"If-Match": '"3"'})).status_code == 412
    assert (await http.post(f"/v1/memories/{new_id()}/restore", json={})).status_code == 404


async def test_erasing_needs_a_fresh_sign_in_or_a_key(enter: Enter, who: Principal) -> None:
    stale = enter(replace(who, fresh=False, session=str(new_id())))
    key = enter(replace(who, fresh=False, key=str(new_id())))
    one, another = await created(stale), await created(stale)
    refused = await stale.delete(f"/v1/memories/{one['id']}", params={"purge": True})
    assert (refused.status_code, refused.json()["code"]) == (403, "step-up-required")
    assert (await stale.get(f"/v1/memories/{one['id']}")).json() == one, "nothing was erased"
    assert (await stale.delete(f"/v1/memories/{one['id']}")).status_code == 204, "what can be undone needs none"
    refused = await stale.delete(f"/v1/memories/{new_id()}", params={"purge": True})
    assert refused.json()["code"] == "step-up-required", "whether there is one or not"
    assert (await enter(who).delete(f"/v1/memories/{one['id']}", params={"purge": True})).status_code == 204
    assert (await key.delete(f"/v1/memories/{another['id']}", params={"purge": True})).status_code == 204
