"""Whether a memory still holds: superseded by another, invalidated, reinstated; each with its reason."""

from __future__ import annotations

from datetime import datetime
from typing import Any
from uuid import UUID

from devlore.problems import Conflict, Invalid, NotFound
from devlore.types import LinkType, Memory, Status, StatusChange
from devlore_server.kit import audit
from devlore_server.kit.auth import Principal
from devlore_server.kit.clock import Clock, utc_now
from devlore_server.kit.db import Connection, Database
from devlore_server.kit.log import EventLog
from devlore_server.memory.changes import Changes
from devlore_server.memory.checks import NO_SUCH_MEMORY, refuse
from devlore_server.memory.links import memory_link
from devlore_server.memory.secrets.screen import Screen, Screened, leaves
from devlore_server.memory.store import links, memories, successions
from devlore_server.memory.store.links import NewLink
from devlore_server.memory.succession import told_start


class Lifecycle:
    """Status, validity and successor change together, in one transaction, as one new version."""

    def __init__(self, database: Database, log: EventLog, clock: Clock = utc_now, screen: Screen | None = None) -> None:
        self._screen = screen or Screen(database)
        self._log = log
        self._changes = Changes(database, log, clock)

    async def supersede(self, who: Principal, id: UUID, by: UUID, reason: str | None) -> Memory:
        """Say that ``by`` replaces a memory: it was true until ``by`` became valid.

        Repeating it changes nothing. Raises ``NotFound``, ``Invalid`` for a successor the caller cannot see,
        ``Conflict`` when the memory is invalidated, has another successor, or would come to succeed itself.
        """

        screened = await self._screen.one(who, StatusChange(reason=reason))

        async def write(connection: Connection, at: datetime) -> Memory:
            locked = {m.id: m for m in await memories.find_many(connection, who, [id, by], lock=True)}
            old = locked.get(id)
            if old is None:
                raise NotFound
            if by not in locked:
                problem: Invalid = refuse("/by", NO_SUCH_MEMORY)
                raise problem
            if old.superseded_by == by:
                return old
            await _refuse_supersession(connection, who, old, locked[by])
            # What replaces it says when it stopped being true, unless that was before it began.
            begins, began = told_start(who, old, locked[by]), old.valid_from
            valid_to = begins if begins is not None and (began is None or begins > began) else at
            changed = {
                "status": Status.SUPERSEDED,
                "status_reason": screened.thing.reason,
                "superseded_by": by,
                "valid_to": valid_to,
            }
            await links.insert_many(connection, who, [NewLink(by, memory_link(LinkType.SUPERSEDES, id))], at=at)
            return await self._store(connection, who, old, changed, at, screened)

        return await self._changes.make(who, write)

    async def invalidate(self, who: Principal, id: UUID, reason: str | None) -> Memory:
        """Say that a memory was wrong. Raises ``NotFound``, ``Conflict`` when it is not active."""

        screened = await self._screen.one(who, StatusChange(reason=reason))

        async def write(connection: Connection, at: datetime) -> Memory:
            old = await memories.get(connection, who, id, lock=True)
            if old.status is not Status.ACTIVE:
                raise Conflict(f"The memory is already {old.status}; reinstate it first.", memory_status=old.status)
            changed = {"status": Status.INVALIDATED, "status_reason": screened.thing.reason, "valid_to": at}
            return await self._store(connection, who, old, changed, at, screened)

        return await self._changes.make(who, write)

    async def reinstate(self, who: Principal, id: UUID, reason: str | None) -> Memory:
        """Say that a memory holds after all. Raises ``NotFound``, ``Conflict`` when it is active."""

        screened = await self._screen.one(who, StatusChange(reason=reason))

        async def write(connection: Connection, at: datetime) -> Memory:
            old = await memories.get(connection, who, id, lock=True)
            if old.status is Status.ACTIVE:
                raise Conflict("The memory is active already.", memory_status=old.status)
            await links.delete_succession(connection, who, id)
            changed = {
                "status": Status.ACTIVE,
                "status_reason": screened.thing.reason,
                "superseded_by": None,
                "valid_to": None,
            }
            return await self._store(connection, who, old, changed, at, screened)

        return await self._changes.make(who, write)

    async def _store(
        self,
        connection: Connection,
        who: Principal,
        old: Memory,
        changed: dict[str, Any],
        at: datetime,
        screened: Screened[StatusChange],
    ) -> Memory:
        after, reason = old.model_copy(update=changed), screened.thing.reason
        stored = await memories.update(connection, self._log, who, old, after, change="status", at=at, reason=reason)
        await audit.append(connection, who, *leaves([screened], [old.id]), at=at)
        return stored


async def _refuse_supersession(connection: Connection, who: Principal, old: Memory, successor: Memory) -> None:
    if old.id == successor.id:
        raise Conflict("A memory cannot supersede itself.")
    if old.status is not Status.ACTIVE:
        raise Conflict(f"The memory is already {old.status}; reinstate it first.", memory_status=old.status)
    if await successions.circular(connection, who, [old.model_copy(update={"superseded_by": successor.id})]):
        raise Conflict(successions.CIRCLE)
