"""What credentials are good for: asked of identity, and remembered for a moment while nothing has changed."""

from __future__ import annotations

import time
from collections import OrderedDict
from collections.abc import Awaitable, Callable, Hashable
from dataclasses import dataclass
from uuid import UUID

from devlore.problems import Unavailable
from devlore_server.kit.revocation import Revocations
from devlore_server.ports import Standing

KEPT = 1.5
"""Seconds a standing is remembered: with the request itself below the 2 s a revocation may take to hold, should its
mark be lost (Redis was away for a moment)."""

Ask = Callable[[], Awaitable[Standing | None]]
Whose = tuple[UUID, UUID]
"""An organisation and a person in it."""


@dataclass(frozen=True, slots=True)
class _Remembered:
    standing: Standing
    mark: bytes | None
    until: float


class Standings:
    """Looks at the mark of the credential's person on every request, and asks again when it is another.

    While nobody can tell which mark stands (Redis is away), every request asks: slower, never open.
    """

    def __init__(
        self, revocations: Revocations, *, most: int = 10_000, clock: Callable[[], float] = time.monotonic
    ) -> None:
        self._revocations = revocations
        self._known: OrderedDict[Hashable, _Remembered] = OrderedDict()
        self._most = most
        self._clock = clock

    def remembered(self, credential: Hashable) -> Standing | None:
        """What ``credential`` was good for a moment ago. It may have been revoked since: only ``of`` can tell."""
        known = self._known.get(credential)
        return None if known is None or self._clock() >= known.until else known.standing

    async def of(self, credential: Hashable, ask: Ask, whose: Whose | None = None) -> Standing | None:
        """The standing of ``credential``, or None; ``whose`` it says it is, where it says so itself.

        Raises ``Unavailable`` when identity has to be asked and does not answer.
        """
        known = self._known.get(credential)
        if known is not None:
            whose = (known.standing.organisation, known.standing.person)
        # Both from before identity is asked: a change in between makes another mark, or is seen when the time is over.
        until = self._clock() + KEPT
        mark = await self._mark(whose) if whose is not None else None
        if known is not None and mark is not None and mark == known.mark and self._clock() < known.until:
            return known.standing
        standing = await ask()
        if standing is None:
            self._known.pop(credential, None)
            return None
        self._known[credential] = _Remembered(standing, mark, until)
        self._known.move_to_end(credential)
        if len(self._known) > self._most:
            self._known.popitem(last=False)
        return standing

    async def _mark(self, whose: Whose) -> bytes | None:
        try:
            return await self._revocations.mark(*whose)
        except Unavailable:
            return None
