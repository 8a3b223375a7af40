"""What is no whole backup of this instance's kind is refused, and nothing is changed; nor is anything half written."""

from __future__ import annotations

import io
import json
import shutil
import tarfile
from collections.abc import Callable
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import httpx2
import psycopg
import pytest
from click.testing import CliRunner
from pydantic import SecretStr
from starlette.types import ASGIApp

from devlore_server import __version__
from devlore_server.__main__ import main
from devlore_server.app import AlreadyRunning, application
from devlore_server.app.process import claim_home
from devlore_server.backup import BadBackup, back_up, restore
from devlore_server.backup.archive import DATABASE, MANIFEST, SECRET
from devlore_server.kit.dump import DumpError
from devlore_server.kit.migrate import MigrationError, app_url
from devlore_server.settings import Settings, secret_path

Change = Callable[[Path], None]


def silent(_: str) -> None:
    """Nobody listens."""


@pytest.fixture
async def kept(settings: Settings, tmp_path: Path) -> Path:
    """A backup of an instance with one memory, to which another has been added since."""
    async with application(settings) as app, client(app) as api:
        assert (await api.post("/v1/memories", json={"title": "Heron"})).status_code == 201
        path = await back_up(settings, tmp_path / "kept.tar", silent)
        assert (await api.post("/v1/memories", json={"title": "Stork"})).status_code == 201
    return path


def client(app: ASGIApp) -> httpx2.AsyncClient:
    return httpx2.AsyncClient(transport=httpx2.ASGITransport(app), base_url="http://localhost")  # type: ignore[arg-type]


def state(settings: Settings) -> tuple[Any, ...]:
    """What a refused restore must leave alone: rows, where indexes belong to, the secret, the index, other files."""
    assert settings.database_url is not None
    with psycopg.connect(settings.database_url.get_secret_value()) as connection:
        titles = connection.execute("SELECT title FROM memory.memory ORDER BY 1").fetchall()
        lineage = connection.execute("SELECT id FROM search.lineage").fetchall()
        events = connection.execute("SELECT id, xid::text, seq FROM log.event ORDER BY 1").fetchall()
    files = sorted(path.name for path in settings.home.iterdir() if not path.name.endswith(".lock"))
    return titles, lineage, events, settings.key(), files, (settings.home / "search" / "current.json").read_text()


def parts(path: Path) -> dict[str, bytes]:
    with tarfile.open(path) as tar:
        return {member.name: tar.extractfile(member).read() for member in tar.getmembers()}  # type: ignore[union-attr]


def packed(path: Path, held: dict[str, bytes]) -> None:
    with tarfile.open(path, "w") as tar:
        for name, content in held.items():
            info = tarfile.TarInfo(name)
            info.size = len(content)
            tar.addfile(info, io.BytesIO(content))


def flipped(name: str) -> Change:
    """One bit of a part is another."""

    def change(path: Path) -> None:
        held = parts(path)
        middle = len(held[name]) // 2
        held[name] = held[name][:middle] + bytes([held[name][middle] ^ 1]) + held[name][middle + 1 :]
        packed(path, held)

    return change


def cut(share: float) -> Change:
    return lambda path: path.write_bytes(path.read_bytes()[: int(path.stat().st_size * share)]) and None


def without(name: str) -> Change:
    return lambda path: packed(path, {known: held for known, held in parts(path).items() if known != name})


def saying(**members: Any) -> Change:
    """The manifest says something else."""

    def change(path: Path) -> None:
        held = parts(path)
        held[MANIFEST] = json.dumps(json.loads(held[MANIFEST]) | members).encode()
        packed(path, held)

    return change


def changing(member: str, name: str, value: Any) -> Change:
    """One entry of a table in the manifest is another."""

    def change(path: Path) -> None:
        table = json.loads(parts(path)[MANIFEST])[member]
        saying(**{member: table | {name: value}})(path)

    return change


def newer() -> str:
    first, *rest = __version__.split(".")
    return ".".join([str(int(first) + 1), *rest])


