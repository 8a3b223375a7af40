"""Every table, with the app's own role and somebody else's context: nothing of Ann's is read, changed or put in."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cache
from typing import Any

import psycopg
import pytest
from psycopg import sql
from psycopg.types.json import Jsonb

from devlore_server.kit.migrate import app_url
from tests.isolation.cast import ACME, Cast
from tests.isolation.catalogue import APP, OF_ONE_PERSON, PERSONAL, SHARED, Table, rows, tables
from tests.isolation.probes import Leaks

pytestmark = pytest.mark.asyncio(loop_scope="module")
NIL = "00000000-0000-0000-0000-000000000000"


@dataclass(frozen=True)
class Context:
    """Whom a transaction says it is for."""

    name: str
    organisation: str = NIL
    person: str = NIL
    teams: str = "{}"


def outsiders(cast: Cast) -> list[Context]:
    """Everybody who is not of Acme, and those who say they are Ann somewhere else."""
    ann, gil, team = cast["ann"], cast["gil"], cast.ids["team"][0]
    return [
        Context("nobody"),
        Context("gil", gil.organisation, gil.id),
        Context("gil, with Ann's team", gil.organisation, gil.id, f"{{{team}}}"),
        Context("gil, with Acme's id for a person", gil.organisation, ann.organisation),
        Context("an organisation that is none", "ffffffff-ffff-ffff-ffff-ffffffffffff", gil.id),
    ]


def colleagues(cast: Cast) -> list[Context]:
    """Everybody of Acme who is not Ann."""
    where, team = cast["ann"].organisation, cast.ids["team"][0]
    return [
        Context("nobody of Acme", where),
        Context("olga", where, cast["olga"].id),
        Context("carl", where, cast["carl"].id),
        Context("carl, with a team that is none", where, cast["carl"].id, "{ffffffff-ffff-ffff-ffff-ffffffffffff}"),
        Context("ben", where, cast["ben"].id, f"{{{team}}}"),
    ]


@contextmanager
def acting(url: str, context: Context) -> Iterator[psycopg.Connection[Any]]:
    """A transaction of the app for somebody, undone in the end."""
    with psycopg.connect(app_url(url)) as connection:
        for name, value in (
            ("organisation", context.organisation),
            ("person", context.person),
            ("teams", context.teams),
        ):
            connection.execute("SELECT set_config('app.' || %s, %s, true)", (name, value))
        yield connection
        connection.rollback()


def attempt(connection: psycopg.Connection[Any], query: sql.SQL | sql.Composed, *parameters: Any) -> int | str:
    """How many rows a statement found or changed, or the SQLSTATE it was refused with."""
    try:
        with connection.transaction(force_rollback=True):
            cursor = connection.execute(query, parameters)
            return int(cursor.rowcount)
    except psycopg.Error as error:
        return error.sqlstate or "?"


@cache
def granted(url: str, table: str) -> set[str]:
    """What the app may do to a table at all, to some column at least."""
    found = rows(
        url,
        "SELECT DISTINCT privilege_type::text FROM information_schema.column_privileges"
        " WHERE grantee = %s AND table_schema || '.' || table_name = %s UNION"
        " SELECT privilege_type::text FROM information_schema.role_table_grants"
        " WHERE grantee = %s AND table_schema || '.' || table_name = %s",
        APP, table, APP, table,
    )  # fmt: skip
    return {privilege for (privilege,) in found}


def name_of(table: str) -> sql.Composable:
    return sql.Identifier(*table.split("."))


@cache
def writable(url: str, table: str) -> list[str]:
    """The columns a row can be put in with."""
    query = (
        "SELECT attname::text FROM pg_attribute WHERE attrelid = to_regclass(%s) AND attnum > 0 AND NOT attisdropped"
        " AND attidentity = '' AND attgenerated = ''"
    )
    return [column for (column,) in rows(url, query, table)]


def of_acme(cast: Cast, table: Table) -> list[dict[str, Any]]:
    """Rows that no outsider may see, read past every policy."""
    column, values = whose(cast, table)
    return _of(cast.stage.owner_url, table.name, column, tuple(values))


@cache
def _of(url: str, table: str, column: str, values: tuple[str, ...]) -> list[dict[str, Any]]:
    query = sql.SQL("SELECT to_jsonb(t) FROM {} AS t WHERE {}::text = ANY (%s) LIMIT 50")
    with psycopg.connect(url) as connection:
        found = connection.execute(query.format(name_of(table), sql.Identifier(column)), (list(values),))
        return [row for (row,) in found.fetchall()]


def whose(cast: Cast, table: Table) -> tuple[str, list[str]]:
    """The column and the values that make a row of a table Acme's."""
    if table.tenant:
        return "organisation_id", [cast["ann"].organisation]
    return PERSONAL[table.name], [cast["ann"].id]


def everybodys(cast: Cast) -> list[Table]:
    """The tables in which somebody has rows."""
    return [one for one in _tables(cast.stage.owner_url) if one.name not in SHARED]


_tables = cache(tables)


async def test_ann_has_rows_in_every_table(cast: Cast) -> None:
    leaves = {one.name for one in everybodys(cast) if one.partition}
    empty = {one.name for one in everybodys(cast) if not of_acme(cast, one)} - leaves
    assert empty == set(), "a wall around nothing proves nothing"


async def test_no_outsider_reads_or_changes_a_row(cast: Cast) -> None:
    leaks, url = Leaks("SQL of outsiders"), cast.stage.owner_url
    for context in outsiders(cast):
        with acting(url, context) as connection:
            for table in everybodys(cast):
                column, values = whose(cast, table)
                for query, allowed in _statements(url, table, column):
                    told = attempt(connection, query, values)
                    leaks.same(told if told not in allowed else 0, 0, f"{context.name}: {query.as_string()}")
    leaks.assert_none()


