"""Passwords as argon2id hashes, made beside the event loop and never more than two at once."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import TypeVar

from argon2 import PasswordHasher, Type
from argon2.exceptions import InvalidHashError, VerificationError

from devlore.problems import Unavailable

T = TypeVar("T")

_HASHER = PasswordHasher(time_cost=2, memory_cost=19 * 1024, parallelism=1, type=Type.ID)
"""OWASP's second choice for argon2id: 2 passes over 19 MiB by one thread."""


class Hashing:
    """At most ``at_once`` hashes at a time: each takes 19 MiB, and a flood of sign-ins must not take the machine.

    Whoever waits longer than ``patience`` seconds for a turn is sent away with ``Unavailable``.
    """

    def __init__(self, *, at_once: int = 2, patience: float = 10.0) -> None:
        self._turns = asyncio.Semaphore(at_once)
        self._patience = patience
        # Of no password: what a sign-in as nobody is measured against, so that it takes as long as any other.
        self._nobodys = _HASHER.hash("")

    async def hash(self, password: str) -> str:
        """The hash of a password, in PHC form."""
        return await self._run(lambda: _HASHER.hash(password))

    async def matches(self, stored: str | None, password: str) -> bool:
        """Whether ``stored`` is of ``password``; with nothing stored False, after the same time."""
        right = await self._run(lambda: _verify(stored or self._nobodys, password))
        return right and stored is not None

    def outdated(self, stored: str) -> bool:
        """Whether a hash was made with other parameters than today's."""
        return _HASHER.check_needs_rehash(stored)

    async def _run(self, work: Callable[[], T]) -> T:
        try:
            async with asyncio.timeout(self._patience):
                await self._turns.acquire()
        except TimeoutError:
            raise Unavailable("Too many people sign in at this moment.", retry_after=1) from None
        # The turn is over when the thread is, not when whoever asked for it has gone away.
        task = asyncio.ensure_future(asyncio.to_thread(work))
        task.add_done_callback(lambda _: self._turns.release())
        return await asyncio.shield(task)


def _verify(stored: str, password: str) -> bool:
    try:
        return _HASHER.verify(stored, password)
    except (VerificationError, InvalidHashError):
        return False