REFUSED: dict[str, tuple[Change, type[Exception], str]] = {
    "a bit of the database": (flipped(DATABASE), BadBackup, "SHA-256"),
    "a bit of the secret": (flipped(SECRET), BadBackup, "SHA-256"),
    "cut in half": (cut(0.5), BadBackup, "cut off"),
    "cut before the manifest": (without(MANIFEST), BadBackup, "no manifest"),
    "no secret": (without(SECRET), BadBackup, "should hold"),
    "no database": (without(DATABASE), BadBackup, "should hold"),
    "something else in it": (lambda path: packed(path, parts(path) | {"more": b""}), BadBackup, "should hold"),
    "a manifest that is none": (
        lambda path: packed(path, parts(path) | {MANIFEST: b"{}"}),
        BadBackup,
        "cannot be read",
    ),
    "no tar at all": (lambda path: path.write_bytes(b"SELECT 1;" * 200) and None, BadBackup, "no backup"),
    "empty": (lambda path: path.write_bytes(b"") and None, BadBackup, "no backup"),
    "a newer format": (saying(format=2), BadBackup, "update it first"),
    "a newer Devlore": (saying(devlore=newer()), BadBackup, "update it first"),
    "a newer PostgreSQL": (saying(server=99), BadBackup, "PostgreSQL 99"),
    "a migration of the future": (changing("migrations", "memory/9999_pre_more.sql", "0"), MigrationError, "older"),
    "another migration": (changing("migrations", "memory/0001_pre_memory.sql", "0"), MigrationError, "changed"),
    "a row too few": (changing("rows", "memory.memory", 2), DumpError, "memory.memory does not have 2 rows"),
}


async def test_what_is_no_whole_backup_of_ours_is_refused(kept: Path, settings: Settings, tmp_path: Path) -> None:
    before, changed = state(settings), tmp_path / "changed.tar"
    for what, (change, error, said) in REFUSED.items():
        shutil.copy(kept, changed)
        change(changed)
        with pytest.raises(error, match=said):
            await restore(settings, changed, settings.home / "secret", silent, force=True)
        assert state(settings) == before, what


async def test_the_same_file_untouched_replaces_the_instance(kept: Path, settings: Settings) -> None:
    before = state(settings)
    await restore(settings, kept, settings.home / "secret", silent, force=True)
    assert not (settings.home / "search").exists()
    async with application(settings) as app, client(app) as api:
        found = (await api.get("/v1/search", params={"wait": "indexed"})).json()
        assert [hit["memory"]["title"] for hit in found["items"]] == ["Heron"]
        checked = (await api.get("/v1/search/check")).json()
        assert (checked["clean"], checked["memories"]) == (True, 1)
        after = state(settings)
    assert after[0] == [("Heron",)]
    assert after[1] != before[1], "no index of before belongs to these rows"
    assert after[3] == before[3]


async def test_an_index_that_the_restore_cannot_reach_is_of_no_use_any_more(kept: Path, settings: Settings) -> None:
    """Another machine's: it knows memories that are gone, and versions that were never written."""
    elsewhere = settings.model_copy(update={"home": settings.home / "elsewhere"})
    await restore(elsewhere, kept, elsewhere.home / "secret", silent, force=True)
    assert (settings.home / "search" / "current.json").exists()
    async with application(settings) as app, client(app) as api:
        assert (await api.get("/v1/search", params={"wait": "indexed"})).json()["degraded"] == []
        checked = (await api.get("/v1/search/check")).json()
    assert (checked["clean"], checked["memories"]) == (True, 1)


async def test_an_instance_is_replaced_only_when_told_to(kept: Path, settings: Settings) -> None:
    before = state(settings)
    with pytest.raises(BadBackup, match="--force"):
        await restore(settings, kept, settings.home / "secret", silent)
    assert state(settings) == before


async def test_an_instance_that_is_served_is_not_replaced(kept: Path, settings: Settings) -> None:
    before = state(settings)
    with ExitStack() as stack:
        claim_home(settings.model_copy(update={"roles": ("search",)}), stack)  # type: ignore[arg-type]
        with pytest.raises(AlreadyRunning, match="search"):
            await restore(settings, kept, settings.home / "secret", silent, force=True)
    elsewhere = settings.model_copy(update={"home": settings.home / "elsewhere"})
    async with application(settings):
        with pytest.raises(AlreadyRunning, match="connected"):
            await restore(elsewhere, kept, elsewhere.home / "secret", silent, force=True)
    shutil.rmtree(elsewhere.home)
    assert state(settings)[:4] == before[:4]


