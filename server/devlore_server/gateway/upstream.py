"""Owns the connections to one service of this instance: HTTP/1.1 (RFC 9112), kept alive, nothing interpreted.

A general HTTP client takes 0.6 ms of CPU for a request, more than the rest of the hop together; this takes a tenth.
It speaks to our own services only: no redirects, cookies, proxies or decoding, one answer at a time per connection.
"""

from __future__ import annotations

import asyncio
import re
import time
from collections.abc import AsyncIterator, Awaitable, Coroutine, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field, replace
from typing import Any, TypeVar, cast
from urllib.parse import urlsplit

Headers = Sequence[tuple[bytes, bytes]]
T = TypeVar("T")

CONNECT_SECONDS, POOL_SECONDS, WRITE_SECONDS, READ_SECONDS = 2.0, 5.0, 30.0, 120.0
"""A read may wait for a whole bulk import or a `wait=indexed`; a connect to a neighbour may not."""
IDLE_SECONDS = 4.0
"""Less than a service waits for the next request (5 s), so that no request meets a connection being closed."""
MOST = 200
PIECE = LONGEST_HEAD = 65_536

_STATUS = re.compile(rb"HTTP/1\.([01]) ([1-5]\d\d)(?: [^\r\n]*)?")
_SIZE = re.compile(rb"([0-9A-Fa-f]{1,15})[ \t]*(?:;[^\r\n]*)?\r\n")
_BODILESS = frozenset({204, 304})


class UpstreamAway(Exception):
    """The service cannot be reached, ends in the middle, takes too long, or does not speak HTTP."""


class _Connection(asyncio.Protocol):
    """One connection; ``reusable`` once an answer has been read to its end and nobody wants to close it."""

    def __init__(self) -> None:
        self.reusable = False
        self.idle_since = 0.0
        self._loop = asyncio.get_running_loop()
        self._transport: asyncio.Transport | None = None
        self._received = bytearray()
        self._held_back = False
        self._ended: Exception | None = None
        self._arrival: asyncio.Future[None] | None = None
        self._room = asyncio.Event()
        self._room.set()

    @property
    def usable(self) -> bool:
        fresh = time.monotonic() - self.idle_since < IDLE_SECONDS
        # What came unasked would be taken for the answer to the next request.
        return fresh and self._ended is None and not self._received

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast(asyncio.Transport, transport)

    def data_received(self, data: bytes) -> None:
        self._received += data
        if len(self._received) > 2 * PIECE and not self._held_back and self._transport is not None:
            self._held_back = True
            self._transport.pause_reading()
        self._arrived()

    def eof_received(self) -> None:
        self._end(EOFError())

    def connection_lost(self, exc: Exception | None) -> None:
        self._end(exc or EOFError())

    def pause_writing(self) -> None:
        self._room.clear()

    def resume_writing(self) -> None:
        self._room.set()

    def abort(self) -> None:
        """Close at once, whatever is on its way."""
        if self._transport is not None:
            self._transport.abort()

    def write(self, data: bytes) -> None:
        if self._transport is not None and self._ended is None:
            self._transport.write(data)

    async def drain(self) -> None:
        """Wait until the service has taken most of what was written; raises what ended the connection."""
        if not self._room.is_set():
            await _within(WRITE_SECONDS, self._room.wait())
        if self._ended is not None:
            raise UpstreamAway(type(self._ended).__name__) from self._ended

    async def until(self, end: bytes) -> bytes:
        """What comes up to ``end`` and with it; raises UpstreamAway for more than a head may have."""
        looked_at = 0
        while (found := self._received.find(end, looked_at)) < 0:
            looked_at = max(0, len(self._received) - len(end) + 1)
            if looked_at > LONGEST_HEAD:
                raise UpstreamAway("a head without end")
            if not await self._more():
                raise UpstreamAway("it ended too early")
        if found > LONGEST_HEAD:
            raise UpstreamAway("a head without end")
        return self._take(found + len(end))

    async def some(self, most: int) -> bytes:
        """What has come, ``most`` bytes at most and one at least; nothing once the service has closed."""
        if self._received or await self._more():
            return self._take(min(most, len(self._received)))
        return b""

    async def _more(self) -> bool:
        """Wait for what comes next; False when nothing does any more."""
        if self._ended is None:
            self._arrival = self._loop.create_future()
            # A tenth of what asyncio.timeout costs, for each piece of each answer.
            overdue = self._loop.call_later(READ_SECONDS, self._end, TimeoutError())
            try:
                received = len(self._received)
                await self._arrival
            finally:
                overdue.cancel()
                self._arrival = None
            if len(self._received) > received:
                return True
        if isinstance(self._ended, OSError):  # a TimeoutError is one
            raise UpstreamAway(type(self._ended).__name__) from self._ended
        return False

    def _take(self, count: int) -> bytes:
        taken = bytes(self._received[:count])
        del self._received[:count]
        if self._held_back and len(self._received) <= PIECE and self._transport is not None:
            self._held_back = False
            self._transport.resume_reading()
        return taken

    def _end(self, error: Exception) -> None:
        if self._ended is None:
            self._ended = error
            self._room.set()
            self._arrived()

    def _arrived(self) -> None:
        if self._arrival is not None and not self._arrival.done():
            self._arrival.set_result(None)


