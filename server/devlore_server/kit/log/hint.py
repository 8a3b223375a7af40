"""Hints between processes that there is something to read in the log; they may get lost, the poll finds it anyway."""

from __future__ import annotations

from collections.abc import AsyncGenerator
from typing import Protocol

from redis.asyncio import Redis


class Hint(Protocol):
    """Tells other processes that there is something to read; may lose or repeat itself."""

    async def publish(self) -> None:
        """Tell the others."""
        ...

    def wakes(self) -> AsyncGenerator[None]:
        """One item per hint of the others, until cancelled."""
        ...


class RedisHint:
    """Hints over Redis publish/subscribe; they carry no data, so nothing of a tenant can leak through them."""

    def __init__(self, redis: Redis, channel: str = "devlore:log") -> None:
        self._redis = redis
        self._channel = channel

    async def publish(self) -> None:
        await self._redis.publish(self._channel, b"")

    async def wakes(self) -> AsyncGenerator[None]:
        async with self._redis.pubsub() as subscription:
            await subscription.subscribe(self._channel)
            # The confirmation comes as the first message: what was hinted before it is worth a look, too.
            async for _ in subscription.listen():
                yield None
