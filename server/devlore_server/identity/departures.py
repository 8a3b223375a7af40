"""Those who left: an owner decides what becomes of their private memories."""

from __future__ import annotations

from datetime import datetime
from uuid import UUID

from devlore.events import DepartureSettled, Event
from devlore.problems import Conflict, NotAllowed, NotFound
from devlore.types import Departure, Settlement
from devlore_server.identity.checks import authorise, check_own, refuse
from devlore_server.identity.store import departures, members
from devlore_server.kit import audit
from devlore_server.kit.audit import Leaf, Personal
from devlore_server.kit.auth import Principal
from devlore_server.kit.clock import Clock, utc_now
from devlore_server.kit.db import Connection, Database
from devlore_server.kit.ids import new_id
from devlore_server.kit.log import EventLog


class Departures:
    """Each change is one transaction with its audit leaf and the event that the memory service acts on."""

    def __init__(self, database: Database, log: EventLog, clock: Clock = utc_now) -> None:
        self._database = database
        self._log = log
        self._clock = clock

    async def page(
        self, who: Principal, organisation: UUID, pending: bool | None, limit: int, after: UUID | None = None
    ) -> list[Departure]:
        """Departures, newest first, behind the id in ``after``; ``pending`` for those still open, or the others."""
        check_own(who, organisation)
        async with self._database.transaction(who) as connection:
            return await departures.page(connection, organisation, pending, limit, after)

    async def settle(self, who: Principal, organisation: UUID, id: UUID, settlement: Settlement) -> Departure:
        """Hand the private memories of somebody who left to a member, or have them erased; owners only, once.

        Raises ``NotFound``, ``NotAllowed``, ``Conflict`` when it is settled, ``Invalid`` for an heir who is no member.
        """
        check_own(who, organisation)
        async with self._database.transaction(who) as connection:
            if await authorise(connection, who, "organisation:write") != "owner":
                raise NotAllowed("Only owners decide what becomes of the memories of those who left.")
            departure = await departures.find(connection, organisation, id)
            if departure is None:
                raise NotFound
            if departure.settled_at is not None:
                raise Conflict("This was settled before.")
            decided = await _decide(connection, who, settlement)
            settled = await self._settle(connection, who, departure, decided)
        self._log.notify()
        return settled

    async def _settle(
        self, connection: Connection, who: Principal, departure: Departure, decided: Settlement
    ) -> Departure:
        at = self._clock()
        await departures.settle(connection, who.organisation, departure.id, decided, who.person, at=at)
        leaf = Leaf(
            "departure.settled",
            [("departure", departure.id), ("person", departure.person_id)],
            context={"action": decided.action, "to": Personal("person", str(decided.to)) if decided.to else None},
        )
        await audit.append(connection, who, leaf, at=at)
        await self._log.append(connection, [_event(who, departure, decided, at)])
        found = await departures.find(connection, who.organisation, departure.id)
        assert found is not None
        return found


async def _decide(connection: Connection, who: Principal, settlement: Settlement) -> Settlement:
    if settlement.action == "purge":
        if settlement.to is not None:
            raise refuse("/to", "What is purged goes to nobody.")
        return settlement
    heir = settlement.to or who.person
    if await members.role_of(connection, who.organisation, heir) is None:
        raise refuse("/to", "There is no such member.")
    return Settlement(action="transfer", to=heir)


def _event(who: Principal, departure: Departure, decided: Settlement, at: datetime) -> Event:
    settled = DepartureSettled(person=departure.person_id, action=decided.action, to=decided.to, settled_by=who.person)
    return Event(
        id=new_id(),
        type="identity.departure_settled",
        organisation_id=who.organisation,
        subject=departure.id,
        version=1,
        # Whoever decided it may know; it is nobody else's news.
        audience=who.person,
        occurred_at=at,
        data=settled.model_dump(mode="json"),
    )
