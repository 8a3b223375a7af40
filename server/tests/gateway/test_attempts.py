"""Guessing is delayed, longer the more fails; whoever knows the secret is never counted and nobody is locked out."""

from __future__ import annotations

import asyncio
from typing import Any

import httpx2
import orjson
import pytest
from starlette.responses import Response
from starlette.types import ASGIApp, Receive, Scope, Send

from devlore.problems import SignInFailed
from devlore_server.gateway.attempts import LARGEST, PER_ACCOUNT, PER_NETWORK, Attempts
from devlore_server.kit.auth import Caller, Principal, Visitor
from devlore_server.kit.http import admit, problem_response
from devlore_server.kit.limit import LocalLimiter
from tests.gateway.gate import PASSWORD, Gate

HERE = Visitor("192.0.2.0/24")


class Clock:
    """Microseconds that pass when they are told to."""

    def __init__(self) -> None:
        self.now = 10**12

    def __call__(self) -> int:
        return self.now

    def forward(self, seconds: float) -> None:
        self.now += int(seconds * 1_000_000)


class Door:
    """A sign-in behind the limits: the password is ``right``; notes the bodies that reach it."""

    def __init__(self) -> None:
        self.clock = Clock()
        self.bodies: list[Any] = []
        self.pause: asyncio.Event | None = None
        self.guarded = Attempts(self._sign_in, limiter=LocalLimiter(clock=self.clock))

    async def _sign_in(self, scope: Scope, receive: Receive, send: Send) -> None:
        message = await receive()
        body = orjson.loads(message["body"] or b"{}")
        self.bodies.append(body)
        if self.pause is not None:
            await self.pause.wait()
        right = isinstance(body, dict) and body.get("password") == "right"
        await (Response(status_code=201) if right else problem_response(SignInFailed()))(scope, receive, send)

    async def ask(
        self, password: str, email: str = "ada@example.com", caller: Caller = HERE, path: str = "/v1/sessions"
    ) -> httpx2.Response:
        async def entering(scope: Scope, receive: Receive, send: Send) -> None:
            admit(scope, caller)
            await self.guarded(scope, receive, send)

        async with client(entering) as http:
            return await http.post(path, json={"email": email, "password": password})

    async def wrong(self, times: int, **how: Any) -> list[int]:
        return [(await self.ask("wrong", **how)).status_code for _ in range(times)]


def client(app: ASGIApp) -> httpx2.AsyncClient:
    return httpx2.AsyncClient(transport=httpx2.ASGITransport(app), base_url="http://localhost")


async def test_twenty_failures_then_a_wait_that_grows_and_never_a_lock() -> None:
    door = Door()
    assert await door.wrong(21) == [401] * 20 + [429]
    refused = await door.ask("right")
    assert (refused.status_code, refused.json()["code"]) == (429, "rate-limited")
    waits = [int(refused.headers["retry-after"])]
    while waits[-1] <= 60 and len(waits) < 200:
        door.clock.forward(waits[-1])
        assert (await door.ask("wrong")).status_code == 401, "after the wait there is always room"
        waits.append(int((await door.ask("wrong")).headers["retry-after"]))
    assert waits[0] <= 15
    assert waits == sorted(waits)
    assert max(waits) <= 432, "one in seven minutes is the slowest"


async def test_the_owner_of_an_account_waits_a_minute_at_most() -> None:
    door = Door()
    for number in range(10):
        await door.wrong(20, caller=Visitor(f"198.51.{number}.0/24"))
        door.clock.forward(60)
    home = Visitor("203.0.113.0/24")
    refused = await door.ask("right", caller=home)
    if refused.status_code == 429:
        assert int(refused.headers["retry-after"]) <= 60
        door.clock.forward(int(refused.headers["retry-after"]))
    assert (await door.ask("right", caller=home)).status_code == 201


async def test_whoever_knows_the_secret_is_not_counted() -> None:
    door = Door()
    assert {(await door.ask("right")).status_code for _ in range(100)} == {201}
    assert await door.wrong(21) == [401] * 20 + [429]


async def test_many_at_once_do_not_slip_through() -> None:
    door = Door()
    door.pause = asyncio.Event()
    asking = [asyncio.create_task(door.ask("wrong")) for _ in range(100)]
    await asyncio.sleep(0.05)
    door.pause.set()
    answers = [answer.status_code for answer in await asyncio.gather(*asking)]
    assert answers.count(401) == 20


async def test_accounts_and_networks_are_counted_apart() -> None:
    door = Door()
    assert await door.wrong(21) == [401] * 20 + [429]
    elsewhere = Visitor("198.51.100.0/24")
    assert await door.wrong(1, caller=elsewhere) == [429], "the account, wherever from"
    assert await door.wrong(1, email=" ADA@Example.com ", caller=elsewhere) == [429], "however it is written"
    assert await door.wrong(1, email="bo@example.com") == [429], "the network, whatever account"
    assert await door.wrong(1, email="bo@example.com", caller=elsewhere) == [401]


async def test_those_signed_in_are_counted_by_who_they_are(who: Principal, other: Principal) -> None:
    door = Door()
    assert await door.wrong(20, caller=who, path="/v1/sessions/step-up") == [401] * 20
    assert await door.wrong(1, caller=who, path="/v1/identity/password") == [429]
    assert door.guarded._demands(  # the network is the same, so only the accounts can tell them apart
        {"path": "/v1/sessions/step-up", "devlore.caller": other}, b""
    ) != door.guarded._demands({"path": "/v1/sessions/step-up", "devlore.caller": who}, b"")


@pytest.mark.parametrize("body", [b"", b"[]", b"{", b'{"email": 7}', b'{"email": null}', b"\xff", b'"ada@example.com"'])
async def test_a_strange_body_is_counted_for_its_network(body: bytes) -> None:
    door = Door()
    seen = [demand.policy for demand in door.guarded._demands({"path": "/v1/sessions"}, body)]
    assert seen == list(PER_NETWORK)
    assert len(PER_NETWORK) > len(PER_ACCOUNT)


async def test_what_reaches_the_service_is_what_was_sent() -> None:
    door = Door()
    await door.ask("right")
    assert door.bodies == [{"email": "ada@example.com", "password": "right"}]


async def test_a_huge_body_is_refused_before_it_is_read_whole() -> None:
    door = Door()
    async with client(door.guarded) as http:
        answer = await http.post("/v1/sessions", content=b"x" * (LARGEST + 1))
    assert (answer.status_code, door.bodies) == (413, [])


async def test_other_requests_are_not_counted() -> None:
    door = Door()
    assert set(await door.wrong(40, path="/v1/memories")) == {401}


async def test_signing_in_for_real_is_delayed_after_twenty_failures(gate: Gate) -> None:
    email = (await gate.owner())["email"]
    async with gate.client() as http:
        for _ in range(20):
            wrong = await http.post("/v1/sessions", json={"email": email, "password": "not this one, no"})
            assert (wrong.status_code, wrong.json()["code"]) == (401, "sign-in-failed")
        refused = await http.post("/v1/sessions", json={"email": email, "password": PASSWORD})
        assert refused.status_code == 429
        assert 1 <= int(refused.headers["retry-after"]) <= 15
