"""Looking at the audit trail past its walls, as tests may."""

from __future__ import annotations

import hashlib
from datetime import UTC
from typing import Any

import psycopg
import rfc8785
from psycopg.rows import dict_row


def leaves(owner_url: str) -> list[dict[str, Any]]:
    """Every row of the trail, in the order of commits and, within one, of ids."""
    with psycopg.connect(owner_url, row_factory=dict_row) as connection:
        return connection.execute("SELECT * FROM audit.leaf ORDER BY xid, id").fetchall()


def pseudonyms(owner_url: str) -> dict[str, str]:
    """What each pseudonym stands for."""
    with psycopg.connect(owner_url) as connection:
        found = connection.execute("SELECT id::text, value FROM audit.pseudonym").fetchall()
    return dict(found)


def document(row: dict[str, Any]) -> dict[str, Any]:
    """The JSON a row's hash was made over, put together from its columns as docs/ops/audit.md says."""
    return {
        "v": 1,
        "id": str(row["id"]),
        "organisation": str(row["organisation_id"]),
        "occurred_at": row["occurred_at"].astimezone(UTC).strftime("%Y-%m-%dT%H:%M:%S.%fZ"),
        "actor": {"type": row["actor_type"], "id": str(row["actor_id"]) if row["actor_id"] else None},
        "action": row["action"],
        "targets": row["targets"],
        "result": row["result"],
        "context": row["context"],
    }


def rehash(row: dict[str, Any]) -> bytes:
    """The hash as somebody else would make it, with the RFC 8785 library instead of ours."""
    return hashlib.sha256(rfc8785.dumps(document(row))).digest()
