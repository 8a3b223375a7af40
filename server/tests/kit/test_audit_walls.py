"""What the server's database role can do to the audit trail: add leaves of its context, and nothing else."""

from __future__ import annotations

from typing import LiteralString

import psycopg
import pytest

from devlore_server.kit.audit import Leaf, append
from devlore_server.kit.auth import Principal
from devlore_server.kit.db import Connection, Database, rows
from tests.kit.audited import leaves

NEWEST: LiteralString = "SELECT * FROM audit.newest('infinity', %s, '-infinity', NULL, NULL, NULL, NULL, NULL, 100)"
FOLLOW: LiteralString = (
    "SELECT * FROM audit.follow('0', %s, '-infinity', 'infinity', NULL, NULL, NULL, NULL, NULL, 100)"
)


async def put(database: Database, who: Principal) -> None:
    async with database.transaction(who) as connection:
        await append(connection, who, Leaf("team.created"))


async def refused(database: Database, who: Principal, statement: LiteralString) -> None:
    with pytest.raises(psycopg.errors.InsufficientPrivilege):
        async with database.transaction(who) as connection:
            await connection.execute(statement)


@pytest.mark.parametrize(
    "statement",
    [
        "SELECT * FROM audit.leaf",
        "SELECT count(*) FROM audit.leaf",
        "SELECT hash FROM audit.leaf LIMIT 1",
        "UPDATE audit.leaf SET action = 'x'",
        "UPDATE audit.leaf SET xid = '1'",
        "DELETE FROM audit.leaf",
        "TRUNCATE audit.leaf",
        "INSERT INTO audit.leaf (organisation_id, id) SELECT organisation_id, id FROM audit.leaf",
        "INSERT INTO audit.leaf DEFAULT VALUES RETURNING id",
        "ALTER TABLE audit.leaf DISABLE ROW LEVEL SECURITY",
        "ALTER TABLE audit.leaf DETACH PARTITION audit.leaf_1999_01",
        "DROP TABLE audit.leaf",
        "CREATE TABLE audit.mine (n int)",
        "SET ROLE devlore_audit",
        "SET ROLE devlore_owner",
    ],
)
async def test_the_app_only_adds(database: Database, who: Principal, owner_url: str, statement: LiteralString) -> None:
    await put(database, who)
    before = leaves(owner_url)
    await refused(database, who, statement)
    assert leaves(owner_url) == before


@pytest.mark.parametrize("what", ["SELECT * FROM", "DELETE FROM", "TRUNCATE", "INSERT INTO"])
async def test_nor_can_it_go_by_way_of_a_partition(
    database: Database, who: Principal, owner_url: str, what: str
) -> None:
    await put(database, who)
    with psycopg.connect(owner_url) as connection:
        found = connection.execute(
            "SELECT inhrelid::regclass::text FROM pg_inherits WHERE inhparent = 'audit.leaf'::regclass"
        )
        partitions = [name for (name,) in found.fetchall()]
    assert partitions
    for name in partitions:
        tail = " DEFAULT VALUES" if what == "INSERT INTO" else ""
        await refused(database, who, f"{what} {name}{tail}")  # type: ignore[arg-type]


async def test_a_partition_would_show_nothing_even_with_a_right_to_it(
    database: Database, who: Principal, owner_url: str
) -> None:
    await put(database, who)
    with psycopg.connect(owner_url) as connection:
        found = connection.execute(
            "SELECT c.oid::regclass::text, c.relrowsecurity, c.relforcerowsecurity FROM pg_inherits i"
            " JOIN pg_class c ON c.oid = i.inhrelid WHERE i.inhparent = 'audit.leaf'::regclass"
        ).fetchall()
        assert found
        for name, enabled, forced in found:
            assert (enabled, forced) == (True, True)
            connection.execute(f"GRANT SELECT ON {name} TO devlore_app")  # type: ignore[call-overload]
    for name, _, _ in found:
        async with database.transaction(who) as connection:
            assert await rows(connection, f"SELECT * FROM {name}") == []  # type: ignore[arg-type]


async def test_readers_see_their_organisation_only(
    database: Database, who: Principal, other: Principal, stranger: Principal
) -> None:
    for one in (who, other, stranger):
        await put(database, one)

    async def seen(by: Principal, query: LiteralString) -> int:
        async with database.transaction(by) as connection:
            return len(await rows(connection, query, (by.person,) if query == FOLLOW else (LAST,)))

    for query in (NEWEST, FOLLOW):
        assert [await seen(one, query) for one in (who, other, stranger)] == [2, 2, 1]


