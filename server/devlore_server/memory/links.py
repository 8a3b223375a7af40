"""How memories point at each other and outwards; the notes search leaves about near-duplicates."""

from __future__ import annotations

from collections.abc import Sequence
from uuid import UUID

from devlore.events import NearDuplicate
from devlore.problems import Conflict, Invalid, NotFound
from devlore.types import Link, LinkDraft, LinkType, TargetKind
from devlore_server.kit import audit
from devlore_server.kit.auth import Principal
from devlore_server.kit.clock import Clock, utc_now
from devlore_server.kit.db import Connection, Database
from devlore_server.memory.checks import NO_SUCH_MEMORY, check_key, refuse, refuse_all
from devlore_server.memory.secrets.screen import Screen, leaves
from devlore_server.memory.store import links, memories, trail
from devlore_server.memory.store.links import NewLink


class Links:
    """Adds, lists and removes links. A link is not a change of the memory: it makes no version."""

    def __init__(self, database: Database, clock: Clock = utc_now, screen: Screen | None = None) -> None:
        self._database = database
        self._screen = screen or Screen(database)
        self._clock = clock

    async def list(self, who: Principal, id: UUID, limit: int, after: UUID | None = None) -> list[Link]:
        """Links from and to a memory, oldest first. Raises ``NotFound``."""
        async with self._database.transaction(who) as connection:
            await memories.get(connection, who, id)
            return await links.around(connection, who, id, after=after, limit=limit)

    async def add(self, who: Principal, id: UUID, draft: LinkDraft) -> Link:
        """Store a link; adding one that exists answers the existing one.

        Raises ``NotFound`` for the memory, ``Invalid`` at ``/target`` for a target that is not the caller's to see.
        """
        screened = await self._screen.one(who, draft)
        async with self._database.transaction(who) as connection:
            await memories.get(connection, who, id)
            new = NewLink(id, await _checked(connection, who, id, screened.thing))
            at = self._clock()
            added = await links.insert_many(connection, who, [new], at=at)
            await links.adopt(connection, who, new)
            stored = await links.find(connection, who, new)
            await audit.append(connection, who, *trail.of_links("link.added", added), *leaves([screened], [id]), at=at)
        if stored is None:
            raise Conflict("The link was removed while it was being added.")
        return stored

    async def remove(self, who: Principal, id: UUID, link_id: UUID) -> None:
        """Remove a link that starts or ends at a memory. Raises ``NotFound``."""
        async with self._database.transaction(who) as connection:
            await memories.get(connection, who, id)
            if not await links.delete(connection, who, id, link_id):
                raise NotFound
            await audit.append(connection, who, *trail.of_links("link.removed", [id]), at=self._clock())

    async def note_near_duplicates(self, who: Principal, id: UUID, found: Sequence[NearDuplicate]) -> None:
        """Store ``near_duplicate`` links from a memory; ends that are gone by now are left out."""
        async with self._database.transaction(who) as connection:
            ids = {
                memory.id for memory in await memories.find_many(connection, who, [id, *(n.memory_id for n in found)])
            }
            if id not in ids:
                return
            noted = [
                NewLink(id, memory_link(LinkType.NEAR_DUPLICATE, near.memory_id), near.score)
                for near in found
                if near.memory_id in ids - {id}
            ]
            await links.insert_many(connection, who, noted, at=self._clock())


def memory_link(type: LinkType, target: UUID) -> LinkDraft:
    """The draft of a link to a memory."""
    return LinkDraft(type=type, target_kind=TargetKind.MEMORY, target=str(target))


async def _checked(connection: Connection, who: Principal, id: UUID, draft: LinkDraft) -> LinkDraft:
    if draft.target_kind is not TargetKind.MEMORY:
        if too_long := check_key("/target", draft.target):
            raise refuse_all(too_long)
        return draft
    try:
        target = UUID(draft.target)
    except ValueError:
        raise refuse("/target", "A link to a memory names its id.") from None
    if target == id:
        raise refuse("/target", "A memory cannot link to itself.")
    if not await memories.find_many(connection, who, [target]):
        problem: Invalid = refuse("/target", NO_SUCH_MEMORY)
        raise problem
    return draft.model_copy(update={"target": str(target)})
