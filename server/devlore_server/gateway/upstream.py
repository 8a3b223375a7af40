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
from typing import Any, TypeVar
from urllib.parse import urlsplit

Headers = Sequence[tuple[bytes, bytes]]
T = TypeVar("T")

CONNECT_SECONDS, POOL_SECONDS, WRITE_SECONDS, READ_SECONDS = 2.0, 5.0, 30.0, 120.0
"""A read may wait for a whole bulk import or a `wait=indexed`; a connect to a neighbour may not."""
IDLE_SECONDS = 4.0
"""Less than a service waits for the next request (5 s), so that no request meets a connection being closed."""
MOST = 200
PIECE = 65_536

_STATUS = re.compile(rb"HTTP/1\.([01]) ([1-5]\d\d)(?: [^\r\n]*)?")
_SIZE = re.compile(rb"([0-9A-Fa-f]{1,15})[ \t]*(?:;[^\r\n]*)?\r\n")
_BODILESS = frozenset({204, 304})


class UpstreamAway(Exception):
    """The service cannot be reached, ends in the middle, takes too long, or does not speak HTTP."""


@dataclass(slots=True)
class _Connection:
    """One connection; ``reusable`` once an answer has been read to its end and nobody wants to close it."""

    reader: asyncio.StreamReader
    writer: asyncio.StreamWriter
    idle_since: float = 0.0
    reusable: bool = False

    @property
    def usable(self) -> bool:
        fresh = time.monotonic() - self.idle_since < IDLE_SECONDS
        return fresh and not self.reader.at_eof() and not self.writer.is_closing()


@dataclass(slots=True)
class Answer:
    """What a service answers: names of headers in lower case; the body in pieces, as it comes, once."""

    status: int
    headers: list[tuple[bytes, bytes]]
    _connection: _Connection = field(repr=False)
    _method: str = field(repr=False)
    _persistent: bool = field(repr=False)

    async def pieces(self) -> AsyncIterator[bytes]:
        """The body without its framing. Raises UpstreamAway where it ends too early."""
        coding, length = self._values(b"transfer-encoding"), self._values(b"content-length")
        reader, persistent = self._connection.reader, self._persistent
        if self._method == "HEAD" or self.status in _BODILESS:
            pass
        elif coding:
            if coding != [b"chunked"] or length:
                raise UpstreamAway("an answer framed in a way we do not know")
            async for piece in _chunked(reader):
                yield piece
        elif length:
            if len(length) > 1 or not length[0].isdigit():
                raise UpstreamAway("an answer of unknown length")
            async for piece in _measured(reader, int(length[0])):
                yield piece
        else:
            persistent = False
            while piece := await _within(READ_SECONDS, reader.read(PIECE)):
                yield piece
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
            self._idle.pop().writer.close()

    @asynccontextmanager
    async def ask(
        self, method: str, target: bytes, headers: Headers, body: AsyncIterator[bytes] | None = None
    ) -> AsyncIterator[Answer]:
        """Send a request and give its answer, of which the body need not be read to the end.

        ``target`` is the path with its query, ``headers`` are without Host and without what frames a body but
        Content-Length. Whatever ``body`` raises is raised here. Raises UpstreamAway.
        """
        head = self._head(method, target, headers, body is not None)
        await _within(POOL_SECONDS, self._room.acquire())
        try:
            connection = await self._connection()
            try:
                connection.writer.write(head)
                if body is None:
                    yield await _answer(connection, method)
                else:
                    sending = _send(connection.writer, body, chunked=_is_chunked(headers))
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
            held.writer.close()
        tls = True if self._tls else None
        opened = await _within(CONNECT_SECONDS, asyncio.open_connection(self._host, self._port, ssl=tls))
        return _Connection(*opened)

    def _settle(self, connection: _Connection) -> None:
        if connection.reusable:
            connection.idle_since = time.monotonic()
            self._idle.append(connection)
        else:
            # Half an answer is on its way, or half a request: nobody else may meet it.
            connection.writer.transport.abort()


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


async def _send(writer: asyncio.StreamWriter, body: AsyncIterator[bytes], *, chunked: bool) -> None:
    async for piece in body:
        if not piece:
            continue  # an empty chunk would end the body
        writer.write(b"%x\r\n%b\r\n" % (len(piece), piece) if chunked else piece)
        await _within(WRITE_SECONDS, writer.drain())
    if chunked:
        writer.write(b"0\r\n\r\n")


async def _answer(connection: _Connection, method: str) -> Answer:
    while True:
        text = await _within(READ_SECONDS, connection.reader.readuntil(b"\r\n\r\n"))
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


async def _measured(reader: asyncio.StreamReader, left: int) -> AsyncIterator[bytes]:
    while left:
        piece = await _within(READ_SECONDS, reader.read(min(left, PIECE)))
        if not piece:
            raise UpstreamAway("half an answer")
        left -= len(piece)
        yield piece


async def _chunked(reader: asyncio.StreamReader) -> AsyncIterator[bytes]:
    while True:
        line = await _within(READ_SECONDS, reader.readuntil(b"\r\n"))
        size = _SIZE.fullmatch(line)
        if size is None:
            raise UpstreamAway("an answer in chunks of unknown size")
        if not (length := int(size[1], 16)):
            break
        async for piece in _measured(reader, length):
            yield piece
        if await _within(READ_SECONDS, reader.readexactly(2)) != b"\r\n":
            raise UpstreamAway("a chunk longer than it says")
    while await _within(READ_SECONDS, reader.readuntil(b"\r\n")) != b"\r\n":
        pass  # trailers speak to nobody


def _is_chunked(headers: Headers) -> bool:
    return all(name != b"content-length" for name, _ in headers)


async def _within(seconds: float, work: Awaitable[T]) -> T:
    try:
        async with asyncio.timeout(seconds):
            return await work
    except (OSError, EOFError, asyncio.LimitOverrunError) as error:  # a TimeoutError is an OSError
        raise UpstreamAway(type(error).__name__) from error
