"""Searching end to end: what is found, in which order, who finds it, and how a page reads."""

from __future__ import annotations

import asyncio
from datetime import UTC, datetime, timedelta
from uuid import uuid4

import pytest

from devlore.problems import BadCursor, InvalidQuery, NotFound
from devlore.types import MemoryPatch, Privacy, SearchRequest, Source
from devlore_server.kit.auth import Principal
from tests.search.conftest import Desk


async def test_a_memory_is_found_by_stem_code_and_chinese_word(desk: Desk, who: Principal) -> None:
    pool = await desk.add(who, "Connection pools ran dry", "getUserName in api/pool.py:12 leaked connections.")
    chinese = await desk.add(who, "事故", "我们发现数据库的连接池在高峰期会耗尽。")
    await desk.add(who, "Lunch", "The canteen has soup.")
    await desk.settled()
    for q in ("connecting pools", "getUserName", "user name", "pool.py", "api/pool.py:12"):
        assert (await desk.find(who, q)).items[0].memory.id == pool.id, q
    page = await desk.find(who, "连接池", legs=["lexical"])
    assert [hit.memory.id for hit in page.items] == [chinese.id]
    (highlight,) = page.items[0].highlights
    assert [highlight.excerpt[a:b] for a, b in highlight.spans] == ["连接池"]


async def test_waiting_lets_a_writer_read_its_own_write(desk: Desk, who: Principal) -> None:
    for number in range(15):
        added = await desk.add(who, f"Zebra number{number}")
        assert await desk.service.wait(10) == []
        assert (await desk.find(who, f"number{number}")).items[0].memory.id == added.id


async def test_only_who_may_see_finds(desk: Desk, who: Principal, other: Principal, stranger: Principal) -> None:
    (team,) = who.teams
    await desk.add(who, "apple private", privacy=Privacy.PRIVATE)
    await desk.add(who, "apple team", privacy=Privacy.TEAM, team_id=team)
    await desk.add(who, "apple public")
    await desk.settled()
    assert set(await desk.titles(who, "apple")) == {"apple private", "apple team", "apple public"}
    assert await desk.titles(other, "apple") == ["apple public"]
    assert await desk.titles(stranger, "apple") == []
    for legs in (["lexical"], ["vector"]):
        assert await desk.titles(other, "apple", legs=legs) == ["apple public"]
        assert await desk.titles(stranger, "apple", legs=legs) == []
    assert await desk.titles(other, "kind:note") == ["apple public"]
    counted = (await desk.find(other, "apple", facets=["privacy"])).facets["privacy"]
    assert [(c.value, c.count) for c in counted] == [("public", 1)]


async def test_what_is_deleted_or_hidden_vanishes_at_once(start, who: Principal, other: Principal) -> None:
    # Without a consumer running the indexes stay as they are: only the row can say that it is gone.
    desk: Desk = await start()
    gone = await desk.add(who, "melon one")
    hidden = await desk.add(who, "melon two")
    await desk.settled()
    assert set(await desk.titles(other, "melon")) == {"melon one", "melon two"}
    for consumer in desk.parts.consumers:
        consumer._handler = _never  # type: ignore[assignment]
    await desk.memories.delete(who, gone.id)
    await desk.memories.edit(who, hidden.id, MemoryPatch(privacy=Privacy.PRIVATE), None)
    assert await desk.titles(other, "melon") == []
    assert await desk.titles(who, "melon") == ["melon two"]


async def _never(events: object) -> None:
    await asyncio.Event().wait()


async def test_status_and_moment(desk: Desk, who: Principal) -> None:
    then = datetime.now(UTC) - timedelta(days=30)
    old = await desk.add(who, "We deploy with ansible", valid_from=then)
    new = await desk.add(who, "We deploy with helm")
    wrong = await desk.add(who, "We deploy by hand")
    async with desk.parts.service._parts.log.database.transaction(who) as connection:
        await connection.execute(
            "UPDATE memory.memory SET status = 'invalidated', version = 2 WHERE id = %s", (wrong.id,)
        )
        await connection.execute(
            "UPDATE memory.memory SET status = 'superseded', valid_to = now(), superseded_by = %s, version = 2"
            " WHERE id = %s",
            (new.id, old.id),
        )
    await desk.settled()
    assert await desk.titles(who, "deploy") == ["We deploy with helm"], "the fresh row says that it no longer holds"


