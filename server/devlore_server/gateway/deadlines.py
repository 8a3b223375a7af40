"""How long a request may take: to begin its answer, and between two pieces of it."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping

from starlette.types import ASGIApp, Message, Receive, Scope, Send

from devlore.problems import Overdue
from devlore_server.kit.http import problem_response

_SLACK = 0.02
"""The share of its seconds by which a deadline may come early."""


class Deadlines:
    """Ends a request that has no answer after ``seconds`` (504), and an answer nobody takes for as long.

    What it did until then is rolled back: a transaction ends with its request. A long answer may take as long as it
    needs while its pieces leave.
    """

    def __init__(self, app: ASGIApp, *, seconds: float, longer: Mapping[str, float] | None = None) -> None:
        self._app = app
        self._seconds = seconds
        self._longer = dict(longer or {})

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        seconds = self._longer.get(scope["path"], self._seconds)
        loop = asyncio.get_running_loop()
        started = False

        def move() -> None:
            # Moving a timer costs more than a whole middleware: only when there is something to gain.
            due, at = loop.time() + seconds, deadline.when()
            if at is None or due - at > seconds * _SLACK:
                deadline.reschedule(due)

        async def send_in_time(message: Message) -> None:
            nonlocal started
            started = True
            move()
            await send(message)
            move()

        try:
            async with asyncio.timeout(seconds) as deadline:
                await self._app(scope, receive, send_in_time)
        except TimeoutError:
            if started or not deadline.expired():
                raise  # half an answer is out: only closing the connection tells the reader
            await problem_response(Overdue(f"There was no answer within {seconds:g} s."))(scope, receive, send)
