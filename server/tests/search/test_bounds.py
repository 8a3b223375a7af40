"""Bounds: each filter, alone and with others, means the same in every leg, in listings, facets and the check of rows.

A small library is searched at random; what must come back is worked out here, in plain Python, from the rows.
"""

from __future__ import annotations

import random
from collections import Counter
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from devlore.types import Count, Memory, MemoryDraft, MemoryPatch, Privacy, SearchRequest, Source
from devlore_server.kit.auth import Principal
from devlore_server.kit.log import Consumer, EventLog
from devlore_server.memory.lifecycle import Lifecycle
from devlore_server.search.bounds import combine
from devlore_server.search.query import Query, parse
from tests.search.conftest import Desk, Start
from tests.search.waiting import pages

T0 = datetime(2025, 1, 1, tzinfo=UTC)
DAY = timedelta(days=1)
KINDS, PROJECTS = ("decision", "tip", "note"), ("api", "web/ui", None)
TAGS, AUTHORS = ("red", "Red", "c++", "数据", "two words"), ("Ada L <ada@x.org>", "bob", None)
NOUNS = ("berry", "cherry", "plum")


def drafts(who: Principal, count: int = 48) -> list[MemoryDraft]:
    """A library that differs in every field; every body has the word `fruit`."""
    chance = random.Random(3)
    (team,) = who.teams
    made = []
    for number in range(count):
        author, privacy = chance.choice(AUTHORS), chance.choice(list(Privacy))
        made.append(
            MemoryDraft(
                title=f"n{number} {chance.choice(NOUNS)}",
                body=f"fruit {chance.choice(NOUNS)} number{number} " + " ".join(f"w{number}x{n}" for n in range(9)),
                kind=chance.choice(KINDS),
                project=chance.choice(PROJECTS),
                tags=sorted(set(chance.sample(TAGS, chance.randrange(3)))),
                source=Source(connector=chance.choice(("git", "markdown")), external_id=str(number), author=author)
                if author
                else None,
                privacy=privacy,
                team_id=team if privacy is Privacy.TEAM else None,
                occurred_at=T0 + chance.randrange(10) * DAY,
            )
        )
    return made


@pytest.fixture
async def library(desk: Desk, who: Principal) -> tuple[Desk, list[Memory]]:
    """The library as rows; every eighth memory is superseded, every twelfth invalidated."""
    result = await desk.memories.bulk(who, drafts(who))
    assert result.created == 48
    ids = [item.id for item in result.items if item.id is not None]
    lifecycle = Lifecycle(desk.service._parts.log.database, desk.service._parts.log)
    for place in range(0, 48, 8):
        await lifecycle.supersede(who, ids[place], ids[place + 1], None)
    for place in range(6, 48, 12):
        await lifecycle.invalidate(who, ids[place], "was wrong")
    await desk.settled()
    return desk, await desk.memories.visible(who, ids)


Test = Callable[[Memory], bool]


def clauses(who: Principal) -> list[tuple[str, Test]]:
    """Filters as they are written, each with what it means."""

    def author(memory: Memory, name: str) -> bool:
        return memory.source is not None and memory.source.author == name

    return [
        ("kind:decision", lambda m: m.kind == "decision"),
        ("kind:decision,tip", lambda m: m.kind != "note"),
        ("-kind:tip", lambda m: m.kind != "tip"),
        ("project:api", lambda m: m.project == "api"),
        ("-project:web/ui", lambda m: m.project != "web/ui"),
        ("tag:red", lambda m: "red" in m.tags),
        ("tag:Red,c++", lambda m: bool({"Red", "c++"} & set(m.tags))),
        ("-tag:red", lambda m: "red" not in m.tags),
        ('tag:"two words"', lambda m: "two words" in m.tags),
        ("tag:数据", lambda m: "数据" in m.tags),
        ("author:ADA@x.org", lambda m: author(m, AUTHORS[0] or "")),
        ('-author:"ada l"', lambda m: not author(m, AUTHORS[0] or "")),
        ("author:Bob", lambda m: author(m, "bob")),
        ("author:@me", lambda m: True),
        ("-author:@me", lambda m: False),
        ("source:git", lambda m: m.source is not None and m.source.connector == "git"),
        ("-source:git", lambda m: m.source is None or m.source.connector != "git"),
        ("privacy:team", lambda m: m.privacy is Privacy.TEAM),
        ("-privacy:public", lambda m: m.privacy is not Privacy.PUBLIC),
        (f"team:{next(iter(who.teams))}", lambda m: m.team_id in who.teams),
        (f"-team:{next(iter(who.teams))}", lambda m: m.team_id not in who.teams),
        ("after:2025-01-04", lambda m: m.occurred_at >= T0 + 3 * DAY),
        ("before:2025-01-04", lambda m: m.occurred_at < T0 + 3 * DAY),
        ("after:2025-01-03T12:00+12:00", lambda m: m.occurred_at >= T0 + 2 * DAY),
    ]


