"""What every table and function of the schema is to isolation: read from PostgreSQL, with the few exceptions named."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, LiteralString

import psycopg

SCHEMAS = ("audit", "gateway", "identity", "integration", "log", "memory", "migration", "search")
APP = "devlore_app"

PERSONAL = {
    "identity.person": "id",
    "identity.password": "person_id",
    "identity.passkey": "person_id",
    "identity.challenge": "person_id",
    "identity.device": "person_id",
    "identity.familiar_network": "person_id",
}
"""Tables of people, who may belong to several organisations, and the column that says whose a row is."""

SHARED = {
    "identity.instance": "what kind of instance this is",
    "identity.signing_key": "the server's own keys, their private part encrypted",
    "log.consumer": "how far the server's consumers have read",
    "migration.applied": "which migrations were applied",
    "search.model": "which embedding models the server uses",
    "search.lineage": "which line of rows the indexes were made from",
    "search.rebuild": "the server's one rebuild",
}
"""Tables without anything of anybody's."""

OF_ONE_PERSON = {
    "gateway.idempotency": "person_id",
    "identity.api_key": "person_id",
    "identity.refresh": "person_id",
    "identity.session": "person_id",
    "integration.connection": "created_by",
    "integration.item": "created_by",
    "integration.sync": "created_by",
}
"""Tables of organisations that also hide the rows of one person from all others of the organisation."""

_TABLES: LiteralString = """
    SELECT n.nspname || '.' || c.relname AS name, c.relrowsecurity AS enabled, c.relforcerowsecurity AS forced,
           c.relispartition AS partition, c.relkind::text AS kind,
           EXISTS (SELECT FROM pg_attribute a WHERE a.attrelid = c.oid AND a.attname = 'organisation_id') AS tenant
    FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace
    WHERE n.nspname = ANY (%s) AND c.relkind IN ('r', 'p', 'f') ORDER BY 1"""


@dataclass(frozen=True, slots=True)
class Table:
    """A table or partition."""

    name: str
    enabled: bool
    forced: bool
    partition: bool
    kind: str
    tenant: bool


def rows(url: str, query: LiteralString, *parameters: Any) -> list[tuple[Any, ...]]:
    """What a query says to whoever the URL signs in."""
    with psycopg.connect(url, autocommit=True) as connection:
        return list(connection.execute(query, parameters or None).fetchall())


def tables(url: str) -> list[Table]:
    """Every table of ours, partitions included."""
    return [Table(*found) for found in rows(url, _TABLES, list(SCHEMAS))]
