"""How a change is made: one transaction as the caller, again when it lost a race, then a word to the log's readers."""

from __future__ import annotations

import asyncio
import random
from collections.abc import Awaitable, Callable
from datetime import datetime
from typing import TypeVar

from devlore_server.kit.auth import Principal
from devlore_server.kit.clock import Clock
from devlore_server.kit.db import Connection, Database
from devlore_server.kit.log import EventLog
from devlore_server.memory.store.races import RACES

T = TypeVar("T")

_ATTEMPTS = 8


class Changes:
    """Makes changes to one database; ``clock`` says when."""

    def __init__(self, database: Database, log: EventLog, clock: Clock) -> None:
        self._database = database
        self._log = log
        self._clock = clock

    async def make(self, who: Principal, work: Callable[[Connection, datetime], Awaitable[T]]) -> T:
        """Run ``work`` in a transaction, again when it lost a race, and wake the log's readers once it is committed."""
        for attempt in range(1, _ATTEMPTS + 1):
            try:
                async with self._database.transaction(who) as connection:
                    result = await work(connection, self._clock())
                break
            except RACES:
                if attempt == _ATTEMPTS:
                    raise
                await asyncio.sleep(random.uniform(0, 0.005 * 2**attempt))
        self._log.notify()
        return result
