"""A whole database, every tenant's rows included, as PostgreSQL's own archive; and putting one back, all or nothing.

Both run PostgreSQL's programs: the wheel's, or those of the PATH when the server is newer than the wheel.
"""

from __future__ import annotations

import asyncio
import os
import shutil
import time
from asyncio.subprocess import PIPE, Process
from collections.abc import Awaitable, Callable, Iterable
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import LiteralString

from psycopg import AsyncConnection, conninfo, sql
from psycopg.rows import TupleRow

from devlore_server.kit.embedded import MAJOR, tool
from devlore_server.kit.migrate import APP, prepare

CHUNK = 1 << 20
_SAID = 2_000
_SNAPSHOT: LiteralString = "BEGIN ISOLATION LEVEL REPEATABLE READ, READ ONLY"
_MAY: LiteralString = "SELECT rolsuper FROM pg_roles WHERE rolname = current_user"
_SCHEMAS: LiteralString = """
    SELECT n.nspname FROM pg_namespace n JOIN pg_roles r ON r.oid = n.nspowner
    WHERE r.rolname = 'devlore_owner' ORDER BY 1"""
_TABLES: LiteralString = """
    SELECT n.nspname, c.relname FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace
    WHERE n.nspname = ANY (%s) AND c.relkind = 'r' ORDER BY 1, 2"""
_SERVED: LiteralString = """
    SELECT count(*) FROM pg_stat_activity WHERE usename = %s AND datname = current_database()"""
_LEAVING_SECONDS = 5.0
# HNSW graphs that fit into memory are built many times faster.
_BEGIN = "BEGIN; SET LOCAL lock_timeout = '10s'; SET LOCAL maintenance_work_mem = '256MB';\n"
_END = """
SET ROLE devlore_search; SELECT log.adopt(); RESET ROLE;
UPDATE search.lineage SET id = gen_random_uuid();
COMMIT;
"""


class DumpError(RuntimeError):
    """A database cannot be dumped or restored; the message says why, and nothing was changed."""


@dataclass(frozen=True, slots=True)
class Contents:
    """What a dump holds: the server's major version, checksums of migrations by name, rows by table."""

    server: int
    migrations: dict[str, str]
    rows: dict[str, int]


@dataclass(frozen=True, slots=True)
class Target:
    """A database to restore into: what Devlore keeps there already, and whether a server is connected to it."""

    server: int
    schemas: list[str]
    served: bool


async def dump(url: str, write: Callable[[bytes], None]) -> Contents:
    """Hand a consistent archive (custom format) of everything Devlore keeps to `write`, while writes go on.

    `url` is a superuser's: row-level security hides rows from everybody else. Raises DumpError.
    """
    async with await _connect(url) as connection:
        await connection.execute("SET idle_in_transaction_session_timeout = 0")
        await connection.execute(_SNAPSHOT)
        schemas = await _schemas(connection)
        if not schemas:
            raise DumpError("There is nothing to back up: this database holds no Devlore instance.")
        ((snapshot,),) = await _rows(connection, "SELECT pg_export_snapshot()")
        wanted = [f"--schema={schema}" for schema in schemas]
        process = await _spawn(
            url, "pg_dump", _major(connection), "--format=custom", f"--snapshot={snapshot}", *wanted, stdout=PIPE
        )
        await _ended(process, _drained(process, write))
        return await _contents(connection, schemas)


async def examine(url: str) -> Target:
    """What is at `url`, which must be a superuser's. Raises DumpError."""
    async with await _connect(url) as connection:
        return Target(_major(connection), await _schemas(connection), await _is_served(connection))


async def _is_served(connection: AsyncConnection[TupleRow]) -> bool:
    """Whether a server stays connected: PostgreSQL ends the sessions of one that has just stopped a moment later."""
    until = time.monotonic() + _LEAVING_SECONDS
    while await _rows(connection, _SERVED, APP) != [(0,)]:
        if time.monotonic() > until:
            return True
        await asyncio.sleep(0.1)
    return False


async def load(url: str, archive: Iterable[bytes], expected: Contents) -> None:
    """Replace whatever Devlore keeps in a database by an archive, in one transaction.

    Roles come first, then everything with its owner and rights; tables must end up with as many rows as `expected`. The
    log is made readable for a server whose transactions are numbered anew, and every full-text index made before is
    disowned (`search.lineage`). Raises DumpError; nothing was changed then.
    """
    async with await _connect(url) as connection:
        await prepare(connection)
        dropped = [sql.SQL("DROP SCHEMA {} CASCADE;\n").format(sql.Identifier(s)) for s in await _schemas(connection)]
        first = _BEGIN + "".join(statement.as_string(connection) for statement in dropped)
        last = "".join(_counted(connection, table, rows) for table, rows in expected.rows.items()) + _END
        major = _major(connection)
    psql = await _spawn(
        url, "psql", major, "--no-psqlrc", "--quiet", "--set=ON_ERROR_STOP=1", "--output=/dev/null", stdin=PIPE
    )
    # Without a URL it writes SQL instead of connecting.
    restore = await _spawn("", "pg_restore", major, "--format=custom", "--file=-", stdin=PIPE, stdout=PIPE)
    await _ended(psql, _piped(archive, restore, psql, first, last))


