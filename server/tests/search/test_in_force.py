"""Words that match what was superseded lead to what holds in its place, for those who see both, and nowhere else."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from itertools import pairwise

import pytest

from devlore.types import Memory, Privacy, SearchHit
from devlore_server.kit.auth import Principal
from devlore_server.memory.lifecycle import Lifecycle
from devlore_server.search.successors import HOPS, in_force
from tests.search.conftest import Desk

LEGS: list[list[str]] = [[], ["lexical"], ["vector"]]
Chain = Callable[..., Awaitable[list[Memory]]]


@pytest.fixture
def lifecycle(desk: Desk) -> Lifecycle:
    return Lifecycle(desk.service._parts.log.database, desk.service._parts.log)


@pytest.fixture
def chain(desk: Desk, lifecycle: Lifecycle, who: Principal) -> Chain:
    """Memories of which each replaces the one before, indexed."""

    async def make(*titles: str, author: Principal = who, **fields: object) -> list[Memory]:
        made = [await desk.add(author, title, **fields) for title in titles]
        for old, new in pairwise(made):
            await lifecycle.supersede(author, old.id, new.id, None)
        await desk.settled()
        return made

    return make


async def first(desk: Desk, who: Principal, q: str, **fields: object) -> SearchHit | None:
    items = (await desk.find(who, q, **fields)).items
    return items[0] if items else None


@pytest.mark.parametrize("legs", LEGS)
async def test_words_of_what_was_replaced_lead_to_what_holds(
    desk: Desk, chain: Chain, who: Principal, legs: list[str]
) -> None:
    old, middle, new = await chain("Capistrano pushes releases", "Fabric copies wheels", "Argo reconciles manifests")
    for matched in (old, middle):
        hit = await first(desk, who, matched.title, legs=legs)
        assert hit is not None
        assert (hit.memory.id, hit.memory.status) == (new.id, "active")
        assert hit.instead_of is not None
        assert (hit.instead_of.id, hit.instead_of.title) == (matched.id, matched.title)
    hit = await first(desk, who, new.title, legs=legs)
    assert hit is not None
    assert (hit.memory.id, hit.instead_of) == (new.id, None)


@pytest.mark.parametrize("legs", LEGS)
async def test_found_itself_and_led_to_it_is_one_hit_at_the_better_place(
    desk: Desk, chain: Chain, who: Principal, legs: list[str]
) -> None:
    old, new = await chain("Capistrano pushes releases nightly", "Releases: Argo reconciles")
    other = await desk.add(who, "Releases nightly are announced by mail")
    await desk.settled()
    found = (await desk.find(who, "capistrano pushes releases nightly", legs=legs)).items
    assert [hit.memory.id for hit in found] == [new.id, other.id]
    assert found[0].instead_of is not None
    assert found[0].instead_of.id == old.id
    assert found[0].score > found[1].score
    by_itself = (await desk.find(who, "argo reconciles releases", legs=legs)).items
    assert (by_itself[0].memory.id, by_itself[0].instead_of) == (new.id, None)


async def test_it_is_explained_by_what_matched(desk: Desk, chain: Chain, who: Principal) -> None:
    await chain("Capistrano pushes releases", "Argo reconciles manifests")
    hit = await first(desk, who, "capistrano pushes releases", explain=True)
    assert hit is not None
    assert hit.explanation is not None
    assert [leg.rank for leg in hit.explanation.legs] == [1, 1, 1]
    assert sum(leg.contribution for leg in hit.explanation.legs) * hit.explanation.factors["recency"] == pytest.approx(
        hit.score, rel=1e-3
    )


@pytest.mark.parametrize("legs", LEGS)
async def test_pages_join_without_showing_one_twice(desk: Desk, chain: Chain, who: Principal, legs: list[str]) -> None:
    pairs = [await chain(f"Rule {n} deploy by tool{n}", f"Deploy policy {n} robot{n}") for n in range(12)]
    shown: list[SearchHit] = []
    cursor = None
    while True:
        page = await desk.find(who, "rule deploy", legs=legs, limit=3, cursor=cursor)
        shown += page.items
        cursor = page.next
        if cursor is None:
            break
    assert sorted(hit.memory.id for hit in shown) == sorted(new.id for _, new in pairs)


@pytest.mark.parametrize("legs", LEGS)
async def test_only_active_memories_within_the_bounds_are_shown(
    desk: Desk, chain: Chain, lifecycle: Lifecycle, who: Principal, legs: list[str]
) -> None:
    old, new = await chain("Capistrano pushes releases", "Argo reconciles manifests", kind="decision")
    for q in (
        "capistrano status:active",
        'releases "capistrano"',
        "capistrano releases -manifests",
        "capistrano kind:snippet",
        "capistrano -kind:decision",
        "capistrano before:2001-01-01",
    ):
        found = (await desk.find(who, q, legs=legs)).items
        # Vectors have a nearest whatever is asked.
        assert [hit.instead_of for hit in found if hit.instead_of or legs == ["lexical"]] == [], q
    hit = await first(desk, who, "capistrano kind:decision", legs=legs)
    assert hit is not None
    assert hit.memory.id == new.id
    assert hit.instead_of is not None
    assert hit.instead_of.id == old.id
    page = await desk.find(who, "capistrano", legs=["lexical"], facets=["status"])
    assert page.facets["status"] == [], "facets count what matches, and no active memory does"
    await lifecycle.invalidate(who, new.id, "never worked")
    await desk.settled()
    assert await desk.titles(who, "capistrano pushes releases", legs=legs) == []


@pytest.mark.parametrize("legs", LEGS)
async def test_the_successor_must_be_within_the_bounds_too(
    desk: Desk, lifecycle: Lifecycle, who: Principal, legs: list[str]
) -> None:
    old = await desk.add(who, "Capistrano pushes releases", project="web")
    new = await desk.add(who, "Argo reconciles manifests", project="platform")
    await lifecycle.supersede(who, old.id, new.id, None)
    await desk.settled()
    assert await desk.titles(who, "capistrano pushes", legs=legs) == [new.title]
    assert await desk.titles(who, "capistrano pushes project:web", legs=legs) == []


@pytest.mark.parametrize("legs", LEGS)
async def test_nobody_is_led_to_what_they_may_not_see(
    desk: Desk, lifecycle: Lifecycle, who: Principal, other: Principal, legs: list[str]
) -> None:
    shared = await desk.add(who, "Capistrano pushes releases")
    hidden = await desk.add(other, "Fabric copies wheels", privacy=Privacy.PRIVATE)
    last = await desk.add(other, "Argo reconciles manifests")
    await lifecycle.supersede(other, shared.id, hidden.id, None)
    await lifecycle.supersede(other, hidden.id, last.id, None)
    await desk.settled()
    for q in ("capistrano pushes releases", "fabric copies wheels"):
        found = (await desk.find(who, q, legs=legs)).items
        assert [hit.instead_of for hit in found if hit.instead_of] == [], "the way there is hidden"
        hit = await first(desk, other, q, legs=legs)
        assert hit is not None
        assert (hit.memory.id, hit.instead_of is not None) == (last.id, True)


async def test_a_chain_without_end_and_a_closed_one_lead_nowhere(desk: Desk, chain: Chain, who: Principal) -> None:
    long = await chain(*(f"Step {n}" for n in range(HOPS + 2)))
    rows = {memory.id: memory for memory in await desk.memories.visible(who, [memory.id for memory in long])}
    ends = await in_force(desk.memories, who, rows.values())
    assert ends == {memory.id: rows[long[-1].id] for memory in long[1:]}, "the first is one step too far"
    database = desk.service._parts.log.database
    async with database.transaction(who) as connection:
        await connection.execute(
            "UPDATE memory.memory SET status = 'superseded', superseded_by = %s WHERE id = %s",
            (long[0].id, long[-1].id),
        )
    closed = await desk.memories.visible(who, [memory.id for memory in long])
    assert await in_force(desk.memories, who, closed) == {}


@pytest.mark.parametrize("legs", LEGS)
@pytest.mark.parametrize("hidden", [True, False])
async def test_what_was_superseded_takes_no_place_of_what_holds(
    desk: Desk, lifecycle: Lifecycle, who: Principal, other: Principal, legs: list[str], hidden: bool
) -> None:
    """However many match better, lead nowhere or all lead to one: an index is asked for so many of each."""
    privacy = Privacy.PRIVATE if hidden else Privacy.PUBLIC
    new = await desk.add(other, "Argo reconciles manifests", privacy=privacy)
    for n in range(110):
        old = await desk.add(who, f"Deploy rule {n}")
        await lifecycle.supersede(other, old.id, new.id, None)
    held = [await desk.add(who, f"How we deploy {n * 7919} in a longer text with a rule of its own") for n in range(30)]
    await desk.settled()
    found = (await desk.find(who, "deploy rule", legs=legs, limit=50)).items
    assert {hit.memory.id for hit in found} >= {memory.id for memory in held}
    assert [hit.memory.id for hit in found if hit.instead_of] == ([] if hidden else [new.id])
    assert len(found) == len(held) + (not hidden)


@pytest.mark.parametrize("legs", LEGS)
async def test_what_holds_is_scored_as_if_nothing_led_to_anything(
    desk: Desk, chain: Chain, who: Principal, legs: list[str]
) -> None:
    for n in range(30):
        await desk.add(who, f"Release note {n * 7919} of the service")
    await desk.settled()
    before = (await desk.find(who, "release note service", legs=legs, limit=30)).items
    await chain("Release note of the old service", "Argo")
    after = (await desk.find(who, "release note service", legs=legs, limit=50)).items
    # A word is rarer among more; arms and their shares are the same.
    kept = [hit for hit in after if hit.instead_of is None and hit.memory.title != "Argo"]
    assert [hit.memory.id for hit in kept] == [hit.memory.id for hit in before]
    assert [hit.memory.title for hit in after if hit.instead_of] == ["Argo"]


async def test_only_what_is_superseded_leads_on(desk: Desk, chain: Chain, lifecycle: Lifecycle, who: Principal) -> None:
    """An import may bring memories that name a successor whatever their status is."""
    old, middle, new = await chain("Capistrano pushes releases", "Fabric copies wheels", "Argo reconciles manifests")
    database = desk.service._parts.log.database

    async def told(status: str) -> list[Memory]:
        async with database.transaction(who) as connection:
            await connection.execute("UPDATE memory.memory SET status = %s WHERE id = %s", (status, middle.id))
        rows = {memory.id: memory for memory in await desk.memories.visible(who, [old.id, middle.id])}
        assert rows[middle.id].superseded_by == new.id
        return list((await in_force(desk.memories, who, [rows[old.id]])).values())

    assert [memory.id for memory in await told("superseded")] == [new.id]
    assert await told("invalidated") == []
    assert [memory.id for memory in await told("active")] == [middle.id]


async def test_what_is_encrypted_end_to_end_is_not_led_to(desk: Desk, chain: Chain, who: Principal) -> None:
    _, sealed = await chain("Capistrano pushes releases", "b3BhcXVl")
    assert await desk.titles(who, "capistrano") == [sealed.title]
    async with desk.service._parts.log.database.transaction(who) as connection:
        await connection.execute("""UPDATE memory.memory SET encryption = '{"v": 1}' WHERE id = %s""", (sealed.id,))
    found = (await desk.find(who, "capistrano")).items
    assert [hit.instead_of for hit in found if hit.instead_of] == []
