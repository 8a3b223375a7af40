"""Who finds what: every audience against every asker, by every leg and every answer, at once after every change."""

from __future__ import annotations

from typing import Any
from uuid import UUID

import pytest

from devlore.problems import NotFound
from devlore.types import Memory, MemoryPatch, Privacy, SearchPage
from devlore_server.kit.auth import Principal
from tests.search.conftest import Desk
from tests.search.waiting import pages, standing_still

LEGS: list[list[str]] = [[], ["lexical"], ["vector"]]
QUESTIONS = ["canary", '"canary bird"', "kind:note", "canary -zebra", "status:any", "canary project:cage", ""]


@pytest.fixture
def mate(who: Principal) -> Principal:
    """Another person in the team of `who`."""
    return Principal(who.organisation, UUID(int=who.person.int + 50), who.teams, who.scopes)


@pytest.fixture
async def cage(desk: Desk, who: Principal) -> dict[str, Memory]:
    """One memory for each audience, of the same author."""
    (team,) = who.teams
    made = {}
    for privacy in Privacy:
        fields: dict[str, Any] = {"privacy": privacy, "project": "cage", "tags": [f"for-{privacy}"]}
        if privacy is Privacy.TEAM:
            fields["team_id"] = team
        made[privacy.value] = await desk.add(who, f"canary {privacy}", f"a canary bird sings to {privacy}", **fields)
    await desk.settled()
    return made


async def seen(desk: Desk, asker: Principal, q: str, legs: list[str]) -> set[str]:
    read = await pages(desk, asker, q, legs=legs, limit=2)
    return {hit.memory.privacy.value for page in read for hit in page.items}


async def test_each_audience_by_each_asker(
    desk: Desk, cage: dict[str, Memory], who: Principal, mate: Principal, other: Principal, stranger: Principal
) -> None:
    may = {who: {"private", "team", "public"}, mate: {"team", "public"}, other: {"public"}, stranger: set[str]()}
    for asker, expected in may.items():
        for q in QUESTIONS:
            for legs in LEGS:
                assert await seen(desk, asker, q, legs) == expected, (q, legs)


async def test_facets_and_counts_tell_nobody_about_others(
    desk: Desk, cage: dict[str, Memory], who: Principal, mate: Principal, other: Principal, stranger: Principal
) -> None:
    names = ["kind", "project", "tag", "author", "status", "privacy"]
    for asker, count in ((who, 3), (mate, 2), (other, 1), (stranger, 0)):
        for q in QUESTIONS:
            page = await desk.find(asker, q, facets=names)
            assert sum(c.count for c in page.facets["privacy"]) == count, q
            assert len(page.facets["tag"]) == count
            assert [c.count for c in page.facets["project"]] == ([count] if count else [])


async def test_who_leaves_the_team_finds_nothing_of_it(desk: Desk, cage: dict[str, Memory], mate: Principal) -> None:
    gone = Principal(mate.organisation, mate.person, frozenset(), mate.scopes)
    assert await seen(desk, mate, "canary", []) == {"team", "public"}
    for legs in LEGS:
        assert await seen(desk, gone, "canary", legs) == {"public"}


async def test_similar_shows_and_starts_from_visible_ones_only(
    desk: Desk, cage: dict[str, Memory], who: Principal, mate: Principal, other: Principal, stranger: Principal
) -> None:
    def like(page: SearchPage) -> set[str]:
        return {hit.memory.privacy.value for hit in page.items}

    assert like(await desk.service.similar(who, cage["public"].id, 10)) == {"private", "team"}
    assert like(await desk.service.similar(mate, cage["public"].id, 10)) == {"team"}
    assert like(await desk.service.similar(other, cage["public"].id, 10)) == set()
    for asker, hidden in ((mate, "private"), (other, "team"), (other, "private"), (stranger, "public")):
        with pytest.raises(NotFound) as refused:
            await desk.service.similar(asker, cage[hidden].id, 10)
        with pytest.raises(NotFound) as unknown:
            await desk.service.similar(asker, UUID(int=7), 10)
        assert refused.value.body() == unknown.value.body(), "hidden and not existing read the same"


@pytest.mark.parametrize("legs", LEGS)
async def test_a_change_holds_before_any_index_knows_of_it(
    desk: Desk, cage: dict[str, Memory], who: Principal, mate: Principal, other: Principal, legs: list[str]
) -> None:
    async with standing_still(desk):
        await desk.memories.edit(who, cage["public"].id, MemoryPatch(privacy=Privacy.PRIVATE), None)
        await desk.memories.delete(who, cage["team"].id)
        for q in QUESTIONS[:4]:
            assert await seen(desk, other, q, legs) == set(), q
            assert await seen(desk, mate, q, legs) == set(), q
            assert await seen(desk, who, q, legs) == {"private"}, q
        assert await seen(desk, who, "canary privacy:public", legs) == set(), "no filter by what it no longer is"
        await desk.memories.purge(who, cage["private"].id)
        found = [hit.memory.id for page in await pages(desk, who, "canary", legs=legs) for hit in page.items]
        assert found == [cage["public"].id]
    await desk.settled()
    assert await seen(desk, other, "canary", legs) == set()
    assert await seen(desk, who, "canary privacy:private", legs) == {"private"}
    assert (await desk.service.check()).clean


async def test_what_becomes_visible_is_found_once_it_is_indexed(
    desk: Desk, cage: dict[str, Memory], who: Principal, other: Principal, stranger: Principal
) -> None:
    await desk.memories.edit(who, cage["private"].id, MemoryPatch(privacy=Privacy.PUBLIC), None)
    await desk.settled()
    for legs in LEGS:
        titles = await desk.titles(other, "canary", legs=legs)
        assert sorted(titles) == ["canary private", "canary public"]
        assert await desk.titles(stranger, "canary", legs=legs) == []
    counted = (await desk.find(other, "canary", facets=["tag"])).facets["tag"]
    assert {c.value: c.count for c in counted} == {"for-private": 1, "for-public": 1}


async def test_a_hidden_copy_is_not_counted_among_duplicates(desk: Desk, who: Principal, other: Principal) -> None:
    body = "The build failed since the cache key lacked the compiler version, and objects of two compilers were mixed."
    for privacy in (Privacy.PUBLIC, Privacy.PUBLIC, Privacy.PRIVATE):
        await desk.add(who, "Build cache", body, privacy=privacy)
    await desk.settled()
    (mine,) = (await desk.find(who, "build cache")).items
    (theirs,) = (await desk.find(other, "build cache")).items
    assert (mine.duplicates, theirs.duplicates) == (2, 1)


async def test_organisations_do_not_shift_each_others_scores_in_the_vector_leg(
    desk: Desk, who: Principal, stranger: Principal
) -> None:
    await desk.add(who, "canary", "a bird")
    await desk.settled()
    (alone,) = (await desk.find(who, "canary bird", legs=["vector"], explain=True)).items
    for number in range(30):
        await desk.add(stranger, f"canary {number}", "a bird of another cage")
    await desk.settled()
    (beside,) = (await desk.find(who, "canary bird", legs=["vector"], explain=True)).items
    assert alone.explanation is not None
    assert beside.explanation is not None
    assert [leg.score for leg in alone.explanation.legs] == [leg.score for leg in beside.explanation.legs]
    assert len(await desk.titles(stranger, "canary bird", limit=50)) == 30
