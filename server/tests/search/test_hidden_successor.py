"""A search, whatever its bounds, tells of a hidden successor neither its id nor when it began."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest

from devlore.types import Memory, Privacy
from devlore_server.kit.auth import Principal
from devlore_server.memory.lifecycle import Lifecycle
from tests.search.conftest import Desk

LEGS: list[list[str]] = [[], ["lexical"], ["vector"]]
BEGAN = datetime(2024, 2, 3, 4, 5, 6, 789012, tzinfo=UTC)
AROUND = (BEGAN - timedelta(days=1), BEGAN, BEGAN + timedelta(microseconds=1), BEGAN + timedelta(days=30))


@pytest.fixture
async def pair(desk: Desk, who: Principal, other: Principal) -> tuple[Memory, Memory]:
    """What ``who`` wrote for everybody, and what ``other``, alone, replaced it by."""
    old = await desk.add(who, "We deploy by hand", "deploy rule", valid_from=datetime(2020, 1, 1, tzinfo=UTC))
    new = await desk.add(other, "We deploy by robot", "deploy rule", valid_from=BEGAN, privacy=Privacy.PRIVATE)
    log = desk.service._parts.log
    await Lifecycle(log.database, log).supersede(other, old.id, new.id, None)
    await desk.settled()
    return old, new


@pytest.mark.parametrize("legs", LEGS)
async def test_a_hit_names_it_to_those_who_see_it(
    desk: Desk, pair: tuple[Memory, Memory], who: Principal, other: Principal, legs: list[str]
) -> None:
    old, new = pair
    for asking, named in ((who, None), (other, new.id)):
        for q in ("hand status:any", "hand status:superseded", "hand as_of:2022"):
            hits = (await desk.find(asking, q, legs=legs)).items
            assert [hit.memory.superseded_by for hit in hits if hit.memory.id == old.id] == [named], q


@pytest.mark.parametrize("legs", LEGS)
async def test_no_moment_tells_when_it_began(
    desk: Desk, pair: tuple[Memory, Memory], who: Principal, legs: list[str]
) -> None:
    for moment in AROUND:
        page = await desk.find(who, "deploy", as_of=moment, legs=legs, facets=["status"])
        assert [hit.memory.title for hit in page.items] == ["We deploy by hand"], moment
        assert [(one.value, one.count) for one in page.facets["status"]] == [("superseded", 1)]
    assert await desk.titles(who, "deploy as_of:now", legs=legs) == [], "it was said that it holds no longer"


async def test_for_those_who_see_both_it_holds_from_its_beginning(
    desk: Desk, pair: tuple[Memory, Memory], other: Principal
) -> None:
    for moment, held in zip(AROUND, (False, True, True, True), strict=True):
        assert ("We deploy by robot" in await desk.titles(other, "deploy", as_of=moment)) is held


async def test_nothing_counted_or_alike_tells_of_it(
    desk: Desk, pair: tuple[Memory, Memory], who: Principal, other: Principal
) -> None:
    old, new = pair
    for asking, alike in ((who, []), (other, [new.id])):
        assert [hit.memory.id for hit in (await desk.service.similar(asking, old.id, 10)).items] == alike
        page = await desk.find(asking, "deploy status:any", facets=["status"])
        assert sum(one.count for one in page.facets["status"]) == 1 + len(alike)
        assert sum(hit.duplicates for hit in page.items) <= len(alike)
