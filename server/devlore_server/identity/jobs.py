"""What identity does by the clock: erase organisations whose deletion has become final, forget spent credentials."""

from __future__ import annotations

import asyncio

import psycopg
import structlog

from devlore.problems import Unavailable
from devlore_server.identity.organisations import Organisations
from devlore_server.identity.service import IdentityService

_log = structlog.get_logger("devlore.identity")


async def keep_erasing(organisations: Organisations, *, every: float = 900.0) -> None:
    """``erase_due`` every ``every`` seconds, for as long as the server runs; a failure waits for the next turn."""
    while True:
        try:
            gone = await organisations.erase_due()
        except (psycopg.Error, Unavailable) as error:
            _log.warning("due_organisations_kept", error=type(error).__name__)
        else:
            if gone:
                _log.info("organisations_erased", count=gone)
        await asyncio.sleep(every)


async def keep_forgetting(identity: IdentityService, *, every: float = 900.0) -> None:
    """``forget_expired`` every ``every`` seconds, for as long as the server runs; a failure waits for the next turn."""
    while True:
        try:
            gone = await identity.forget_expired()
        except (psycopg.Error, Unavailable) as error:
            _log.warning("spent_credentials_kept", error=type(error).__name__)
        else:
            if gone:
                _log.info("spent_credentials_forgotten", count=gone)
        await asyncio.sleep(every)
