"""Both clients against a real server: moving memories, connections and their syncs, the instance itself."""

from __future__ import annotations

import asyncio
import subprocess
import time
import uuid
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest
from sdk.python.tests.either import KINDS, done, every, first, opened

import devlore
from devlore import problems
from devlore.types import Connection, ConnectionDraft, MemoryDraft, MemoryRecord, Sync


@pytest.fixture(params=KINDS)
async def client(request: pytest.FixtureRequest, url: str) -> AsyncIterator[Any]:
    async with opened(request.param, url) as client:
        yield client


@pytest.fixture
def notes(tmp_path: Path) -> Path:
    folder = tmp_path / "notes"
    folder.mkdir()
    for number in range(3):
        (folder / f"n{number}.md").write_text(f"# Note {number}\n\nText {number}.\n")
    return folder


async def ended(client: Any, sync: Sync) -> Sync:
    deadline = time.monotonic() + 30
    while sync.state in ("queued", "running") and time.monotonic() < deadline:
        await asyncio.sleep(0.05)
        sync = await done(client.syncs.get(sync.id))
    return sync


async def test_an_export_is_streamed_and_goes_in_again(client: Any, project: str) -> None:
    await done(client.memories.bulk([MemoryDraft(title=f"n{n}\u2028", project=project) for n in range(7)]))
    changed = await first(client.memories.all(project=project))
    await done(client.memories.update(changed.id, version=1, body="more"))
    gone = await first(client.memories.all(project=project, limit=2))
    records = await every(client.memories.export(project=project))
    assert all(isinstance(record, MemoryRecord) for record in records)
    by_id = {record.memory.id: record for record in records}
    assert len(by_id) == 7
    assert [version.version for version in by_id[changed.id].versions][-1] in (1, 2)
    await done(client.memories.delete(gone.id, purge=True))
    result = await done(client.memories.import_records(records))
    assert (result.created, result.unchanged, result.refused) == (1, 6, 0)
    assert (await done(client.memories.get(gone.id))).body == gone.body


async def test_an_export_can_hold_what_was_deleted(client: Any, project: str) -> None:
    kept, gone = [await done(client.memories.create(title=title, project=project)) for title in ("kept", "gone")]
    await done(client.memories.delete(gone.id))
    assert [r.memory.id for r in await every(client.memories.export(project=project))] == [kept.id]
    whole = await every(client.memories.export(project=project, deleted=True))
    assert {record.memory.id for record in whole} == {kept.id, gone.id}


async def test_an_export_may_be_left_half_way(client: Any, project: str) -> None:
    await done(client.memories.bulk([{"title": f"n{n}", "project": project} for n in range(500)]))
    assert (await first(client.memories.export(project=project))).memory.project == project
    assert (await done(client.instance()))["tier"] == "individual"


async def test_a_record_that_is_none_is_refused_by_its_place(client: Any, project: str) -> None:
    await done(client.memories.create(title="a", project=project))
    (record,) = await every(client.memories.export(project=project))
    broken = record.model_dump(mode="json")
    broken["memory"]["kind"] = "No Kind"
    result = await done(client.memories.import_records([record, broken, {"memory": {}}]))
    assert [item.result for item in result.items] == ["unchanged", "refused", "refused"]


