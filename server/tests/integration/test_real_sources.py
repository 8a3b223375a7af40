"""Whole syncs of real repositories and folders: connector, worker and memory service together."""

from __future__ import annotations

from pathlib import Path

import pytest

from devlore.types import ConnectionDraft, Memory, Status
from devlore_server.integration.service import IntegrationService
from devlore_server.kit.auth import Principal
from devlore_server.memory.service import MemoryService
from devlore_server.memory.store.listing import Filters
from tests.integration.conftest import ended, until
from tests.integration.repositories import Repo

pytestmark = pytest.mark.usefixtures("worker")


async def stored(memories: MemoryService, who: Principal) -> dict[str, Memory]:
    return {one.title: one for one in await memories.page(who, Filters(), 1_000)}


async def test_a_repositorys_history_is_remembered_and_follows_a_force_push(
    service: IntegrationService, memories: MemoryService, who: Principal, repo: Repo
) -> None:
    repo.commit("base", {"a": "1"})
    repo.commit("typo", {"b": "1"})
    connection, _ = await service.connect(who, ConnectionDraft(connector="git", config={"path": str(repo.folder)}))
    first = await ended(service, who, await service.sync(who, connection.id))
    assert (first.state, first.created, first.total) == ("done", 2, 2)
    repo.git("commit", "-q", "--amend", "-m", "no typo")
    second = await ended(service, who, await service.sync(who, connection.id))
    assert (second.created, second.deleted) == (1, 1)
    found = await stored(memories, who)
    assert sorted(found) == ["base", "no typo"]
    assert {(one.kind, one.project, one.version) for one in found.values()} == {("change", "app", 1)}
    assert (await service.get(who, connection.id)).checkpoint == {
        "tips": [repo.git("rev-parse", "HEAD")],
        "complete": True,
    }


async def test_commits_collected_as_garbage_are_swept(
    service: IntegrationService, memories: MemoryService, who: Principal, repo: Repo
) -> None:
    repo.commit("base")
    repo.commit("doomed")
    connection, _ = await service.connect(who, ConnectionDraft(connector="git", config={"path": str(repo.folder)}))
    await ended(service, who, await service.sync(who, connection.id))
    repo.git("reset", "-q", "--hard", "HEAD~1")
    repo.git("reflog", "expire", "--expire=now", "--all")
    repo.git("gc", "-q", "--prune=now")
    sync = await ended(service, who, await service.sync(who, connection.id))
    assert (sync.unchanged, sync.deleted) == (1, 1)
    assert sorted(await stored(memories, who)) == ["base"]


async def test_two_clones_share_their_commits(
    service: IntegrationService, memories: MemoryService, who: Principal, repo: Repo, tmp_path: Path
) -> None:
    repo.commit("base")
    repo.commit("kept elsewhere")
    repo.git("clone", "-q", str(repo.folder), str(tmp_path / "clone"))
    for folder, created in ((repo.folder, 2), (tmp_path / "clone", 0)):
        draft = ConnectionDraft(connector="git", project="app", config={"path": str(folder)})
        connection, _ = await service.connect(who, draft)
        sync = await ended(service, who, await service.sync(who, connection.id))
        assert sync.created == created
    repo.git("reset", "-q", "--hard", "HEAD~1")
    (_, first) = await service.page(who, 10)
    sync = await ended(service, who, await service.sync(who, first.id))
    assert sync.deleted == 0
    assert sorted(await stored(memories, who)) == ["base", "kept elsewhere"]


async def test_a_folder_of_decisions_knows_what_holds(
    service: IntegrationService, memories: MemoryService, who: Principal, tmp_path: Path
) -> None:
    folder = tmp_path / "adr"
    folder.mkdir()
    (folder / "0001-kafka.md").write_text("# 1. Kafka\n\nDate: 2020-01-01\n\n## Status\n\nAccepted\n")
    (folder / "0002-cron.md").write_text("# 2. Cron\n\n## Status\n\nRejected\n")
    connection, _ = await service.connect(who, ConnectionDraft(connector="markdown", config={"path": str(folder)}))
    await ended(service, who, await service.sync(who, connection.id))
    found = await stored(memories, who)
    assert {title: one.status for title, one in found.items()} == {
        "1. Kafka": Status.ACTIVE,
        "2. Cron": Status.INVALIDATED,
    }
    text = "# 3. NATS\n\nDate: 2021-01-01\n\n## Status\n\nAccepted\n\nSupersedes [1](0001-kafka.md)\n"
    (folder / "0003-nats.md").write_text(text)
    (folder / "0002-cron.md").unlink()
    sync = await ended(service, who, await service.sync(who, connection.id))
    assert (sync.created, sync.updated, sync.deleted) == (1, 1, 1)
    found = await stored(memories, who)
    assert sorted(found) == ["1. Kafka", "3. NATS"]
    old, new = found["1. Kafka"], found["3. NATS"]
    assert (old.status, old.superseded_by, old.valid_to) == (Status.SUPERSEDED, new.id, new.valid_from)


async def test_a_watched_folder_is_followed(
    service: IntegrationService, memories: MemoryService, who: Principal, tmp_path: Path
) -> None:
    folder = tmp_path / "notes"
    folder.mkdir()
    (folder / "a.md").write_text("# first")
    draft = ConnectionDraft(connector="markdown", config={"path": str(folder)}, watch=True)
    await service.connect(who, draft)
    await reached(memories, who, {"first"})
    (folder / "a.md").write_text("# edited")
    await reached(memories, who, {"edited"})
    # As editors save: a copy is written beside, and renamed over the file.
    (folder / "a.md~").write_text("# renamed over")
    (folder / "a.md~").rename(folder / "a.md")
    await reached(memories, who, {"renamed over"})
    (folder / "sub").mkdir()
    (folder / "sub" / "b.md").write_text("# below")
    await reached(memories, who, {"renamed over", "below"})
    (folder / "a.md").unlink()
    await reached(memories, who, {"below"})


async def test_a_watched_repository_is_followed(
    service: IntegrationService, memories: MemoryService, who: Principal, repo: Repo
) -> None:
    repo.commit("one")
    await service.connect(who, ConnectionDraft(connector="git", config={"path": str(repo.folder)}, watch=True))
    await reached(memories, who, {"one"})
    repo.commit("two")
    await reached(memories, who, {"one", "two"})


async def reached(memories: MemoryService, who: Principal, titles: set[str]) -> None:
    async def there() -> bool:
        return set(await stored(memories, who)) == titles

    await until(there)
