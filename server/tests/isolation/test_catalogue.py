"""The schema itself, whatever it grows: every wall that SECURITY.md wants is there, on every table and function."""

from __future__ import annotations

import re
from typing import LiteralString

import psycopg
import pytest

from tests.isolation.catalogue import APP, OF_ONE_PERSON, PERSONAL, SCHEMAS, SHARED, rows, tables

TENANT = "(organisation_id = ( SELECT (current_setting('app.organisation'::text))::uuid"
PERSONS = "( SELECT (current_setting('app.person'::text))::uuid"
OWN_ELSEWHERE = {
    ("identity.membership", "own"): "where a person belongs",
    ("identity.organisation", "own_place"): "the organisations a person belongs to",
    ("identity.session", "own"): "a person's own sessions",
    ("identity.session", "own_end"): "a person ends their own sessions",
}
"""Policies by which a person sees their own rows of other organisations."""
NARROW_UNIQUE = {
    "device_user_code": "a device's code is nobody's before it is approved",
    "device_pkey": "the same of its secret",
    "challenge_pkey": "the digest of a random challenge",
    "passkey_credential": "WebAuthn: no credential belongs to two",
    "person_email": "an address names one person of the instance",
}
"""Unique indexes of tables of people that do not hold the person."""

_POLICIES: LiteralString = """
    SELECT schemaname || '.' || tablename, policyname, permissive = 'PERMISSIVE', roles::text[], cmd,
           coalesce(qual, ''), coalesce(with_check, '')
    FROM pg_policies WHERE schemaname = ANY (%s) ORDER BY 1, 2"""
_FUNCTIONS: LiteralString = """
    SELECT p.oid::regprocedure::text, p.prosecdef, coalesce(p.proconfig, '{}'), r.rolname, r.rolcanlogin OR r.rolsuper,
           coalesce(p.proacl::text, '')
    FROM pg_proc p JOIN pg_namespace n ON n.oid = p.pronamespace JOIN pg_roles r ON r.oid = p.proowner
    WHERE n.nspname = ANY (%s) ORDER BY 1"""
_UNIQUE: LiteralString = """
    SELECT i.indexrelid::regclass::text, n.nspname || '.' || c.relname,
           array(SELECT a.attname::text FROM pg_attribute a WHERE a.attrelid = c.oid AND a.attnum = ANY (i.indkey))
    FROM pg_index i JOIN pg_class c ON c.oid = i.indrelid JOIN pg_namespace n ON n.oid = c.relnamespace
    WHERE i.indisunique AND n.nspname = ANY (%s) ORDER BY 1"""
_REFERENCES: LiteralString = """
    SELECT k.conname::text, n.nspname || '.' || c.relname,
           array(SELECT a.attname::text FROM unnest(k.conkey) WITH ORDINALITY AS x(num, place)
                 JOIN pg_attribute a ON a.attrelid = k.conrelid AND a.attnum = x.num ORDER BY x.place),
           k.confrelid::regclass::text,
           array(SELECT a.attname::text FROM unnest(k.confkey) WITH ORDINALITY AS x(num, place)
                 JOIN pg_attribute a ON a.attrelid = k.confrelid AND a.attnum = x.num ORDER BY x.place)
    FROM pg_constraint k JOIN pg_class c ON c.oid = k.conrelid JOIN pg_namespace n ON n.oid = c.relnamespace
    WHERE k.contype = 'f' AND n.nspname = ANY (%s) ORDER BY 1"""


@pytest.fixture(scope="module")
def grown(scratch_url: str) -> str:
    """A database with the partitions that the server makes as it goes."""
    with psycopg.connect(scratch_url, autocommit=True) as connection:
        connection.execute("SELECT search.begin_model('m', 'm', 'm', 64, 'active'), audit.ensure_month(now())")
    return scratch_url


def policies(url: str) -> list[tuple[str, str, bool, list[str], str, str, str]]:
    return rows(url, _POLICIES, list(SCHEMAS))


def test_every_table_is_an_organisations_a_persons_or_nobodys(grown: str) -> None:
    found = tables(grown)
    tenant = {one.name for one in found if one.tenant}
    assert len(tenant) >= 35
    assert tenant.isdisjoint(PERSONAL)
    assert {one.name for one in found} - tenant == PERSONAL.keys() | SHARED.keys(), "say whose a new table is"
    assert OF_ONE_PERSON.keys() <= tenant


