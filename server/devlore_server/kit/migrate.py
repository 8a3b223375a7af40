"""Migrations: roles, numbered SQL files per service, what was applied, and the schema as a text to compare.

``python -m devlore_server.kit.migrate`` writes ``server/migrations/schema.sql`` afresh.
"""

from __future__ import annotations

import asyncio
import hashlib
import hmac
import os
import re
import tempfile
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import LiteralString

from psycopg import AsyncConnection, conninfo, sql
from psycopg.rows import TupleRow

from devlore_server.kit.embedded import EmbeddedPostgres, tool

_PACKAGE = Path(__file__).resolve().parents[1]
MIGRATIONS = next((p for p in (_PACKAGE / "migrations", _PACKAGE.parent / "migrations") if p.is_dir()), _PACKAGE)
"""Inside the installed package, or beside it in a checkout."""
OWNER, APP = "devlore_owner", "devlore_app"
PHASES = ("pre", "post")
LOCK_TIMEOUT = "5s"
"""A migration that waits longer for a table fails: everybody else queues behind it meanwhile."""

_NAME = re.compile(r"(?P<number>\d{4})_(?P<phase>pre|post)_[a-z0-9_]+\.sql")
_LOCK_KEY = 0x6465_766C_6F72_6501
_OUTSIDE_TRANSACTION = "-- outside a transaction"
_APPLIED: LiteralString = """
-- Taking over a function needs CREATE on its schema; nobody signs in as devlore_search, so nobody else gains by it.
ALTER DEFAULT PRIVILEGES GRANT USAGE, CREATE ON SCHEMAS TO devlore_search;
ALTER DEFAULT PRIVILEGES REVOKE EXECUTE ON FUNCTIONS FROM PUBLIC;
CREATE SCHEMA IF NOT EXISTS migration;
CREATE TABLE IF NOT EXISTS migration.applied (
    name       text        PRIMARY KEY,
    checksum   text        NOT NULL,
    applied_at timestamptz NOT NULL DEFAULT now()
);
GRANT USAGE ON SCHEMA migration TO devlore_app;
GRANT SELECT ON migration.applied TO devlore_app;
"""


class MigrationError(RuntimeError):
    """A migration cannot be applied as it is; the message names the file."""


@dataclass(frozen=True, slots=True)
class Migration:
    """One file: ``<service>/NNNN_pre_*.sql`` (before the new code runs) or ``NNNN_post_*.sql`` (after)."""

    name: str
    phase: str
    text: str

    @property
    def checksum(self) -> str:
        return hashlib.sha256(self.text.encode()).hexdigest()


def found(root: Path = MIGRATIONS) -> list[Migration]:
    """Every migration below ``root`` in the order to apply: all ``pre`` by service and number, then all ``post``."""
    migrations = []
    for path in sorted(root.glob("*/*.sql")):
        match = _NAME.fullmatch(path.name)
        if match is None:
            raise MigrationError(f"{path} is not named NNNN_pre_what.sql or NNNN_post_what.sql")
        migrations.append(Migration(f"{path.parent.name}/{path.name}", match["phase"], path.read_text()))
    return sorted(migrations, key=lambda m: (PHASES.index(m.phase), m.name))


async def migrate(superuser_url: str, root: Path = MIGRATIONS, phases: Iterable[str] = PHASES) -> list[str]:
    """Bring a database up to date and return the names of what was applied.

    Only one process migrates a database at a time; others wait. A file that was applied and then edited, or is
    gone, raises ``MigrationError``: migrations only go forward. So does a URL of ``devlore_app``, which may change
    nothing, for a database that is not up to date.
    """
    if conninfo.conninfo_to_dict(superuser_url).get("user") == APP:
        if missing := await pending(superuser_url, root):
            raise MigrationError(
                f"Run `devlore-server migrate` as the owner first: {len(missing)} migrations are missing."
            )
        return []
    wanted = set(phases)
    connection = await AsyncConnection.connect(superuser_url, autocommit=True)
    async with connection:
        await connection.execute("SET lock_timeout = '120s'")
        await connection.execute("SELECT pg_advisory_lock(%s)", (_LOCK_KEY,))
        await prepare(connection, root)
        await connection.execute("SET ROLE devlore_owner")
        await connection.execute("SET client_min_messages = warning")
        await connection.execute(_APPLIED)
        outstanding = lacking(found(root), await _applied(connection))
        done = [migration for migration in outstanding if migration.phase in wanted]
        for migration in done:
            await _apply(connection, migration)
    return [migration.name for migration in done]


async def pending(url: str, root: Path = MIGRATIONS) -> list[str]:
    """The names of migrations a database still lacks, asked as any role; all of them when it has none."""
    connection = await AsyncConnection.connect(url, autocommit=True)
    async with connection:
        cursor = await connection.execute("SELECT to_regclass('migration.applied') IS NOT NULL")
        known = await cursor.fetchone() == (True,)
        applied = await _applied(connection) if known else {}
    return [migration.name for migration in lacking(found(root), applied)]


