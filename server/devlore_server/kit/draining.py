"""A process that is about to end says so before it refuses anything."""

from __future__ import annotations


class Draining(Exception):
    """The process was told to stop."""


class Drain:
    """What ``/readyz`` asks first: from ``begin`` on it says that nobody new should come."""

    def __init__(self) -> None:
        self._begun = False

    def begin(self) -> bool:
        """Say no from now on, while what is running goes on; False when it had begun before."""
        first, self._begun = not self._begun, True
        return first

    async def ping(self) -> None:
        """Raise ``Draining`` once it has begun."""
        if self._begun:
            raise Draining
