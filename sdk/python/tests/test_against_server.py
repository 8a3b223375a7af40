"""Both clients against a real server: what is promised by types and documentation holds."""

from __future__ import annotations

import subprocess
import time
import uuid
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path

import pytest

import devlore
from devlore import problems
from devlore.types import LinkDraft, LinkType, MemoryDraft, Privacy, SearchRequest, Status, TargetKind


@pytest.fixture
def client(url: str) -> Iterator[devlore.Client]:
    with devlore.Client(url) as client:
        yield client


def test_a_memory_as_it_was_given(client: devlore.Client, project: str) -> None:
    when = datetime(2024, 5, 6, 7, 8, tzinfo=UTC)
    made = client.memories.create(
        title="Pin psycopg", body="3.2.4 leaks.", kind="decision", project=project, tags=["db"], occurred_at=when,
        importance=0.75, pinned=True, privacy=Privacy.PUBLIC,
    )  # fmt: skip
    found = client.memories.get(made.id)
    assert found == made
    assert (found.version, found.occurred_at, found.importance, found.pinned) == (1, when, 0.75, True)
    assert (found.status, found.privacy, found.tags) == (Status.ACTIVE, Privacy.PUBLIC, ["db"])


def test_the_same_key_makes_one_memory(client: devlore.Client, project: str) -> None:
    key = uuid.uuid4().hex
    first = client.memories.create(title="Once", project=project, idempotency_key=key)
    again = client.memories.create(title="Once", project=project, idempotency_key=key)
    assert again == first
    assert len(list(client.memories.all(project=project))) == 1
    with pytest.raises(problems.IdempotencyMismatch):
        client.memories.create(title="Twice", project=project, idempotency_key=key)


def test_a_change_needs_the_version_that_was_read(client: devlore.Client, project: str) -> None:
    made = client.memories.create(title="A", project=project, tags=["x"])
    changed = client.memories.update(made.id, version=1, title="B", project=None)
    assert (changed.version, changed.title, changed.project, changed.tags) == (2, "B", None, ["x"])
    with pytest.raises(problems.VersionMismatch):
        client.memories.update(made.id, version=1, title="C")
    assert client.memories.get(made.id).title == "B"


def test_versions_and_their_difference(client: devlore.Client, project: str) -> None:
    made = client.memories.create(title="A", body="one\ntwo\n", project=project)
    client.memories.update(made.id, version=1, body="one\nthree\n")
    assert [version.version for version in client.memories.all_versions(made.id, limit=1)] == [2, 1]
    assert client.memories.version(made.id, 1).memory.body == "one\ntwo\n"
    diff = client.memories.diff(made.id)
    assert (diff.old_version, diff.new_version) == (1, 2)
    assert "-two" in diff.body and "+three" in diff.body
    assert client.memories.restore(made.id, version=1).body == "one\ntwo\n"
    with pytest.raises(problems.NotFound):
        client.memories.version(made.id, 99)


def test_links_from_both_ends(client: devlore.Client, project: str) -> None:
    link = LinkDraft(type=LinkType.FIXES, target_kind=TargetKind.TICKET, target="#12")
    one = client.memories.create(MemoryDraft(title="One", project=project, links=[link]))
    two = client.memories.create(title="Two", project=project)
    made = client.memories.link(one.id, str(two.id), type=LinkType.CONTRADICTS, note="n")
    client.memories.add_link(two.id, LinkDraft(target_kind=TargetKind.URL, target="https://example.org"))
    incoming = [found for found in client.memories.all_links(two.id) if found.direction == "incoming"]
    assert [(found.memory_id, found.type) for found in incoming] == [(one.id, LinkType.CONTRADICTS)]
    client.memories.unlink(one.id, made.id)
    left = client.memories.links(one.id).items
    # Search draws links to other tests' memories of the same title.
    assert {found.target for found in left if found.type is not LinkType.NEAR_DUPLICATE} == {"#12"}


def test_the_life_cycle(client: devlore.Client, project: str) -> None:
    old = client.memories.create(title="MySQL", project=project)
    new = client.memories.create(title="PostgreSQL", project=project)
    gone = client.memories.supersede(old.id, new.id, reason="JSON")
    assert (gone.status, gone.superseded_by, gone.status_reason) == (Status.SUPERSEDED, new.id, "JSON")
    with pytest.raises(problems.Conflict):
        client.memories.supersede(new.id, new.id)
    assert client.memories.reinstate(old.id).superseded_by is None
    assert client.memories.invalidate(old.id).status is Status.INVALIDATED


def test_deleted_can_be_restored_and_purged_cannot(client: devlore.Client, project: str) -> None:
    made = client.memories.create(title="A", project=project)
    client.memories.delete(made.id)
    with pytest.raises(problems.NotFound):
        client.memories.get(made.id)
    assert [found.id for found in client.memories.all(project=project, deleted=True)] == [made.id]
    assert client.memories.restore(made.id).deleted_at is None
    client.memories.delete(made.id, purge=True)
    with pytest.raises(problems.NotFound):
        client.memories.restore(made.id)