def app_url(superuser_url: str) -> str:
    """The same database as ``devlore_app``.

    Where the superuser has a password, the app's is derived from it, so that there is one secret to keep
    and the app's does not reveal it.
    """
    parts = conninfo.conninfo_to_dict(superuser_url)
    if parts.get("user") == APP:
        return superuser_url
    password = parts.pop("password", None) or os.environ.get("PGPASSWORD")
    if password:
        parts["password"] = app_password(str(password))
    return conninfo.make_conninfo("", **{**parts, "user": APP})


async def dump_schema(url: str) -> str:
    """The schema of a database as SQL, the same text for the same schema; roles are in ``roles.sql``."""
    command = [str(tool("pg_dump")), "--schema-only", "--no-comments", "--exclude-extension=*", "--dbname", url]
    process = await asyncio.create_subprocess_exec(*command, stdout=asyncio.subprocess.PIPE)
    output, _ = await process.communicate()
    if process.returncode != 0:
        raise MigrationError(f"pg_dump failed with {process.returncode}")
    # Versions and the random token of \restrict change from run to run.
    noise = r"(?m)^(--.*|\\(un)?restrict .*|SET .*|SELECT pg_catalog\.set_config.*|CREATE EXTENSION .*)\n"
    return re.sub(r"\n{2,}", "\n\n", re.sub(noise, "", output.decode())).strip() + "\n"


async def fresh_schema(root: Path = MIGRATIONS) -> str:
    """The schema every migration together makes, taken from a server made for this and thrown away."""
    with tempfile.TemporaryDirectory(prefix="devlore-schema-") as folder:
        postgres = EmbeddedPostgres(Path(folder), durable=False)
        url = await asyncio.to_thread(postgres.start)
        try:
            await migrate(url, root)
            return await dump_schema(url)
        finally:
            await asyncio.to_thread(postgres.stop)


async def prepare(connection: AsyncConnection[TupleRow], root: Path = MIGRATIONS) -> None:
    """Make what belongs to the server rather than to one database: the roles; and the extension."""
    roles = (root / "roles.sql").read_text()
    await connection.execute(roles)
    # Loads the extension's library: until then its settings are unknown, and only a superuser may set them.
    await connection.execute("SELECT '[1]'::public.vector")
    password = connection.info.password
    if password:
        secret = connection.pgconn.encrypt_password(app_password(password).encode(), APP.encode(), b"scram-sha-256")
        statement = sql.SQL("ALTER ROLE {} PASSWORD {}").format(sql.Identifier(APP), sql.Literal(secret.decode()))
        await connection.execute(statement)


async def _applied(connection: AsyncConnection[TupleRow]) -> dict[str, str]:
    cursor = await connection.execute("SELECT name, checksum FROM migration.applied")
    return dict(await cursor.fetchall())


def lacking(migrations: list[Migration], applied: Mapping[str, str]) -> list[Migration]:
    """What of ``migrations`` is not among the ``applied`` (checksums by name); raises ``MigrationError`` when those are
    not of this Devlore or an older one."""
    by_name = {migration.name: migration for migration in migrations}
    for name, checksum in applied.items():
        if name not in by_name:
            raise MigrationError(f"{name} was applied to this database, but this Devlore does not know it: it is older")
        if by_name[name].checksum != checksum:
            raise MigrationError(f"{name} was changed after it had been applied; write a new migration instead")
    return [migration for migration in migrations if migration.name not in applied]


async def _apply(connection: AsyncConnection[TupleRow], migration: Migration) -> None:
    record: LiteralString = "INSERT INTO migration.applied (name, checksum) VALUES (%s, %s)"
    text = migration.text
    await connection.execute("SELECT set_config('lock_timeout', %s, false)", (LOCK_TIMEOUT,))
    try:
        if migration.text.startswith(_OUTSIDE_TRANSACTION):
            # One statement, such as CREATE INDEX CONCURRENTLY IF NOT EXISTS, that may run again after a crash.
            await connection.execute(text)
            await connection.execute(record, (migration.name, migration.checksum))
            return
        async with connection.transaction():
            await connection.execute(text)
            await connection.execute(record, (migration.name, migration.checksum))
    except Exception as error:
        raise MigrationError(f"{migration.name}: {error}") from error


def app_password(password: str) -> str:
    """The password of ``devlore_app`` where the superuser's is this one."""
    return hmac.new(password.encode(), APP.encode(), hashlib.sha256).hexdigest()


if __name__ == "__main__":
    (MIGRATIONS / "schema.sql").write_text(asyncio.run(fresh_schema()))
