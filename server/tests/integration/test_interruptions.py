"""Syncs that are killed at every single step, cancelled in the middle of the sweep, or raced by others."""

from __future__ import annotations

import asyncio
import shutil
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from datetime import timedelta
from pathlib import Path

import pytest

from devlore.problems import Conflict
from devlore.types import Connection, ConnectionDraft, Sync
from devlore_server.integration import syncs as running_syncs
from devlore_server.integration.connector import Connector
from devlore_server.integration.connectors import CONNECTORS
from devlore_server.integration.jobs import SyncJobs
from devlore_server.integration.service import IntegrationService
from devlore_server.kit.auth import Principal
from devlore_server.kit.db import Connection as Transaction
from devlore_server.kit.db import Database, rows
from devlore_server.kit.log import EventLog
from devlore_server.memory.history import History
from devlore_server.memory.service import MemoryService
from devlore_server.memory.store.listing import Filters
from devlore_server.ports import Ingest, IngestResult
from tests.integration.conftest import ended, until
from tests.integration.repositories import Repo
from tests.integration.scripted import Scripted

Change = Callable[[], object]


class Killed(BaseException):
    """The process is gone: nothing may catch this and go on."""


class Dying(Database):
    """A database whose process dies just before its ``steps``th transaction commits, so right after the one before."""

    steps = 0

    @asynccontextmanager
    async def transaction(self, who: Principal | None, *, snapshot: bool = False) -> AsyncIterator[Transaction]:
        if self.steps <= 0:
            raise Killed
        async with super().transaction(who, snapshot=snapshot) as transaction:
            yield transaction
            self.steps -= 1
            if self.steps == 0:
                raise Killed


@pytest.fixture
async def dying(database_url: str) -> AsyncIterator[Dying]:
    opened = Dying(database_url)
    await opened.open()
    yield opened
    await opened.close()


def serving(database: Database, connectors: dict[str, Connector] | None = None) -> IntegrationService:
    memories = MemoryService(database, EventLog(database))
    return IntegrationService(database, memories, local=True, connectors=connectors or CONNECTORS)


async def perform(service: IntegrationService, *, dead_after: float = 15) -> bool:
    """Claim what waits and run it here to its end."""
    (owned,) = await service.syncs.waiting(dead_after=timedelta(seconds=dead_after))
    sync = await service.syncs.claim(owned, dead_after=timedelta(seconds=dead_after))
    assert sync is not None
    await service.syncs.perform(owned, sync)
    return (await service.get_sync(owned.owner, sync.id)).state == "done"


State = dict[str, tuple[object, ...]]


async def state(database: Database, who: Principal, project: str) -> State:
    """Every memory of a connection with its history, and what the connection remembers, all by relative names."""
    memories = MemoryService(database, EventLog(database))
    found: State = {}
    alive, deleted = [await memories.page(who, Filters(project=[project], deleted=gone), 50) for gone in (False, True)]
    for one in alive + deleted:
        history = [version.change for version in await History(database).versions(who, one.id, 20)]
        gone = one.deleted_at is not None
        found[f"{one.title}{' (gone)' if gone else ''}"] = (one.body, one.status, one.superseded_by is None, history)
    return found


async def killed_everywhere(
    service: IntegrationService, dying: Dying, connect: Callable[[str], Awaitable[tuple[Connection, Change]]],
    who: Principal, database: Database, *, full: bool = False,
) -> int:  # fmt: skip
    """Sync, change the source, and sync again with a death at step 1, 2, 3 …; returns how many steps there were.

    Whatever the step, the next worker brings about the state that an undisturbed sync does.
    """
    doomed = serving(dying)
    expected: State | None = None
    for steps in range(1, 100):
        connection, change = await connect(f"at-{steps}")
        await service.sync(who, connection.id)
        assert await perform(service)
        change()
        await service.sync(who, connection.id, full=full)
        (owned,) = await service.syncs.waiting()
        sync = await service.syncs.claim(owned)
        assert sync is not None
        doomed.syncs._worker = service.syncs._worker  # the process that claimed it is the one that dies
        dying.steps = 10_000 if expected is None else steps
        try:
            await doomed.syncs.perform(owned, sync)
            survived = True
        except Killed:
            survived = False
            assert await perform(service, dead_after=-5)
        done = await service.get_sync(who, sync.id)
        assert (done.state, done.failed) == ("done", 0), steps
        now = await state(database, who, f"at-{steps}")
        if expected is None:
            expected = now
            continue
        assert now == expected, steps
        if survived:
            break
    return steps


