"""What a connection to a service does with more than it was asked for, and with more than it can hold."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator

import pytest

from devlore_server.gateway.upstream import Upstream
from tests.gateway.answering import OK, get, serving, whole


@pytest.mark.parametrize("pause", [0.0, 0.05], ids=["with the answer", "later"])
async def test_what_comes_unasked_is_nobodys_answer(pause: float) -> None:
    """A service that is made to write two answers to one request must not answer the next caller."""
    connections, written = 0, asyncio.Event()

    async def twice(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        nonlocal connections
        connections += 1
        while await reader.readline():
            await reader.readuntil(b"\r\n\r\n")
            second = b"HTTP/1.1 200 OK\r\ncontent-length: 4\r\n\r\nevil"
            writer.write(OK if pause else OK + second)
            if pause:
                await asyncio.sleep(pause / 5)
                writer.write(second)
            written.set()
        writer.close()

    async with serving(twice) as upstream:
        for _ in range(3):
            assert await get(upstream) == (200, b"ok")
            await written.wait()
            written.clear()
            await asyncio.sleep(pause)  # a turn of the loop, in which it arrives
    assert connections == 3


async def test_a_service_waits_for_who_reads_slowly() -> None:
    written = 0

    async def fast(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        nonlocal written
        await reader.readuntil(b"\r\n\r\n")
        writer.write(b"HTTP/1.1 200 OK\r\ncontent-length: %d\r\n\r\n" % (64 << 20))
        for _ in range(1_024):
            writer.write(b"x" * 65_536)
            await writer.drain()
            written += 65_536
        writer.close()

    async with serving(fast) as upstream, upstream.ask("GET", b"/x", ()) as answer:
        before = -1
        while before != written:  # until it waits
            before = written
            await asyncio.sleep(0.2)
        assert written < 32 << 20, "what nobody reads is not piled up here"
        assert len(await whole(answer)) == 64 << 20


async def test_who_sends_waits_for_a_service_that_reads_slowly() -> None:
    given, reading = 0, asyncio.Event()

    async def slow(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readuntil(b"\r\n\r\n")
        await reading.wait()
        await reader.readexactly(64 << 20)
        writer.write(OK)
        await writer.drain()
        writer.close()

    async def body() -> AsyncIterator[bytes]:
        nonlocal given
        for _ in range(1_024):
            given += 65_536
            yield b"x" * 65_536

    async def send(upstream: Upstream) -> bytes:
        async with upstream.ask("POST", b"/x", [(b"content-length", b"%d" % (64 << 20))], body()) as answer:
            return await whole(answer)

    async with serving(slow) as upstream:
        sending = asyncio.create_task(send(upstream))
        before = -1
        while before != given:
            before = given
            await asyncio.sleep(0.2)
        assert given < 32 << 20
        reading.set()
        assert await sending == b"ok"
