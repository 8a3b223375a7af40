"""What the memory service leaves in the audit trail: a leaf for each memory it changed, in the change's transaction."""

from __future__ import annotations

import json
from datetime import UTC, datetime
from typing import Any

import httpx2
import psycopg
import pytest

from devlore.types import LinkDraft, LinkType, MemoryDraft, Privacy, Source, TargetKind
from devlore_server.kit.auth import Principal
from devlore_server.kit.db import Database
from devlore_server.kit.ids import new_id
from devlore_server.kit.log import EventLog
from devlore_server.memory.service import MemoryService
from devlore_server.memory.transfer import Transfer
from devlore_server.ports import Ingest, IngestDraft
from tests.kit.audited import leaves, pseudonyms, rehash

from .conftest import Enter, created

SECRET = "the words nobody may find in the trail"


@pytest.fixture
def trail(owner_url: str) -> Trail:
    return Trail(owner_url)


class Trail:
    """Reads what was added since it was last read."""

    def __init__(self, owner_url: str) -> None:
        self._url = owner_url
        self._seen = 0

    def rows(self) -> list[dict[str, Any]]:
        found = leaves(self._url)
        new, self._seen = found[self._seen :], len(found)
        assert [rehash(row) for row in new] == [row["hash"] for row in new]
        return new

    def told(self) -> list[tuple[str, list[str]]]:
        return [(row["action"], [one["id"] for one in row["targets"]]) for row in self.rows()]


async def test_the_life_of_a_memory(http: httpx2.AsyncClient, trail: Trail) -> None:
    id = (await created(http))["id"]
    path = f"/v1/memories/{id}"
    successor = (await created(http))["id"]
    assert trail.told() == [("memory.created", [id]), ("memory.created", [successor])]
    steps = [
        ("memory.updated", http.patch(path, json={"title": "New"}, headers={"If-Match": '"1"'})),
        ("memory.superseded", http.post(f"{path}/supersede", json={"by": successor})),
        ("memory.reinstated", http.post(f"{path}/reinstate", json={})),
        ("memory.invalidated", http.post(f"{path}/invalidate", json={})),
        ("memory.deleted", http.delete(path)),
        ("memory.restored", http.post(f"{path}/restore", json={})),
        ("memory.purged", http.delete(path, params={"purge": "true"})),
    ]
    for action, request in steps:
        answer = await request
        assert answer.is_success, answer.text
        assert trail.told() == [(action, [id])]


async def test_a_leaf_names_fields_and_privacy_but_no_content(http: httpx2.AsyncClient, trail: Trail) -> None:
    memory = await created(http, title=SECRET, body=SECRET, project="secret-project", tags=[SECRET], privacy="public")
    patch = {"body": SECRET * 2, "privacy": "private"}
    await http.patch(f"/v1/memories/{memory['id']}", json=patch, headers={"If-Match": '"1"'})
    first, second = trail.rows()
    assert first["context"] == {"version": 1, "privacy": "public"}
    assert second["context"] == {
        "version": 2,
        "changed": ["body", "privacy"],
        "privacy": "private",
        "privacy_before": "public",
    }
    assert "ecret" not in json.dumps([first, second], default=str)
    assert "words" not in json.dumps([first, second], default=str)


async def test_what_changes_nothing_leaves_nothing(http: httpx2.AsyncClient, trail: Trail) -> None:
    memory = await created(http, title="Same")
    trail.told()
    await http.patch(f"/v1/memories/{memory['id']}", json={"title": "Same"}, headers={"If-Match": '"1"'})
    await http.get(f"/v1/memories/{memory['id']}")
    await http.get("/v1/memories")
    assert trail.told() == []


async def test_what_is_refused_leaves_nothing(
    http: httpx2.AsyncClient, enter: Enter, other: Principal, trail: Trail
) -> None:
    memory = await created(http, privacy="private")
    trail.told()
    for request in (
        enter(other).delete(f"/v1/memories/{memory['id']}"),
        http.patch(f"/v1/memories/{memory['id']}", json={"title": "New"}, headers={"If-Match": '"7"'}),
        http.post("/v1/memories", json={"kind": "NO"}),
    ):
        assert not (await request).is_success
    assert trail.told() == []


async def test_bulk_leaves_one_for_each_that_was_stored(http: httpx2.AsyncClient, trail: Trail) -> None:
    item = {"title": "Of a source", "source": {"connector": "c", "external_id": "1"}}
    await http.post("/v1/memories/bulk", json={"items": [item]})
    (known,) = trail.told()
    items = [{"title": "a"}, {"kind": "NO"}, item | {"title": "Newer"}, {"title": "b"}]
    answer = (await http.post("/v1/memories/bulk", json={"items": items})).json()
    ids = [one.get("id") for one in answer["items"]]
    assert trail.told() == [
        ("memory.created", [ids[0]]),
        ("memory.created", [ids[3]]),
        ("memory.updated", known[1]),
    ]


async def test_a_thousand_in_bulk_share_one_transaction_and_one_actor(
    http: httpx2.AsyncClient, who: Principal, trail: Trail, owner_url: str
) -> None:
    await http.post("/v1/memories/bulk", json={"items": [{"title": str(n)} for n in range(1_000)]})
    rows = trail.rows()
    assert (len(rows), len({row["xid"] for row in rows}), len({row["actor_id"] for row in rows})) == (1_000, 1, 1)
    assert list(pseudonyms(owner_url).values()) == [str(who.person)]