LAST = "ffffffff-ffff-ffff-ffff-ffffffffffff"


@pytest.mark.parametrize("query", [NEWEST, FOLLOW, "SELECT * FROM audit.settled() WHERE %s::text <> ''"])
async def test_nobody_reads_nothing(database: Database, who: Principal, query: LiteralString) -> None:
    await put(database, who)
    with pytest.raises(psycopg.errors.InsufficientPrivilege):
        async with database.transaction(None) as connection:
            await connection.execute(query, (LAST,))


async def test_the_reading_role_is_held_by_row_level_security(
    database: Database, who: Principal, stranger: Principal, owner_url: str
) -> None:
    """The function's own condition is wall one; this is wall two: without it the policy still holds."""
    await put(database, who)
    await put(database, stranger)
    with psycopg.connect(owner_url) as connection:
        connection.execute("SET ROLE devlore_audit")
        connection.execute("SELECT set_config('app.organisation', %s, true)", (str(stranger.organisation),))
        found = connection.execute("SELECT organisation_id FROM audit.leaf").fetchall()
    assert found == [(stranger.organisation,)]


def test_the_reading_role_bypasses_nothing_and_changes_nothing(owner_url: str) -> None:
    with psycopg.connect(owner_url) as connection:
        role = connection.execute(
            "SELECT rolbypassrls, rolcanlogin, rolsuper FROM pg_roles WHERE rolname = 'devlore_audit'"
        ).fetchone()
        rights = connection.execute(
            "SELECT has_table_privilege('devlore_audit', 'audit.leaf', right_) FROM"
            " unnest(ARRAY['INSERT', 'UPDATE', 'DELETE', 'TRUNCATE']) AS right_"
        ).fetchall()
    assert role == (False, False, False)
    assert rights == [(False,)] * 4


async def test_pseudonyms_are_an_organisations_own(database: Database, who: Principal, stranger: Principal) -> None:
    await put(database, who)

    async def seen(by: Principal | None) -> int:
        async with database.transaction(by) as connection:
            return len(await rows(connection, "SELECT * FROM audit.pseudonym"))

    assert [await seen(one) for one in (who, stranger, None)] == [1, 0, 0]


async def test_pseudonyms_are_never_changed(database: Database, who: Principal) -> None:
    await put(database, who)
    await refused(database, who, "UPDATE audit.pseudonym SET value = 'x'")


async def test_a_transaction_that_is_open_holds_back_what_came_after_it(database: Database, who: Principal) -> None:
    """Or a follower that had passed the later would never see the earlier."""

    async def followed() -> list[str]:
        async with database.transaction(who) as connection:
            return [one["action"] for one in await rows(connection, FOLLOW, ("00000000-0000-0000-0000-000000000000",))]

    async def add(connection: Connection, leaf: Leaf) -> None:
        await append(connection, who, leaf)

    await put(database, who)
    async with database.transaction(who) as slow:
        await add(slow, Leaf("team.updated"))
        async with database.transaction(who) as quick:
            await add(quick, Leaf("team.deleted"))
        assert await followed() == ["team.created"]
    assert await followed() == ["team.created", "team.updated", "team.deleted"]


async def test_after_a_restore_into_a_new_cluster_old_leaves_hide_no_new_ones(
    database: Database, who: Principal, stranger: Principal, owner_url: str
) -> None:
    await put(database, who)
    await put(database, stranger)
    with psycopg.connect(owner_url) as connection:
        connection.execute("UPDATE audit.leaf SET xid = '4000000000'")
    before = [row["hash"] for row in leaves(owner_url)]
    async with database.transaction(who) as transaction:
        (end,) = await rows(transaction, "SELECT * FROM audit.settled()")
        found = await rows(transaction, FOLLOW, ("00000000-0000-0000-0000-000000000000",))
    assert int(end["xid"]) == 1
    assert len(found) == 1
    assert sorted(row["hash"] for row in leaves(owner_url)) == sorted(before)
    assert sorted(int(row["xid"]) for row in leaves(owner_url)) == [1, 4_000_000_000]
