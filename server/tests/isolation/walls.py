"""Wall one taken down: every predicate that names the organisation becomes true, in statements and in functions."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any, Self
from unittest.mock import patch

import psycopg
from psycopg import AsyncCursor

from devlore_server.kit import db
from tests.isolation.catalogue import SCHEMAS

PREDICATE = re.compile(r"((?:\w+\.)?organisation_id)\s*=\s*(%s|%\(\w+\)s)")
IN_FUNCTION = re.compile(
    r"(?:\w+\.)?organisation_id\s*=\s*(?:organisation|tenant|of_organisation"
    r"|\(SELECT current_setting\('app\.organisation'\)::uuid\)|current_setting\('app\.organisation'\)::uuid)(?=\W)"
)
FELL: Counter[str] = Counter()
"""The statements whose predicates were taken out, and how often each ran."""


class NoWallOne(AsyncCursor[Any]):
    """A cursor that runs every statement without the predicates on the organisation."""

    async def execute(self, query: Any, params: Any = None, **options: Any) -> Self:
        if isinstance(query, str):
            fallen, predicates = PREDICATE.subn(r"(\1 = \2 OR true)", query)
            if predicates:
                FELL[query] += 1
                query = fallen
        return await super().execute(query, params, **options)


class _Pool(db._Pool):
    def __init__(self, *arguments: Any, kwargs: dict[str, Any], **options: Any) -> None:
        super().__init__(*arguments, **options, kwargs=kwargs | {"cursor_factory": NoWallOne})


@contextmanager
def wall_one_down() -> Iterator[None]:
    """Databases opened inside have no wall one; what fell is counted from nothing."""
    FELL.clear()
    with patch.object(db, "_Pool", _Pool):
        yield


def take_down_functions(owner_url: str) -> list[str]:
    """The same in every function that row-level security still watches; the names of those it was in.

    What runs as a role that passes row-level security has no other wall than its own, and keeps it.
    """
    query = (
        "SELECT p.oid::regprocedure::text, pg_get_functiondef(p.oid) FROM pg_proc p"
        " JOIN pg_namespace n ON n.oid = p.pronamespace JOIN pg_roles r ON r.oid = p.proowner"
        " WHERE n.nspname = ANY (%s) AND NOT (p.prosecdef AND r.rolbypassrls) AND p.prokind = 'f'"
    )
    taken_down = []
    with psycopg.connect(owner_url, autocommit=True) as connection:
        for name, definition in connection.execute(query, (list(SCHEMAS),)).fetchall():
            head, body = definition.split("AS $", 1)
            fallen, predicates = IN_FUNCTION.subn("true", body)
            if predicates:
                connection.execute(head + "AS $" + fallen)
                taken_down.append(name)
    return taken_down
