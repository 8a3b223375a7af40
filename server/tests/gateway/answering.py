"""A service that answers byte for byte what a test says, and what is read of it."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field

from devlore_server.gateway.upstream import Answer, Upstream

Handle = Callable[[asyncio.StreamReader, asyncio.StreamWriter], Awaitable[None]]


@dataclass
class Service:
    """A server whose connections and requests are counted."""

    answers: list[bytes]
    connections: int = 0
    heads: list[bytes] = field(default_factory=list)
    bodies: list[bytes] = field(default_factory=list)

    async def handle(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """Answer each request with the next answer; an empty one closes the connection."""
        self.connections += 1
        try:
            while True:
                head = await reader.readuntil(b"\r\n\r\n")
                self.heads.append(head)
                self.bodies.append(await _body(head, reader))
                answer = self.answers.pop(0)
                if not answer:
                    break
                writer.write(answer)
                await writer.drain()
        except (asyncio.IncompleteReadError, ConnectionError):
            pass
        finally:
            writer.close()


async def _body(head: bytes, reader: asyncio.StreamReader) -> bytes:
    if b"transfer-encoding: chunked" in head:
        return await reader.readuntil(b"0\r\n\r\n")
    length = head.partition(b"content-length: ")[2].partition(b"\r\n")[0]
    return await reader.readexactly(int(length)) if length else b""


@asynccontextmanager
async def serving(handle: Handle) -> AsyncIterator[Upstream]:
    server = await asyncio.start_server(handle, "127.0.0.1", 0)
    found = Upstream(f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}")
    try:
        yield found
    finally:
        await found.close()
        server.close()


async def whole(answer: Answer) -> bytes:
    return b"".join([piece async for piece, _ in answer.pieces()])


async def get(upstream: Upstream, target: bytes = b"/x", method: str = "GET") -> tuple[int, bytes]:
    async with upstream.ask(method, target, ()) as answer:
        return answer.status, await whole(answer)


async def pieces(*given: bytes) -> AsyncIterator[bytes]:
    for one in given:
        yield one


OK = b"HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nok"
