"""Secrets in what connectors read: nothing of them is kept on either side, and syncs go on as if there were none."""

from __future__ import annotations

import asyncio
from pathlib import Path
from random import Random

import pytest

from devlore.types import ConnectionDraft, Sync
from devlore_server.integration.service import IntegrationService
from devlore_server.kit.auth import Principal
from devlore_server.memory.service import Filters, MemoryService
from tests.integration.conftest import ended
from tests.integration.repositories import Repo
from tests.memory.secrets_formats import checked, pem
from tests.memory.stored import everything_stored

TOKEN = checked(Random(41), "gh" + "p_")


async def synced(
    service: IntegrationService, who: Principal, connector: str, path: Path, *, full: bool = False
) -> Sync:
    connection, _ = await service.connect(who, ConnectionDraft(connector=connector, config={"path": str(path)}))
    return await ended(service, who, await service.sync(who, connection.id, full=full))


async def test_notes_with_secrets_are_masked_and_unchanged_the_next_time(
    service: IntegrationService,
    worker: asyncio.Task[None],
    memories: MemoryService,
    who: Principal,
    tmp_path: Path,
    owner_url: str,
    capfd: pytest.CaptureFixture[str],
) -> None:
    key = pem(Random(42))
    (tmp_path / "leak.md").write_text(f"---\ntags: [ops]\n---\n# Leak\n\nIt ran with {TOKEN}.\n\n```\n{key}\n```\n")
    (tmp_path / f"{TOKEN}.md").write_text("# Named\n\nBy its secret.\n")
    (tmp_path / "broken.md").write_text(f"---\ntags: [{TOKEN}\n: : {TOKEN}\n---\n# Broken\n")
    first = await synced(service, who, "markdown", tmp_path)
    assert (first.state, first.created) == ("done", 3)
    bodies = {one.title: one.body for one in await memories.page(who, Filters(), 10)}
    assert "It ran with [[secret:github:token:" in bodies["Leak"]
    assert "```\n[[secret:key:private:" in bodies["Leak"]
    again = await synced(service, who, "markdown", tmp_path, full=True)
    assert (again.state, again.created, again.updated, again.deleted) == ("done", 0, 0, 0)
    (tmp_path / f"{TOKEN}.md").unlink()
    assert (await synced(service, who, "markdown", tmp_path)).deleted == 1
    kept = everything_stored(owner_url)
    assert TOKEN not in kept
    assert key.split("\n")[1] not in kept
    said = capfd.readouterr()
    assert TOKEN not in said.out + said.err


async def test_commits_with_secrets_are_masked(
    service: IntegrationService,
    worker: asyncio.Task[None],
    memories: MemoryService,
    who: Principal,
    repo: Repo,
    owner_url: str,
) -> None:
    repo.commit(f"Use {TOKEN} until it is rotated", {"a.txt": "1"})
    sync = await synced(service, who, "git", repo.folder)
    assert (sync.state, sync.created) == ("done", 1)
    (memory,) = await memories.page(who, Filters(), 10)
    assert memory.title.startswith("Use [[secret:github:token:")
    assert TOKEN not in everything_stored(owner_url)
    assert (await synced(service, who, "git", repo.folder, full=True)).updated == 0


async def test_under_block_a_note_with_a_secret_is_a_failure_that_names_its_rule(
    service: IntegrationService,
    worker: asyncio.Task[None],
    memories: MemoryService,
    who: Principal,
    tmp_path: Path,
    owner_url: str,
) -> None:
    await memories.screen.policies.change(who, "block")
    (tmp_path / "leak.md").write_text(f"# Leak\n\n{TOKEN}\n")
    (tmp_path / "fine.md").write_text("# Fine\n")
    sync = await synced(service, who, "markdown", tmp_path)
    assert (sync.state, sync.created, sync.failed) == ("done", 1, 1)
    (failure,) = sync.failures
    assert failure.item.endswith("leak.md")
    assert failure.reason == "/body: This holds a secret (github:token)."
    assert TOKEN not in everything_stored(owner_url)
