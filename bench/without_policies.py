"""The memory and search roles with row-level security set aside: a role that bypasses it, and the same predicates
written out in the statements. What the policies cost is the difference to the product beside it.

Run as a program it serves like ``devlore_server serve``. Only ever point it at a database made for a benchmark.
"""

from __future__ import annotations

import re
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, contextmanager
from typing import Any, LiteralString, cast

import psycopg
from psycopg import conninfo
from psycopg.rows import TupleRow

from devlore_server.__main__ import main
from devlore_server.app import process
from devlore_server.kit.auth import Principal
from devlore_server.kit.db import Connection, Database
from devlore_server.memory.store import listing

ROLE = "bench_without_policies"

READABLE: LiteralString = (
    " AND (m.privacy = 'public' OR m.created_by = %(bench_person)s"
    " OR (m.privacy = 'team' AND m.team_id = ANY (%(bench_teams)s::uuid[])))"
)
"""Policy ``may_read`` of ``memory.memory``; every statement names the organisation anyway."""

_TWIN_READABLE = (
    " AND (m.privacy = 'public' OR m.created_by = person OR (m.privacy = 'team' AND m.team_id = ANY (teams)))"
)
_TWINS = {"memory.visible(": "bench.visible(", "search.nearest(": "bench.nearest("}
_conditions = listing._conditions


def prepare(superuser_url: str) -> None:
    """Make the role, and twins of the functions that a search calls: without context, with the predicates."""
    with psycopg.connect(superuser_url, autocommit=True) as connection:
        exists = connection.execute("SELECT 1 FROM pg_roles WHERE rolname = %s", (ROLE,)).fetchone()
        if exists is None:
            connection.execute(f"CREATE ROLE {ROLE} LOGIN BYPASSRLS INHERIT")  # type: ignore[call-overload]
        database = connection.info.dbname
        visible = _definition(connection, "memory.visible")
        visible = _changed(r"PERFORM set_config.*?;", "", visible.replace("memory.visible", "bench.visible", 1))
        visible = _changed(r"WHERE m.deleted_at IS NULL", r"\g<0>" + _TWIN_READABLE, visible)
        nearest = _changed(r"SECURITY DEFINER", "", _definition(connection, "search.nearest"))
        statements = [
            f'GRANT CONNECT ON DATABASE "{database}" TO {ROLE}',
            f"GRANT devlore_app TO {ROLE}",
            f"GRANT EXECUTE ON FUNCTION search.conditions TO {ROLE}",
            "CREATE SCHEMA IF NOT EXISTS bench",
            f"GRANT USAGE ON SCHEMA bench TO {ROLE}",
            visible,
            nearest.replace("search.nearest", "bench.nearest", 1),
            f"GRANT EXECUTE ON ALL FUNCTIONS IN SCHEMA bench TO {ROLE}",
        ]
        for statement in statements:
            connection.execute(cast(LiteralString, statement))


def url_of(superuser_url: str) -> str:
    """The same database as the role that bypasses row-level security."""
    return conninfo.make_conninfo(superuser_url, user=ROLE)


class Unwalled(Database):
    """A pool of that role; says nobody's name, since nothing would listen."""

    @asynccontextmanager
    async def transaction(self, who: Principal | None, *, snapshot: bool = False) -> AsyncIterator[Connection]:
        async with super().transaction(None, snapshot=snapshot) as connection:
            yield connection

    async def tuples(self, query: LiteralString, parameters: Any = None, *, binary: bool = False) -> list[TupleRow]:
        for name, twin in _TWINS.items():
            query = cast(LiteralString, query.replace(name, twin))
        return await super().tuples(query, parameters, binary=binary)


@contextmanager
def explicit() -> Iterator[None]:
    """Within it, listings name in the statement whom a memory is for."""
    listing._conditions = _explicit
    try:
        yield
    finally:
        listing._conditions = _conditions


def _explicit(who: Principal, filters: listing.Filters) -> tuple[LiteralString, dict[str, Any]]:
    where, parameters = _conditions(who, filters)
    return where + READABLE, parameters | {"bench_person": who.person, "bench_teams": sorted(who.teams)}


def _definition(connection: psycopg.Connection[Any], name: str) -> str:
    found = connection.execute("SELECT pg_get_functiondef(%s::regproc)", (name,)).fetchone()
    assert found is not None
    return str(found[0])


def _changed(pattern: str, by: str, text: str) -> str:
    changed, times = re.subn(pattern, by, text, flags=re.DOTALL)
    if times != 1:
        raise RuntimeError(f"the function is not what it was: {pattern} occurs {times} times")
    return changed


if __name__ == "__main__":
    process.app_url = url_of
    process.Database = Unwalled  # type: ignore[misc]
    with explicit():
        main(prog_name="without-policies")
