"""Owns one connection to Redis that all of a process's callers share: commands leave together, answers come in order.

redis-py takes 50 to 100 µs of CPU and a connection of its own for a command; what every request asks must cost less.
This speaks RESP2 (https://redis.io/docs/latest/develop/reference/protocol-spec/); nothing that blocks or subscribes.
"""

from __future__ import annotations

import asyncio
import time
from collections import deque
from collections.abc import Callable
from typing import cast

from redis.asyncio import Connection, Redis, SSLConnection, UnixDomainSocketConnection
from redis.asyncio.connection import AbstractConnection
from redis.exceptions import InvalidResponse, RedisError, ResponseError

PAUSE = 1.0
"""Seconds Redis is left alone after it failed: nobody else waits for one that hangs."""

Word = str | bytes | int
Reply = bytes | int | list["Reply"] | ResponseError | None
"""What Redis answers; an error inside a list is an item of it."""


class LeftAlone(ConnectionError):
    """Redis was not asked: it failed less than ``PAUSE`` ago, or somebody is finding out whether it is back."""


class Line:
    """Commands to the Redis that ``redis`` is configured for; a connection that ended is opened anew by the next.

    Once Redis failed, it is left alone for ``PAUSE``; then one command goes through, and its answer lets in the rest.
    ``clock`` counts seconds and never goes back.
    """

    def __init__(self, redis: Redis, *, clock: Callable[[], float] = time.monotonic) -> None:
        # Address, credentials and TLS as redis-py reads them from the URL.
        self._target: AbstractConnection = redis.connection_pool.make_connection()  # type: ignore[no-untyped-call]
        self._opening: asyncio.Task[_Talk] | None = None
        self._talk: _Talk | None = None
        self._clock = clock
        self._away_until: float | None = None
        self._probing = False

    async def ask(self, *words: Word) -> Reply:
        """What Redis answers to a command.

        Raises ``RedisError`` for what it refuses, and ``OSError`` when it is away or silent for as long as the client
        has patience: then nobody knows whether the command was carried out, unless it was ``LeftAlone``.
        """
        probe = self._away_until is not None and self._claim_probe(self._away_until)
        try:
            talk = self._talk
            if talk is None or talk.over:
                talk = await self._opened()
            reply = await talk.ask(words)
        except (OSError, RedisError):  # an answer is returned; what is raised here is that there is none to be had
            self._away_until = self._clock() + PAUSE
            raise
        finally:
            # Also of a caller who gave up: then the next one finds out.
            if probe:
                self._probing = False
        self._away_until = None
        if isinstance(reply, ResponseError):
            raise reply
        return reply

    async def ping(self) -> None:
        """Raise when Redis does not answer."""
        await self.ask("PING")

    def close(self) -> None:
        """End the connection; what is still asked fails."""
        if self._opening is not None:
            self._opening.cancel()
        if self._talk is not None:
            self._talk.end(ConnectionError("closed"))

    def _claim_probe(self, away_until: float) -> bool:
        """Raises ``LeftAlone`` unless the caller is the one who may find out whether Redis is back."""
        if self._probing or self._clock() < away_until:
            raise LeftAlone("Redis failed a moment ago and is left alone")
        self._probing = True
        return True

    async def _opened(self) -> _Talk:
        """The connection all who wait for one share: while Redis is away they learn so together."""
        if self._opening is None or self._opening.done():
            self._opening = asyncio.create_task(self._open())
        opening = self._opening
        await asyncio.wait([opening])
        if opening.cancelled():
            raise ConnectionError("closed")
        return opening.result()

    async def _open(self) -> _Talk:
        target, loop = self._target, asyncio.get_running_loop()
        talk = _Talk(target.socket_timeout or 0.5)
        async with asyncio.timeout(target.socket_connect_timeout):
            if isinstance(target, UnixDomainSocketConnection):
                await loop.create_unix_connection(lambda: talk, target.path)
            else:
                assert isinstance(target, Connection)
                tls = target.ssl_context.get() if isinstance(target, SSLConnection) else None
                await loop.create_connection(lambda: talk, target.host, target.port, ssl=tls)
        try:
            await _introduce(talk, target.username, target.password, int(target.db))
        except BaseException:
            talk.end(ConnectionError("not admitted"))
            raise
        self._talk = talk
        return talk