@pytest.mark.parametrize("full", [False, True])
async def test_a_folder_is_as_it_should_be_wherever_its_sync_was_killed(
    service: IntegrationService, dying: Dying, database: Database, who: Principal, tmp_path: Path, full: bool
) -> None:
    record = "# {}\n\nDate: 2020-01-01\n\n## Status\n\n{}\n"

    async def connect(project: str) -> tuple[Connection, Change]:
        folder = tmp_path / project
        (folder / "adr").mkdir(parents=True)
        for name in ("stays", "changes", "goes"):
            (folder / f"{name}.md").write_text(f"# {name}")
        (folder / "adr" / "0001-old.md").write_text(record.format("Old", "Accepted"))

        def change() -> None:
            (folder / "changes.md").write_text("# changes\n\n[x](x.md)")
            (folder / "goes.md").unlink()
            (folder / "adr" / "0002-new.md").write_text(record.format("New", "Accepted\n\nSupersedes ADR 1"))

        config = {"path": str(folder), "identity": f"{project}/"}
        draft = ConnectionDraft(connector="markdown", project=project, config=config)
        return (await service.connect(who, draft))[0], change

    steps = await killed_everywhere(service, dying, connect, who, database, full=full)
    assert steps > 8, "there are steps to die at"


async def test_a_repository_is_as_it_should_be_wherever_its_sync_was_killed(
    service: IntegrationService, dying: Dying, database: Database, who: Principal, tmp_path: Path
) -> None:
    made: dict[str, Repo] = {}

    async def connect(project: str) -> tuple[Connection, Change]:
        # Different messages: equal commits would be the same items for every connection.
        repo = made[project] = Repo(tmp_path / project)
        repo.git("config", "user.name", project)
        repo._clock += len(made) * 1_000_000
        repo.commit("base", {"project": project})
        repo.commit("typo")

        def change() -> None:
            repo.git("commit", "-q", "--amend", "-m", "no typo")
            repo.commit("next", {"next": "1"})

        draft = ConnectionDraft(connector="git", project=project, config={"path": str(repo.folder)})
        return (await service.connect(who, draft))[0], change

    assert await killed_everywhere(service, dying, connect, who, database) > 8


class Slow(MemoryService):
    """The memory service, holding back every batch that deletes until the gate opens."""

    def __init__(self, database: Database) -> None:
        super().__init__(database, EventLog(database))
        self.gate = asyncio.Event()
        self.deleting = asyncio.Event()

    async def ingest(self, who: Principal, batch: Ingest) -> IngestResult:
        if batch.deleted:
            self.deleting.set()
            await self.gate.wait()
        return await super().ingest(who, batch)


@asynccontextmanager
async def working(service: IntegrationService, *, alone: bool = True) -> AsyncIterator[None]:
    task = asyncio.create_task(SyncJobs(service, alone=alone).run())
    yield
    task.cancel()
    await asyncio.gather(task, return_exceptions=True)