def _counted(connection: AsyncConnection[TupleRow], table: str, rows: int) -> str:
    """A statement that fails unless a table has so many rows."""
    statement = sql.SQL(
        "DO $check$ BEGIN IF (SELECT count(*) FROM {}) <> {} THEN RAISE EXCEPTION '% does not have {} rows', {};"
        " END IF; END $check$;\n"
    )
    number = sql.Literal(rows)
    return statement.format(sql.Identifier(*table.split(".", 1)), number, number, sql.Literal(table)).as_string(
        connection
    )


async def _connect(url: str) -> AsyncConnection[TupleRow]:
    connection = await AsyncConnection.connect(url, autocommit=True)
    if await _rows(connection, _MAY) != [(True,)]:
        await connection.close()
        raise DumpError(
            "DEVLORE_DATABASE_URL must be a superuser's for this: row-level security hides rows from everybody else."
        )
    return connection


async def _rows(
    connection: AsyncConnection[TupleRow], query: LiteralString, *parameters: str | list[str]
) -> list[TupleRow]:
    return await (await connection.execute(query, parameters)).fetchall()


async def _schemas(connection: AsyncConnection[TupleRow]) -> list[str]:
    return [name for (name,) in await _rows(connection, _SCHEMAS)]


async def _contents(connection: AsyncConnection[TupleRow], schemas: list[str]) -> Contents:
    rows = {}
    for schema, table in await _rows(connection, _TABLES, schemas):
        count = sql.SQL("SELECT count(*) FROM {}").format(sql.Identifier(schema, table))
        found = await (await connection.execute(count)).fetchone()
        rows[f"{schema}.{table}"] = found[0] if found else 0
    applied = await _rows(connection, "SELECT name, checksum FROM migration.applied ORDER BY name")
    return Contents(_major(connection), dict(applied), rows)


def _major(connection: AsyncConnection[TupleRow]) -> int:
    return connection.info.server_version // 10_000


async def _spawn(
    url: str, name: str, major: int, *arguments: str, stdin: int | None = None, stdout: int | None = None
) -> Process:
    """Start one of PostgreSQL's programs; a password goes where other users of the machine cannot read it."""
    parts = conninfo.conninfo_to_dict(url)
    password = parts.pop("password", None)
    environment = dict(os.environ) | ({"PGPASSWORD": str(password)} if password else {})
    target = [f"--dbname={conninfo.make_conninfo('', **parts)}"] if url else []
    return await asyncio.create_subprocess_exec(
        str(_program(name, major)), *target, *arguments, env=environment, stdin=stdin, stdout=stdout, stderr=PIPE
    )


def _program(name: str, major: int) -> Path:
    if major <= int(MAJOR):
        return tool(name)
    found = shutil.which(name)
    if found is None:
        raise DumpError(f"The server is PostgreSQL {major}: install the client programs of that version ({name}).")
    return Path(found)


async def _drained(process: Process, write: Callable[[bytes], None]) -> None:
    assert process.stdout is not None
    while chunk := await process.stdout.read(CHUNK):
        write(chunk)


async def _piped(archive: Iterable[bytes], restore: Process, psql: Process, first: str, last: str) -> None:
    """Have `psql` run `first`, what `restore` makes of the archive, and `last` only if that was everything."""
    assert restore.stdin is not None and restore.stdout is not None and psql.stdin is not None
    psql.stdin.write(first.encode())
    feeding = asyncio.create_task(_fed(archive, restore.stdin))
    try:
        while chunk := await restore.stdout.read(CHUNK):
            psql.stdin.write(chunk)
            await psql.stdin.drain()
        await _ended(restore, feeding)
        psql.stdin.write(last.encode())
        await psql.stdin.drain()
    except (BrokenPipeError, ConnectionResetError):
        # It has ended and says why, unless the archive told it to.
        if await psql.wait() == 0:
            raise DumpError("psql ended before the archive did.") from None
    finally:
        feeding.cancel()
        await asyncio.gather(feeding, return_exceptions=True)
        # What it has not been told to commit, it forgets.
        psql.stdin.close()
        await _end(restore)


async def _fed(archive: Iterable[bytes], stdin: asyncio.StreamWriter) -> None:
    try:
        with suppress(BrokenPipeError, ConnectionResetError):
            for chunk in archive:
                stdin.write(chunk)
                await stdin.drain()
    finally:
        stdin.close()


async def _ended(process: Process, work: Awaitable[None]) -> None:
    """Do some work with a process, then wait for its end. Raises DumpError, with what it said, when it failed."""
    assert process.stderr is not None
    saying = asyncio.create_task(process.stderr.read())
    try:
        await work
        said = (await saying).decode(errors="replace").strip()
        if await process.wait() != 0:
            raise DumpError(said[-_SAID:] or f"A program of PostgreSQL ended with {process.returncode}.")
    finally:
        saying.cancel()
        await _end(process)


async def _end(process: Process) -> None:
    if process.returncode is None:
        process.kill()
        await process.wait()