@dataclass(slots=True)
class Answer:
    """What a service answers: names of headers in lower case; the body in pieces, as it comes, once."""

    status: int
    headers: list[tuple[bytes, bytes]]
    _connection: _Connection = field(repr=False)
    _method: str = field(repr=False)
    _persistent: bool = field(repr=False)

    async def pieces(self) -> AsyncIterator[tuple[bytes, bool]]:
        """The body without its framing, each piece with whether another follows; the last may be empty.

        Raises UpstreamAway where it ends too early.
        """
        coding, length = self._values(b"transfer-encoding"), self._values(b"content-length")
        connection, persistent = self._connection, self._persistent
        if self._method == "HEAD" or self.status in _BODILESS:
            yield b"", False
        elif coding:
            if coding != [b"chunked"] or length:
                raise UpstreamAway("an answer framed in a way we do not know")
            async for piece in _chunked(connection):
                yield piece, True
            yield b"", False
        elif length:
            if len(length) > 1 or not length[0].isdigit():
                raise UpstreamAway("an answer of unknown length")
            left = int(length[0])
            if not left:
                yield b"", False
            async for piece in _measured(connection, left):
                left -= len(piece)
                yield piece, left > 0
        else:
            persistent = False
            while piece := await connection.some(PIECE):
                yield piece, True
            yield b"", False
        self._connection.reusable = persistent

    def _values(self, name: bytes) -> list[bytes]:
        return [value.lower() for key, value in self.headers if key == name]


class Upstream:
    """A service at a base URL such as ``http://127.0.0.1:7701``, of which only the address counts."""

    def __init__(self, url: str) -> None:
        parts = urlsplit(url)
        if parts.scheme not in ("http", "https") or parts.hostname is None:
            raise ValueError(f"not the address of a service: {url}")
        self._tls = parts.scheme == "https"
        self._host = parts.hostname
        self._port = parts.port or (443 if self._tls else 80)
        self._authority = parts.netloc.rpartition("@")[2].encode()
        self._idle: list[_Connection] = []
        self._room = asyncio.Semaphore(MOST)

    async def close(self) -> None:
        """Close what is idle."""
        while self._idle:
            self._idle.pop().abort()

    @asynccontextmanager
    async def ask(
        self, method: str, target: bytes, headers: Headers, body: AsyncIterator[bytes] | None = None
    ) -> AsyncIterator[Answer]:
        """Send a request and give its answer, of which the body need not be read to the end.

        ``target`` is the path with its query, ``headers`` are without Host and without what frames a body but
        Content-Length. Whatever ``body`` raises is raised here. Raises UpstreamAway.
        """
        head = self._head(method, target, headers, body is not None)
        if self._room.locked():
            await _within(POOL_SECONDS, self._room.acquire())
        else:
            await self._room.acquire()  # at once
        try:
            connection = await self._connection()
            try:
                connection.write(head)
                if body is None:
                    yield await _answer(connection, method)
                else:
                    sending = _send(connection, body, chunked=_is_chunked(headers))
                    yield await _exchanged(sending, _answer(connection, method))
            finally:
                self._settle(connection)
        finally:
            self._room.release()

    def _head(self, method: str, target: bytes, headers: Headers, has_body: bool) -> bytes:
        framing = [(b"transfer-encoding", b"chunked")] if has_body and _is_chunked(headers) else []
        lines = [name + b": " + value for name, value in ((b"host", self._authority), *headers, *framing)]
        text = b"\r\n".join((method.encode() + b" " + target + b" HTTP/1.1", *lines, b"", b""))
        # What came in as one request must not go out as two.
        if text.count(b"\n") != len(lines) + 2 or text.count(b"\r") != len(lines) + 2 or b" " in target:
            raise UpstreamAway("a request that cannot be written")
        return text

    async def _connection(self) -> _Connection:
        while self._idle:
            held = self._idle.pop()
            if held.usable:
                held.reusable = False
                return held
            held.abort()
        tls = True if self._tls else None
        opening = asyncio.get_running_loop().create_connection(_Connection, self._host, self._port, ssl=tls)
        _, opened = await _within(CONNECT_SECONDS, opening)
        return opened

    def _settle(self, connection: _Connection) -> None:
        if connection.reusable:
            connection.idle_since = time.monotonic()
            self._idle.append(connection)
        else:
            # Half an answer is on its way, or half a request: nobody else may meet it.
            connection.abort()