STATUSES: list[tuple[str, Test]] = [
    ("", lambda m: m.status == "active"),
    ("status:any", lambda m: True),
    ("status:superseded", lambda m: m.status == "superseded"),
    ("status:active,invalidated", lambda m: m.status != "superseded"),
    ("-status:invalidated", lambda m: m.status != "invalidated"),
]
WORDS: list[tuple[str, Test]] = [
    ("fruit", lambda m: True),
    ("", lambda m: True),
    ('fruit "fruit plum"', lambda m: "fruit plum" in m.body),
    ("fruit -plum", lambda m: "plum" not in m.title + m.body),
    ('-"fruit cherry"', lambda m: "fruit cherry" not in m.body),
]


async def found(desk: Desk, who: Principal, q: str, **fields: Any) -> set[str]:
    read = await pages(desk, who, q, limit=100, **fields)
    assert all(page.degraded == [] for page in read)
    names = [hit.memory.title.split()[0] for page in read for hit in page.items]
    assert len(names) == len(set(names)), "a memory comes once"
    return set(names)


async def test_any_filters_together_mean_what_they_say(library: tuple[Desk, list[Memory]], who: Principal) -> None:
    desk, rows = library
    chance = random.Random(11)
    alone = [[clause] for clause in clauses(who)]
    several = [chance.sample(clauses(who), chance.randrange(2, 4)) for _ in range(30)]
    for chosen in alone + several:
        asked = [chance.choice(WORDS), chance.choice(STATUSES), *chosen]
        chance.shuffle(asked)
        q = " ".join(text for text, _ in asked if text)
        # Filters of one field join by "or", so two of one field are not asked for together.
        fields = [part.lstrip("-").split(":")[0] for part, _ in chosen]
        if len(set(fields)) < len(fields):
            continue
        expected = {m.title.split()[0] for m in rows if all(holds(m) for _, holds in asked)}
        for legs in ([], ["lexical"], ["vector"]):
            assert await found(desk, who, q, legs=legs) == expected, (q, legs)


async def test_a_row_is_admitted_exactly_where_the_index_finds_it(
    library: tuple[Desk, list[Memory]], who: Principal
) -> None:
    desk, rows = library
    index = desk.parts.replica.current
    assert index is not None
    for text, _ in clauses(who):
        for status, _ in STATUSES:
            bounds = combine(parse(f"{text} {status}", datetime.now(UTC)), SearchRequest(), who)
            indexed = index.matching(bounds.lexical(who, ""), [row.id for row in rows])
            assert indexed == {row.id for row in rows if bounds.admit(row)}, (text, status)


