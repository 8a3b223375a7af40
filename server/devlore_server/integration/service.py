"""What can be done with sources of memories: connect, change, sync, watch, disconnect; owns the transactions."""

from __future__ import annotations

import asyncio
import os
from collections.abc import Mapping
from dataclasses import replace
from typing import Any
from uuid import UUID

from devlore.problems import Conflict, Invalid, NotFound
from devlore.types import AuditAction, Connection, ConnectionDraft, ConnectionPatch, Sync
from devlore_server.integration.connector import Connector, Place
from devlore_server.integration.connectors import CONNECTORS
from devlore_server.integration.store import connections, syncs
from devlore_server.integration.store.connections import Owned, Stored
from devlore_server.integration.syncs import Syncs
from devlore_server.kit import audit
from devlore_server.kit.audit import Leaf
from devlore_server.kit.auth import Principal
from devlore_server.kit.clock import Clock, utc_now
from devlore_server.kit.db import Database
from devlore_server.kit.ids import new_id
from devlore_server.ports import Memories


class IntegrationService:
    """Connections and their syncs. ``local`` says whether connectors may read this machine's files."""

    def __init__(
        self,
        database: Database,
        memories: Memories,
        clock: Clock = utc_now,
        *,
        local: bool = False,
        connectors: Mapping[str, Connector] = CONNECTORS,
    ) -> None:
        self._database = database
        self._memories = memories
        self._clock = clock
        self._connectors = connectors
        self.syncs = Syncs(database, memories, clock, connectors, local=local)
        self.queued = asyncio.Event()
        """Set when there may be something new to do, so that the worker need not wait for its next look."""

    async def connect(self, who: Principal, draft: ConnectionDraft) -> tuple[Connection, bool]:
        """Connect a source, and whether it is new; a place that is connected already takes the settings of the draft.

        Raises ``Invalid`` naming what is wrong, ``NotAllowed`` when the server may not read its own files.
        """
        place = await self._check(draft.connector, draft.config)
        stored = Stored(
            id=new_id(),
            connector=draft.connector,
            location=place.location,
            name=draft.name or place.name,
            project=draft.project or place.project,
            config=place.config,
            watch=draft.watch,
            generation=0,
            created_at=self._clock(),
            last_synced_at=None,
        )
        async with self._database.transaction(who) as transaction:
            if new := await connections.insert(transaction, who, stored):
                kept = stored
            else:
                known = await connections.find_at(transaction, who, draft.connector, place.location)
                if known is None:
                    raise Conflict("This place was connected and disconnected just now; try again.")
                kept = _reconnected(known, draft, place)
                await connections.update(transaction, who, kept)
            await audit.append(transaction, who, _leaf("connection.created" if new else "connection.updated", kept))
        self.queued.set()
        return await self._shown(who, kept), new

    async def get(self, who: Principal, id: UUID) -> Connection:
        """One connection; raises ``NotFound``."""
        return await self._shown(who, await self._stored(who, id))

    async def page(self, who: Principal, limit: int, after: UUID | None = None) -> list[Connection]:
        """Up to ``limit`` connections, newest first, behind the id ``after``."""
        async with self._database.transaction(who) as transaction:
            found = await connections.find_page(transaction, who, limit, after)
        return [await self._shown(who, one) for one in found]

    async def change(self, who: Principal, id: UUID, patch: ConnectionPatch) -> Connection:
        """Change what the patch names; settings merge one by one, null takes one away.

        Raises ``NotFound``, ``Invalid``, ``NotAllowed``, and ``Conflict`` when another connection has that place.
        """
        before = await self._stored(who, id)
        after = before
        if patch.config is not None:
            merged = {name: value for name, value in (before.config | patch.config).items() if value is not None}
            place = await self._check(before.connector, merged)
            after = replace(after, config=place.config, location=place.location)
        named = patch.model_fields_set
        after = replace(
            after,
            name=(patch.name or after.name) if "name" in named else after.name,
            project=patch.project if "project" in named else after.project,
            watch=bool(patch.watch) if "watch" in named else after.watch,
        )
        async with self._database.transaction(who) as transaction:
            there = await connections.find_at(transaction, who, after.connector, after.location)
            if there is not None and there.id != id:
                raise Conflict(f"{after.location} is connected already.", connection_id=str(there.id))
            await connections.update(transaction, who, after)
            await audit.append(transaction, who, _leaf("connection.updated", after))
        self.queued.set()
        return await self._shown(who, after)

    async def disconnect(self, who: Principal, id: UUID) -> None:
        """Forget a connection, its syncs and how far it was read; its memories stay. Raises ``NotFound``."""
        async with self._database.transaction(who) as transaction:
            if not await connections.delete(transaction, who, id):
                raise NotFound
            await audit.append(transaction, who, Leaf("connection.deleted", [("connection", id)]))
        await self._memories.forget_checkpoint(who, id)
        self.queued.set()

    async def sync(self, who: Principal, connection_id: UUID, *, full: bool = False) -> Sync:
        """Queue a sync, or answer the one under way. With ``full`` it forgets the checkpoint and reads everything.

        Raises ``NotFound``, and ``Conflict`` for a full sync while another one runs.
        """
        stored = await self._stored(who, connection_id)
        self._connector(stored.connector)
        async with self._database.transaction(who) as transaction:
            if await connections.find(transaction, who, connection_id, lock=True) is None:
                raise NotFound
            id = new_id()
            new = await syncs.insert(transaction, who, id, connection_id, anew=full, at=self._clock())
            found = await syncs.find_under_way(transaction, who, connection_id)
            if found is None:
                raise Conflict("A sync of this connection ended just now; try again.")
            if full and not new and not await syncs.read_anew(transaction, who, found.id):
                raise Conflict("A sync of this connection is running; cancel it or wait.", sync_id=str(found.id))
            if new or full:
                asked = [("connection", connection_id), ("sync", found.id)]
                await audit.append(transaction, who, Leaf("sync.requested", asked, context={"full": full}))
        self.queued.set()
        return found

    async def get_sync(self, who: Principal, id: UUID) -> Sync:
        """One sync and how far it is; raises ``NotFound``."""
        async with self._database.transaction(who) as transaction:
            found = await syncs.find(transaction, who, id)
        if found is None:
            raise NotFound
        return found

    async def page_syncs(
        self, who: Principal, connection_id: UUID, limit: int, after: UUID | None = None
    ) -> list[Sync]:
        """Up to ``limit`` syncs of a connection, newest first, behind the id ``after``; raises ``NotFound``."""
        await self._stored(who, connection_id)
        async with self._database.transaction(who) as transaction:
            return await syncs.find_page(transaction, who, connection_id, limit, after)

    async def cancel_sync(self, who: Principal, id: UUID) -> None:
        """End a queued sync; stop a running one after its batch. One that has ended stays so. Raises ``NotFound``."""
        async with self._database.transaction(who) as transaction:
            if not await syncs.cancel(transaction, who, id, self._clock()):
                raise NotFound
            await audit.append(transaction, who, Leaf("sync.cancelled", [("sync", id)]))

    async def watched(self) -> list[tuple[Owned, Stored]]:
        """Every watched connection with whose it is."""
        async with self._database.transaction(None) as transaction:
            owned = await connections.watched(transaction)
        found = []
        for one in owned:
            async with self._database.transaction(one.owner) as transaction:
                stored = await connections.find(transaction, one.owner, one.id)
            if stored is not None and stored.connector in self._connectors:
                found.append((one, stored))
        return found

    async def _stored(self, who: Principal, id: UUID) -> Stored:
        async with self._database.transaction(who) as transaction:
            stored = await connections.find(transaction, who, id)
        if stored is None:
            raise NotFound
        return stored

    async def _check(self, connector: str, config: dict[str, Any]) -> Place:
        path = config.get("path")
        named = self._connector(connector)
        if named.local and isinstance(path, str) and not os.path.isabs(path):
            detail = "The path must be absolute: the server does not know where you are."
            raise Invalid(detail, errors=[{"pointer": "/config/path", "detail": detail}])
        return await named.check(config)

    def _connector(self, name: str) -> Connector:
        connector = self.syncs.connector(name)
        if connector is None:
            detail = f"There is no connector {name}; there are {', '.join(sorted(self._connectors))}."
            raise Invalid(detail, errors=[{"pointer": "/connector", "detail": detail}])
        return connector

    async def _shown(self, who: Principal, stored: Stored) -> Connection:
        checkpoint = await self._memories.checkpoint(who, stored.id)
        connector = self._connectors.get(stored.connector)
        summary = connector.summary(checkpoint) if connector is not None and checkpoint is not None else None
        return Connection(
            id=stored.id,
            connector=stored.connector,
            name=stored.name,
            project=stored.project,
            config=stored.config,
            watch=stored.watch,
            created_at=stored.created_at,
            last_synced_at=stored.last_synced_at,
            checkpoint=summary,
        )


def _leaf(action: AuditAction, stored: Stored) -> Leaf:
    return Leaf(action, [("connection", stored.id)], context={"connector": stored.connector, "watch": stored.watch})


def _reconnected(known: Stored, draft: ConnectionDraft, place: Place) -> Stored:
    """A connection whose place was connected again: it takes the new settings, and keeps what was not named."""
    named = draft.model_fields_set
    return replace(
        known,
        config=place.config,
        name=draft.name or known.name,
        project=draft.project or known.project,
        watch=draft.watch if "watch" in named else known.watch,
    )
