"""Rows of ``integration.item``: what each connection has brought in."""

from __future__ import annotations

from uuid import UUID

from devlore_server.kit.auth import Principal
from devlore_server.kit.db import Connection as Transaction
from devlore_server.kit.db import rows


async def note(
    transaction: Transaction, who: Principal, connection_id: UUID, connector: str, generation: int, items: list[str]
) -> None:
    """Remember that these items are there in this generation."""
    if not items:
        return
    await transaction.execute(
        "INSERT INTO integration.item (organisation_id, connection_id, external_id, created_by, connector, generation)"
        " SELECT %s, %s, i.external_id, %s, %s, %s FROM unnest(%s::text[]) AS i(external_id)"
        " ON CONFLICT (organisation_id, connection_id, external_id) DO UPDATE SET generation = excluded.generation"
        " WHERE item.generation <> excluded.generation",
        (who.organisation, connection_id, who.person, connector, generation, sorted(set(items))),
    )


async def only_here(
    transaction: Transaction, who: Principal, connection_id: UUID, connector: str, items: list[str]
) -> list[str]:
    """Those of ``items`` that no other connection of the person has brought in."""
    found = await rows(
        transaction,
        "SELECT i.external_id FROM unnest(%(items)s::text[]) AS i(external_id) WHERE NOT EXISTS ("
        " SELECT FROM integration.item o WHERE o.organisation_id = %(organisation)s AND o.created_by = %(person)s"
        " AND o.connector = %(connector)s AND o.external_id = i.external_id AND o.connection_id <> %(connection)s)",
        {
            "items": items,
            "organisation": who.organisation,
            "person": who.person,
            "connector": connector,
            "connection": connection_id,
        },
    )
    return [one["external_id"] for one in found]


async def forget(transaction: Transaction, who: Principal, connection_id: UUID, items: list[str]) -> None:
    """These items are gone from the connection's source."""
    await transaction.execute(
        "DELETE FROM integration.item i"
        " WHERE i.organisation_id = %s AND i.connection_id = %s AND i.external_id = ANY (%s)",
        (who.organisation, connection_id, items),
    )


async def older(
    transaction: Transaction, who: Principal, connection_id: UUID, generation: int, limit: int
) -> list[str]:
    """Items that were not seen in this generation."""
    found = await rows(
        transaction,
        "SELECT i.external_id FROM integration.item i"
        " WHERE i.organisation_id = %s AND i.connection_id = %s AND i.generation < %s LIMIT %s",
        (who.organisation, connection_id, generation, limit),
    )
    return [one["external_id"] for one in found]
