"""A standing is remembered only while nobody has said that it changed; when nobody can say, it is asked every time."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from datetime import timedelta
from typing import Any
from uuid import UUID

import pytest

from devlore.problems import Unavailable
from devlore_server.gateway.standings import KEPT, Standings, Whose
from devlore_server.kit.cache import Cache, LocalCache, RedisCache, connect
from devlore_server.kit.clock import utc_now
from devlore_server.kit.ids import new_id
from devlore_server.kit.line import Line
from devlore_server.kit.revocation import Revocations
from devlore_server.ports import Standing
from tests.gateway.passing import passes
from tests.instance import own_redis
from tests.kit import hanging

ORGANISATION, PERSON = UUID(int=7), UUID(int=8)
WHOSE: Whose = (ORGANISATION, PERSON)
PATIENCE = 60
"""Seconds that a Redis which hangs is waited for: they pass at once, and none that answers takes as long."""


def standing(**changes: Any) -> Standing:
    now = utc_now()
    given: dict[str, Any] = {
        "organisation": ORGANISATION,
        "person": PERSON,
        "role": "member",
        "teams": frozenset[UUID](),
        "scopes": frozenset({"memories:read"}),
        "session": str(new_id()),
        "authenticated_at": now,
        "expires_at": now + timedelta(days=1),
    }
    return Standing(**(given | changes))


class Desk:
    """Answers what it is told to, and counts how often it was asked."""

    def __init__(self) -> None:
        self.answer: Standing | None = standing()
        self.asked = 0

    async def ask(self) -> Standing | None:
        self.asked += 1
        return self.answer


class Clock:
    def __init__(self) -> None:
        self.now = 100.0

    def __call__(self) -> float:
        return self.now


@pytest.fixture(params=["local", "redis"])
async def cache(request: pytest.FixtureRequest) -> AsyncIterator[Cache]:
    if request.param == "local":
        yield LocalCache()
        return
    line = Line(connect(request.getfixturevalue("redis_url"), patience=10))
    yield RedisCache(line)
    line.close()


@pytest.fixture
def revocations(cache: Cache) -> Revocations:
    return Revocations(cache)


async def test_it_is_asked_once_while_nothing_changes(revocations: Revocations) -> None:
    desk, standings = Desk(), Standings(revocations, clock=Clock())
    answers = [await standings.of("token", desk.ask, WHOSE) for _ in range(5)]
    assert answers == [desk.answer] * 5
    assert desk.asked == 1


async def test_a_change_is_seen_by_the_next_request(cache: Cache, revocations: Revocations) -> None:
    desk, standings = Desk(), Standings(revocations, clock=Clock())
    await standings.of("token", desk.ask, WHOSE)
    desk.answer = standing(role="viewer")
    await Revocations(cache).changed(*WHOSE)  # as another process would
    assert await standings.of("token", desk.ask, WHOSE) == desk.answer
    desk.answer = None
    assert await standings.of("token", desk.ask, WHOSE) is not None, "nobody said so"
    await Revocations(cache).changed(*WHOSE)
    assert await standings.of("token", desk.ask, WHOSE) is None


async def test_a_change_of_somebody_else_is_none(revocations: Revocations) -> None:
    desk, standings = Desk(), Standings(revocations, clock=Clock())
    await standings.of("token", desk.ask, WHOSE)
    await revocations.changed(ORGANISATION, UUID(int=9))
    await revocations.changed(UUID(int=9), PERSON)
    await standings.of("token", desk.ask, WHOSE)
    assert desk.asked == 1


async def test_a_change_while_identity_is_asked_is_not_missed(revocations: Revocations) -> None:
    desk, standings = Desk(), Standings(revocations, clock=Clock())
    stale = standing()

    async def overtaken() -> Standing | None:
        """Reads the old state; the change is committed and announced before the answer arrives."""
        await revocations.changed(*WHOSE)
        return stale

    assert await standings.of("token", overtaken, WHOSE) == stale
    desk.answer = None
    assert await standings.of("token", desk.ask, WHOSE) is None


async def test_a_key_or_cookie_says_whose_it_is_only_once_it_is_known(revocations: Revocations) -> None:
    desk, standings = Desk(), Standings(revocations, clock=Clock())
    for _ in range(4):
        await standings.of(b"digest", desk.ask)
    assert desk.asked == 2, "the first answer came before its mark could be read"
    await revocations.changed(*WHOSE)
    desk.answer = None
    assert await standings.of(b"digest", desk.ask) is None


async def test_it_is_forgotten_before_two_seconds_have_passed(revocations: Revocations) -> None:
    clock, desk = Clock(), Desk()
    standings = Standings(revocations, clock=clock)
    assert KEPT < 2
    await standings.of("token", desk.ask, WHOSE)
    desk.answer = None
    clock.now += KEPT - 0.01
    assert await standings.of("token", desk.ask, WHOSE) is not None
    clock.now += 0.02
    assert await standings.of("token", desk.ask, WHOSE) is None


async def test_the_time_runs_from_before_identity_was_asked(revocations: Revocations) -> None:
    clock, desk = Clock(), Desk()
    standings = Standings(revocations, clock=clock)

    async def slowly() -> Standing | None:
        clock.now += KEPT - 0.1
        return await desk.ask()

    await standings.of("token", slowly, WHOSE)
    desk.answer = None
    assert await standings.of("token", desk.ask, WHOSE) is not None
    clock.now += 0.2
    assert await standings.of("token", desk.ask, WHOSE) is None


async def test_refusals_are_not_remembered(revocations: Revocations) -> None:
    desk, standings = Desk(), Standings(revocations, clock=Clock())
    desk.answer = None
    assert await standings.of("token", desk.ask, WHOSE) is None
    desk.answer = standing()
    assert await standings.of("token", desk.ask, WHOSE) == desk.answer


async def test_credentials_do_not_mix(revocations: Revocations) -> None:
    first, second, standings = Desk(), Desk(), Standings(revocations, clock=Clock())
    second.answer = standing(role="owner")
    assert await standings.of("one", first.ask, WHOSE) == first.answer
    assert await standings.of("two", second.ask, WHOSE) == second.answer
    assert await standings.of("one", second.ask, WHOSE) == first.answer


async def test_the_oldest_is_forgotten_beyond_a_number(revocations: Revocations) -> None:
    desk, standings = Desk(), Standings(revocations, most=2, clock=Clock())
    for credential in ("a", "b", "c", "b", "c", "a"):
        await standings.of(credential, desk.ask, WHOSE)
    assert desk.asked == 4


@pytest.mark.parametrize("blind", ["redis is away", "nothing is shared"])
async def test_when_nobody_can_tell_every_request_asks(blind: str) -> None:
    away = RedisCache(Line(connect("redis://127.0.0.1:1")))
    revocations = Revocations(away if blind == "redis is away" else None)
    await revocations.changed(*WHOSE)  # does not fail what it follows
    with pytest.raises(Unavailable):
        await revocations.mark(*WHOSE)
    desk, standings = Desk(), Standings(revocations, clock=Clock())
    for _ in range(3):
        await standings.of("token", desk.ask, WHOSE)
    desk.answer = None
    assert await standings.of("token", desk.ask, WHOSE) is None
    assert desk.asked == 4


async def test_what_was_remembered_is_not_used_once_redis_is_away() -> None:
    with own_redis() as (url, process):
        line = Line(connect(url))
        desk, standings = Desk(), Standings(Revocations(RedisCache(line)), clock=Clock())
        assert await standings.of("token", desk.ask, WHOSE) is not None
        process.kill()
        process.wait()
        desk.answer = None
        assert await standings.of("token", desk.ask, WHOSE) is None
        line.close()


async def test_while_redis_hangs_every_request_asks_and_one_a_second_waits() -> None:
    clock = hanging.Clock()
    with own_redis() as (url, process):
        line = Line(connect(url, patience=PATIENCE), clock=clock)
        desk, revocations = Desk(), Revocations(RedisCache(line))
        standings = Standings(revocations, clock=Clock())
        await standings.of("token", desk.ask, WHOSE)
        with hanging.hanging(process):
            for _ in range(2):
                waiting = asyncio.create_task(standings.of("token", desk.ask, WHOSE))
                while not waiting.done():
                    await passes(PATIENCE)
                assert await waiting == desk.answer
                for _ in range(9):
                    assert await standings.of("token", desk.ask, WHOSE) == desk.answer
                clock.pause()
        assert desk.asked == 21
        await standings.of("token", desk.ask, WHOSE)
        await standings.of("token", desk.ask, WHOSE)
        assert desk.asked == 22, "remembered again"
        assert hanging.connections(url) == 3, "before it hung, while it did, and now"
        desk.answer = None
        await revocations.changed(*WHOSE)
        assert await standings.of("token", desk.ask, WHOSE) is None
        line.close()
