"""What an organisation does with secrets: read, changed with a leaf, and remembered for two seconds."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Final
from uuid import UUID

from devlore.types import SecretsAction, SecretsPolicy
from devlore_server.kit import audit
from devlore_server.kit.audit import Leaf
from devlore_server.kit.auth import Principal
from devlore_server.kit.clock import Clock, utc_now
from devlore_server.kit.db import Connection, Database
from devlore_server.memory.store import policies

KEPT_SECONDS: Final = 2.0
"""How long another process may go on as before after a change."""
_MOST_KEPT: Final = 10_000


class SecretsPolicies:
    """The organisations' choices."""

    def __init__(
        self, database: Database, clock: Clock = utc_now, *, monotonic: Callable[[], float] = time.monotonic
    ) -> None:
        self._database = database
        self._clock = clock
        self._monotonic = monotonic
        self._kept: dict[UUID, tuple[float, SecretsAction]] = {}

    async def get(self, who: Principal) -> SecretsPolicy:
        """The choice of the caller's organisation."""
        async with self._database.transaction(who) as connection:
            return await policies.find(connection, who)

    async def change(self, who: Principal, action: SecretsAction) -> SecretsPolicy:
        """Choose for the caller's organisation; what is stored already stays as it is."""
        at = self._clock()
        async with self._database.transaction(who) as connection:
            before = await policies.find(connection, who)
            await policies.put(connection, who, action, at=at)
            context = {"policy": "secrets", "before": before.action, "after": action}
            await audit.append(connection, who, Leaf("policy.changed", context=context), at=at)
        self._kept.pop(who.organisation, None)
        return SecretsPolicy(action=action, changed_at=at, changed_by=who.person)

    async def action(self, who: Principal, connection: Connection | None = None) -> SecretsAction:
        """What to do now; asks over ``connection`` where the caller has a transaction open already."""
        until, action = self._kept.get(who.organisation, (0.0, "redact"))
        if until > self._monotonic():
            return action
        found = await self.get(who) if connection is None else await policies.find(connection, who)
        if len(self._kept) >= _MOST_KEPT:
            self._kept.clear()
        self._kept[who.organisation] = (self._monotonic() + KEPT_SECONDS, found.action)
        return found.action
