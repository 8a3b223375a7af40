"""What becomes of memories when a person or a whole organisation is gone: an heir's, or erased; in batches."""

from __future__ import annotations

from datetime import datetime
from uuid import UUID

from devlore.events import DepartureSettled, Event
from devlore_server.kit import audit
from devlore_server.kit.audit import Leaf
from devlore_server.kit.auth import Principal
from devlore_server.kit.clock import Clock, utc_now
from devlore_server.kit.db import Connection, Database, system
from devlore_server.kit.ids import new_id
from devlore_server.kit.log import EventLog
from devlore_server.memory.changes import Changes
from devlore_server.memory.store import departures, memories
from devlore_server.memory.store.memories import Revision

BATCH = 100
"""Most memories of one transaction: each holds back the log's readers only for a moment."""


class Departures:
    """Carries out what identity decided. Done again, nothing is left to do."""

    def __init__(self, database: Database, log: EventLog, clock: Clock = utc_now) -> None:
        self._log = log
        self._changes = Changes(database, log, clock)

    async def settle(self, organisation: UUID, settled: DepartureSettled, decided_at: datetime) -> int:
        """Hand over or erase what a person who left kept private until ``decided_at``; how many memories that were.

        Each gets a version and an event like any other change, as the owner who decided, so that indexes follow.
        """
        giver, decided_by = system(organisation, settled.person), system(organisation, settled.settled_by)
        heir = settled.to if settled.action == "transfer" else None

        async def work(connection: Connection, at: datetime) -> int:
            ids = await departures.find_private(connection, giver, decided_at, BATCH)
            if heir is None:
                for memory in await memories.find_many(connection, giver, ids, lock=True, deleted=True):
                    await memories.purge(connection, self._log, decided_by, memory, at=at)
            else:
                await self._hand_over(connection, decided_by, heir, ids, at)
            return len(ids)

        done = 0
        while batch := await self._changes.make(giver, work):
            done += batch
        return done

    async def erase(self, organisation: UUID) -> int:
        """Erase everything of an organisation, whoever's it was; how many memories that were."""
        who = system(organisation)

        async def work(connection: Connection, at: datetime) -> int:
            erased = await departures.erase_some(connection, BATCH)
            for id, _ in erased:
                await self._log.forget(connection, organisation, id)
            await self._log.append(connection, [_purged(organisation, id, version, at) for id, version in erased])
            await audit.append(connection, who, *(Leaf("memory.purged", [("memory", id)]) for id, _ in erased), at=at)
            if not erased:
                await departures.erase_rest(connection, organisation)
            return len(erased)

        done = 0
        while batch := await self._changes.make(who, work):
            done += batch
        return done

    async def _hand_over(
        self, connection: Connection, decided_by: Principal, heir: UUID, ids: list[UUID], at: datetime
    ) -> None:
        await departures.hand_over(connection, heir, ids)
        now = await memories.find_many(connection, decided_by, ids, lock=True, deleted=True)
        revisions = [Revision(memory, memory, "transferred") for memory in now]
        await memories.update_many(connection, self._log, decided_by, revisions, at=at)


def _purged(organisation: UUID, id: UUID, version: int, at: datetime) -> Event:
    return Event(
        id=new_id(),
        type="memory.purged",
        organisation_id=organisation,
        subject=id,
        version=version + 1,
        audience=organisation,
        occurred_at=at,
        data={},
    )
