"""Marks that say somebody's rights have changed: left by identity, looked at on every request."""

from __future__ import annotations

import secrets
from functools import lru_cache
from uuid import UUID

from devlore.problems import Unavailable
from devlore_server.kit.cache import Cache, Key, tenant_key

KEPT = 60.0
"""Seconds a mark lives: far longer than anybody remembers a standing (2 s)."""


class Revocations:
    """One mark per person and organisation, different after every change.

    Whoever remembers what a credential is good for remembers the mark that stood *before* they asked, and asks again
    when another stands now. Nothing depends on clocks, and a mark that is lost only costs a question. Without a
    ``cache`` that identity writes to as well, nobody can tell, and whoever looks has to ask every time.
    """

    def __init__(self, cache: Cache | None) -> None:
        self._cache = cache

    async def changed(self, organisation: UUID, person: UUID) -> None:
        """Say that a session or key of the person, their role or their teams changed; call it after the commit.

        Never fails what it follows: without the mark the change is noticed within 2 s all the same.
        """
        if self._cache is not None:
            await self._cache.put(_key(organisation, person), secrets.token_bytes(8), KEPT)

    async def mark(self, organisation: UUID, person: UUID) -> bytes:
        """The mark that stands now, empty when there is none.

        Raises ``Unavailable`` when nobody can tell: then nothing remembered may be used.
        """
        if self._cache is None:
            raise Unavailable("Nothing is shared.")
        return await self._cache.read(_key(organisation, person)) or b""


@lru_cache(maxsize=4096)
def _key(organisation: UUID, person: UUID) -> Key:
    return tenant_key(organisation, "revoked", person)
