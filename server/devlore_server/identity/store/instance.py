"""SQL of ``identity.instance``: the one row that says what kind of instance the database is."""

from __future__ import annotations

from typing import LiteralString

from devlore_server.kit.db import Connection, row

_REMEMBER: LiteralString = """
    INSERT INTO identity.instance (tier) VALUES (%(tier)s) ON CONFLICT (only_one) DO NOTHING"""
_CHANGE: LiteralString = """
    INSERT INTO identity.instance (tier) VALUES (%(tier)s)
    ON CONFLICT (only_one) DO UPDATE SET tier = excluded.tier WHERE instance.tier <> excluded.tier"""


async def remember(connection: Connection, tier: str) -> str:
    """The tier of the database: the one it has, otherwise ``tier`` from now on."""
    await connection.execute(_REMEMBER, {"tier": tier})
    found = await row(connection, "SELECT tier FROM identity.instance")
    assert found is not None
    return str(found["tier"])


async def change(connection: Connection, tier: str) -> bool:
    """Make it a database of ``tier``; whether it was another one."""
    return (await connection.execute(_CHANGE, {"tier": tier})).rowcount > 0
