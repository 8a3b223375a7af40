"""What may stand before a request's body, on a real connection."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator

import pytest
import uvicorn
from starlette.requests import Request
from starlette.responses import JSONResponse
from starlette.types import Receive, Scope, Send

from devlore_server.kit.http import wire
from devlore_server.kit.http.wire import LONGEST_HEAD, BoundedHttp

SECONDS = 20


async def echo(scope: Scope, receive: Receive, send: Send) -> None:
    request = Request(scope, receive)
    told = {"names": [], "body": len(await request.body())}
    await JSONResponse(told | {"names": sorted(request.headers.keys())})(scope, receive, send)


@pytest.fixture
async def port() -> AsyncIterator[int]:
    config = uvicorn.Config(echo, http=BoundedHttp, lifespan="off", log_config=None, host="127.0.0.1", port=0)
    server = uvicorn.Server(config)
    serving = asyncio.create_task(server.serve())
    while not server.started:
        await asyncio.sleep(0.01)
    yield int(server.servers[0].sockets[0].getsockname()[1])
    server.should_exit = True
    await serving


class Line:
    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.reader, self.writer = reader, writer

    async def send(self, *pieces: bytes) -> None:
        for piece in pieces:
            self.writer.write(piece)
            await self.writer.drain()
            await asyncio.sleep(0.01)

    async def rest(self) -> bytes:
        return await asyncio.wait_for(self.reader.read(), SECONDS)

    async def told(self) -> dict[str, object]:
        head = await asyncio.wait_for(self.reader.readuntil(b"\r\n\r\n"), SECONDS)
        length = next(line for line in head.lower().split(b"\r\n") if line.startswith(b"content-length:"))
        return dict(json.loads(await self.reader.readexactly(int(length.split(b":")[1]))))


@pytest.fixture
async def line(port: int) -> AsyncIterator[Line]:
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    yield Line(reader, writer)
    writer.close()


@pytest.mark.parametrize("piece", [b"a" * 8_192, b"a: " + b"b" * 8_187 + b"\r\n"], ids=["one header", "many"])
async def test_a_head_without_end_is_refused(line: Line, piece: bytes) -> None:
    await line.send(b"GET / HTTP/1.1\r\nHost: x\r\nA: b\r\n", *[piece] * (LONGEST_HEAD // len(piece) + 1))
    assert (await line.rest()).startswith(b"HTTP/1.1 431 ")


async def test_bodies_count_for_nothing_and_the_connection_goes_on(line: Line) -> None:
    body = b"x" * 3 * LONGEST_HEAD
    head = b"POST / HTTP/1.1\r\nHost: x\r\nContent-Length: %d\r\n\r\n" % len(body)
    for _ in range(3):
        await line.send(head[:20], head[20:], body[:100_000], body[100_000:])
        assert (await line.told())["body"] == len(body)
    await line.send(b"GET / HTTP/1.1\r\nHost: x\r\nA: " + b"a" * 8_000, b"\r\n\r\n")
    assert (await line.told())["names"] == ["a", "host"]


async def test_what_comes_behind_a_body_is_no_header(line: Line) -> None:
    head = b"POST / HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n"
    await line.send(head + b"2\r\nhi\r\n0\r\nX-Forwarded-For: 192.0.2.1\r\nAuthorization: Bearer x\r\n\r\n")
    assert await line.told() == {"names": ["host", "transfer-encoding"], "body": 2}


@pytest.mark.parametrize("begun", [b"", b"GET / HTTP/1.1\r\nHost: x\r\nA: "], ids=["nothing", "half"])
async def test_who_does_not_come_to_the_point_is_cut_off(
    monkeypatch: pytest.MonkeyPatch, port: int, begun: bytes
) -> None:
    monkeypatch.setattr(wire, "PATIENCE", 0.1)
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    writer.write(begun)
    assert await asyncio.wait_for(reader.read(), SECONDS) == b""
    writer.close()
