"""Monthly partitions of the audit trail, made ahead so that no writer has to."""

from __future__ import annotations

import asyncio
from datetime import UTC, datetime

import psycopg
import structlog

from devlore.problems import Unavailable
from devlore_server.kit.clock import Clock, utc_now
from devlore_server.kit.db import Database, row

AHEAD = 3
"""Months ahead of the current one that have their partition already."""

_said = structlog.get_logger("devlore.audit")


async def ensure_ahead(database: Database, now: datetime) -> int:
    """Make the partitions of this month and the next three where they are missing; how many were."""
    made = 0
    for ahead in range(AHEAD + 1):
        month = now.year * 12 + now.month - 1 + ahead
        first = datetime(month // 12, month % 12 + 1, 1, tzinfo=UTC)
        # One transaction each: attaching holds a lock that others who attach wait for.
        async with database.transaction(None) as connection:
            found = await row(connection, "SELECT audit.ensure_month(%s) AS made", (first,))
        made += bool(found and found["made"])
    return made


async def keep_ahead(database: Database, *, every: float = 6 * 3600.0, clock: Clock = utc_now) -> None:
    """``ensure_ahead`` every ``every`` seconds, for as long as the server runs; a failure waits for the next turn."""
    while True:
        try:
            made = await ensure_ahead(database, clock())
        except (psycopg.Error, Unavailable) as error:
            # A writer makes the month it needs; this only spares it the wait.
            _said.warning("audit_months_missing", error=type(error).__name__)
        else:
            if made:
                _said.info("audit_months_made", count=made)
        await asyncio.sleep(every)