@pytest.mark.parametrize(
    ("q", "expected"),
    [
        ("berry kind:decision", {"a"}),
        ("berry -kind:decision", {"b", "c"}),
        ("berry kind:decision,tip", {"a", "b"}),
        ("berry project:api", {"a", "b"}),
        ("berry -project:api", {"c"}),
        ("berry tag:red", {"a", "c"}),
        ("berry tag:red -tag:sweet", {"c"}),
        ('berry author:"ada l"', {"a"}),
        ("berry author:ADA@x.org", {"a"}),
        ("berry -author:ada@x.org", {"b", "c"}),
        ("berry author:@me", {"a", "b", "c"}),
        ("berry source:git", {"a"}),
        ("berry after:2025-06-01", {"b", "c"}),
        ("berry before:2025-06-01", {"a"}),
        ("berry after:2025-01-01 before:2025-07-01", {"a", "b"}),
        ("berry privacy:private", {"c"}),
        ('"straw berry"', {"b"}),
        ("berry -straw", {"a"}),
        ('berry -"straw berry"', {"a", "c"}),
        ("berry status:any", {"a", "b", "c"}),
        ("berry status:superseded", set()),
        ("kind:tip", {"b"}),
        ("-kind:tip", {"a", "c"}),
        ("-straw", {"a"}),
    ],
)
@pytest.mark.parametrize("legs", [[], ["lexical"], ["vector"]])
async def test_filters_bound_every_leg(shelf: Desk, who: Principal, q: str, expected: set[str], legs: list) -> None:
    assert {title.split()[0] for title in await shelf.titles(who, q, legs=legs)} == expected


@pytest.fixture
async def shelf(desk: Desk, who: Principal) -> Desk:
    """Three memories that differ in every field that can be filtered by."""
    git = Source(connector="git", external_id="1", author="Ada L <ada@x.org>")
    first = {"kind": "decision", "project": "api", "tags": ["red", "sweet"], "source": git}
    await desk.add(who, "a raspberry", "berry bush", occurred_at=datetime(2025, 2, 1, tzinfo=UTC), **first)
    second = {"kind": "tip", "project": "api", "tags": ["blue"]}
    await desk.add(who, "b other", "a straw berry field", occurred_at=datetime(2025, 6, 2, tzinfo=UTC), **second)
    third = {"kind": "note", "tags": ["red"], "privacy": Privacy.PRIVATE}
    await desk.add(who, "c last", "some berry of straws", occurred_at=datetime(2025, 8, 2, tzinfo=UTC), **third)
    await desk.settled()
    return desk


async def test_fields_of_the_request_bound_like_the_query(shelf: Desk, who: Principal) -> None:
    assert set(await shelf.titles(who, "berry", kind=["tip"])) == {"b other"}
    assert set(await shelf.titles(who, "berry kind:tip", kind=["note"])) == {"b other", "c last"}
    assert set(await shelf.titles(who, "berry", after=datetime(2025, 8, 1, tzinfo=UTC))) == {"c last"}
    assert set(await shelf.titles(who, "berry", author=["@me"], project=["api"])) == {"a raspberry", "b other"}


async def test_without_words_the_newest_come_first(desk: Desk, who: Principal) -> None:
    added = [await desk.add(who, f"item {number}") for number in range(25)]
    await desk.settled()
    seen: list[str] = []
    cursor = None
    while True:
        page = await desk.find(who, "kind:note", cursor=cursor, limit=10)
        seen += [hit.memory.title for hit in page.items]
        cursor = page.next
        if cursor is None:
            break
    assert seen == [memory.title for memory in reversed(added)]


async def test_pages_join_without_gap_or_overlap(desk: Desk, who: Principal) -> None:
    for number in range(45):
        await desk.add(who, f"grape {number}", f"wine {'very ' * (number % 7)} text{number} about grapes")
    await desk.settled()
    whole = [hit.memory.id for hit in (await desk.find(who, "grape wine", limit=40)).items]
    for size in (1, 7, 20):
        ids, cursor = [], None
        while len(ids) < 40:
            page = await desk.find(who, "grape wine", limit=size, cursor=cursor)
            ids += [hit.memory.id for hit in page.items]
            cursor = page.next
            if cursor is None:
                break
        assert len(ids) == len(set(ids))
        assert len(ids) >= 40
    assert len(set(whole)) == 40


