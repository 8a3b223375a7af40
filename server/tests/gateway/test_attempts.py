"""Guessing is delayed, longer the more fails; whoever knows the secret is never counted, and nobody is locked out of
where they were before."""

from __future__ import annotations

import asyncio
from dataclasses import replace
from typing import Any
from uuid import UUID

import httpx2
import orjson
import pytest
from starlette.responses import Response
from starlette.types import ASGIApp, Receive, Scope, Send

from devlore.problems import SignInFailed
from devlore_server.gateway.attempts import FROM_ANYWHERE, LARGEST, PER_ACCOUNT, PER_NETWORK, Attempts
from devlore_server.kit.auth import Caller, Principal, Visitor
from devlore_server.kit.http import admit, problem_response
from devlore_server.kit.limit import LocalLimiter
from tests.gateway.gate import PASSWORD, Gate

HERE = Visitor("192.0.2.0/24")
HOME = Visitor("203.0.113.0/24")


class Clock:
    """Microseconds that pass when they are told to."""

    def __init__(self) -> None:
        self.now = 10**12

    def __call__(self) -> int:
        return self.now

    def forward(self, seconds: float) -> None:
        self.now += int(seconds * 1_000_000)


class Door:
    """A sign-in behind the limits: the password is ``right``, everybody's home HOME; notes the bodies that reach it."""

    def __init__(self) -> None:
        self.clock = Clock()
        self.bodies: list[Any] = []
        self.pause: asyncio.Event | None = None
        self.asked: list[tuple[str, str | None, UUID | None]] = []
        self.guarded = Attempts(self._sign_in, limiter=LocalLimiter(clock=self.clock), familiar=self._familiar)

    async def _familiar(self, network: str, *, email: str | None, person: UUID | None) -> bool:
        self.asked.append((network, email, person))
        return network == HOME.network

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

    async def besieged(self, **how: Any) -> None:
        """Guess at an account from everywhere, until it is refused from anywhere else."""
        for number in range(5):
            caller = Visitor(f"198.51.{number}.0/24")
            assert await self.wrong(20, caller=caller, **how) == [401] * 20


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


async def test_guessing_from_many_networks_gets_no_further_than_from_few() -> None:
    door = Door()
    await door.besieged()
    again = [await door.wrong(1, caller=Visitor(f"198.52.{number}.0/24")) for number in range(100)]
    assert again == [[429]] * 100
    refused = await door.ask("wrong", caller=Visitor("198.53.0.0/24"))
    assert 800 < int(refused.headers["retry-after"]) <= 864
    day = 0
    for _ in range(96):  # a day of guesses, one in a quarter of an hour, each from elsewhere
        door.clock.forward(900)
        day += (await door.wrong(1, caller=Visitor(f"198.54.{day}.0/24"))).count(401)
    assert day <= 100


async def test_whoever_is_where_they_were_before_gets_in_while_others_guess() -> None:
    door = Door()
    await door.besieged()
    assert (await door.ask("right", caller=HERE)).status_code == 429, "somewhere new"
    assert (await door.ask("right", caller=HOME)).status_code == 201
    assert door.asked == [(HERE.network, "ada@example.com", None), (HOME.network, "ada@example.com", None)]
    assert (await door.ask("right", "bo@example.com", HERE)).status_code == 201, "another account"


async def test_where_somebody_was_before_guesses_are_counted_as_well() -> None:
    door = Door()
    await door.besieged()
    assert await door.wrong(21, caller=HOME) == [401] * 20 + [429]
    assert (await door.ask("right", caller=HOME)).status_code == 429


async def test_nobody_is_asked_for_while_there_is_room() -> None:
    door = Door()
    assert await door.wrong(21) == [401] * 20 + [429]
    assert door.asked == [], "the network's own limit asks nobody either"


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
    assert await door.wrong(1, email="bo@example.com") == [429], "the network, whatever account"
    assert await door.wrong(1, caller=elsewhere) == [401], "the account from elsewhere"
    await door.besieged(email="cy@example.com")
    assert await door.wrong(1, email=" CY@Example.com ", caller=elsewhere) == [429], "however it is written"


async def test_an_id_given_as_an_address_is_not_the_person_it_is_of(who: Principal) -> None:
    door = Door()
    await door.besieged(email=str(who.person))
    assert await door.wrong(1, caller=who, path="/v1/sessions/step-up") == [401]


async def test_those_signed_in_are_counted_by_who_they_are(who: Principal, other: Principal) -> None:
    door = Door()
    assert await door.wrong(20, caller=who, path="/v1/sessions/step-up") == [401] * 20
    assert await door.wrong(1, caller=who, path="/v1/identity/password") == [429]
    there = replace(other, network=HOME.network)
    assert await door.wrong(20, caller=there, path="/v1/sessions/step-up") == [401] * 20
    door = Door()
    for number in range(5):
        thief = replace(who, network=f"198.51.{number}.0/24")
        assert await door.wrong(20, caller=thief, path="/v1/sessions/step-up") == [401] * 20
    assert await door.wrong(1, caller=replace(who, network="198.52.0.0/24"), path="/v1/identity/password") == [429]
    assert await door.wrong(1, caller=replace(who, network=HOME.network), path="/v1/identity/password") == [401]
    assert door.asked == [("198.52.0.0/24", None, who.person), (HOME.network, None, who.person)]


@pytest.mark.parametrize(
    "body",
    [
        *(b"", b"[]", b"{", b'{"email": 7}', b'{"email": null}', b"\xff", b'"ada@example.com"', b'{"email": " "}'),
        *(b'{"email": "a\\u0000b"}', b'{"email": "' + b"x" * 255 + b'"}'),
    ],
)
async def test_a_strange_body_is_counted_for_its_network(body: bytes) -> None:
    door = Door()
    assert door.guarded._account({"path": "/v1/sessions"}, body) is None
    async with client(door.guarded) as http:
        answers = [(await http.post("/v1/sessions", json=[])).status_code for _ in range(21)]
    assert answers == [401] * 20 + [429]


def test_the_limits_are_in_proportion() -> None:
    assert len(PER_NETWORK) > len(PER_ACCOUNT), "a network is everybody's there: it has a day's limit too"
    assert [policy.quota for policy in FROM_ANYWHERE] == [100], "NIST SP 800-63B: no more than 100 in a row"


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


async def test_an_owner_besieged_for_real_gets_in_from_home_only(gate: Gate) -> None:
    email = (await gate.owner())["email"]  # who signed up from 203.0.113.7
    right, wrong = {"email": email, "password": PASSWORD}, {"email": email, "password": "not this one, no"}
    statuses = []
    for network in range(6):
        async with gate.client(f"198.51.{network}.9") as http:
            asked = [http.post("/v1/sessions", json=wrong) for _ in range(20)]
            statuses += [answer.status_code for answer in await asyncio.gather(*asked)]
    assert (statuses.count(401), statuses.count(429)) == (100, 20)
    async with gate.client("192.0.2.1") as new, gate.client("203.0.113.200") as home:
        assert (await new.post("/v1/sessions", json=right)).status_code == 429
        assert (await home.post("/v1/sessions", json=right)).status_code == 201
