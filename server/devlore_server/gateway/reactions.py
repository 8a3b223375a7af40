"""Events in: what is erased must not live on in the answers stored about it."""

from __future__ import annotations

from collections.abc import Sequence
from uuid import UUID

from devlore.events import Event
from devlore_server.gateway import store
from devlore_server.kit.db import Database, system


class StoredAnswers:
    """Applies ``memory.purged`` and ``identity.organisation_erased`` to the answers kept under idempotency keys.

    Harmless when repeated.
    """

    def __init__(self, database: Database) -> None:
        self._database = database

    async def erase(self, events: Sequence[Event]) -> None:
        """Erase the words of every answer about the events' subjects, or in their organisation, to whomever given."""
        erased: dict[UUID, list[UUID]] = {}
        for event in events:
            erased.setdefault(event.organisation_id, []).append(event.subject)
            if event.type == "identity.organisation_erased":
                async with self._database.transaction(system(event.organisation_id)) as connection:
                    await store.erase_all(connection, event.organisation_id)
        for organisation, subjects in erased.items():
            async with self._database.transaction(system(organisation)) as connection:
                await store.erase(connection, organisation, subjects)
