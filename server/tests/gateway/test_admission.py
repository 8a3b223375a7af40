"""Who somebody was a moment ago pays; who they are now is known before anything else looks at them."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from typing import Any
from uuid import UUID

import httpx2
import pytest
from starlette.responses import PlainTextResponse
from starlette.types import ASGIApp, Receive, Scope, Send

from devlore_server.gateway import standings
from devlore_server.gateway.authenticate import Admission, Authenticate
from devlore_server.gateway.limits import Quotas, RateLimits
from devlore_server.gateway.networks import Networks
from devlore_server.kit.auth import Principal
from devlore_server.kit.cache import Key, LocalCache
from devlore_server.kit.db import Database
from devlore_server.kit.http import caller_of
from devlore_server.kit.limit import Demand, LocalLimiter, Policy, Verdict
from devlore_server.kit.log import EventLog
from devlore_server.kit.revocation import Revocations
from tests.gateway.gate import ORIGIN, Gate, bearer


class Slow(LocalCache):
    """A cache that answers once it may."""

    def __init__(self) -> None:
        super().__init__()
        self.may = asyncio.Event()
        self.may.set()

    async def read(self, key: Key) -> bytes | None:
        await self.may.wait()
        return await super().read(key)


class Counting(LocalLimiter):
    """Says which accounts were charged, when it happens."""

    def __init__(self) -> None:
        super().__init__()
        self.charged: list[str] = []
        self.taken = asyncio.Event()

    async def take(self, demands: Sequence[Demand]) -> list[Verdict]:
        self.charged += [demand.policy.name for demand in demands]
        self.taken.set()
        return await super().take(demands)


class Door:
    """The way in, up to an application that says who got there."""

    def __init__(self, gate: Gate, quota: int = 100) -> None:
        self.cache, self.limiter, self.reached = Slow(), Counting(), 0
        quotas = Quotas(*(Policy(name, quota) for name in ("person", "organisation", "network")))
        self.app = self._authenticated(gate, RateLimits(Admission(self._who), limiter=self.limiter, quotas=quotas))
        self.bare = self._authenticated(gate, self._who)

    def _authenticated(self, gate: Gate, app: ASGIApp) -> ASGIApp:
        revocations = Revocations(self.cache)
        return Authenticate(app, identity=gate.identity, revocations=revocations, origin=ORIGIN, proxies=Networks(()))

    async def _who(self, scope: Scope, receive: Receive, send: Send) -> None:
        self.reached += 1
        caller = caller_of(scope)
        said = str(caller.person) if isinstance(caller, Principal) else "nobody"
        await PlainTextResponse(said)(scope, receive, send)

    async def get(self, token: str, app: ASGIApp | None = None) -> httpx2.Response:
        transport = httpx2.ASGITransport(app or self.app, client=("203.0.113.7", 5000))
        async with httpx2.AsyncClient(transport=transport, base_url=ORIGIN, headers=bearer(token)) as client:
            return await client.get("/")


@pytest.fixture(autouse=True)
def remembered(monkeypatch: pytest.MonkeyPatch) -> None:
    """Who somebody was a moment ago is known, however long a test takes."""
    monkeypatch.setattr(standings, "KEPT", 3_600.0)


@pytest.fixture
def gate(database: Database, log: EventLog) -> Gate:
    return Gate(database, log)


async def _known(gate: Gate, door: Door) -> tuple[str, str]:
    """The token of somebody who has just been here, and their id."""
    token = (await gate.owner())["access_token"]
    answer = await door.get(token)
    assert answer.status_code == 200
    door.limiter.taken.clear()
    return token, answer.text


async def test_the_limits_are_taken_while_the_mark_is_read(gate: Gate) -> None:
    door = Door(gate)
    token, person = await _known(gate, door)
    door.cache.may.clear()
    asking = asyncio.create_task(door.get(token))
    await asyncio.wait_for(door.limiter.taken.wait(), 10)
    assert (door.reached, asking.done()) == (1, False), "nobody is let in before the mark is known"
    door.cache.may.set()
    assert (await asking).text == person
    assert door.limiter.charged == ["person", "organisation"] * 2
    assert gate.identity.asked.count("session") == 1


async def test_a_revocation_that_is_only_found_meanwhile_holds(gate: Gate) -> None:
    door = Door(gate)
    token, person = await _known(gate, door)
    organisation = (await _me(gate, token))["organisation"]
    async with gate.client(**bearer(token)) as client:
        assert (await client.delete("/v1/sessions/current")).status_code == 204
    await Revocations(door.cache).changed(UUID(organisation), UUID(person))
    assert (await door.get(token)).status_code == 401
    assert (await door.get(token)).status_code == 401
    assert door.reached == 1
    assert door.limiter.charged[-1] == "network", "from then on it is somebody unknown who pays"


async def test_without_admission_everybody_is_nobody(gate: Gate) -> None:
    door = Door(gate)
    token, _ = await _known(gate, door)
    assert (await door.get(token, door.bare)).text == "nobody"


async def test_whom_the_limits_refuse_needs_no_mark_and_leaves_nothing_behind(gate: Gate) -> None:
    door = Door(gate, quota=1)
    token, _ = await _known(gate, door)
    door.cache.may.clear()
    before = asyncio.all_tasks()
    assert (await asyncio.wait_for(door.get(token), 10)).status_code == 429
    await asyncio.sleep(0)
    assert asyncio.all_tasks() <= before


async def test_a_token_that_is_none_is_charged_to_its_network(gate: Gate) -> None:
    door = Door(gate, quota=2)
    answers = [(await door.get("not a token")).status_code for _ in range(3)]
    assert (answers, door.reached) == ([401, 401, 429], 0)
    assert set(door.limiter.charged) == {"network"}


async def test_while_identity_is_away_the_limits_come_first_and_nobody_in(gate: Gate) -> None:
    door = Door(gate, quota=2)
    token = (await gate.owner())["access_token"]
    await door.get(token)
    gate.identity.away = True
    authenticate: Any = door.app
    authenticate._standings._known.clear()  # as after a second and a half
    answers = [(await door.get(token)).status_code for _ in range(3)]
    assert (answers, door.reached) == ([503, 503, 429], 1)


async def _me(gate: Gate, token: str) -> dict[str, Any]:
    async with gate.client(**bearer(token)) as client:
        return dict((await client.get("/v1/me")).json())
