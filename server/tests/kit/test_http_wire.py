"""What may stand before a request's body, on a real connection."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import pytest
import uvicorn
from starlette.requests import Request
from starlette.responses import JSONResponse
from starlette.types import ASGIApp, Receive, Scope, Send

from devlore_server.kit.http import wire
from devlore_server.kit.http.wire import LONGEST_HEAD, BoundedHttp, Gathering

SECONDS = 20


async def echo(scope: Scope, receive: Receive, send: Send) -> None:
    request = Request(scope, receive)
    told = {"names": [], "body": len(await request.body())}
    await JSONResponse(told | {"names": sorted(request.headers.keys())})(scope, receive, send)


@pytest.fixture
async def port() -> AsyncIterator[int]:
    async with serving(echo) as found:
        yield found


@asynccontextmanager
async def serving(app: ASGIApp) -> AsyncIterator[int]:
    config = uvicorn.Config(app, http=BoundedHttp, lifespan="off", log_config=None, host="127.0.0.1", port=0)
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
    # The last piece is the one too many: what came after the answer would break the connection under it.
    await line.send(b"GET / HTTP/1.1\r\nHost: x\r\nA: b\r\n", *[piece] * (LONGEST_HEAD // len(piece)))
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


class Written(asyncio.Transport):
    """A transport that keeps what is written to it."""

    def __init__(self) -> None:
        super().__init__()
        self.pieces: list[bytes] = []
        self.closed = False

    def write(self, data: bytes | bytearray | memoryview) -> None:
        assert not self.closed
        self.pieces.append(bytes(data))

    def close(self) -> None:
        self.closed = True

    def is_closing(self) -> bool:
        return self.closed


async def test_what_is_written_in_one_turn_leaves_in_one_piece() -> None:
    written = Written()
    gathering = Gathering(written, asyncio.get_running_loop())
    gathering.write(b"head ")
    gathering.write(b"body")
    assert written.pieces == []
    await asyncio.sleep(0)
    assert written.pieces == [b"head body"]
    gathering.write(b"the last")
    gathering.close()
    assert (written.pieces[1:], written.closed) == ([b"the last"], True)
    gathering.write(b"nobody is there")
    await asyncio.sleep(0)
    assert len(written.pieces) == 2


async def test_answers_to_requests_sent_at_once_come_in_order(line: Line) -> None:
    head = b"POST / HTTP/1.1\r\nHost: x\r\nContent-Length: %d\r\n\r\n"
    await line.send(b"".join(head % length + b"x" * length for length in range(5)))
    assert [(await line.told())["body"] for _ in range(5)] == [0, 1, 2, 3, 4]


async def test_an_answer_leaves_before_its_connection_closes(line: Line) -> None:
    await line.send(b"GET / HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n")
    assert (await line.rest()).endswith(b"}")


class Pieces:
    """Answers in ``count`` pieces, each when it may."""

    def __init__(self, count: int, size: int) -> None:
        self.count, self.size, self.sent = count, size, 0
        self.may = asyncio.Event()

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        length = str(self.count * self.size).encode()
        await send({"type": "http.response.start", "status": 200, "headers": [(b"content-length", length)]})
        for number in range(self.count):
            more = number < self.count - 1
            await send({"type": "http.response.body", "body": b"x" * self.size, "more_body": more})
            self.sent += 1
            if not self.may.is_set():
                await self.may.wait()


async def test_a_piece_does_not_wait_for_the_next() -> None:
    pieces = Pieces(2, 10)
    async with serving(pieces) as port:
        reader, writer = await asyncio.open_connection("127.0.0.1", port)
        writer.write(b"GET / HTTP/1.1\r\nHost: x\r\n\r\n")
        await asyncio.wait_for(reader.readuntil(b"\r\n\r\n" + b"x" * 10), SECONDS)
        assert pieces.sent == 1
        pieces.may.set()
        assert await asyncio.wait_for(reader.readexactly(10), SECONDS) == b"x" * 10
        writer.close()


async def test_what_nobody_reads_is_not_piled_up() -> None:
    pieces = Pieces(1_024, 65_536)
    pieces.may.set()
    async with serving(pieces) as port:
        reader, writer = await asyncio.open_connection("127.0.0.1", port)
        writer.write(b"GET / HTTP/1.1\r\nHost: x\r\n\r\n")
        await reader.readuntil(b"\r\n\r\n")
        before = -1
        while before != pieces.sent:
            before = pieces.sent
            await asyncio.sleep(0.2)
        assert pieces.sent < 512
        assert len(await asyncio.wait_for(reader.readexactly(64 << 20), SECONDS)) == 64 << 20
        writer.close()
