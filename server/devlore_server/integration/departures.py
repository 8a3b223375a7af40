"""Sources of those who left: disconnected, so that nothing is read in their name any more."""

from __future__ import annotations

from datetime import datetime
from uuid import UUID

from devlore_server.integration.store import connections
from devlore_server.kit import audit
from devlore_server.kit.audit import Leaf
from devlore_server.kit.db import Database, system
from devlore_server.ports import Memories


class Disconnections:
    """Done again, nothing is left to do."""

    def __init__(self, database: Database, memories: Memories) -> None:
        self._database = database
        self._memories = memories

    async def disconnect(self, organisation: UUID, person: UUID | None, until: datetime) -> int:
        """Remove what ``person`` (None: anybody) of an organisation had connected by ``until``; how many that were.

        A sync that is running stops at its next batch.
        """
        who = system(organisation)
        async with self._database.transaction(who) as transaction:
            gone = await connections.delete_of(transaction, person, until)
            await audit.append(transaction, who, *(Leaf("connection.deleted", [("connection", id)]) for id in gone))
        for id in gone:
            await self._memories.forget_checkpoint(who, id)
        return len(gone)
