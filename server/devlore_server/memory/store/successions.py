"""Which memory was replaced by which: one writer of that at a time, and no circles."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import LiteralString
from uuid import UUID

from devlore.types import Memory
from devlore_server.kit.auth import Principal
from devlore_server.kit.db import Connection, rows

CIRCLE = "The successor is itself superseded by this memory, directly or through others."

# Raw, not as it is told: what the caller may not see has no row here, and ends the chain.
_FOLLOWING: LiteralString = """
    WITH RECURSIVE chain AS (
        SELECT m.id, m.superseded_by FROM memory.memory m
        WHERE m.organisation_id = %(organisation)s AND m.id = ANY (%(ids)s) AND m.superseded_by IS NOT NULL
        UNION
        SELECT m.id, m.superseded_by FROM chain
        JOIN memory.memory m ON m.organisation_id = %(organisation)s AND m.id = chain.superseded_by
        WHERE m.superseded_by IS NOT NULL)
    SELECT id, superseded_by FROM chain"""


async def circular(connection: Connection, who: Principal, wanted: Sequence[Memory]) -> set[UUID]:
    """The memories that would come to succeed themselves, directly or through others, if ``wanted`` were written.

    Each is judged after those before it were written, without the circular ones. Until the transaction ends, nobody
    else who asks for this gives a memory of the organisation a successor.
    """
    replaced = [memory for memory in wanted if memory.superseded_by is not None]
    if not replaced:
        return set()
    # Rows are not enough: two that close a circle between them may have no row in common.
    await connection.execute(
        "SELECT pg_advisory_xact_lock(hashtextextended('memory.superseded_by ' || %s, 0))", (str(who.organisation),)
    )
    parameters = {"organisation": who.organisation, "ids": [memory.superseded_by for memory in replaced]}
    successors = {one["id"]: one["superseded_by"] for one in await rows(connection, _FOLLOWING, parameters)}
    for memory in wanted:
        if memory.superseded_by is None:
            successors.pop(memory.id, None)
    found = set()
    for memory in replaced:
        if _leads_to(memory.id, memory.superseded_by, successors):
            found.add(memory.id)
        else:
            successors[memory.id] = memory.superseded_by
    return found


def _leads_to(id: UUID, following: UUID | None, successors: Mapping[UUID, UUID]) -> bool:
    passed = set()
    while following is not None and following not in passed:
        if following == id:
            return True
        passed.add(following)
        following = successors.get(following)
    return False
