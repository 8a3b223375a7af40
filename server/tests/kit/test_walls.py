"""Row-level security, seen with the app's own eyes: who sees, changes and references what."""

from __future__ import annotations

from typing import LiteralString

import psycopg
import pytest
from psycopg.rows import TupleRow

from devlore_server.kit.auth import Principal
from devlore_server.kit.db import Database
from devlore_server.kit.ids import new_id

MEMORY: LiteralString = """
    INSERT INTO memory.memory (organisation_id, id, team_id, kind, title, body, privacy, occurred_at, created_at,
                               updated_at, created_by, changed_by)
    VALUES (%(organisation)s, %(id)s, %(team)s, 'note', 't', 'b', %(privacy)s, now(), now(), now(),
            %(person)s, %(person)s)"""


VERSION: LiteralString = """
    INSERT INTO memory.version (organisation_id, memory_id, version, change, changed_at, changed_by, state)
    VALUES (%(organisation)s, %(id)s, 1, 'created', now(), %(person)s, '{}')"""
LINK: LiteralString = """
    INSERT INTO memory.link (organisation_id, id, memory_id, type, target_kind, target, target_id, created_at,
                             created_by)
    VALUES (%(organisation)s, %(link)s, %(id)s, 'relates', 'memory', 'x', %(id)s, now(), %(person)s)"""


def ask(url: str, query: LiteralString) -> list[TupleRow]:
    with psycopg.connect(url, autocommit=True) as connection:
        return connection.execute(query).fetchall()


async def put(database: Database, who: Principal, privacy: str = "public") -> dict[str, object]:
    """A memory of ``who``, a past version of it and a link to it, as rows."""
    values: dict[str, object] = {"organisation": who.organisation, "id": new_id(), "person": who.person}
    values |= {"privacy": privacy, "team": next(iter(who.teams)), "link": new_id()}
    async with database.transaction(who) as connection:
        await connection.execute(MEMORY, values)
        await connection.execute(VERSION, values)
        await connection.execute(LINK, values)
    return values


async def seen(database: Database, who: Principal | None) -> int:
    async with database.transaction(who) as connection:
        found = await (await connection.execute("SELECT count(*) FROM memory.memory")).fetchone()
    return int(found[0]) if found else 0


async def test_nobody_sees_nothing(database: Database, who: Principal) -> None:
    await put(database, who)
    assert (await seen(database, who), await seen(database, None)) == (1, 0)


@pytest.mark.parametrize(("privacy", "expected"), [("private", 0), ("team", 0), ("public", 1)])
async def test_who_sees_what(
    database: Database, who: Principal, other: Principal, stranger: Principal, privacy: str, expected: int
) -> None:
    await put(database, who, privacy)
    mate = Principal(other.organisation, other.person, who.teams)
    spy = Principal(stranger.organisation, who.person, who.teams)
    assert await seen(database, who) == 1
    assert await seen(database, other) == expected
    assert await seen(database, mate) == (0 if privacy == "private" else 1)
    assert await seen(database, stranger) == await seen(database, spy) == 0


async def test_nobody_and_strangers_can_write_nothing(database: Database, who: Principal, stranger: Principal) -> None:
    values = await put(database, who)
    for caller in (None, stranger):
        with pytest.raises(psycopg.errors.InsufficientPrivilege):
            async with database.transaction(caller) as connection:
                await connection.execute(MEMORY, values | {"id": new_id()})
        async with database.transaction(caller) as connection:
            assert (await connection.execute("UPDATE memory.memory SET title = 'x'")).rowcount == 0
            assert (await connection.execute("DELETE FROM memory.memory")).rowcount == 0


async def test_nobody_creates_in_the_name_of_another(database: Database, who: Principal, other: Principal) -> None:
    with pytest.raises(psycopg.errors.InsufficientPrivilege):
        async with database.transaction(who) as connection:
            values = {"organisation": who.organisation, "id": new_id(), "person": other.person}
            await connection.execute(MEMORY, values | {"privacy": "public", "team": None})


async def test_a_purge_takes_versions_and_links_along(database: Database, who: Principal, owner_url: str) -> None:
    values = await put(database, who)
    async with database.transaction(who) as connection:
        await connection.execute("DELETE FROM memory.memory WHERE id = %(id)s", values)
    assert ask(owner_url, "SELECT (SELECT count(*) FROM memory.version) + (SELECT count(*) FROM memory.link)") == [(0,)]


async def test_a_reference_to_a_strangers_row_is_no_reference(
    database: Database, who: Principal, stranger: Principal
) -> None:
    values = await put(database, who)
    with pytest.raises(psycopg.errors.ForeignKeyViolation):
        async with database.transaction(stranger) as connection:
            await connection.execute(VERSION, values | {"organisation": stranger.organisation})


async def test_the_policies_context_is_read_once_per_statement(database: Database, who: Principal) -> None:
    await put(database, who)
    async with database.transaction(who) as connection:
        plan = await (await connection.execute("EXPLAIN SELECT * FROM memory.memory")).fetchall()
    text = "\n".join(line for (line,) in plan)
    assert text.count("InitPlan") >= 3
    assert "current_setting" not in text.split("InitPlan")[0]