async def _exchanged(sending: Coroutine[Any, Any, None], answering: Coroutine[Any, Any, Answer]) -> Answer:
    """The answer, also one that comes before the body was sent: what is left of the body then stays here."""
    body, answer = asyncio.ensure_future(sending), asyncio.ensure_future(answering)
    try:
        await asyncio.wait({body, answer}, return_when=asyncio.FIRST_COMPLETED)
        if body.done():
            error = body.exception()
            # A service that reads no further may have said why.
            if error is not None and not isinstance(error, UpstreamAway):
                raise error
            return await answer
        return replace(answer.result(), _persistent=False)
    finally:
        body.cancel()
        answer.cancel()
        await asyncio.gather(body, answer, return_exceptions=True)


async def _send(connection: _Connection, body: AsyncIterator[bytes], *, chunked: bool) -> None:
    async for piece in body:
        if not piece:
            continue  # an empty chunk would end the body
        connection.write(b"%x\r\n%b\r\n" % (len(piece), piece) if chunked else piece)
        await connection.drain()
    if chunked:
        connection.write(b"0\r\n\r\n")


async def _answer(connection: _Connection, method: str) -> Answer:
    while True:
        text = await connection.until(b"\r\n\r\n")
        first, *lines = text[:-4].split(b"\r\n")
        matched = _STATUS.fullmatch(first)
        if matched is None:
            raise UpstreamAway("not an HTTP answer")
        minor, status = matched[1], int(matched[2])
        # 100 and the like only announce the answer.
        if status >= 200:
            headers = [_header(line) for line in lines]
            closing = any(name == b"connection" and b"close" in value.lower() for name, value in headers)
            return Answer(status, headers, connection, method, minor == b"1" and not closing)


def _header(line: bytes) -> tuple[bytes, bytes]:
    name, colon, value = line.partition(b":")
    if not colon or not name or name.strip() != name:
        raise UpstreamAway("an answer with a header that is none")
    return name.lower(), value.strip(b" \t")


async def _measured(connection: _Connection, left: int) -> AsyncIterator[bytes]:
    while left:
        piece = await connection.some(min(left, PIECE))
        if not piece:
            raise UpstreamAway("it ended too early")
        left -= len(piece)
        yield piece


async def _chunked(connection: _Connection) -> AsyncIterator[bytes]:
    while True:
        line = await connection.until(b"\r\n")
        size = _SIZE.fullmatch(line)
        if size is None:
            raise UpstreamAway("an answer in chunks of unknown size")
        if not (length := int(size[1], 16)):
            break
        async for piece in _measured(connection, length):
            yield piece
        if await connection.until(b"\n") != b"\r\n":
            raise UpstreamAway("a chunk longer than it says")
    while await connection.until(b"\r\n") != b"\r\n":
        pass  # trailers speak to nobody


def _is_chunked(headers: Headers) -> bool:
    return all(name != b"content-length" for name, _ in headers)


async def _within(seconds: float, work: Awaitable[T]) -> T:
    try:
        async with asyncio.timeout(seconds):
            return await work
    except OSError as error:  # a TimeoutError is one
        raise UpstreamAway(type(error).__name__) from error