async def test_a_folder_is_connected_read_changed_and_forgotten(client: Any, project: str, notes: Path) -> None:
    connections = client.connections
    made = await done(connections.create("markdown", config={"path": str(notes)}, project=project, name="My notes"))
    assert isinstance(made, Connection)
    assert (made.name, made.project, made.watch, made.last_synced_at) == ("My notes", project, False, None)
    sync = await ended(client, await done(connections.sync(made.id)))
    assert (sync.state, sync.created, sync.failed) == ("done", 3, 0)
    again = await ended(client, await done(connections.sync(made.id, full=True)))
    assert (again.created, again.unchanged) == (0, 3)
    page = await done(connections.syncs(made.id, limit=1))
    assert [found.id for found in page.items] == [again.id]
    assert [found.id for found in await every(connections.all_syncs(made.id, limit=1))] == [again.id, sync.id]
    changed = await done(connections.update(made.id, name="Ours", watch=False))
    assert (changed.name, changed.config["path"]) == ("Ours", str(notes))
    assert (await done(connections.get(made.id))).last_synced_at is not None
    assert made.id in {found.id for found in await every(connections.all(limit=1))}
    assert made.id in {found.id for found in (await done(connections.list(limit=100))).items}
    await done(connections.delete(made.id))
    for missing in (connections.get, connections.delete, connections.sync):
        with pytest.raises(problems.NotFound):
            await done(missing(made.id))
    assert len(await every(client.memories.all(project=project))) == 3


async def test_a_connection_from_a_draft(client: Any, project: str, notes: Path) -> None:
    draft = ConnectionDraft(connector="markdown", project=project, config={"path": str(notes)})
    made = await done(client.connections.create(draft))
    assert made.connector == "markdown"
    await done(client.connections.delete(made.id))


async def test_what_cannot_be_connected_says_why(client: Any, tmp_path: Path) -> None:
    with pytest.raises(problems.Invalid, match="git") as caught:
        await done(client.connections.create("git", config={"path": str(tmp_path)}))
    assert caught.value.extra["errors"][0]["pointer"] == "/config/path"
    with pytest.raises(problems.Problem, match="carrier-pigeon"):
        await done(client.connections.create("carrier-pigeon", config={}))


async def test_a_sync_can_be_stopped(client: Any, project: str, tmp_path: Path) -> None:
    commit = ["-c", "user.name=A", "-c", "user.email=a@b", "commit", "-q", "--allow-empty", "-m", "First"]
    for command in (["init", "-q"], commit):
        subprocess.run(["git", *command], cwd=tmp_path, check=True)
    made = await done(client.connections.create("git", config={"path": str(tmp_path)}, project=project))
    started = await done(client.connections.sync(made.id))
    try:
        await done(client.syncs.cancel(started.id))
    except problems.Conflict:
        # It was quicker than we are.
        assert (await ended(client, started)).state == "done"
    assert (await ended(client, started)).state in ("cancelled", "done")
    await done(client.connections.delete(made.id))


async def test_a_sync_nobody_knows(client: Any) -> None:
    for operation in (client.syncs.get, client.syncs.cancel):
        with pytest.raises(problems.NotFound):
            await done(operation(uuid.uuid4()))


async def test_the_instance_says_what_it_is_and_whether_it_is_well(client: Any) -> None:
    found = await done(client.instance())
    assert found["version"].split(".")[0] == devlore.__version__.split(".")[0]
    assert {"memory", "search"} <= set(found["roles"])
    ready = await done(client.instance.ready())
    assert all(resource["up"] for resource in ready["resources"])


@pytest.mark.parametrize("kind", KINDS)
async def test_many_calls_share_one_client(kind: str, url: str, project: str) -> None:
    async with opened(kind, url) as client:
        results = [done(client.memories.create(title=f"n{n}", project=project)) for n in range(20)]
        await asyncio.gather(*results)
        assert len(await every(client.memories.all(project=project, limit=6))) == 20


@pytest.mark.parametrize("kind", KINDS)
async def test_a_closed_client_says_so(kind: str, url: str) -> None:
    async with opened(kind, url) as client:
        await done(client.instance())
    with pytest.raises(RuntimeError, match="closed"):
        await done(client.instance())


@pytest.mark.parametrize("kind", KINDS)
async def test_own_headers_travel_with_every_call(kind: str, url: str) -> None:
    async with opened(kind, url, headers={"Host": "evil.example"}) as client:
        with pytest.raises(problems.Misdirected):
            await done(client.memories.list())
