"""Migrations: applied once, in order, forward only; and what every table they make must be like."""

from __future__ import annotations

import asyncio
import re
from pathlib import Path
from typing import LiteralString

import psycopg
import pytest
from psycopg import conninfo
from psycopg.rows import TupleRow

from devlore_server.kit import migrate
from devlore_server.kit.auth import NIL
from devlore_server.kit.embedded import EmbeddedPostgres

ROLES = (migrate.MIGRATIONS / "roles.sql").read_text()
Rows = list[TupleRow]


def ask(url: str, query: LiteralString, *parameters: object) -> Rows:
    with psycopg.connect(url, autocommit=True) as connection:
        return connection.execute(query, parameters).fetchall()


def ask_nothing(url: str, statement: LiteralString) -> None:
    with psycopg.connect(url, autocommit=True) as connection:
        connection.execute(statement)


@pytest.fixture
def root(tmp_path: Path) -> Path:
    """A folder of migrations of the test's own, of two services."""
    (tmp_path / "roles.sql").write_text(ROLES)
    for name, text in {
        "b/0001_pre_things.sql": "CREATE SCHEMA b; CREATE TABLE b.thing (id int PRIMARY KEY);",
        "b/0002_post_name.sql": "ALTER TABLE b.thing ADD name text;",
        "b/0010_pre_place.sql": "ALTER TABLE b.thing ADD place text;",
        "a/0001_pre_other.sql": "CREATE SCHEMA a; CREATE TABLE a.other (id int PRIMARY KEY);",
    }.items():
        add(tmp_path, name, text)
    return tmp_path


def add(root: Path, name: str, text: str) -> None:
    (root / name).parent.mkdir(exist_ok=True)
    (root / name).write_text(text)


IN_ORDER = ["a/0001_pre_other.sql", "b/0001_pre_things.sql", "b/0010_pre_place.sql", "b/0002_post_name.sql"]


@pytest.fixture
def empty_url(owner_url: str) -> str:
    """A database without the tables of Devlore, as the superuser."""
    with psycopg.connect(owner_url, autocommit=True) as connection:
        connection.execute("DROP OWNED BY devlore_owner CASCADE")
    return owner_url


# Applying


async def test_pre_of_every_service_comes_before_any_post(empty_url: str, root: Path) -> None:
    assert await migrate.migrate(empty_url, root) == IN_ORDER
    assert await migrate.migrate(empty_url, root) == []


async def test_pre_and_post_can_be_applied_apart(empty_url: str, root: Path) -> None:
    assert await migrate.pending(empty_url, root) == IN_ORDER
    assert await migrate.migrate(empty_url, root, phases=["pre"]) == IN_ORDER[:3]
    assert await migrate.pending(migrate.app_url(empty_url), root) == IN_ORDER[3:]
    assert await migrate.migrate(empty_url, root) == IN_ORDER[3:]


async def test_a_new_migration_is_applied_to_a_database_in_use(empty_url: str, root: Path) -> None:
    await migrate.migrate(empty_url, root)
    add(root, "b/0011_pre_more.sql", "ALTER TABLE b.thing ADD more text;")
    assert await migrate.migrate(empty_url, root) == ["b/0011_pre_more.sql"]


async def test_a_migration_that_fails_leaves_nothing_and_names_itself(empty_url: str, root: Path) -> None:
    add(root, "b/0011_pre_bad.sql", "CREATE TABLE b.half (id int); SELECT 1/0;")
    with pytest.raises(migrate.MigrationError, match=r"b/0011_pre_bad\.sql: division by zero"):
        await migrate.migrate(empty_url, root)
    assert ask(empty_url, "SELECT to_regclass('b.half')") == [(None,)]
    assert await migrate.pending(empty_url, root) == ["b/0011_pre_bad.sql", "b/0002_post_name.sql"]


async def test_an_edited_migration_is_refused(empty_url: str, root: Path) -> None:
    await migrate.migrate(empty_url, root)
    add(root, "b/0001_pre_things.sql", "CREATE SCHEMA b;")
    with pytest.raises(migrate.MigrationError, match="was changed after"):
        await migrate.migrate(empty_url, root)


async def test_a_database_of_a_newer_devlore_is_refused(empty_url: str, root: Path) -> None:
    await migrate.migrate(empty_url, root)
    (root / "b/0002_post_name.sql").unlink()
    with pytest.raises(migrate.MigrationError, match="older"):
        await migrate.migrate(empty_url, root)