def test_row_security_is_enabled_and_forced_wherever_anybody_has_rows(grown: str) -> None:
    bare = [one.name for one in tables(grown) if one.name not in SHARED and not (one.enabled and one.forced)]
    assert bare == []


def test_every_policy_of_an_organisations_table_is_bound_to_the_organisation(grown: str) -> None:
    tenant = {one.name for one in tables(grown) if one.tenant}
    found = [one for one in policies(grown) if one[0] in tenant]
    walls = {
        name
        for name, _, permissive, roles, command, qual, check in found
        if not permissive and roles == ["public"] and command == "ALL" and TENANT in qual and TENANT in check
    }
    assert {"memory.memory", "memory.version", "integration.connection"} <= walls
    loose = [
        (name, policy)
        for name, policy, permissive, roles, _, qual, check in found
        if permissive and name not in walls and {"public", APP}.intersection(roles)
        for condition in (qual, check)
        if condition and TENANT not in condition and (name, policy) not in OWN_ELSEWHERE
    ]
    assert loose == []


def test_what_is_not_bound_to_the_organisation_is_bound_to_the_person(grown: str) -> None:
    conditions = {(name, policy): (qual, check) for name, policy, _, _, _, qual, check in policies(grown)}
    for named in OWN_ELSEWHERE:
        assert all(PERSONS in condition for condition in conditions[named] if condition), named
    for table in OF_ONE_PERSON:
        reads = [
            qual
            for name, _, permissive, roles, command, qual, _ in policies(grown)
            if name == table and permissive and {"public", APP}.intersection(roles) and command in ("ALL", "SELECT")
        ]
        assert reads, table
        assert all(f"({OF_ONE_PERSON[table]} = {PERSONS}" in qual for qual in reads), table


def test_nothing_is_open_to_everybody(grown: str) -> None:
    open_to_the_app = {
        (name, policy)
        for name, policy, permissive, roles, _, qual, check in policies(grown)
        if permissive and {"public", APP}.intersection(roles) and "true" in (qual, check)
    }
    # Whoever may write the memory archives its past; the restrictive policy binds it to the organisation.
    assert open_to_the_app == {("memory.version", "may_archive")}


def test_each_right_of_the_app_has_a_policy(grown: str) -> None:
    granted = rows(
        grown,
        "SELECT DISTINCT table_schema || '.' || table_name, privilege_type FROM information_schema.role_table_grants"
        " WHERE grantee = %s AND table_schema = ANY (%s)",
        APP,
        list(SCHEMAS),
    )
    found = policies(grown)
    for table, privilege in granted:
        assert privilege in ("SELECT", "INSERT", "UPDATE", "DELETE"), f"{privilege} on {table}"
        if table not in SHARED:
            commands = {c for n, _, permissive, roles, c, _, _ in found if n == table and permissive}
            assert commands & {"ALL", privilege}, f"nobody could use {privilege} on {table}"
    assert not {name for name, _ in granted} & {one.name for one in tables(grown) if one.partition}


def test_functions_that_run_as_their_owner_are_closed(grown: str) -> None:
    found = rows(grown, _FUNCTIONS, list(SCHEMAS))
    definers = [one for one in found if one[1]]
    assert len(definers) >= 30
    for name, _, settings, owner, reachable, _ in definers:
        paths = [one for one in settings if one.startswith("search_path=")]
        assert len(paths) == 1, f"{name} resolves names as its caller likes"
        assert re.fullmatch(r"search_path=pg_catalog(, \w+)*", paths[0]), f"{name}: {paths[0]}"
        assert not reachable, f"somebody signs in as {owner}, who owns {name}"
    for name, _, _, _, _, granted in found:
        assert granted, f"{name} is for everybody to run, by default"
        assert not re.search(r"[{,]=X", granted), f"{name} is for everybody to run"


def test_views_read_as_whoever_asks_and_nothing_is_materialised(grown: str) -> None:
    found = rows(
        grown,
        "SELECT c.oid::regclass::text, c.relkind::text, coalesce(c.reloptions, '{}') FROM pg_class c"
        " JOIN pg_namespace n ON n.oid = c.relnamespace WHERE n.nspname = ANY (%s) AND c.relkind IN ('v', 'm')",
        [*SCHEMAS, "public"],
    )
    assert [name for name, kind, options in found if kind == "m" or "security_invoker=true" not in options] == []


