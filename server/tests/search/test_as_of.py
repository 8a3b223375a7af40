"""What held when: chains of successors, invalidated and reinstated memories, seen from every moment."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from itertools import pairwise

import pytest

from devlore.types import Memory
from devlore_server.kit.auth import Principal
from devlore_server.memory.lifecycle import Lifecycle
from tests.search.conftest import Desk
from tests.search.waiting import standing_still

LEGS: list[list[str]] = [[], ["lexical"], ["vector"]]
YEARS = (2020, 2022, 2024)


@pytest.fixture
def lifecycle(desk: Desk) -> Lifecycle:
    return Lifecycle(desk.service._parts.log.database, desk.service._parts.log)


@pytest.fixture
async def chain(desk: Desk, lifecycle: Lifecycle, who: Principal) -> list[Memory]:
    """Three decisions, each replacing the one before at the start of its year."""
    made = [
        await desk.add(who, f"We deploy with tool{year}", "deploy rule", valid_from=datetime(year, 1, 1, tzinfo=UTC))
        for year in YEARS
    ]
    for old, new in pairwise(made):
        await lifecycle.supersede(who, old.id, new.id, "newer tool")
    await desk.settled()
    return made


@pytest.mark.parametrize("legs", LEGS)
@pytest.mark.parametrize(
    ("moment", "held"),
    [
        ("2019-12-31T23:59:59Z", []),
        ("2020-01-01T00:00:00Z", [2020]),
        ("2021-06", [2020]),
        ("2021-12-31T23:59:59.999999Z", [2020]),
        ("2022", [2022]),
        ("2022-01-01T01:00:00+02:00", [2020]),
        ("2023-12-31", [2022]),
        ("2024", [2024]),
        ("now", [2024]),
    ],
)
async def test_just_one_of_a_chain_holds_at_any_moment(
    desk: Desk, chain: list[Memory], who: Principal, moment: str, held: list[int], legs: list[str]
) -> None:
    expected = [f"We deploy with tool{year}" for year in held]
    assert await desk.titles(who, f"deploy as_of:{moment}", legs=legs) == expected
    assert await desk.titles(who, f"as_of:{moment}") == expected
    page = await desk.find(who, f"deploy as_of:{moment}", facets=["status"])
    assert sum(c.count for c in page.facets["status"]) == len(held)


@pytest.mark.parametrize("legs", LEGS)
async def test_without_a_moment_only_what_holds_now(
    desk: Desk, chain: list[Memory], who: Principal, legs: list[str]
) -> None:
    assert await desk.titles(who, "deploy", legs=legs) == ["We deploy with tool2024"]
    assert len(await desk.titles(who, "deploy status:superseded", legs=legs)) == 2
    assert len(await desk.titles(who, "deploy status:any", legs=legs)) == 3
    assert await desk.titles(who, "deploy as_of:2021 status:active", legs=legs) == []
    assert await desk.titles(who, "deploy -status:superseded", legs=legs) == ["We deploy with tool2024"]


async def test_a_successor_that_falls_away_brings_back_the_one_before(
    desk: Desk, chain: list[Memory], lifecycle: Lifecycle, who: Principal
) -> None:
    await lifecycle.invalidate(who, chain[2].id, "the tool was never used")
    await lifecycle.reinstate(who, chain[1].id, "still in use")
    await desk.settled()
    for legs in LEGS:
        assert await desk.titles(who, "deploy", legs=legs) == ["We deploy with tool2022"]
        assert await desk.titles(who, "deploy as_of:2025", legs=legs) == ["We deploy with tool2022"]
        assert await desk.titles(who, "deploy status:invalidated", legs=legs) == ["We deploy with tool2024"]
    assert (await desk.service.check()).clean


async def test_status_holds_before_the_index_knows(
    desk: Desk, chain: list[Memory], lifecycle: Lifecycle, who: Principal
) -> None:
    async with standing_still(desk):
        await lifecycle.invalidate(who, chain[2].id, None)
        for legs in LEGS:
            assert await desk.titles(who, "deploy", legs=legs) == []
            assert await desk.titles(who, "deploy as_of:2025", legs=legs) == []


async def test_what_has_no_beginning_held_since_it_was_written(desk: Desk, who: Principal) -> None:
    early = datetime.now(UTC) - timedelta(days=400)
    await desk.add(who, "rule written later", occurred_at=early)
    await desk.add(who, "rule of today")
    await desk.settled()
    last_year = (datetime.now(UTC) - timedelta(days=300)).date()
    assert await desk.titles(who, f"rule as_of:{last_year}") == ["rule written later"]
    assert set(await desk.titles(who, "rule as_of:now")) == {"rule written later", "rule of today"}


async def test_as_of_joins_other_bounds(desk: Desk, chain: list[Memory], who: Principal) -> None:
    assert await desk.titles(who, '"deploy rule" as_of:2021 kind:note author:@me') == ["We deploy with tool2020"]
    assert await desk.titles(who, "deploy as_of:2021 -tool2020") == []
    assert await desk.titles(who, "deploy as_of:2021 kind:decision") == []
    titled = await desk.titles(who, "deploy", as_of=datetime(2023, 1, 1, tzinfo=UTC))
    assert titled == ["We deploy with tool2022"]