async def test_facets_count_just_what_the_filters_leave(library: tuple[Desk, list[Memory]], who: Principal) -> None:
    desk, rows = library
    names = ["kind", "project", "tag", "source", "status", "privacy", "author"]
    for text, holds in [*clauses(who)[:12], *WORDS]:
        left = [m for m in rows if m.status == "active" and holds(m)]
        page = await desk.find(who, text, facets=names, limit=1)
        counted = {name: {c.value: c.count for c in counts} for name, counts in page.facets.items()}
        assert counted["kind"] == Counter(m.kind for m in left), text
        assert counted["project"] == Counter(m.project for m in left if m.project), text
        assert counted["tag"] == Counter(tag for m in left for tag in m.tags), text
        assert counted["source"] == Counter(m.source.connector for m in left if m.source), text
        assert counted["privacy"] == Counter(m.privacy.value for m in left), text
        assert counted["status"] == ({"active": len(left)} if left else {}), text
        assert counted["author"] == Counter(m.source.author for m in left if m.source), text
        for counts in page.facets.values():
            assert [c.count for c in counts] == sorted((c.count for c in counts), reverse=True)


async def test_what_is_withdrawn_is_counted_for_nobody_else_from_then_on(
    desk: Desk, who: Principal, other: Principal
) -> None:
    memory = await desk.add(who, "fruit", tags=["durian"])
    await desk.settled()
    assert (await desk.find(other, "fruit", facets=["tag"])).facets["tag"] == [Count(value="durian", count=1)]
    await desk.memories.edit(who, memory.id, MemoryPatch(privacy=Privacy.PRIVATE), None)
    assert (await desk.find(other, "fruit", facets=["tag"])).facets["tag"] == []
    await desk.memories.purge(who, memory.id)
    assert (await desk.find(who, "", facets=["tag"])).facets["tag"] == []


async def test_while_the_index_is_behind_nothing_is_counted(start: Start, log: EventLog, who: Principal) -> None:
    desk = await start(deadline=5)
    await desk.add(who, "fruit", tags=["durian"])
    await desk.settled()
    desk.service.follow([Consumer(log, "search.lexical", ["memory.created"], nothing)])  # which nobody runs
    page = await desk.find(who, "fruit", facets=["tag"])
    assert (page.facets, page.degraded, len(page.items)) == ({}, ["facets"], 1)


async def nothing(_events: object) -> None:
    """Nothing is done with them."""


async def test_facets_come_with_the_first_page_only(library: tuple[Desk, list[Memory]], who: Principal) -> None:
    desk, _ = library
    first, second, *_ = await pages(desk, who, "fruit", limit=10, facets=["kind"])
    assert first.facets["kind"]
    assert second.facets == {}


def test_the_request_and_the_query_narrow_dates_together(who: Principal) -> None:
    request = SearchRequest(after=T0, before=T0 + 9 * DAY)
    bounds = combine(Query(after=T0 + DAY, before=T0 + 20 * DAY), request, who)
    assert bounds.wanted.occurred == (T0 + DAY, T0 + 9 * DAY)
    assert combine(Query(as_of=T0), SearchRequest(as_of=T0 + DAY), who).wanted.as_of == T0
    assert combine(Query(), SearchRequest(as_of=T0), who).wanted.status == ("active", "superseded")
    assert combine(Query(), SearchRequest(), who).only_active


@pytest.mark.parametrize("q", ['-"!!!"', '-"→ →"', '-"😀"', f"-{'z' * 80}", '-"."'])
async def test_excluding_what_no_text_can_hold_excludes_nothing(desk: Desk, who: Principal, q: str) -> None:
    await desk.add(who, "an apple a day")
    await desk.settled()
    for text in (q, f"apple {q}"):
        assert await desk.titles(who, text) == ["an apple a day"]


async def test_a_phrase_does_not_reach_from_one_field_into_the_next(desk: Desk, who: Principal) -> None:
    await desk.add(who, "connection pool", "dry since monday", tags=["late", "night"])
    await desk.add(who, "连接池", "耗尽")
    await desk.settled()
    for q in ('"connection pool"', '"since monday"', '"late"', '"连接池"', '"耗尽"'):
        assert len(await desk.titles(who, q)) == 1, q
    for q in ('"pool connection"', '"pool dry"', '"monday late"', '"late night"', '"池连"', '"池耗"'):
        assert await desk.titles(who, q) == [], q