def test_no_key_tells_of_anothers_row(grown: str) -> None:
    tenant = {one.name for one in tables(grown) if one.tenant}
    for index, table, columns in rows(grown, _UNIQUE, list(SCHEMAS)):
        if table in tenant:
            assert "organisation_id" in columns, f"{index} is unique over all organisations"
        elif table in PERSONAL and index.rpartition(".")[2] not in NARROW_UNIQUE:
            assert PERSONAL[table] in columns, f"{index} is unique over all people"
    for name, table, columns, target, targets in rows(grown, _REFERENCES, list(SCHEMAS)):
        if table in tenant:
            pairs = list(zip(columns, targets, strict=True))
            assert ("organisation_id", "organisation_id") in pairs, f"{name} on {table} refers to any organisation's"
            assert target in tenant, f"{name} on {table} refers to {target}"
        else:
            assert target not in tenant, f"{name} on {table} refers to an organisation's rows"


def test_the_app_is_nobody_and_owns_nothing(grown: str) -> None:
    assert rows(
        grown,
        "SELECT rolsuper, rolbypassrls, rolcreaterole, rolcreatedb, rolreplication, rolinherit FROM pg_roles"
        " WHERE rolname = %s",
        APP,
    ) == [(False,) * 6]
    assert rows(grown, "SELECT FROM pg_auth_members WHERE member = %s::regrole", APP) == []
    assert rows(grown, "SELECT FROM pg_class WHERE relowner = %s::regrole", APP) == []
    assert rows(grown, "SELECT FROM pg_proc WHERE proowner = %s::regrole", APP) == []
    may_create = "SELECT nspname FROM pg_namespace WHERE has_schema_privilege(%s, oid, 'CREATE')"
    assert rows(grown, may_create, APP) == []
    ((settings,),) = rows(
        grown, "SELECT setconfig FROM pg_db_role_setting WHERE setrole = %s::regrole AND setdatabase = 0", APP
    )
    nil = "00000000-0000-0000-0000-000000000000"
    assert set(settings) == {f"app.organisation={nil}", f"app.person={nil}", "app.teams={}"}


def test_nobody_puts_a_table_of_their_own_before_ours(grown: str) -> None:
    """Temporary tables come first in every search path that does not name them."""
    for role in (APP, "devlore_search", "devlore_identity", "devlore_audit"):
        assert rows(grown, "SELECT has_database_privilege(%s, current_database(), 'TEMPORARY')", role) == [(False,)]


def test_who_passes_row_security_reads_little_and_signs_in_nowhere(grown: str) -> None:
    passing = rows(
        grown,
        "SELECT rolname::text, rolcanlogin FROM pg_roles WHERE rolbypassrls AND NOT rolsuper ORDER BY 1",
    )
    assert passing == [("devlore_identity", False), ("devlore_search", False)]
    written = rows(
        grown,
        "SELECT DISTINCT grantee::text, privilege_type::text, table_schema || '.' || table_name"
        " FROM information_schema.column_privileges WHERE grantee IN ('devlore_identity', 'devlore_search')"
        " AND privilege_type <> 'SELECT' UNION"
        " SELECT grantee::text, privilege_type::text, table_schema || '.' || table_name"
        " FROM information_schema.role_table_grants WHERE grantee IN ('devlore_identity', 'devlore_search')"
        " AND privilege_type <> 'SELECT' ORDER BY 1, 2, 3",
    )
    assert set(written) == {
        ("devlore_identity", "DELETE", "identity.challenge"),
        ("devlore_identity", "DELETE", "identity.device"),
        ("devlore_identity", "DELETE", "identity.familiar_network"),
        ("devlore_identity", "DELETE", "identity.session"),
        ("devlore_identity", "DELETE", "identity.signing_key"),
        ("devlore_search", "UPDATE", "log.consumer"),
        ("devlore_search", "UPDATE", "log.event"),
    }
    secret = {("password", "hash"), ("passkey", "public_key"), ("person", "name"), ("signing_key", "private")}
    read = rows(
        grown,
        "SELECT table_name::text, column_name::text FROM information_schema.column_privileges"
        " WHERE grantee = 'devlore_identity' AND privilege_type = 'SELECT'",
    )
    assert secret.isdisjoint(read)
