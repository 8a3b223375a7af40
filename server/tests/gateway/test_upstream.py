"""The connections to a service, against servers that answer byte for byte what a test says."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator

import pytest

from devlore_server.gateway import upstream as module
from devlore_server.gateway.upstream import Upstream, UpstreamAway
from tests.gateway.answering import OK, Service, get, pieces, serving, whole
from tests.instance import silent_port


async def test_a_request_is_written_as_it_came_and_the_answer_read() -> None:
    service = Service([b"HTTP/1.1 203 Fine\r\nX-A: 1\r\nContent-Length: 5\r\n\r\nhello"])
    headers = [(b"accept", b"*/*"), (b"x-b", b"2")]
    async with serving(service.handle) as upstream, upstream.ask("GET", b"/v1/a%2Fb?q=%20", headers) as answer:
        assert (answer.status, answer.headers) == (203, [(b"x-a", b"1"), (b"content-length", b"5")])
        assert await whole(answer) == b"hello"
    first, host, *rest = service.heads[0].split(b"\r\n")
    assert first == b"GET /v1/a%2Fb?q=%20 HTTP/1.1"
    assert host.startswith(b"host: 127.0.0.1:")
    assert rest == [b"accept: */*", b"x-b: 2", b"", b""]


async def test_one_connection_serves_one_request_after_the_other() -> None:
    service = Service([OK] * 5)
    async with serving(service.handle) as upstream:
        assert [await get(upstream) for _ in range(5)] == [(200, b"ok")] * 5
    assert service.connections == 1


async def test_requests_at_once_have_a_connection_each_and_keep_them() -> None:
    service = Service([OK] * 6)
    async with serving(service.handle) as upstream:
        assert await asyncio.gather(*(get(upstream) for _ in range(3))) == [(200, b"ok")] * 3
        assert await asyncio.gather(*(get(upstream) for _ in range(3))) == [(200, b"ok")] * 3
    assert service.connections == 3


async def test_a_connection_the_service_closed_is_not_used_again() -> None:
    service = Service([OK, b"", OK])
    async with serving(service.handle) as upstream:
        assert await get(upstream) == (200, b"ok")
        with pytest.raises(UpstreamAway):
            await get(upstream)
        assert await get(upstream) == (200, b"ok")
    assert service.connections == 2


async def test_a_connection_closed_while_idle_is_noticed() -> None:
    async def once(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readuntil(b"\r\n\r\n")
        writer.write(OK)
        await writer.drain()
        writer.close()

    async with serving(once) as upstream:
        for _ in range(3):
            assert await get(upstream) == (200, b"ok")
            await asyncio.sleep(0.05)


async def test_an_idle_connection_is_given_up_after_a_while(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "IDLE_SECONDS", 0.0)
    service = Service([OK] * 2)
    async with serving(service.handle) as upstream:
        assert [await get(upstream), await get(upstream)] == [(200, b"ok")] * 2
    assert service.connections == 2


@pytest.mark.parametrize(
    "ending",
    [
        b"HTTP/1.1 200 OK\r\ncontent-length: 2\r\nConnection: Close\r\n\r\nok",
        b"HTTP/1.0 200 OK\r\ncontent-length: 2\r\n\r\nok",
    ],
)
async def test_a_connection_that_ends_with_its_answer_is_not_kept(ending: bytes) -> None:
    service = Service([ending, OK])
    async with serving(service.handle) as upstream:
        assert [await get(upstream), await get(upstream)] == [(200, b"ok")] * 2
    assert service.connections == 2


async def test_an_answer_nobody_read_to_its_end_takes_its_connection_along() -> None:
    service = Service([OK, OK])
    async with serving(service.handle) as upstream:
        async with upstream.ask("GET", b"/x", ()) as answer:
            assert answer.status == 200
        assert await get(upstream) == (200, b"ok")
    assert service.connections == 2


@pytest.mark.parametrize(
    ("raw", "body"),
    [
        (
            b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n2\r\nab\r\n0A;x=1\r\n0123456789\r\n0\r\n\r\n",
            b"ab0123456789",
        ),
        (b"HTTP/1.1 200 OK\r\nTransfer-Encoding: Chunked\r\n\r\n1\r\na\r\n0\r\nX-Trailer: 1\r\n\r\n", b"a"),
        (b"HTTP/1.1 200 OK\r\ncontent-length: 0\r\n\r\n", b""),
        (b"HTTP/1.1 204 No Content\r\n\r\n", b""),
        (b"HTTP/1.1 304 Not Modified\r\ncontent-length: 9\r\n\r\n", b""),
        (b"HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 103 Early\r\nlink: x\r\n\r\n" + OK, b"ok"),
    ],
)
async def test_every_framing_is_read_to_its_end_and_no_further(raw: bytes, body: bytes) -> None:
    service = Service([raw, OK])
    async with serving(service.handle) as upstream:
        assert (await get(upstream))[1] == body
        assert await get(upstream) == (200, b"ok")
    assert service.connections == 1


async def test_the_answer_to_head_has_no_body_whatever_it_says() -> None:
    service = Service([b"HTTP/1.1 200 OK\r\ncontent-length: 12\r\n\r\n", OK])
    async with serving(service.handle) as upstream:
        assert await get(upstream, method="HEAD") == (200, b"")
        assert await get(upstream) == (200, b"ok")
    assert service.connections == 1


async def test_a_body_without_framing_lasts_until_the_connection_does() -> None:
    async def until_closed(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readuntil(b"\r\n\r\n")
        writer.write(b"HTTP/1.1 200 OK\r\n\r\n" + b"x" * 100_000)
        await writer.drain()
        writer.close()

    async with serving(until_closed) as upstream:
        assert await get(upstream) == (200, b"x" * 100_000)


async def test_a_large_answer_comes_whole() -> None:
    large = bytes(range(256)) * 10_000
    service = Service([b"HTTP/1.1 200 OK\r\ncontent-length: %d\r\n\r\n" % len(large) + large])
    async with serving(service.handle) as upstream:
        assert await get(upstream) == (200, large)


@pytest.mark.parametrize(
    ("raw", "given"),
    [
        (b"content-length: 0\r\n\r\n", [(b"", False)]),
        (b"content-length: 2\r\n\r\nok", [(b"ok", False)]),
        (b"transfer-encoding: chunked\r\n\r\n2\r\nok\r\n0\r\n\r\n", [(b"ok", True), (b"", False)]),
        (b"transfer-encoding: chunked\r\n\r\n0\r\n\r\n", [(b"", False)]),
        (b"connection: close\r\n\r\n", [(b"", False)]),
    ],
)
async def test_the_last_piece_says_so(raw: bytes, given: list[tuple[bytes, bool]]) -> None:
    service = Service([b"HTTP/1.1 200 OK\r\n" + raw, b""])

    async def answering(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readuntil(b"\r\n\r\n")
        writer.write(service.answers[0])
        await writer.drain()
        writer.close()

    async with serving(answering) as upstream, upstream.ask("GET", b"/x", ()) as answer:
        assert [piece async for piece in answer.pieces()] == given


@pytest.mark.parametrize(
    "broken",
    [
        b"SSH-2.0-OpenSSH\r\n\r\n",
        b"HTTP/2 200 OK\r\n\r\n",
        b"HTTP/1.1 2000 OK\r\n\r\n",
        b"HTTP/1.1 200 OK\r\nno colon\r\n\r\n",
        b"HTTP/1.1 200 OK\r\n folded: 1\r\n\r\n",
        b"HTTP/1.1 200 OK\r\nx-a : 1\r\n\r\n",
        b"HTTP/1.1 200 OK\r\ncontent-length: 2\r\ncontent-length: 3\r\n\r\nok",
        b"HTTP/1.1 200 OK\r\ncontent-length: -2\r\n\r\nok",
        b"HTTP/1.1 200 OK\r\ncontent-length: 2\r\ntransfer-encoding: chunked\r\n\r\n0\r\n\r\n",
        b"HTTP/1.1 200 OK\r\ntransfer-encoding: gzip\r\n\r\n0\r\n\r\n",
        b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\nzz\r\nok\r\n0\r\n\r\n",
        b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n1\r\nokay\r\n0\r\n\r\n",
        b"HTTP/1.1 200 OK\r\nx-a: " + b"a" * 100_000 + b"\r\n\r\n",
        b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n" + b"0" * 100_000,
    ],
)
async def test_what_is_no_answer_is_refused_and_its_connection_dropped(broken: bytes) -> None:
    service = Service([broken, OK])
    async with serving(service.handle) as upstream:
        with pytest.raises(UpstreamAway):
            await get(upstream)
        assert await get(upstream) == (200, b"ok")
    assert service.connections == 2


@pytest.mark.parametrize(
    "half",
    [
        b"HTTP/1.1 200 OK\r\ncontent-le",
        b"HTTP/1.1 200 OK\r\ncontent-length: 100\r\n\r\nhalf",
        b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n5\r\nha",
        b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n4\r\nhalf\r\n",
    ],
)
async def test_half_an_answer_is_not_taken_for_a_whole_one(half: bytes) -> None:
    service = Service([half, b""])

    async def cut(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readuntil(b"\r\n\r\n")
        writer.write(service.answers[0])
        await writer.drain()
        writer.close()

    async with serving(cut) as upstream:
        with pytest.raises(UpstreamAway):
            await get(upstream)


async def test_a_body_of_known_length_goes_as_it_is() -> None:
    service = Service([OK])
    async with serving(service.handle) as upstream:
        headers = [(b"content-length", b"6")]
        async with upstream.ask("POST", b"/x", headers, pieces(b"abc", b"def")) as answer:
            assert await whole(answer) == b"ok"
    assert service.bodies == [b"abcdef"]
    assert b"transfer-encoding" not in service.heads[0]


async def test_a_body_of_unknown_length_goes_in_chunks() -> None:
    service = Service([OK])
    body = pieces(b"abc", b"", b"0123456789")
    async with serving(service.handle) as upstream, upstream.ask("POST", b"/x", (), body) as answer:
        assert await whole(answer) == b"ok"
    assert service.bodies == [b"3\r\nabc\r\na\r\n0123456789\r\n0\r\n\r\n"]


async def test_a_body_that_breaks_off_is_never_completed() -> None:
    class GoneError(Exception):
        pass

    async def broken() -> AsyncIterator[bytes]:
        yield b"half"
        raise GoneError

    service = Service([OK, OK])
    async with serving(service.handle) as upstream:
        with pytest.raises(GoneError):
            async with upstream.ask("POST", b"/x", (), broken()):
                pass
        assert await get(upstream) == (200, b"ok")
    assert service.bodies == [b""], "of the second request alone"


async def test_a_service_that_refuses_a_body_early_is_heard() -> None:
    async def early(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readuntil(b"\r\n\r\n")
        writer.write(b"HTTP/1.1 413 Too Large\r\ncontent-length: 3\r\nconnection: close\r\n\r\nbig")
        await writer.drain()
        writer.close()

    async def endless() -> AsyncIterator[bytes]:
        for _ in range(200):
            yield b"x" * 10_000
            await asyncio.sleep(0.001)

    async with serving(early) as upstream, upstream.ask("POST", b"/x", (), endless()) as answer:
        assert (answer.status, await whole(answer)) == (413, b"big")


@pytest.mark.parametrize(
    ("target", "headers"),
    [
        (b"/x HTTP/1.1\r\nhost: evil\r\n\r\nGET /y", ()),
        (b"/x y", ()),
        (b"/x", [(b"x-a", b"1\r\nx-b: 2")]),
        (b"/x", [(b"x-a", b"1\nx-b: 2")]),
        (b"/x", [(b"x-a\r\nx-b", b"1")]),
    ],
)
async def test_one_request_never_goes_out_as_two(target: bytes, headers: list[tuple[bytes, bytes]]) -> None:
    service = Service([OK])
    async with serving(service.handle) as upstream:
        with pytest.raises(UpstreamAway):
            async with upstream.ask("GET", target, headers):
                pass
    assert service.heads == []


async def test_a_service_that_is_silent_is_given_up(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "READ_SECONDS", 0.05)

    async def silent(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.read()
        writer.close()

    async with serving(silent) as upstream:
        with pytest.raises(UpstreamAway, match="Timeout"):
            await get(upstream)


async def test_nobody_there_is_said_at_once() -> None:
    with silent_port() as nobody, pytest.raises(UpstreamAway, match="Refused"):
        await get(Upstream(f"http://127.0.0.1:{nobody.getsockname()[1]}"))


async def test_whoever_finds_no_room_waits_and_is_told(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "MOST", 1)
    monkeypatch.setattr(module, "POOL_SECONDS", 0.05)
    service = Service([OK] * 2)
    async with serving(service.handle) as upstream:
        async with upstream.ask("GET", b"/x", ()) as answer:
            with pytest.raises(UpstreamAway, match="Timeout"):
                await get(upstream)
            assert await whole(answer) == b"ok"
        assert await get(upstream) == (200, b"ok")


async def test_a_cancelled_request_leaves_nothing_to_the_next() -> None:
    asked = asyncio.Event()

    async def slow(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        head = await reader.readuntil(b"\r\n\r\n")
        asked.set()
        if b"/slow" in head:
            await asyncio.sleep(0.2)
            writer.write(b"HTTP/1.1 200 OK\r\ncontent-length: 4\r\n\r\nlate")
        else:
            writer.write(OK)
        writer.close()

    async with serving(slow) as upstream:
        task = asyncio.create_task(get(upstream, b"/slow"))
        await asked.wait()
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
        assert await get(upstream) == (200, b"ok")


@pytest.mark.parametrize("url", ["", "127.0.0.1:7700", "ftp://127.0.0.1", "http://"])
def test_an_address_that_is_none_is_refused_at_once(url: str) -> None:
    with pytest.raises(ValueError, match="not the address"):
        Upstream(url)