async def test_a_sync_cancelled_in_the_middle_of_the_sweep_is_swept_by_the_next(
    database: Database, who: Principal, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(running_syncs, "BATCH", 2)
    memories, source = Slow(database), Scripted(*"abcdefgh")
    service = IntegrationService(database, memories, connectors={"scripted": source})
    connection, _ = await service.connect(who, ConnectionDraft(connector="scripted"))
    async with working(service):
        await ended(service, who, await service.sync(who, connection.id))
        source.names = ["a"]
        full = await service.sync(who, connection.id, full=True)
        await asyncio.wait_for(memories.deleting.wait(), 10)
        await service.cancel_sync(who, full.id)
        memories.gate.set()
        stopped = await ended(service, who, full)
        assert (stopped.state, stopped.deleted) == ("cancelled", 2)
        assert await memories.count() == 6
        rest = await ended(service, who, await service.sync(who, connection.id))
    assert (rest.state, rest.deleted) == ("done", 5)
    assert await memories.count() == 1


async def test_two_workers_never_run_one_sync_and_share_what_waits(
    database: Database, who: Principal, monkeypatch: pytest.MonkeyPatch
) -> None:
    sources: dict[str, Connector] = {"scripted": (source := Scripted(*"abcdef"))}
    first, second = serving(database, sources), serving(database, sources)
    connections = [
        (await first.connect(who, ConnectionDraft(connector="scripted", config={"place": str(number)})))[0]
        for number in range(6)
    ]
    async with working(first, alone=False), working(second, alone=False):
        queued = [await first.sync(who, connection.id) for connection in connections]
        done = [await ended(first, who, sync) for sync in queued]
    assert {sync.state for sync in done} == {"done"}
    assert len(source.pulls) == 6, "each was pulled once"
    assert sum(sync.created for sync in done) == 6
    assert sum(sync.unchanged for sync in done) == 30


async def test_of_many_who_ask_at_once_all_get_the_same_sync(
    service: IntegrationService, database: Database, who: Principal, repo: Repo
) -> None:
    connection, _ = await service.connect(who, ConnectionDraft(connector="git", config={"path": str(repo.folder)}))
    twin = serving(database)
    asked = await asyncio.gather(*(one.sync(who, connection.id) for one in [service, twin] * 10))
    assert len({sync.id for sync in asked}) == 1
    async with database.transaction(who) as transaction:
        assert len(await rows(transaction, "SELECT id FROM integration.sync")) == 1


async def test_of_many_who_connect_a_place_at_once_one_does(
    service: IntegrationService, who: Principal, repo: Repo
) -> None:
    draft = ConnectionDraft(connector="git", config={"path": str(repo.folder)})
    answers = await asyncio.gather(*(service.connect(who, draft) for _ in range(8)), return_exceptions=True)
    made = [answer for answer in answers if not isinstance(answer, BaseException)]
    assert all(isinstance(answer, Conflict) for answer in answers if isinstance(answer, BaseException))
    assert len({connection.id for connection, _ in made}) == 1
    assert sum(new for _, new in made) == 1


async def test_a_source_that_goes_away_fails_its_sync_and_deletes_nothing(
    service: IntegrationService, memories: MemoryService, who: Principal, tmp_path: Path, worker: object
) -> None:
    folder = tmp_path / "notes"
    folder.mkdir()
    (folder / "a.md").write_text("# a")
    draft = ConnectionDraft(connector="markdown", config={"path": str(folder)})
    connection, _ = await service.connect(who, draft)
    await ended(service, who, await service.sync(who, connection.id))
    shutil.rmtree(folder)
    failed = await ended(service, who, await service.sync(who, connection.id, full=True))
    assert (failed.state, failed.error) == ("failed", f"{folder} is not a folder on the server.")
    assert await memories.count() == 1
    folder.mkdir()
    (folder / "b.md").write_text("# b")
    back = await ended(service, who, await service.sync(who, connection.id))
    assert (back.state, back.created, back.deleted) == ("done", 1, 1)


async def test_settings_changed_while_a_sync_waits_are_those_it_runs_with(
    service: IntegrationService, memories: MemoryService, who: Principal, repo: Repo
) -> None:
    repo.commit("base")
    repo.git("checkout", "-q", "-b", "topic")
    repo.commit("on topic")
    draft = ConnectionDraft(connector="git", config={"path": str(repo.folder)})
    connection, _ = await service.connect(who, draft)
    sync = await service.sync(who, connection.id)
    await service.connect(
        who, ConnectionDraft(connector="git", config={"path": str(repo.folder), "branches": ["main"]})
    )
    async with working(service):
        assert (await ended(service, who, sync)).created == 1
    assert [one.title for one in await memories.page(who, Filters(), 10)] == ["base"]


@pytest.mark.parametrize("how", ["rename", "truncate", "swap", "backup"])
async def test_a_watched_note_is_followed_however_its_editor_saves(
    service: IntegrationService, memories: MemoryService, who: Principal, tmp_path: Path, worker: object, how: str
) -> None:
    note = tmp_path / "notes" / "a.md"
    note.parent.mkdir()
    note.write_text("# one")
    draft = ConnectionDraft(connector="markdown", config={"path": str(note.parent)}, watch=True)
    await service.connect(who, draft)
    await shown(memories, who, "one", version=1)
    saved = note.with_name("a.md.tmp" if how == "rename" else ".a.md.swp")
    if how in ("rename", "swap"):  # most editors; vim
        saved.write_text("# two")
        saved.replace(note)
    elif how == "truncate":  # nano, shells
        note.write_text("# two")
    else:  # emacs: the old file becomes the backup, and a new one takes its name
        note.rename(note.with_name("a.md~"))
        note.write_text("# two")
    await shown(memories, who, "two", version=2)


async def shown(memories: MemoryService, who: Principal, title: str, *, version: int) -> None:
    async def there() -> bool:
        return [(one.title, one.version) for one in await memories.page(who, Filters(), 10)] == [(title, version)]

    await until(there)


async def test_a_sync_says_when_it_was_queued_started_and_ended(
    service: IntegrationService, who: Principal, repo: Repo
) -> None:
    repo.commit("base")
    connection, _ = await service.connect(who, ConnectionDraft(connector="git", config={"path": str(repo.folder)}))
    queued: Sync = await service.sync(who, connection.id)
    assert (queued.state, queued.started_at, queued.finished_at, queued.total) == ("queued", None, None, None)
    assert await perform(service)
    done = await service.get_sync(who, queued.id)
    assert done.started_at and done.finished_at
    assert done.started_at <= done.finished_at
    assert (done.total, done.done, done.created + done.unchanged + done.updated) == (1, 1, 1)
