"""What the gateway does by the clock: forget expired idempotency keys."""

from __future__ import annotations

import asyncio

import psycopg
import structlog

from devlore.problems import Unavailable
from devlore_server.gateway import store
from devlore_server.kit.db import Database

_log = structlog.get_logger("devlore.gateway")
_BATCH = 1_000


async def forget_expired(database: Database) -> int:
    """Delete every expired answer, in batches that lock little; how many there were."""
    gone = 0
    while True:
        async with database.transaction(None) as connection:
            batch = await store.forget_expired(connection, _BATCH)
        gone += batch
        if batch < _BATCH:
            return gone


async def keep_forgetting(database: Database, *, every: float = 900.0) -> None:
    """``forget_expired`` every ``every`` seconds, for as long as the server runs; a failure waits for the next turn."""
    while True:
        try:
            gone = await forget_expired(database)
        except (psycopg.Error, Unavailable) as error:
            _log.warning("expired_keys_kept", error=type(error).__name__)
        else:
            if gone:
                _log.info("expired_keys_forgotten", count=gone)
        await asyncio.sleep(every)