async def test_the_secret_has_to_be_the_backups_where_it_cannot_be_put_back(kept: Path, settings: Settings) -> None:
    before, same = state(settings), settings.key().decode()
    other = settings.model_copy(update={"secret": SecretStr("x" * 40)})
    with pytest.raises(BadBackup, match="another DEVLORE_SECRET"):
        await restore(other, kept, None, silent, force=True)
    assert state(settings) == before
    await restore(settings.model_copy(update={"secret": SecretStr(same)}), kept, None, silent, force=True)


async def test_the_secret_is_put_back_where_it_is_read_from(kept: Path, settings: Settings, tmp_path: Path) -> None:
    mounted = tmp_path / "mounted"
    mounted.write_text("of another instance")
    mounted.chmod(0o444)
    await restore(settings, kept, mounted, silent, force=True)
    assert mounted.read_bytes() == parts(kept)[SECRET]
    assert mounted.stat().st_mode & 0o777 == 0o444, "whoever could read it still can"

    shutil.rmtree(tmp_path / "gone", ignore_errors=True)
    with pytest.raises(FileNotFoundError):
        await restore(settings, kept, tmp_path / "gone" / "secret", silent, force=True)


@pytest.mark.parametrize(
    ("environ", "expected"),
    [({}, "/h/secret"), ({"DEVLORE_SECRET_FILE": "/run/s"}, "/run/s"), ({"DEVLORE_SECRET": "x" * 40}, None)],
)
def test_where_the_secret_is_kept(environ: dict[str, str], expected: str | None) -> None:
    found = secret_path(environ, Path("/h"))
    assert (str(found) if found else None) == expected


async def test_who_is_no_superuser_cannot_see_everything(kept: Path, settings: Settings) -> None:
    assert settings.database_url is not None
    app = settings.model_copy(update={"database_url": SecretStr(app_url(settings.database_url.get_secret_value()))})
    with pytest.raises(DumpError, match="superuser"):
        await back_up(app, kept, silent)
    with pytest.raises(DumpError, match="superuser"):
        await restore(app, kept, settings.home / "secret", silent, force=True)


async def test_a_backup_that_fails_leaves_the_one_before(kept: Path, settings: Settings) -> None:
    assert settings.database_url is not None
    before = kept.read_bytes()
    with psycopg.connect(settings.database_url.get_secret_value(), autocommit=True) as connection:
        connection.execute("DROP OWNED BY devlore_owner CASCADE")
    with pytest.raises(DumpError, match="nothing to back up"):
        await back_up(settings, kept, silent)
    assert kept.read_bytes() == before
    assert [path.name for path in kept.parent.iterdir()] == [kept.name]


async def test_a_backup_is_for_its_owners_eyes_and_says_what_it_holds(kept: Path) -> None:
    assert kept.stat().st_mode & 0o777 == 0o600
    with tarfile.open(kept) as tar:
        assert [member.name for member in tar.getmembers()] == [DATABASE, SECRET, MANIFEST]
    manifest = json.loads(parts(kept)[MANIFEST])
    assert manifest["rows"]["memory.memory"] == 1
    assert manifest["devlore"] == __version__


async def test_of_a_folder_the_newest_backup_is_taken(kept: Path, settings: Settings, tmp_path: Path) -> None:
    folder = tmp_path / "folder"
    folder.mkdir()
    with pytest.raises(BadBackup, match="no backup in"):
        await restore(settings, folder, settings.home / "secret", silent, force=True)
    (folder / "devlore-20200101T000000Z.tar").write_text("older, and broken")
    made = await back_up(settings, folder, silent)
    assert await restore(settings, folder, settings.home / "secret", silent, force=True) == made


def test_the_command_explains_a_refusal(tmp_path: Path) -> None:
    path = tmp_path / "x.tar"
    path.write_text("nothing")
    done = CliRunner().invoke(main, ["restore", str(path)], env={"DEVLORE_HOME": str(tmp_path / "home")})
    assert done.exit_code == 1
    assert "is no backup" in done.output
    assert not (tmp_path / "home").exists()