async def test_a_cursor_belongs_to_its_search_and_its_searcher(desk: Desk, who: Principal, other: Principal) -> None:
    for number in range(5):
        await desk.add(who, f"plum {number}")
    await desk.settled()
    cursor = (await desk.find(who, "plum", limit=2)).next
    assert cursor is not None
    for searcher, q, text in ((who, "plums", cursor), (other, "plum", cursor), (who, "plum", cursor[:-2] + "xx")):
        with pytest.raises(BadCursor):
            await desk.find(searcher, q, limit=2, cursor=text)


async def test_explanation_adds_up_and_names_the_passage(desk: Desk, who: Principal) -> None:
    await desk.add(who, "Cherry", "The cherry tree blossoms in spring.", importance=0.9)
    await desk.settled()
    (hit,) = (await desk.find(who, "cherry tree", explain=True)).items
    assert hit.explanation is not None
    assert {leg.leg for leg in hit.explanation.legs} == {"lexical.memory", "lexical.passage", "vector"}
    assert all(leg.rank == 1 for leg in hit.explanation.legs)
    total = sum(leg.contribution for leg in hit.explanation.legs)
    for factor in hit.explanation.factors.values():
        total *= factor
    assert hit.score == pytest.approx(total, rel=1e-3)
    assert hit.explanation.passage == (0, len("The cherry tree blossoms in spring."))
    assert (await desk.find(who, "cherry tree")).items[0].explanation is None


async def test_facets_count_what_is_found(shelf: Desk, who: Principal) -> None:
    page = await shelf.find(who, "berry", facets=["kind", "tag", "author", "project", "source"], legs=["lexical"])
    facets = {name: {c.value: c.count for c in counts} for name, counts in page.facets.items()}
    assert facets["kind"] == {"decision": 1, "tip": 1, "note": 1}
    assert facets["tag"] == {"red": 2, "sweet": 1, "blue": 1}
    assert facets["author"] == {"Ada L <ada@x.org>": 1}
    assert facets["project"] == {"api": 2}
    assert facets["source"] == {"git": 1}
    without = await shelf.find(who, "-kind:note", facets=["kind"])
    assert {c.value for c in without.facets["kind"]} == {"decision", "tip"}


async def test_near_duplicates_are_collapsed_with_a_count(desk: Desk, who: Principal) -> None:
    body = "The build failed because the cache key did not contain the compiler version. " * 3
    for number in range(3):
        await desk.add(who, "Build cache", body + f"Seen in run {number}.")
    await desk.settled()
    (hit,) = (await desk.find(who, "build cache compiler")).items
    assert hit.duplicates == 2


async def test_similar_finds_its_like_and_not_itself(desk: Desk, who: Principal, stranger: Principal) -> None:
    one = await desk.add(who, "Redis timeouts", "The redis client timed out under load.")
    two = await desk.add(who, "Redis load", "Under load redis times out in the client.")
    await desk.add(who, "Holiday", "Beach and sun.")
    await desk.settled()
    page = await desk.service.similar(who, one.id, 5)
    assert page.items[0].memory.id == two.id
    assert one.id not in {hit.memory.id for hit in page.items}
    assert page.degraded == []
    for asker, id in ((stranger, one.id), (who, uuid4())):
        with pytest.raises(NotFound):
            await desk.service.similar(asker, id, 5)


@pytest.mark.parametrize("q", ["!!!", "-", "…", "😀", '""', "   ", "a" * 30_000, "\0", "kind:ghost", "-" + "a" * 70])
async def test_odd_queries_are_answered(desk: Desk, who: Principal, q: str) -> None:
    await desk.add(who, "something")
    await desk.settled()
    page = await desk.service.search(who, SearchRequest(q=q))
    assert page.degraded == []


async def test_a_bad_query_points_at_the_character(desk: Desk, who: Principal) -> None:
    with pytest.raises(InvalidQuery) as refused:
        await desk.find(who, 'pool "ran dry')
    assert refused.value.extra["position"] == 5
