"""Events in: what search found out about a memory becomes links, who is gone leaves nothing behind."""

from __future__ import annotations

from collections.abc import Sequence

from devlore.events import DepartureSettled, Event, NearDuplicates
from devlore_server.kit.auth import Principal
from devlore_server.memory.departures import Departures
from devlore_server.memory.links import Links


class MemoryReactions:
    """Applies ``search.near_duplicates_found``; harmless when repeated."""

    def __init__(self, links: Links) -> None:
        self._links = links

    async def note_near_duplicates(self, events: Sequence[Event]) -> None:
        """Store each finding as links, as the author of the memory it is about."""
        for event in events:
            found = NearDuplicates.model_validate(event.data)
            who = Principal(organisation=event.organisation_id, person=found.seen_by)
            await self._links.note_near_duplicates(who, event.subject, found.found)


class DepartureReactions:
    """Applies ``identity.departure_settled`` and ``identity.organisation_erased``; harmless when repeated."""

    def __init__(self, departures: Departures) -> None:
        self._departures = departures

    async def settle(self, events: Sequence[Event]) -> None:
        """Hand over or erase the memories each event is about, in the order of the events."""
        for event in events:
            if event.type == "identity.organisation_erased":
                await self._departures.erase(event.organisation_id)
            else:
                settled = DepartureSettled.model_validate(event.data)
                await self._departures.settle(event.organisation_id, settled, event.occurred_at)
