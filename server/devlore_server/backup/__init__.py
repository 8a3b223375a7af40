"""Backing an instance up while it serves, and restoring it elsewhere: the database, the secret, and proof of both."""

from __future__ import annotations

import os
import shutil
from collections.abc import Callable, Iterable, Iterator
from contextlib import AsyncExitStack, contextmanager
from datetime import datetime
from pathlib import Path

from devlore_server import __version__
from devlore_server.app import AlreadyRunning
from devlore_server.app.process import claim_home, reachable
from devlore_server.backup.archive import DATABASE, FORMAT, SECRET, Backup, BadBackup, Manifest, opened, written
from devlore_server.kit import dump
from devlore_server.kit.clock import utc_now
from devlore_server.kit.migrate import found, lacking, migrate
from devlore_server.settings import ROLES, Settings

__all__ = ["BadBackup", "back_up", "restore"]

_PATTERN = "devlore-*.tar"
_STEP = 64 << 20


async def back_up(settings: Settings, target: Path, say: Callable[[str], None]) -> Path:
    """Write a backup of the instance of `settings` to a file, or into a folder under a name with the time; its path.

    Everything is of one moment; the instance may serve meanwhile. The full-text index is left out: every search process
    makes its own from the rows in seconds. Vectors are in: making them again takes a model hours, or money. Raises
    DumpError, and what PostgreSQL says when it cannot be reached.
    """
    at = utc_now()
    path = _named(target, at)
    async with reachable(settings) as url:
        with written(path) as archive:
            with archive.part(DATABASE) as write:
                contents = await dump.dump(url, _counting(write, say))
            with archive.part(SECRET) as write:
                write(settings.key())
            archive.finish(
                Manifest(
                    format=FORMAT,
                    devlore=__version__,
                    created_at=at,
                    server=contents.server,
                    migrations=contents.migrations,
                    rows=contents.rows,
                    parts=archive.parts,
                )
            )
    say(f"{sum(contents.rows.values()):,} rows of {len(contents.rows)} tables, {path.stat().st_size:,} bytes.")
    return path


async def restore(
    settings: Settings, source: Path, secret: Path | None, say: Callable[[str], None], *, force: bool = False
) -> Path:
    """Make the instance of `settings` what a backup holds (the newest one, when `source` is a folder); its path.

    `secret` is the file the instance's secret is kept in, None where it is a setting: then it has to be the backup's.
    With `force`, an instance that is there is replaced. Indexes of it are of no use any more, and are made anew at the
    next start. Raises BadBackup, DumpError or AlreadyRunning, with nothing changed.
    """
    path = _chosen(source)
    with opened(path) as backup:
        _ensure_ours(path, backup.manifest)
        say(f"{path}: {sum(backup.manifest.rows.values()):,} rows, of {backup.manifest.created_at:%Y-%m-%d %H:%M} UTC.")
        backup.verify()
        say("Every part is as it was written.")
        async with AsyncExitStack() as stack:
            settings.home.mkdir(parents=True, exist_ok=True, mode=0o700)
            claim_home(settings.model_copy(update={"roles": ROLES}), stack)
            keep = stack.enter_context(_prepared(secret, b"".join(backup.read(SECRET)), settings))
            url = await stack.enter_async_context(reachable(settings))
            await _ensure_free(url, backup.manifest, force)
            await _load(url, backup, say)
            keep()
            shutil.rmtree(settings.home / "search", ignore_errors=True)
            await migrate(url)
    return path


async def _load(url: str, backup: Backup, say: Callable[[str], None]) -> None:
    held = backup.manifest
    contents = dump.Contents(held.server, held.migrations, held.rows)
    await dump.load(url, _told(backup.read(DATABASE), held.parts[DATABASE].size, say), contents)


def _named(target: Path, at: datetime) -> Path:
    return target / f"devlore-{at:%Y%m%dT%H%M%SZ}.tar" if target.is_dir() else target


def _chosen(source: Path) -> Path:
    if not source.is_dir():
        return source
    # Their names sort by time.
    if backups := sorted(source.glob(_PATTERN)):
        return backups[-1]
    raise BadBackup(f"There is no backup in {source}: none is named {_PATTERN}.")


def _ensure_ours(path: Path, manifest: Manifest) -> None:
    """Raise BadBackup, or MigrationError, when a newer Devlore made it: this one cannot know what it means."""
    if manifest.format > FORMAT or _numbers(manifest.devlore) > _numbers(__version__):
        raise BadBackup(f"{path} was made by Devlore {manifest.devlore}; this is {__version__}: update it first.")
    lacking(found(), manifest.migrations)


def _numbers(version: str) -> tuple[int, ...]:
    return tuple(int(part) for part in version.split(".") if part.isdigit())


async def _ensure_free(url: str, manifest: Manifest, force: bool) -> None:
    target = await dump.examine(url)
    if target.server < manifest.server:
        raise BadBackup(f"The backup is of PostgreSQL {manifest.server}, this server is {target.server}.")
    if target.served:
        raise AlreadyRunning("A server is connected to this database: stop every process of the instance first.")
    if target.schemas and not force:
        raise BadBackup("This database holds an instance already. --force replaces it, and all that is in it.")


@contextmanager
def _prepared(path: Path | None, secret: bytes, settings: Settings) -> Iterator[Callable[[], None]]:
    """Give what puts the secret in its place, having made sure that it can be put there."""
    if path is None:
        if settings.key() != secret:
            raise BadBackup("The backup is of an instance with another DEVLORE_SECRET: set it to that one's.")
        yield lambda: None
        return
    draft = path.with_name(f".{path.name}.{os.getpid()}")
    # Whoever could read the one before can read this one.
    mode = path.stat().st_mode & 0o777 if path.exists() else 0o600
    try:
        with open(os.open(draft, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "wb") as file:
            file.write(secret)
            os.fchmod(file.fileno(), mode)
            os.fsync(file.fileno())
        yield lambda: os.replace(draft, path)
    finally:
        draft.unlink(missing_ok=True)


def _counting(write: Callable[[bytes], None], say: Callable[[str], None]) -> Callable[[bytes], None]:
    """`write`, which says now and then how much it has written."""
    done = 0

    def counted(chunk: bytes) -> None:
        nonlocal done
        write(chunk)
        before, done = done, done + len(chunk)
        if done // _STEP != before // _STEP:
            say(f"{done:,} bytes …")

    return counted


def _told(chunks: Iterable[bytes], size: int, say: Callable[[str], None]) -> Iterator[bytes]:
    """The same chunks; says now and then how much of `size` has gone by."""
    done = 0
    for chunk in chunks:
        yield chunk
        before, done = done, done + len(chunk)
        if done // _STEP != before // _STEP:
            say(f"{done:,} of {size:,} bytes …")