async def test_ingest_leaves_what_a_source_changed(service: MemoryService, who: Principal, trail: Trail) -> None:
    def batch(*drafts: MemoryDraft, deleted: list[str] | None = None) -> Ingest:
        return Ingest(connection, "c", [IngestDraft(one) for one in drafts], deleted or [])

    def draft(external_id: str, *targets: str, title: str = "A title") -> MemoryDraft:
        links = [LinkDraft(type=LinkType.RELATES_TO, target_kind=TargetKind.URL, target=one) for one in targets]
        return MemoryDraft(title=title, links=links, source=Source(connector="c", external_id=external_id))

    def actions() -> list[str]:
        return sorted(action for action, _ in trail.told())

    connection = new_id()
    await service.ingest(who, batch(draft("1", "https://a.test"), draft("2")))
    assert actions() == ["memory.created", "memory.created"]
    await service.ingest(who, batch(draft("1", "https://a.test"), draft("2")))
    assert actions() == []
    await service.ingest(who, batch(draft("1", "https://b.test"), draft("2", title="New")))
    assert actions() == ["link.added", "link.removed", "memory.updated"]
    await service.ingest(who, batch(deleted=["2"]))
    assert actions() == ["memory.deleted"]


async def test_links(http: httpx2.AsyncClient, trail: Trail) -> None:
    id = (await created(http))["id"]
    trail.told()
    link = {"type": "relates_to", "target_kind": "url", "target": f"https://{SECRET[:3]}.test", "note": SECRET}
    added = (await http.post(f"/v1/memories/{id}/links", json=link)).json()
    assert trail.told() == [("link.added", [id])]
    await http.post(f"/v1/memories/{id}/links", json=link)
    assert trail.told() == []
    await http.delete(f"/v1/memories/{id}/links/{added['id']}")
    assert trail.told() == [("link.removed", [id])]
    assert (await http.delete(f"/v1/memories/{id}/links/{added['id']}")).status_code == 404
    assert trail.told() == []


async def test_import(
    database: Database, log: EventLog, who: Principal, http: httpx2.AsyncClient, trail: Trail
) -> None:
    kept, gone = (await created(http))["id"], (await created(http, title="gone"))["id"]
    transfer = Transfer(database, log)
    records = [one.model_dump(mode="json") async for one in await transfer.export(who)]
    await http.delete(f"/v1/memories/{gone}", params={"purge": "true"})
    trail.told()
    await transfer.take_in(who, records)
    (row,) = trail.rows()
    assert (row["action"], row["targets"][0]["id"]) == ("memory.imported", gone)
    assert (datetime.now(UTC) - row["occurred_at"]).total_seconds() < 60
    records[0]["memory"]["version"] = 9
    records[0]["links"] = records[1]["links"] = []
    await transfer.take_in(who, records)
    assert trail.told() == [("memory.imported", [kept])]


async def test_export_is_audited_before_anything_is_read(
    http: httpx2.AsyncClient, trail: Trail, owner_url: str
) -> None:
    await created(http, title=SECRET)
    trail.told()
    answer = await http.get("/v1/memories/export", params={"deleted": "true", "project": "secret-project"})
    assert answer.status_code == 200
    (row,) = trail.rows()
    assert (row["action"], row["context"]) == ("memory.exported", {"deleted": True, "one_project": True})
    with psycopg.connect(owner_url) as connection:
        connection.execute("REVOKE INSERT ON audit.leaf FROM devlore_app")
    with pytest.raises(psycopg.errors.InsufficientPrivilege):
        await http.get("/v1/memories/export")


async def test_no_change_without_its_leaf(
    http: httpx2.AsyncClient, service: MemoryService, who: Principal, owner_url: str
) -> None:
    memory = await created(http, privacy=Privacy.PRIVATE)
    path = f"/v1/memories/{memory['id']}"
    with psycopg.connect(owner_url) as connection:
        connection.execute("REVOKE INSERT ON audit.leaf FROM devlore_app")
        before = connection.execute("SELECT count(*), max(xmin::text::bigint) FROM memory.memory").fetchone()
    link = {"type": "relates_to", "target_kind": "url", "target": "https://a.test"}
    for method, where, body in (
        ("POST", "/v1/memories", {"title": "x"}),
        ("POST", "/v1/memories/bulk", {"items": [{"title": "x"}]}),
        ("PATCH", path, {"title": "x"}),
        ("POST", f"{path}/invalidate", {}),
        ("POST", f"{path}/links", link),
        ("DELETE", path, None),
        ("DELETE", f"{path}?purge=true", None),
    ):
        with pytest.raises(psycopg.errors.InsufficientPrivilege):
            await http.request(method, where, json=body, headers={"If-Match": '"1"'})
    with psycopg.connect(owner_url) as connection:
        after = connection.execute("SELECT count(*), max(xmin::text::bigint) FROM memory.memory").fetchone()
        assert connection.execute("SELECT count(*) FROM memory.link").fetchone() == (0,)
        assert connection.execute("SELECT count(*) FROM log.event").fetchone() == (1,)
    assert after == before


async def test_creates_go_on_when_the_trail_was_not_ready(
    http: httpx2.AsyncClient, who: Principal, trail: Trail, owner_url: str
) -> None:
    """An erased pseudonym, a dropped month: what this process remembered no longer holds."""
    await created(http)
    for broken in ("DELETE FROM audit.pseudonym", f"DROP TABLE audit.leaf_{datetime.now(UTC):%Y_%m}"):
        with psycopg.connect(owner_url) as connection:
            connection.execute(broken)  # type: ignore[call-overload]
        one = await created(http)
        bulk = (await http.post("/v1/memories/bulk", json={"items": [{"title": "x"}]})).json()
        ids = [row["targets"][0]["id"] for row in leaves(owner_url)[-2:]]
        assert ids == [one["id"], bulk["items"][0]["id"]]
    assert list(pseudonyms(owner_url).values()) == [str(who.person)]
