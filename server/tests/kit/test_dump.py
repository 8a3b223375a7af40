"""Dumping and loading a database: of one moment, whole or not at all, with the programs that fit the server."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import psycopg
import pytest

from devlore_server.kit import dump
from devlore_server.kit.dump import Contents, DumpError, examine, load
from devlore_server.kit.migrate import dump_schema

COUNT = "SELECT (SELECT count(*) FROM log.consumer), (SELECT id FROM search.lineage)"


def held(url: str) -> tuple[object, ...]:
    with psycopg.connect(url) as connection:
        found = connection.execute(COUNT).fetchone()
    assert found is not None
    return found


def add(url: str, name: str) -> None:
    with psycopg.connect(url) as connection:
        connection.execute("INSERT INTO log.consumer (name) VALUES (%s)", (name,))


async def dumped(url: str) -> tuple[list[bytes], Contents]:
    chunks: list[bytes] = []
    return chunks, await dump.dump(url, chunks.append)


async def test_what_was_dumped_comes_back_and_the_rest_is_gone(owner_url: str) -> None:
    add(owner_url, "before")
    schema = await dump_schema(owner_url)
    chunks, contents = await dumped(owner_url)
    assert contents.rows["log.consumer"] == 1
    add(owner_url, "after")
    with psycopg.connect(owner_url, autocommit=True) as connection:
        connection.execute("SET ROLE devlore_owner")
        connection.execute("CREATE SCHEMA later; CREATE TABLE later.thing (id int)")
    await load(owner_url, chunks, contents)
    assert held(owner_url)[0] == 1
    assert await dump_schema(owner_url) == schema


async def test_rows_and_archive_are_of_one_moment(owner_url: str) -> None:
    """A row that is written while the archive is made is neither in it nor counted."""

    def write(chunk: bytes) -> None:
        chunks.append(chunk)
        add(owner_url, f"meanwhile {len(chunks)}")

    chunks: list[bytes] = []
    contents = await dump.dump(owner_url, write)
    assert contents.rows["log.consumer"] == 0
    assert held(owner_url)[0] == len(chunks) > 0
    await load(owner_url, chunks, contents)
    assert held(owner_url)[0] == 0


class Trouble(Exception):
    """The disk with the archive is gone."""


async def test_an_archive_that_breaks_off_changes_nothing(owner_url: str) -> None:
    chunks, contents = await dumped(owner_url)
    add(owner_url, "after")
    before, schema = held(owner_url), await dump_schema(owner_url)
    whole = b"".join(chunks)

    def breaking() -> Iterator[bytes]:
        yield whole[: len(whole) * 9 // 10]
        raise Trouble

    with pytest.raises(Trouble):
        await load(owner_url, breaking(), contents)
    for share in (0.1, 0.5, 0.9, 0.99):
        with pytest.raises(DumpError):
            await load(owner_url, [whole[: int(len(whole) * share)]], contents)
    assert held(owner_url) == before
    assert await dump_schema(owner_url) == schema


async def test_somebody_elses_schema_in_the_way_stops_it(owner_url: str) -> None:
    chunks, contents = await dumped(owner_url)
    with psycopg.connect(owner_url, autocommit=True) as connection:
        connection.execute("ALTER SCHEMA gateway OWNER TO postgres")
    with pytest.raises(DumpError, match='schema "gateway" already exists'):
        await load(owner_url, chunks, contents)
    assert "search" in (await examine(owner_url)).schemas


async def test_every_load_begins_another_lineage(owner_url: str) -> None:
    chunks, contents = await dumped(owner_url)
    seen = {held(owner_url)[1]}
    for _ in range(2):
        await load(owner_url, chunks, contents)
        seen.add(held(owner_url)[1])
    assert len(seen) == 3


async def test_a_connected_server_is_noticed(owner_url: str, database_url: str) -> None:
    assert not (await examine(owner_url)).served
    with psycopg.connect(database_url):
        assert (await examine(owner_url)).served


async def test_nobody_answering_is_said() -> None:
    with pytest.raises(psycopg.OperationalError, match="Connection refused"):
        await examine("postgresql://postgres@127.0.0.1:1/devlore")


def test_a_newer_server_needs_its_own_programs(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(DumpError, match="PostgreSQL 99: install the client programs"):
        dump._program("pg_dump", 99)
    (tmp_path / "pg_dump").write_text("")
    (tmp_path / "pg_dump").chmod(0o755)
    assert dump._program("pg_dump", 99) == tmp_path / "pg_dump"
    assert dump._program("pg_dump", 16).parent.name == "bin"
