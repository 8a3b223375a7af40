"""Rows of ``memory.secrets_policy``: one per organisation that has chosen."""

from __future__ import annotations

from datetime import UTC, datetime

from devlore.types import SecretsAction, SecretsPolicy
from devlore_server.kit.auth import Principal
from devlore_server.kit.db import Connection, row


async def find(connection: Connection, who: Principal) -> SecretsPolicy:
    """What the caller's organisation has chosen, or the default."""
    found = await row(
        connection,
        "SELECT action, changed_at, changed_by FROM memory.secrets_policy WHERE organisation_id = %s",
        (who.organisation,),
    )
    return SecretsPolicy() if found is None else SecretsPolicy(**found | {"changed_at": _utc(found["changed_at"])})


async def put(connection: Connection, who: Principal, action: SecretsAction, *, at: datetime) -> None:
    """Choose for the caller's organisation."""
    await connection.execute(
        "INSERT INTO memory.secrets_policy (organisation_id, action, changed_at, changed_by) VALUES (%s, %s, %s, %s)"
        " ON CONFLICT (organisation_id) DO UPDATE SET action = excluded.action, changed_at = excluded.changed_at,"
        " changed_by = excluded.changed_by",
        (who.organisation, action, at, who.person),
    )


def _utc(moment: datetime) -> datetime:
    return moment.astimezone(UTC)
