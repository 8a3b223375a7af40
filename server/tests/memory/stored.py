"""Everything a test has stored, looked at past row-level security."""

from __future__ import annotations

import psycopg
from psycopg import sql

_TABLES = "SELECT schemaname, tablename FROM pg_tables WHERE schemaname NOT IN ('pg_catalog', 'information_schema')"


def everything_stored(owner_url: str) -> str:
    """Every row of every table of the database, as text."""
    found = []
    with psycopg.connect(owner_url) as connection:
        for names in connection.execute(_TABLES).fetchall():
            query = sql.SQL("SELECT t::text FROM {} t").format(sql.Identifier(*names))
            found += [text for (text,) in connection.execute(query).fetchall()]
    return "\n".join(found)
