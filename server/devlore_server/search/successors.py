"""Owns the way from a memory that was superseded to the one that holds in its place."""

from collections.abc import Iterable
from uuid import UUID

from devlore.types import Memory, Status
from devlore_server.kit.auth import Principal
from devlore_server.ports import Memories

HOPS = 8
"""Successors followed one after another; through memories that somebody may not see, they can close a circle."""


async def in_force(memories: Memories, who: Principal, replaced: Iterable[Memory]) -> dict[UUID, Memory]:
    """What holds in the place of each memory of `replaced`, by that one's id.

    A memory is left out where its successors lead to nothing active that is searchable, or through what `who` may not
    see.
    """
    ends = {memory.id: memory for memory in replaced}
    for _ in range(HOPS):
        following = {id: end.superseded_by for id, end in ends.items() if end.status is Status.SUPERSEDED}
        wanted = sorted({successor for successor in following.values() if successor is not None})
        if not wanted:
            break
        seen = {memory.id: memory for memory in await memories.visible(who, wanted)}
        for id, successor in following.items():
            if successor in seen:
                ends[id] = seen[successor]
            else:
                del ends[id]
    # What is encrypted from end to end is found by nobody's words.
    return {id: end for id, end in ends.items() if end.status is Status.ACTIVE and end.encryption is None}
