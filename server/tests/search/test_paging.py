"""Paging: every hit once, in order, to the end, also while others write."""

from __future__ import annotations

import asyncio
from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import UUID

import pytest
from hypothesis import given
from hypothesis import strategies as st

from devlore.problems import BadCursor
from devlore.types import MemoryDraft, Privacy
from devlore_server.kit.auth import Principal
from devlore_server.search.place import RANKED, Place, read_place
from tests.search.conftest import Desk, Start
from tests.search.waiting import pages, titles


async def filled(desk: Desk, who: Principal, count: int, **fields: Any) -> list[str]:
    """`count` memories of one moment, oldest first."""
    made: list[str] = []
    for start in range(0, count, 1_000):
        drafts = [
            MemoryDraft(title=f"item {n}", body=f"about peaches number{n} x{n % 7}", privacy=Privacy.PUBLIC, **fields)
            for n in range(start, min(count, start + 1_000))
        ]
        result = await desk.memories.bulk(who, drafts)
        assert result.created == len(drafts)
        made += [draft.title for draft in drafts]
    await desk.settled()
    return made


async def test_a_listing_is_paged_to_its_end_in_one_order(desk: Desk, who: Principal) -> None:
    # One bulk request is one moment: the order within it is by id, as in the list of memories.
    made = await filled(desk, who, 730)
    for size in (100, 61):
        assert titles(await pages(desk, who, "kind:note", limit=size)) == made[::-1]
    few = await pages(desk, who, "-number700 kind:note", limit=100)
    assert titles(few) == [title for title in made[::-1] if title != "item 700"]
    listed = await desk.find(who, "kind:note", limit=1)
    assert [hit.memory.title for hit in listed.items] == made[-1:]


async def test_a_listing_stands_still_while_others_write(desk: Desk, who: Principal) -> None:
    made = await filled(desk, who, 30)
    seen: list[str] = []
    cursor = None
    while True:
        page = await desk.find(who, "kind:note", limit=7, cursor=cursor)
        seen += [hit.memory.title for hit in page.items]
        cursor = page.next
        if cursor is None:
            break
        await desk.add(who, f"new beside {len(seen)}")
        await desk.memories.delete(who, page.items[-1].memory.id)
        await desk.memories.delete(who, page.items[0].memory.id)
        await desk.settled()
    assert seen == made[::-1]


async def test_a_ranking_has_no_hit_twice_while_others_write(desk: Desk, who: Principal) -> None:
    await filled(desk, who, 40)
    whole = {hit.memory.title for page in await pages(desk, who, "peaches item", limit=9) for hit in page.items}
    assert len(whole) == 40
    seen: list[str] = []
    cursor = None
    deleted: set[str] = set()
    while True:
        page = await desk.find(who, "peaches item", limit=6, cursor=cursor)
        seen += [hit.memory.title for hit in page.items]
        cursor = page.next
        if cursor is None:
            break
        await desk.add(who, f"peaches item newcomer{len(seen)}", "peaches peaches item item")
        for hit in page.items[:2]:
            await desk.memories.delete(who, hit.memory.id)
            deleted.add(hit.memory.title)
        await desk.settled()
    assert len(seen) == len(set(seen)), "none twice"
    assert whole <= set(seen), "none lost"


async def test_readers_and_writers_at_once(desk: Desk, who: Principal) -> None:
    made = set(await filled(desk, who, 25))
    stop = asyncio.Event()

    async def write() -> None:
        number = 0
        while not stop.is_set():
            await desk.add(who, f"extra {number}", f"about peaches extra{number}")
            number += 1

    async def read(q: str) -> None:
        for _ in range(3):
            seen = titles(await pages(desk, who, q, limit=8))
            assert len(seen) == len(set(seen))
            if q == "kind:note":
                assert made <= set(seen)

    writing = asyncio.create_task(write())
    try:
        await asyncio.gather(read("kind:note"), read("peaches"))
    finally:
        stop.set()
        await writing


async def test_relative_dates_and_recency_mean_the_same_on_every_page(start: Start, who: Principal) -> None:
    now = [datetime.now(UTC)]
    desk: Desk = await start(clock=lambda: now[0])
    week_old = now[0] - timedelta(days=7) + timedelta(minutes=1)
    for number in range(9):
        await desk.add(who, f"pear {number}", f"text{number}", occurred_at=week_old)
    await desk.settled()
    first = await desk.find(who, "pear after:7d", limit=4)
    now[0] += timedelta(hours=1)
    assert await desk.titles(who, "pear after:7d") == [], "asked anew, they are too old"
    second = await desk.find(who, "pear after:7d", limit=4, cursor=first.next)
    third = await desk.find(who, "pear after:7d", limit=4, cursor=second.next)
    assert sorted(titles([first, second, third])) == [f"pear {number}" for number in range(9)]


async def test_what_is_shown_once_collapses_what_comes_later(desk: Desk, who: Principal) -> None:
    body = "The build failed because the cache key did not contain the compiler version. " * 4
    for _ in range(4):
        await desk.add(who, "Build cache", body)
    for number in range(6):
        await desk.add(who, f"Build {number}", f"Another build with its own words {'abcdef'[number] * 5} here.")
    await desk.settled()
    read = await pages(desk, who, "build cache", limit=3)
    assert len(titles(read)) == 7
    assert read[0].items[0].duplicates == 3


async def test_a_page_of_nothing_but_hidden_ones_is_not_the_end(start: Start, who: Principal, other: Principal) -> None:
    desk: Desk = await start()
    made = await filled(desk, who, 130)
    page = await desk.find(who, "kind:note", limit=100)
    assert page.next is not None
    async with desk.parts.service._parts.log.database.transaction(who) as connection:
        # As an index far behind sees it: the rows are hidden, nothing told the index.
        await connection.execute("UPDATE memory.memory SET privacy = 'private' WHERE title <> ALL (%s)", (made[:5],))
    assert titles(await pages(desk, other, "kind:note", limit=10)) == made[4::-1]


@pytest.mark.parametrize("key", [[], [3], ["x", "", None], [None] * 3, ["2026-01-01T00:00:00+00:00", "", ["x", 1]]])
def test_cursors_of_another_version_are_refused_not_misread(key: list[Any]) -> None:
    with pytest.raises(BadCursor):
        read_place(key)


_MOMENTS = st.datetimes(timezones=st.just(UTC))


@given(_MOMENTS, st.sets(st.uuids(), max_size=30), st.none() | st.tuples(_MOMENTS, st.uuids()))
def test_a_place_comes_back_from_its_cursor(moment: datetime, ids: set[UUID], behind: Any) -> None:
    place = Place(moment, behind=behind).after(ids)
    assert place is not None
    assert read_place(place.key()) == place
    assert all(place.was_shown(id) for id in ids)


def test_a_ranking_cannot_be_paged_for_ever() -> None:
    ids = [UUID(int=n) for n in range(RANKED + 1)]
    place = Place(datetime.now(UTC)).after(ids[: RANKED - 1])
    assert place is not None
    assert not place.was_shown(ids[-1])
    assert place.after(ids) is None
    assert len(str(place.key())) < 3_000, "a cursor has to fit into a URL"
