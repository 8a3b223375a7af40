"""One that failed is left alone: whoever asks within a second learns so at once, and then one finds out for all."""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager

import pytest
from redis.exceptions import InvalidResponse, ResponseError

from devlore_server.kit.cache import connect
from devlore_server.kit.line import PAUSE, LeftAlone, Line, packed
from tests.instance import own_redis
from tests.kit.hanging import Clock, connections, hanging, hung_up, started_again, until_it_listens

Connection = Callable[[asyncio.StreamReader, asyncio.StreamWriter], Awaitable[None]]


@pytest.fixture
def clock() -> Clock:
    return Clock()


async def ten(line: Line) -> Counter[object]:
    """What ten who ask at once get: the answer, or the kind of error."""
    answers = await asyncio.gather(*(line.ask("ECHO", "x") for _ in range(10)), return_exceptions=True)
    return Counter(type(answer) if isinstance(answer, BaseException) else answer for answer in answers)


@asynccontextmanager
async def served(clock: Clock, *handles: Connection, password: str = "") -> AsyncIterator[tuple[Line, list[int]]]:
    """A line to a Redis whose connections are ``handles``, one after the other, and those that were made."""
    left, made = list(handles), list[int]()

    async def handle(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        made.append(len(made))
        await left.pop(0)(reader, writer)
        writer.close()

    server = await asyncio.start_server(handle, "127.0.0.1", 0)
    port = server.sockets[0].getsockname()[1]
    line = Line(connect(f"redis://{password}127.0.0.1:{port}", patience=10), clock=clock)
    try:
        yield line, made
    finally:
        line.close()
        server.close()


def saying(*answers: bytes) -> Connection:
    """A connection that gives these answers, then hangs up."""

    async def handle(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        for answer in answers:
            await reader.read(65_536)
            writer.write(answer)
            await writer.drain()

    return handle


async def test_of_one_that_hangs_one_caller_a_second_finds_out(clock: Clock) -> None:
    with own_redis() as (url, process):
        line = Line(connect(url, patience=10), clock=clock)
        assert await line.ask("ECHO", "x") == b"x"
        with hanging(process, line):
            assert await ten(line) == {TimeoutError: 10}, "those who were on their way"
            for _ in range(3):
                assert await ten(line) == {LeftAlone: 10}
                clock.now += PAUSE / 4
            clock.now += PAUSE / 4
            for _ in range(2):
                assert await ten(line) == {TimeoutError: 1, LeftAlone: 9}
                assert await ten(line) == {LeftAlone: 10}
                clock.pause()
        assert await ten(line) == {b"x": 1, LeftAlone: 9}
        assert await ten(line) == {b"x": 10}
        assert connections(url) == 4, "the first, two while it hung, and the one that found it back"
        line.close()


async def test_one_that_was_killed_is_found_again_when_it_was_started(clock: Clock) -> None:
    with own_redis() as (url, process):
        line = Line(connect(url, patience=10), clock=clock)
        assert await ten(line) == {b"x": 10}
        process.kill()
        process.wait()
        assert set(await ten(line)) <= {ConnectionRefusedError, ConnectionResetError, BrokenPipeError}
        assert await ten(line) == {LeftAlone: 10}
        clock.pause()
        assert await ten(line) == {ConnectionRefusedError: 1, LeftAlone: 9}
        with started_again(process):
            await until_it_listens(url)
            assert await ten(line) == {LeftAlone: 10}, "nobody knows yet that it is back"
            before = connections(url)
            clock.pause()
            assert await ten(line) == {b"x": 1, LeftAlone: 9}
            assert await ten(line) == {b"x": 10}
            assert connections(url) == before + 2, "one, and the one that counts"
        line.close()


async def test_a_redis_that_hangs_up_is_not_tried_again_by_each_caller(clock: Clock) -> None:
    async with served(clock, saying(), saying(), saying(b"$1\r\nx\r\n" * 10)) as (line, made):
        assert sum((await ten(line)).values()) == 10
        for _ in range(5):
            assert await ten(line) == {LeftAlone: 10}
        assert len(made) == 1
        clock.pause()
        assert (await ten(line))[LeftAlone] == 9
        assert len(made) == 2


async def test_a_connection_that_ended_while_nobody_asked_is_no_failure(clock: Clock) -> None:
    answer = saying(b"$1\r\nx\r\n")
    async with served(clock, answer, answer, answer) as (line, made):
        for _ in range(3):
            assert await line.ask("ECHO", "x") == b"x"
            await hung_up(line)
        assert len(made) == 3


async def test_what_redis_refuses_is_an_answer(clock: Clock) -> None:
    with own_redis() as (url, process):
        line = Line(connect(url, patience=10), clock=clock)
        for _ in range(5):
            with pytest.raises(ResponseError):
                await line.ask("NO-SUCH")
        assert await ten(line) == {b"x": 10}
        process.kill()
        process.wait()
        assert b"x" not in await ten(line)
        clock.pause()
        with started_again(process):
            await until_it_listens(url)
            with pytest.raises(ResponseError, match="NOSCRIPT"):
                await line.ask("EVALSHA", "0" * 40, 0)
            assert await ten(line) == {b"x": 10}, "it answers, so it is back"
        line.close()


@pytest.mark.parametrize(
    ("answers", "password", "error"),
    [([b"HTTP/1.1 400 Bad Request\r\n\r\n"], "", InvalidResponse), ([b"-WRONGPASS no\r\n"], ":no@", ResponseError)],
    ids=["no Redis", "one that does not let in"],
)
async def test_whoever_gets_no_answers_there_asks_once_a_second(
    clock: Clock, answers: list[bytes], password: str, error: type[Exception]
) -> None:
    good = saying(*([b"+OK\r\n"] if password else []), b"$1\r\nx\r\n", b"$1\r\nx\r\n" * 10)
    async with served(clock, saying(*answers), good, password=password) as (line, made):
        assert await ten(line) == {error: 10}
        assert await ten(line) == {LeftAlone: 10}
        assert len(made) == 1
        clock.pause()
        assert await ten(line) == {b"x": 1, LeftAlone: 9}
        assert await ten(line) == {b"x": 10}
        assert len(made) == 2


async def test_whoever_gives_up_finding_out_leaves_it_to_the_next(clock: Clock) -> None:
    asked, answer = asyncio.Event(), asyncio.Event()

    async def slow(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        one = len(packed(("ECHO", "x")))
        await reader.readexactly(one)
        asked.set()
        await reader.readexactly(one)
        await answer.wait()
        writer.write(b"$1\r\nx\r\n" * 2)
        await saying(b"$1\r\nx\r\n" * 10)(reader, writer)

    async with served(clock, saying(), slow) as (line, made):
        assert (await ten(line))[LeftAlone] == 0
        clock.pause()
        first = asyncio.create_task(line.ask("ECHO", "x"))
        await asked.wait()
        assert await ten(line) == {LeftAlone: 10}, "the first has not given up yet"
        first.cancel()
        await asyncio.wait([first])
        second = asyncio.create_task(line.ask("ECHO", "x"))
        await asyncio.sleep(0)
        assert await ten(line) == {LeftAlone: 10}
        answer.set()
        assert await second == b"x"
        assert await ten(line) == {b"x": 10}
        assert len(made) == 2


async def test_being_left_alone_is_told_as_being_away() -> None:
    line = Line(connect("redis://127.0.0.1:1"))
    with pytest.raises(OSError):
        await line.ping()
    with pytest.raises(OSError, match="left alone"):
        await line.ping()
