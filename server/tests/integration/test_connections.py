"""Connections: connecting, changing, listing, disconnecting, and who may see them."""

from __future__ import annotations

from pathlib import Path

import pytest

from devlore.problems import Conflict, Invalid, NotAllowed, NotFound
from devlore.types import ConnectionDraft, ConnectionPatch
from devlore_server.integration.service import IntegrationService
from devlore_server.kit.auth import Principal
from devlore_server.kit.db import Database
from devlore_server.kit.ids import new_id
from devlore_server.memory.service import MemoryService
from tests.integration.repositories import Repo


def git(repo: Repo, **config: object) -> ConnectionDraft:
    return ConnectionDraft(connector="git", config={"path": str(repo.folder), **config})


async def test_a_connection_takes_its_name_and_project_from_the_source(
    service: IntegrationService, who: Principal, repo: Repo
) -> None:
    connection, new = await service.connect(who, git(repo))
    assert new
    assert (connection.name, connection.project, connection.watch) == ("app", "app", False)
    assert connection.config == {"path": str(repo.folder)}
    assert (connection.checkpoint, connection.last_synced_at) == (None, None)
    assert await service.get(who, connection.id) == connection


async def test_connecting_a_place_again_takes_the_new_settings(
    service: IntegrationService, who: Principal, repo: Repo
) -> None:
    first, _ = await service.connect(who, git(repo))
    draft = ConnectionDraft(connector="git", name="App", config={"path": f"{repo.folder}/", "merges": True}, watch=True)
    again, new = await service.connect(who, draft)
    assert not new
    assert again.id == first.id
    assert (again.name, again.project, again.watch) == ("App", "app", True)
    assert again.config["merges"] is True
    kept, _ = await service.connect(who, git(repo))
    assert (kept.name, kept.watch) == ("App", True)


@pytest.mark.parametrize(
    ("connector", "config", "pointer"),
    [
        ("gopher", {}, "/connector"),
        ("git", {}, "/config/path"),
        ("git", {"path": "."}, "/config/path"),
        ("git", {"path": "/nowhere"}, "/config/path"),
        ("git", {"path": 5}, "/config/path"),
        ("markdown", {"path": "~/notes"}, "/config/path"),
        ("markdown", {"path": "/tmp", "depth": 3}, "/config/depth"),
    ],
)
async def test_what_is_wrong_is_named(
    service: IntegrationService, who: Principal, connector: str, config: dict[str, object], pointer: str
) -> None:
    with pytest.raises(Invalid) as refused:
        await service.connect(who, ConnectionDraft(connector=connector, config=config))
    assert [error["pointer"] for error in refused.value.extra["errors"]] == [pointer]
    assert await service.page(who, 10) == []


async def test_a_server_that_may_not_read_its_files_refuses_local_connectors(
    database: Database, memories: MemoryService, who: Principal, repo: Repo
) -> None:
    service = IntegrationService(database, memories)
    with pytest.raises(NotAllowed, match="git"):
        await service.connect(who, git(repo))
    allowed = IntegrationService(database, memories, local=True)
    connection, _ = await allowed.connect(who, git(repo))
    with pytest.raises(NotAllowed):
        await service.sync(who, connection.id)


async def test_a_change_merges_settings_and_checks_them(
    service: IntegrationService, who: Principal, repo: Repo
) -> None:
    repo.commit("base")
    connection, _ = await service.connect(who, git(repo, merges=True))
    changed = await service.change(
        who, connection.id, ConnectionPatch(name="Ours", config={"branches": ["main"]}, watch=True)
    )
    assert (changed.name, changed.watch) == ("Ours", True)
    assert changed.config == {"path": str(repo.folder), "merges": True, "branches": ["main"]}
    changed = await service.change(who, connection.id, ConnectionPatch(config={"merges": None}, project=None))
    assert changed.config == {"path": str(repo.folder), "branches": ["main"]}
    assert changed.project is None
    with pytest.raises(Invalid):
        await service.change(who, connection.id, ConnectionPatch(config={"branches": ["none"]}))
    assert await service.get(who, connection.id) == changed


async def test_two_connections_cannot_come_to_one_place(
    service: IntegrationService, who: Principal, repo: Repo, tmp_path: Path
) -> None:
    first, _ = await service.connect(who, git(repo))
    second, _ = await service.connect(who, git(Repo(tmp_path / "other")))
    with pytest.raises(Conflict) as refused:
        await service.change(who, second.id, ConnectionPatch(config={"path": str(repo.folder)}))
    assert refused.value.extra["connection_id"] == str(first.id)


async def test_pages_are_newest_first(service: IntegrationService, who: Principal, tmp_path: Path) -> None:
    made = [(await service.connect(who, git(Repo(tmp_path / f"r{n}"))))[0].id for n in range(3)]
    first = await service.page(who, 2)
    assert [one.id for one in first] == [made[2], made[1]]
    assert [one.id for one in await service.page(who, 2, after=first[-1].id)] == [made[0]]


async def test_nobody_else_sees_a_connection(
    service: IntegrationService, who: Principal, other: Principal, stranger: Principal, repo: Repo
) -> None:
    connection, _ = await service.connect(who, git(repo))
    sync = await service.sync(who, connection.id)
    for person in (other, stranger):
        assert await service.page(person, 10) == []
        for attempt in (
            service.get(person, connection.id),
            service.change(person, connection.id, ConnectionPatch(name="mine")),
            service.disconnect(person, connection.id),
            service.sync(person, connection.id),
            service.page_syncs(person, connection.id, 10),
            service.get_sync(person, sync.id),
            service.cancel_sync(person, sync.id),
        ):
            with pytest.raises(NotFound):
                await attempt
        theirs, new = await service.connect(person, git(repo))
        assert new
        assert theirs.id != connection.id
    assert (await service.get_sync(who, sync.id)).state == "queued"


async def test_what_does_not_exist_is_not_found(service: IntegrationService, who: Principal) -> None:
    for attempt in (service.get(who, new_id()), service.disconnect(who, new_id()), service.get_sync(who, new_id())):
        with pytest.raises(NotFound):
            await attempt
