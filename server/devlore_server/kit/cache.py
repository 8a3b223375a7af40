"""Caches: a port over bytes with a Redis and an in-process twin, and the one function that makes tenant keys."""

from __future__ import annotations

import hashlib
import time
from collections import OrderedDict
from collections.abc import Callable
from contextlib import suppress
from typing import Protocol
from uuid import UUID

import structlog
from redis.asyncio import BlockingConnectionPool, Redis
from redis.exceptions import RedisError

from devlore.problems import Unavailable
from devlore_server.kit.auth import NIL
from devlore_server.kit.line import Line, Reply, Word

_log = structlog.get_logger("devlore.cache")


class Key(str):
    """The name of something of one organisation's; only ``tenant_key`` makes one."""

    __slots__ = ()


def tenant_key(organisation: UUID | None, area: str, *parts: object) -> Key:
    """The name of a cache entry, limit account, channel or job: refuses to work without an organisation.

    Parts that are long or hold a separator are replaced by their digest, so two lists of parts never share a name.
    The braces make Redis Cluster keep one organisation's keys together.
    """
    if not isinstance(organisation, UUID) or organisation == NIL:
        raise ValueError("a key needs an organisation")
    if not area or not area.replace("-", "").isalnum():
        raise ValueError(f"not an area: {area!r}")
    return Key(":".join([f"devlore:{{{organisation}}}", area, *(_part(str(part)) for part in parts)]))


def visitor_key(area: str, *parts: object) -> Key:
    """The name of a limit account of somebody who is not signed in: a network, an account they try to enter.

    Nothing of an organisation's may be kept under it.
    """
    if not area or not area.replace("-", "").isalnum():
        raise ValueError(f"not an area: {area!r}")
    return Key(":".join(["devlore:{visitor}", area, *(_part(str(part)) for part in parts)]))


def _part(text: str) -> str:
    if 0 < len(text) <= 64 and text.isascii() and text.replace("-", "").replace("_", "").isalnum():
        return text
    return "~" + hashlib.blake2b(text.encode("utf-8", "surrogatepass"), digest_size=16).hexdigest()


class Cache(Protocol):
    """Bytes that may be forgotten at any moment."""

    async def get(self, key: Key) -> bytes | None:
        """The value, or None when it was never put, ran out, was dropped, or the cache is away."""
        ...

    async def read(self, key: Key) -> bytes | None:
        """``get``, but raises ``Unavailable`` when the cache cannot be asked: None then means that it is not there."""
        ...

    async def put(self, key: Key, value: bytes, ttl: float) -> None:
        """Keep ``value`` for ``ttl`` seconds at most."""
        ...

    async def claim(self, key: Key, ttl: float) -> bool:
        """Whether nobody has claimed the key within ``ttl`` seconds; raises ``Unavailable`` when nobody can say."""
        ...

    async def pop(self, key: Key) -> bytes | None:
        """The value, which nobody gets again; raises ``Unavailable`` when that cannot be promised."""
        ...

    async def drop(self, *keys: Key) -> None:
        """Forget; raises ``Unavailable`` when that cannot be promised (a stale value lives on until its ttl)."""
        ...

    async def ping(self) -> None:
        """Raise when the cache does not answer."""
        ...


class LocalCache:
    """In this process: least recently used goes first beyond ``most_bytes``; ``clock`` counts seconds."""

    _OVERHEAD = 200  # what an entry costs besides its bytes: key, tuple, slot

    def __init__(self, *, most_bytes: int = 32 << 20, clock: Callable[[], float] = time.monotonic) -> None:
        self._entries: OrderedDict[Key, tuple[float, bytes]] = OrderedDict()
        self._most = most_bytes
        self._size = 0
        self._clock = clock

    async def get(self, key: Key) -> bytes | None:
        entry = self._entries.get(_checked(key))
        if entry is None:
            return None
        if entry[0] <= self._clock():
            self._remove(key)
            return None
        self._entries.move_to_end(key)
        return entry[1]

    async def read(self, key: Key) -> bytes | None:
        return await self.get(key)

    async def put(self, key: Key, value: bytes, ttl: float) -> None:
        self._remove(_checked(key))
        cost = len(value) + self._OVERHEAD
        if ttl <= 0 or cost > self._most:
            return
        self._entries[key] = (self._clock() + ttl, value)
        self._size += cost
        while self._size > self._most:
            self._remove(next(iter(self._entries)))

    async def claim(self, key: Key, ttl: float) -> bool:
        if await self.get(key) is not None:
            return False
        await self.put(key, b"", ttl)
        return True

    async def pop(self, key: Key) -> bytes | None:
        value = await self.get(key)
        self._remove(key)
        return value

    async def drop(self, *keys: Key) -> None:
        for key in keys:
            self._remove(_checked(key))

    async def ping(self) -> None:
        """This process always reaches itself."""

    def _remove(self, key: Key) -> None:
        entry = self._entries.pop(key, None)
        if entry is not None:
            self._size -= len(entry[1]) + self._OVERHEAD


class RedisCache:
    """In Redis. While it is away, reads miss and writes are lost; what must be certain raises ``Unavailable``."""

    def __init__(self, line: Line) -> None:
        self._line = line
        self._away = False

    async def get(self, key: Key) -> bytes | None:
        try:
            return await self.read(key)
        except Unavailable:
            return None

    async def read(self, key: Key) -> bytes | None:
        return _bytes(await self._ask("GET", _checked(key)))

    async def put(self, key: Key, value: bytes, ttl: float) -> None:
        milliseconds = int(ttl * 1_000)
        with suppress(Unavailable):
            if milliseconds > 0:
                await self._ask("SET", _checked(key), value, "PX", milliseconds)
            else:
                await self._ask("DEL", _checked(key))

    async def claim(self, key: Key, ttl: float) -> bool:
        return await self._ask("SET", _checked(key), b"", "PX", int(ttl * 1_000), "NX") is not None

    async def pop(self, key: Key) -> bytes | None:
        return _bytes(await self._ask("GETDEL", _checked(key)))

    async def drop(self, *keys: Key) -> None:
        if keys:
            await self._ask("DEL", *map(_checked, keys))

    async def ping(self) -> None:
        await self._line.ping()

    async def _ask(self, *words: Word) -> Reply:
        """What Redis answers; its being away is logged when it begins and when it ends, not at every question."""
        try:
            reply = await self._line.ask(*words)
        except (RedisError, OSError) as error:
            if not self._away:
                _log.warning("cache_away", error=type(error).__name__)
            self._away = True
            raise Unavailable("The cache does not answer.") from error
        if self._away:
            _log.info("cache_back")
        self._away = False
        return reply


def connect(url: str, *, connections: int = 32, patience: float = 0.5) -> Redis:
    """A Redis client that gives up after ``patience`` seconds: one that waits is worse than one that is away.

    Beyond ``connections`` callers queue; redis-py's default pool would refuse them as if Redis were away.
    """
    pool = BlockingConnectionPool.from_url(
        url, max_connections=connections, timeout=4 * patience, socket_timeout=patience, socket_connect_timeout=patience
    )
    return Redis.from_pool(pool)


def _checked(key: Key) -> Key:
    if not isinstance(key, Key):
        raise TypeError("cache keys are made by tenant_key")
    return key


def _bytes(value: object) -> bytes | None:
    return value if isinstance(value, bytes) else None