async def _introduce(talk: _Talk, username: str | None, password: str | None, database: int) -> None:
    greetings: list[tuple[Word, ...]] = []
    if password:
        greetings.append(("AUTH", username, password) if username else ("AUTH", password))
    if database:
        greetings.append(("SELECT", database))
    for words in greetings:
        reply = await talk.ask(words)
        if isinstance(reply, ResponseError):
            raise reply


class _Talk(asyncio.Protocol):
    """One connection, from its opening to its end."""

    def __init__(self, patience: float) -> None:
        self.over = False
        self._patience = patience
        self._loop = asyncio.get_running_loop()
        self._transport: asyncio.Transport | None = None
        self._outgoing: list[bytes] = []
        self._waiting: deque[tuple[float, asyncio.Future[Reply]]] = deque()
        self._incoming = b""
        self._watch: asyncio.TimerHandle | None = None

    def ask(self, words: tuple[Word, ...]) -> asyncio.Future[Reply]:
        """The answer to come. Commands of one turn of the event loop leave in one piece."""
        answer: asyncio.Future[Reply] = self._loop.create_future()
        if self.over:  # it ended while the caller waited for it
            answer.set_exception(ConnectionResetError("Redis closed the connection"))
            return answer
        if not self._outgoing:
            self._loop.call_soon(self._send)
        self._outgoing.append(packed(words))
        self._waiting.append((self._loop.time() + self._patience, answer))
        if self._watch is None:
            self._watch = self._loop.call_later(self._patience, self._look)
        return answer

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast(asyncio.Transport, transport)

    def data_received(self, data: bytes) -> None:
        self._incoming = self._incoming + data if self._incoming else data
        at = 0
        try:
            while at < len(self._incoming):
                reply, at = parsed(self._incoming, at)
                _, answer = self._waiting.popleft()
                if not answer.done():
                    answer.set_result(reply)
        except IncompleteError:
            pass
        except (InvalidResponse, IndexError, ValueError):
            self.end(InvalidResponse("not an answer of Redis"))
        self._incoming = self._incoming[at:]

    def connection_lost(self, exc: Exception | None) -> None:
        self.end(exc or ConnectionResetError("Redis closed the connection"))

    def end(self, error: Exception) -> None:
        """Close; whoever still waits gets ``error``."""
        self.over = True
        if self._transport is not None:
            self._transport.abort()
        if self._watch is not None:
            self._watch.cancel()
        while self._waiting:
            _, answer = self._waiting.popleft()
            if not answer.done():
                answer.set_exception(error)

    def _send(self) -> None:
        pieces, self._outgoing = self._outgoing, []
        if self._transport is not None and not self.over:
            self._transport.write(b"".join(pieces))

    def _look(self) -> None:
        """Answers come in order: when the first is not overdue, none is."""
        self._watch = None
        if self._waiting:
            due = self._waiting[0][0]
            if due <= self._loop.time():
                self.end(TimeoutError("Redis does not answer"))
            else:
                self._watch = self._loop.call_at(due, self._look)


class IncompleteError(Exception):
    """The rest of a reply has not come yet."""


def packed(words: tuple[Word, ...]) -> bytes:
    """A command as it is sent: an array of strings."""
    pieces = [b"*%d\r\n" % len(words)]
    for word in words:
        text = word if isinstance(word, bytes) else str(word).encode()
        pieces.append(b"$%d\r\n%b\r\n" % (len(text), text))
    return b"".join(pieces)


def parsed(data: bytes, at: int) -> tuple[Reply, int]:
    """The reply that begins at ``at``, and where it ends; raises ``IncompleteError``, or what says that it is none."""
    end = data.find(b"\r\n", at)
    if end < 0:
        raise IncompleteError
    kind, text, end = data[at : at + 1], data[at + 1 : end], end + 2
    if kind == b":":
        return int(text), end
    if kind == b"$":
        return _string(data, end, int(text))
    if kind == b"*":
        return _items(data, end, int(text))
    if kind == b"+":
        return text, end
    if kind == b"-":
        return ResponseError(text.decode("utf-8", "replace")), end
    raise InvalidResponse(f"a reply that begins with {kind!r}")


def _string(data: bytes, at: int, length: int) -> tuple[Reply, int]:
    if length < 0:
        return None, at
    if len(data) < at + length + 2:
        raise IncompleteError
    return data[at : at + length], at + length + 2


def _items(data: bytes, at: int, count: int) -> tuple[Reply, int]:
    items: list[Reply] = []
    for _ in range(count):
        item, at = parsed(data, at)
        items.append(item)
    return items, at
