"""Events in: whoever left an organisation has nothing connected to it any more."""

from __future__ import annotations

from collections.abc import Sequence

from devlore.events import Event
from devlore_server.integration.departures import Disconnections


class IntegrationReactions:
    """Applies ``identity.member_removed`` and ``identity.organisation_erased``; harmless when repeated."""

    def __init__(self, disconnections: Disconnections) -> None:
        self._disconnections = disconnections

    async def disconnect(self, events: Sequence[Event]) -> None:
        """Disconnect the sources of the person, or of the whole organisation, each event is about."""
        for event in events:
            person = event.subject if event.type == "identity.member_removed" else None
            await self._disconnections.disconnect(event.organisation_id, person, event.occurred_at)
