"""A request that takes too long is ended, and what it had begun is undone."""

from __future__ import annotations

import asyncio

import httpx2
import pytest
from starlette.types import Message, Receive, Scope, Send

from devlore_server.gateway.deadlines import Deadlines
from tests.gateway.passing import passes

SECONDS = 60.0


class Slow:
    """Takes its time before its answer begins, and between its pieces; remembers whether it was ended."""

    def __init__(self, before: float = 0.0, between: float = 0.0, pieces: int = 1) -> None:
        self._before, self._between, self._pieces = before, between, pieces
        self.ended = False

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        try:
            await passes(self._before)
            await send({"type": "http.response.start", "status": 200, "headers": []})
            for piece in range(self._pieces):
                await passes(self._between)
                await send({"type": "http.response.body", "body": b"x", "more_body": piece < self._pieces - 1})
        except asyncio.CancelledError:
            self.ended = True
            raise


async def ask(slow: Slow, path: str = "/v1/memories") -> httpx2.Response:
    app = Deadlines(slow, seconds=SECONDS, longer={"/v1/memories/import": 5 * SECONDS})
    async with httpx2.AsyncClient(transport=httpx2.ASGITransport(app), base_url="http://localhost") as client:
        return await client.get(path)


async def test_an_answer_in_time_is_passed_on() -> None:
    assert (await ask(Slow(before=SECONDS / 10))).content == b"x"


async def test_no_answer_in_time_is_a_problem_and_the_work_ends() -> None:
    slow = Slow(before=2 * SECONDS)
    answer = await ask(slow)
    assert (answer.status_code, answer.json()["code"]) == (504, "overdue")
    assert slow.ended


async def test_some_paths_may_take_longer() -> None:
    assert (await ask(Slow(before=2 * SECONDS), "/v1/memories/import")).status_code == 200
    assert (await ask(Slow(before=2 * SECONDS))).status_code == 504


async def test_a_long_answer_takes_as_long_as_it_needs() -> None:
    assert (await ask(Slow(between=SECONDS / 3, pieces=6))).content == b"x" * 6


async def test_an_answer_that_stalls_is_cut() -> None:
    slow = Slow(between=2 * SECONDS, pieces=2)
    with pytest.raises(TimeoutError):
        await ask(slow)
    assert slow.ended


async def test_a_reader_that_takes_nothing_is_given_up() -> None:
    sent: list[Message] = []

    async def stuck(message: Message) -> None:
        sent.append(message)
        if message["type"] == "http.response.body":
            await passes(2 * SECONDS)

    slow = Slow(pieces=3)
    scope = {"type": "http", "path": "/v1/memories/export", "headers": []}
    with pytest.raises(TimeoutError):
        await Deadlines(slow, seconds=SECONDS)(scope, _nothing, stuck)
    assert [message["type"] for message in sent] == ["http.response.start", "http.response.body"]
    assert slow.ended


async def test_a_timeout_inside_is_the_services_own() -> None:
    async def impatient(scope: Scope, receive: Receive, send: Send) -> None:
        raise TimeoutError

    with pytest.raises(TimeoutError):
        await Deadlines(impatient, seconds=60)({"type": "http", "path": "/", "headers": []}, _nothing, _swallow)


async def test_other_protocols_have_no_deadline() -> None:
    seen: list[str] = []

    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        await passes(2 * SECONDS)
        seen.append(scope["type"])

    await Deadlines(app, seconds=SECONDS)({"type": "lifespan"}, _nothing, _swallow)
    assert seen == ["lifespan"]


async def _nothing() -> Message:
    return {"type": "http.request", "body": b"", "more_body": False}


async def _swallow(message: Message) -> None:
    return
