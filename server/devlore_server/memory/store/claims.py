"""Rows of ``memory.claim``: what a source last said of a memory's status, until its successor has arrived."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import LiteralString
from uuid import UUID

from pydantic_core import to_json

from devlore.types import Status
from devlore_server.kit.auth import Principal
from devlore_server.kit.db import Connection, Row, rows

_PUT: LiteralString = """
    INSERT INTO memory.claim (organisation_id, memory_id, person_id, connector, status, reason, successor)
    SELECT %(organisation)s, r.memory_id, %(person)s, %(connector)s, r.status, r.reason, r.successor
    FROM json_to_recordset(%(records)s::json) AS r(memory_id uuid, status text, reason text, successor text)
    ON CONFLICT (organisation_id, memory_id) DO UPDATE
    SET status = excluded.status, reason = excluded.reason, successor = excluded.successor"""


@dataclass(frozen=True, slots=True)
class Claim:
    """What a source says of one item; ``successor`` is the external id of what replaced it."""

    status: Status = Status.ACTIVE
    reason: str | None = None
    successor: str | None = None


async def find_many(connection: Connection, who: Principal, ids: Sequence[UUID]) -> dict[UUID, Claim]:
    """What the sources of these memories last claimed; a memory without a row was never claimed but active."""
    if not ids:
        return {}
    found = await rows(
        connection,
        "SELECT memory_id, status, reason, successor FROM memory.claim"
        " WHERE organisation_id = %s AND memory_id = ANY (%s)",
        (who.organisation, list(ids)),
    )
    return {one["memory_id"]: _claim(one) for one in found}


async def put_many(
    connection: Connection, who: Principal, connector: str, claims: Sequence[tuple[UUID, Claim]]
) -> None:
    """Remember what ``connector`` now claims of these memories."""
    if not claims:
        return
    records = [
        {"memory_id": id, "status": claim.status, "reason": claim.reason, "successor": claim.successor}
        for id, claim in claims
    ]
    await connection.execute(
        _PUT,
        {
            "organisation": who.organisation,
            "person": who.person,
            "connector": connector,
            "records": to_json(records).decode(),
        },
    )


async def find_waiting(
    connection: Connection, who: Principal, connector: str, successors: Sequence[str]
) -> dict[UUID, Claim]:
    """The claims by which one of these external ids replaces a memory of the caller that nothing has replaced yet.

    By memory. What replaced it may be hidden from the caller, whose claim does not override it for that.
    """
    if not successors:
        return {}
    found = await rows(
        connection,
        "SELECT c.memory_id, c.status, c.reason, c.successor FROM memory.claim c JOIN memory.memory m"
        " ON m.organisation_id = c.organisation_id AND m.id = c.memory_id WHERE c.organisation_id = %s"
        " AND c.person_id = %s AND c.connector = %s AND c.successor = ANY (%s) AND c.status = 'superseded'"
        " AND m.superseded_by IS NULL",
        (who.organisation, who.person, connector, list(successors)),
    )
    return {one["memory_id"]: _claim(one) for one in found}


def _claim(found: Row) -> Claim:
    return Claim(Status(found["status"]), found["reason"], found["successor"])