async def test_a_misnamed_file_is_refused(empty_url: str, root: Path) -> None:
    add(root, "b/3_pre_oops.sql", "SELECT 1")
    with pytest.raises(migrate.MigrationError, match="not named"):
        await migrate.migrate(empty_url, root)


async def test_processes_that_migrate_at_once_apply_everything_once(empty_url: str, root: Path) -> None:
    applied = await asyncio.gather(*[migrate.migrate(empty_url, root) for _ in range(3)])
    assert sorted(name for names in applied for name in names) == sorted(IN_ORDER)


async def test_a_locked_table_fails_the_migration_instead_of_queueing_everybody_behind_it(
    empty_url: str, root: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(migrate, "LOCK_TIMEOUT", "50ms")
    await migrate.migrate(empty_url, root)
    add(root, "b/0011_pre_more.sql", "ALTER TABLE b.thing ADD more text;")
    with psycopg.connect(empty_url) as holder:
        holder.execute("LOCK TABLE b.thing IN ACCESS SHARE MODE")
        with pytest.raises(migrate.MigrationError, match="lock timeout"):
            await migrate.migrate(empty_url, root)
    assert await migrate.migrate(empty_url, root) == ["b/0011_pre_more.sql"]


async def test_a_file_can_run_outside_a_transaction(empty_url: str, root: Path) -> None:
    statement = "-- outside a transaction\nCREATE INDEX CONCURRENTLY IF NOT EXISTS thing_name ON b.thing (name);"
    add(root, "b/0011_post_index.sql", statement)
    assert (await migrate.migrate(empty_url, root))[-1] == "b/0011_post_index.sql"


# Roles


def test_the_roles_are_as_few_rights_as_they_need(owner_url: str) -> None:
    query = "SELECT rolname, rolcanlogin, rolinherit, rolbypassrls, rolsuper, rolcreaterole FROM pg_roles"
    assert sorted(ask(owner_url, query + " WHERE rolname LIKE 'devlore%%'")) == [  # type: ignore[arg-type]
        ("devlore_app", True, False, False, False, False),
        ("devlore_audit", False, True, False, False, False),
        ("devlore_identity", False, True, True, False, False),
        ("devlore_owner", False, True, False, False, False),
        ("devlore_search", False, True, True, False, False),
    ]


def test_the_app_owns_nothing_and_cannot_become_another_role(owner_url: str, database_url: str) -> None:
    owned = "SELECT count(*) FROM pg_shdepend WHERE refobjid = 'devlore_app'::regrole AND deptype = 'o'"
    assert ask(owner_url, owned) == [(0,)]
    for role in ("devlore_owner", "devlore_search", "devlore_identity", "devlore_audit", "postgres"):
        with pytest.raises(psycopg.errors.InsufficientPrivilege):
            ask(database_url, f"SET ROLE {role}")  # type: ignore[arg-type]
    for statement in ("CREATE TABLE public.x ()", "CREATE SCHEMA x", "CREATE TEMPORARY TABLE x ()"):
        with pytest.raises(psycopg.errors.InsufficientPrivilege):
            ask(database_url, statement)  # type: ignore[arg-type]


@pytest.mark.parametrize("before", ["SELECT 1", "RESET ALL", "DISCARD ALL", "SET app.organisation = DEFAULT"])
def test_a_session_that_says_nothing_is_nobody(database_url: str, before: LiteralString) -> None:
    with psycopg.connect(database_url, autocommit=True) as connection:
        connection.execute(before)
        settings = ("organisation", "person", "teams")
        found = [connection.execute("SELECT current_setting(%s)", (f"app.{name}",)).fetchone() for name in settings]
    assert found == [(str(NIL),), (str(NIL),), ("{}",)]


def test_only_the_app_may_connect_besides_superusers(owner_url: str) -> None:
    access = "SELECT has_database_privilege('devlore_search', current_database(), 'CONNECT, TEMPORARY')"
    assert ask(owner_url, access) == [(False,)]


def test_the_apps_password_comes_from_the_owners_and_does_not_tell_it(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("PGPASSWORD", raising=False)
    parts = conninfo.conninfo_to_dict(
        migrate.app_url("postgresql://boss:s3cret@db.example:5433/devlore?sslmode=require")
    )
    assert (parts["user"], parts["host"], parts["port"], parts["dbname"]) == (
        "devlore_app",
        "db.example",
        "5433",
        "devlore",
    )
    assert parts["sslmode"] == "require"
    assert "s3cret" not in str(parts["password"])
    assert len(str(parts["password"])) == 64
    assert "password" not in conninfo.conninfo_to_dict(migrate.app_url("postgresql://boss@/devlore?host=/run"))


def test_a_managed_database_is_enough_where_nobody_is_superuser(home: Path) -> None:
    server = EmbeddedPostgres(home, durable=False)
    superuser = server.start()
    try:
        for statement in (
            "CREATE ROLE boss LOGIN CREATEROLE BYPASSRLS",
            "CREATE DATABASE managed OWNER boss",
        ):
            ask_nothing(superuser, statement)
        ask_nothing(conninfo.make_conninfo(superuser, dbname="managed"), "CREATE EXTENSION vector")
        url = conninfo.make_conninfo(superuser, dbname="managed", user="boss", password="s3cret")
        assert asyncio.run(migrate.migrate(url)) == [migration.name for migration in migrate.found()]
        assert asyncio.run(migrate.migrate(url)) == []
        assert asyncio.run(migrate.pending(migrate.app_url(url))) == []
        query: LiteralString = "SELECT rolpassword FROM pg_authid WHERE rolname = 'devlore_app'"
        ((stored,),) = ask(superuser, query)
        assert stored.startswith("SCRAM-SHA-256$")
        # Nobody could give the app its default context here: forgetting who is asking is then an error.
        with pytest.raises(psycopg.errors.UndefinedObject):
            ask(conninfo.make_conninfo(superuser, dbname="managed", user="devlore_app"), "SELECT FROM memory.memory")
    finally:
        server.stop()


# Every table


TABLES: LiteralString = """
    SELECT c.oid::regclass::text AS name, c.relrowsecurity AND c.relforcerowsecurity AS walled, c.relispartition,
           EXISTS (SELECT FROM pg_attribute a WHERE a.attrelid = c.oid AND a.attname = 'organisation_id') AS tenant,
           pg_get_userbyid(c.relowner)
    FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace
    WHERE c.relkind IN ('r', 'p') AND n.nspname NOT IN ('pg_catalog', 'information_schema')"""
KEYS: LiteralString = """
    SELECT i.indrelid::regclass::text, i.indexrelid::regclass::text, a.attname
    FROM pg_index i JOIN pg_attribute a ON a.attrelid = i.indrelid AND a.attnum = i.indkey[0]
    WHERE i.indisunique
      AND EXISTS (SELECT FROM pg_attribute t WHERE t.attrelid = i.indrelid AND t.attname = 'organisation_id')"""
FOREIGN_KEYS: LiteralString = """
    SELECT c.conrelid::regclass::text, c.conname, mine.attname, theirs.attname,
           c.connamespace = r.relnamespace AS same_schema
    FROM pg_constraint c
    JOIN pg_class r ON r.oid = c.confrelid
    JOIN pg_attribute mine ON mine.attrelid = c.conrelid AND mine.attnum = c.conkey[1]
    JOIN pg_attribute theirs ON theirs.attrelid = c.confrelid AND theirs.attnum = c.confkey[1]
    WHERE c.contype = 'f'"""
NOT_TENANT = {
    "identity.instance": "which tier this is",
    "identity.signing_key": "the instance's own keys, encrypted",
    "log.consumer": "positions in the log, of every organisation together",
    "migration.applied": "names of files",
    "search.model": "names of embedding models",
    "search.lineage": "which line of rows the indexes were made from",
    "search.rebuild": "progress of a rebuild, of every organisation together",
}
PERSONAL = {
    *("identity.challenge", "identity.device", "identity.familiar_network", "identity.passkey", "identity.password"),
    "identity.person",
}
"""A person's, whichever organisations they belong to."""


def test_every_table_of_a_tenant_has_forced_row_level_security(owner_url: str) -> None:
    open_ = [name for name, walled, _, tenant, _ in ask(owner_url, TABLES) if tenant and not walled]
    assert open_ == []


def test_every_table_is_a_tenants_or_listed_here_with_the_reason(owner_url: str) -> None:
    common = {name for name, _, _, tenant, _ in ask(owner_url, TABLES) if not tenant}
    assert common == NOT_TENANT.keys() | PERSONAL


def test_every_table_of_a_person_has_forced_row_level_security_about_the_person(owner_url: str) -> None:
    walled = {name for name, walled, *_ in ask(owner_url, TABLES) if walled}
    query: LiteralString = (
        "SELECT (schemaname || '.' || tablename)::regclass::text FROM pg_policies"
        " WHERE concat(qual, with_check) LIKE '%%app.person%%'"
    )
    about = {name for (name,) in ask(owner_url, query)}
    assert walled & about >= PERSONAL


def test_every_table_belongs_to_the_owner_role(owner_url: str) -> None:
    assert {owner for *_, owner in ask(owner_url, TABLES)} == {"devlore_owner"}


def test_every_walled_table_has_a_policy_about_the_organisation(owner_url: str) -> None:
    tables = ask(owner_url, TABLES)
    walled = {name for name, walled, partition, tenant, _ in tables if walled and tenant and not partition}
    query: LiteralString = (
        "SELECT (schemaname || '.' || tablename)::regclass::text, concat(qual, with_check) FROM pg_policies"
    )
    about = {name for name, condition in ask(owner_url, query) if "app.organisation" in condition}
    assert walled - about == set()


def test_policies_ask_for_the_context_once_per_statement_not_once_per_row(owner_url: str) -> None:
    query: LiteralString = (
        "SELECT tablename, policyname, coalesce(qual, '') || coalesce(with_check, '') FROM pg_policies"
    )
    bare = re.compile(r"(?<!SELECT \()(?<!SELECT )current_setting\('app")
    assert [(table, name) for table, name, text in ask(owner_url, query) if bare.search(text)] == []


def test_every_key_of_a_tenants_table_leads_with_the_organisation(owner_url: str) -> None:
    assert [found for found in ask(owner_url, KEYS) if found[2] != "organisation_id"] == []


def test_every_foreign_key_leads_with_the_organisation_and_stays_in_its_schema(owner_url: str) -> None:
    tenant = {name for name, _, _, tenant, _ in ask(owner_url, TABLES) if tenant}
    for table, name, mine, theirs, same_schema in ask(owner_url, FOREIGN_KEYS):
        assert same_schema, f"{name} of {table} reaches into another service"
        if table in tenant:
            assert (mine, theirs) == ("organisation_id", "organisation_id"), f"{name} of {table}"


def test_every_tenants_table_has_a_primary_key(owner_url: str) -> None:
    query: LiteralString = "SELECT indrelid::regclass::text FROM pg_index WHERE indisprimary"
    with_key = {name for (name,) in ask(owner_url, query)}
    assert {name for name, _, _, tenant, _ in ask(owner_url, TABLES) if tenant} - with_key == set()


def test_definer_functions_fix_their_search_path_and_are_not_for_everybody(owner_url: str) -> None:
    query: LiteralString = """
        SELECT p.oid::regprocedure::text FROM pg_proc p JOIN pg_namespace n ON n.oid = p.pronamespace
        WHERE p.prosecdef AND n.nspname NOT IN ('pg_catalog', 'public')
          AND (NOT coalesce(array_to_string(p.proconfig, ','), '') LIKE '%%search_path=%%'
               OR EXISTS (SELECT FROM aclexplode(coalesce(p.proacl, acldefault('f', p.proowner))) WHERE grantee = 0))"""
    assert ask(owner_url, query) == []


def test_there_is_no_materialised_view_and_views_ask_as_their_caller(owner_url: str) -> None:
    query: LiteralString = """
        SELECT c.oid::regclass::text FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace
        WHERE n.nspname NOT IN ('pg_catalog', 'information_schema')
          AND (c.relkind = 'm' OR c.relkind = 'v'
               AND NOT coalesce(array_to_string(c.reloptions, ','), '') LIKE '%%security_invoker=true%%')"""
    assert ask(owner_url, query) == []


async def test_schema_sql_is_what_the_migrations_make(owner_url: str) -> None:
    committed = (migrate.MIGRATIONS / "schema.sql").read_text()
    assert await migrate.dump_schema(owner_url) == committed, "run: python -m devlore_server.kit.migrate"