def test_bulk_tells_each_items_fate(client: devlore.Client, project: str) -> None:
    drafts = [MemoryDraft(title="good", project=project), {"title": "bad", "kind": "No Kind"}, {"title": "ok"}]
    result = client.memories.bulk(drafts)
    assert [item.result for item in result.items] == ["created", "refused", "created"]
    refused = result.items[1].problem
    assert refused is not None and refused.errors is not None
    assert refused.errors[0]["pointer"].endswith("/kind")


def test_listing_pages_through_everything_once(client: devlore.Client, project: str) -> None:
    client.memories.bulk([MemoryDraft(title=f"n{n}", project=project, tags=["t"]) for n in range(25)])
    found = list(client.memories.all(project=project, tag="t", limit=7))
    assert len({memory.id for memory in found}) == len(found) == 25
    assert client.memories.list(project=project, limit=1).next is not None
    assert {count.value: count.count for count in client.memories.all_projects()}[project] == 25
    with pytest.raises(problems.BadCursor):
        client.memories.list(project=project, cursor="nonsense")


def test_invalid_input_is_raised_with_pointers(client: devlore.Client) -> None:
    with pytest.raises(problems.Invalid) as caught:
        client.memories.create(title="x" * 501, kind="No Kind")
    assert {error["pointer"] for error in caught.value.extra["errors"]} == {"/title", "/kind"}


def test_what_was_written_is_found_when_waited_for(client: devlore.Client, project: str) -> None:
    made = client.memories.create(title="The connection pool ran dry", project=project, wait=True)
    client.memories.create(title="A blue logo", project=project, wait=True)
    page = client.search("connection pool", project=project, explain=True, facets=["kind"])
    assert page.items[0].memory.id == made.id
    assert page.items[0].explanation is not None
    assert {count.value for count in page.facets["kind"]} == {"note"}
    found = client.search.request(SearchRequest(q="pool", project=[project]))
    assert found.items[0].memory.id == made.id
    assert client.memories.similar(made.id, limit=3).took_ms >= 0
    with pytest.raises(problems.InvalidQuery) as caught:
        client.search('pool "open')
    assert caught.value.extra["position"] == 5


def test_search_pages_through_its_hits(client: devlore.Client, project: str) -> None:
    client.memories.bulk([MemoryDraft(title=f"Zebra number {n}", project=project) for n in range(12)], wait=True)
    found = [hit.memory.id for hit in client.search.all("zebra", project=project, limit=5, wait=True)]
    assert len(found) == len(set(found))
    assert len(found) >= 5


def test_an_export_goes_in_again_without_a_change(client: devlore.Client, project: str) -> None:
    client.memories.bulk([MemoryDraft(title=f"n{n}", project=project) for n in range(5)])
    records = list(client.memories.export(project=project))
    assert len(records) == 5
    assert client.memories.import_records(records).unchanged == 5


def test_a_repository_is_connected_and_read(client: devlore.Client, project: str, tmp_path: Path) -> None:
    commit = ["-c", "user.name=A", "-c", "user.email=a@b", "commit", "-q", "--allow-empty", "-m", "First"]
    for command in (["init", "-q"], commit):
        subprocess.run(["git", *command], cwd=tmp_path, check=True)
    connection = client.connections.create("git", config={"path": str(tmp_path)}, project=project)
    sync = client.connections.sync(connection.id)
    deadline = time.monotonic() + 30
    while client.syncs.get(sync.id).state in ("queued", "running") and time.monotonic() < deadline:
        time.sleep(0.1)
    assert client.syncs.get(sync.id).created == 1
    assert [found.id for found in client.connections.all_syncs(connection.id)] == [sync.id]
    assert client.connections.update(connection.id, name="mine").name == "mine"
    client.connections.delete(connection.id)
    with pytest.raises(problems.NotFound):
        client.connections.get(connection.id)


def test_the_instance_and_its_indexes(client: devlore.Client) -> None:
    assert client.instance()["tier"] == "individual"
    assert client.instance.ready()["status"] == "ready"
    assert {index.name for index in client.search.status().indexes} == {"search.lexical", "search.vector"}


async def test_the_awaiting_client(url: str, project: str) -> None:
    async with devlore.AsyncClient(url) as client:
        made = await client.memories.create(title="Awaited zebra", project=project, wait=True)
        assert (await client.memories.update(made.id, version=1, tags=["x"])).version == 2
        await client.memories.bulk([MemoryDraft(title=f"n{n}", project=project) for n in range(5)])
        assert len([memory async for memory in client.memories.all(project=project, limit=2)]) == 6
        assert (await client.search("zebra", project=project, wait=True)).items[0].memory.id == made.id
        assert len([record async for record in client.memories.export(project=project)]) == 6
        await client.memories.delete(made.id)
        with pytest.raises(problems.NotFound):
            await client.memories.get(made.id)