async def test_no_outsider_puts_a_row_in(cast: Cast) -> None:
    leaks, url = Leaks("SQL of outsiders"), cast.stage.owner_url
    for context in outsiders(cast):
        with acting(url, context) as connection:
            for table in everybodys(cast):
                for row in of_acme(cast, table)[:5]:
                    told = _put(connection, url, table.name, row)
                    leaks.same(told, "42501", f"{context.name} puts a row into {table.name}")
    leaks.assert_none()


async def test_no_row_of_ones_own_moves_to_another_organisation(cast: Cast) -> None:
    leaks, url = Leaks("SQL of outsiders"), cast.stage.owner_url
    ann, gil = cast["ann"], cast["gil"]
    context = Context("gil", gil.organisation, gil.id, f"{{{cast.ids['team of gil'][0]}}}")
    tried = 0
    for table in everybodys(cast):
        if not table.tenant or table.partition or "UPDATE" not in granted(url, table.name):
            continue
        with acting(url, context) as connection:
            query = sql.SQL("UPDATE {} SET organisation_id = %s WHERE organisation_id = %s")
            told = attempt(connection, query.format(name_of(table.name)), ann.organisation, gil.organisation)
            tried += told != 0
            # 23503: the new organisation has no such parent; the row stays where it is all the same.
            leaks.same(told in (0, "42501", "23503"), True, f"a row of {table.name} moves: {told}")
    assert tried >= 5, "Gil has rows to move"
    leaks.assert_none()


async def test_what_is_one_persons_is_hidden_from_colleagues(cast: Cast) -> None:
    leaks, url, ann = Leaks("SQL of colleagues"), cast.stage.owner_url, cast["ann"]
    personal = {name: column for name, column in PERSONAL.items() if name != "identity.person"}
    for table in everybodys(cast):
        column = (OF_ONE_PERSON | personal).get(table.name)
        if column is None:
            continue
        for context in colleagues(cast):
            with acting(url, context) as connection:
                for query, allowed in _statements(url, table, column):
                    told = attempt(connection, query, [ann.id])
                    leaks.same(told if told not in allowed else 0, 0, f"{context.name}: {query.as_string()}")
                for row in [one for one in of_acme(cast, table) if one[column] == ann.id][:3]:
                    told = _put(connection, url, table.name, row)
                    leaks.same(told, "42501", f"{context.name} puts a row into {table.name}")
    leaks.assert_none()


async def test_memories_and_their_past_are_for_those_they_are_for(cast: Cast) -> None:
    leaks, url = Leaks("SQL of colleagues"), cast.stage.owner_url
    for context in [*colleagues(cast), *outsiders(cast)]:
        name = context.name.partition(",")[0]
        # The server itself, for an organisation and nobody in it, sees what everybody there does.
        words = [w for w in cast.forbidden(name) if name != "nobody of Acme" or not cast.words[w] >= set(ACME)]
        with acting(url, context) as connection:
            for table in ("memory.memory", "memory.version"):
                query = sql.SQL("SELECT t::text FROM {} AS t").format(name_of(table))
                text = "\n".join(str(row) for row in connection.execute(query).fetchall())
                leaks.same([word for word in words if word in text], [], f"{context.name} reads {table}")
                if name in ("olga", "carl", "ben"):
                    assert "cnrypublictitle" in text or table == "memory.version"
    leaks.assert_none()


async def test_no_table_tells_an_outsider_a_word(cast: Cast) -> None:
    leaks, url = Leaks("SQL of outsiders"), cast.stage.owner_url
    words = [word for word, readers in cast.words.items() if not readers & {"gus", "gina", "gil", "ed-home"}]
    ids = {cast["ann"].id, cast["ann"].organisation, *cast.ids["memory"]}
    assert len(words) > 50
    for context in outsiders(cast):
        with acting(url, context) as connection:
            for table in tables(url):
                if "SELECT" not in granted(url, table.name):
                    continue
                found = connection.execute(sql.SQL("SELECT t::text FROM {} AS t").format(name_of(table.name)))
                text = "\n".join(row[0] for row in found.fetchall())
                known = [*words, *ids - {context.person, context.organisation}]
                leaks.same([one for one in known if one in text], [], f"{context.name} reads {table.name}")
    leaks.assert_none()


def _statements(url: str, table: Table, column: str) -> Iterator[tuple[sql.Composed, tuple[object, ...]]]:
    """What is tried on the rows of somebody else, and the refusals that are no answer."""
    rights = granted(url, table.name)
    refused, name = ("42501",), name_of(table.name)
    where = sql.SQL(" WHERE {}::text = ANY (%s)").format(sql.Identifier(column))
    every = {
        "SELECT": sql.SQL("SELECT FROM {}").format(name),
        "UPDATE": sql.SQL("UPDATE {} SET {} = {}").format(name, *[sql.Identifier(column)] * 2),
        "DELETE": sql.SQL("DELETE FROM {}").format(name),
        "lock": sql.SQL("SELECT FROM {}").format(name),
    }
    for command, query in every.items():
        locking = sql.SQL(" FOR UPDATE") if command == "lock" else sql.SQL("")
        yield query + where + locking, () if command in rights else refused


def _put(connection: psycopg.Connection[Any], url: str, table: str, row: dict[str, Any]) -> int | str:
    columns = [sql.Identifier(column) for column in writable(url, table)]
    query = sql.SQL("INSERT INTO {} ({}) SELECT {} FROM jsonb_populate_record(NULL::{}, %s)")
    listed = sql.SQL(", ").join(columns)
    return attempt(connection, query.format(name_of(table), listed, listed, name_of(table)), Jsonb(row))
