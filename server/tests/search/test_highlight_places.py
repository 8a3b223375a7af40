"""Highlights in whole searches: what is marked is what was asked for, at offsets that count characters."""

from __future__ import annotations

from typing import Any

import pytest

from devlore.types import Highlight, SearchHit
from devlore_server.kit.auth import Principal
from devlore_server.search.analysis import Analyser
from tests.search.conftest import Desk

ANALYSER = Analyser()


def marked(hit: SearchHit, field: str = "body") -> list[str]:
    """The marked texts, cut out of the field itself by offset and span."""
    text = hit.memory.title if field == "title" else hit.memory.body
    cut = []
    for highlight in hit.highlights:
        if highlight.field == field:
            assert text[highlight.offset :].startswith(highlight.excerpt)
            cut += [text[highlight.offset + a : highlight.offset + b] for a, b in highlight.spans]
    return cut


@pytest.mark.parametrize(
    ("title", "body", "q", "expected"),
    [
        ("", "😀😀 the 𝒳 pools ran dry 📦", "pool", ["pools"]),
        ("", "👩‍👩‍👧 family 数据库 👍🏽 pool", "数据库 pool", ["数据库", "pool"]),
        ("", "İstanbul ŞİRKET pool ǅ ﬁ pool", "pool", ["pool", "pool"]),
        ("", "a connectionPool and connection_pool and connection-pool", "pool", ["Pool", "pool", "pool"]),
        ("", "raised in src/api/pool.py:12 again", "pool.py:12", ["pool.py:12"]),
        ("", "saw ERR_CONN_RESET twice", "err_conn_reset", ["ERR_CONN_RESET"]),
        ("", "昨天我们修复了连接池的问题", "连接池", ["连接池"]),
        ("", "データベースの接続プール", "データベース", ["データベース"]),
        ("", "The résumé was resumed", "resume", ["résumé", "resumed"]),
        ("", "It RAN\n\tDry at last", '"ran dry"', ["RAN\n\tDry"]),
        ("", "pool\u0301 and pool", "pool", ["pool", "pool"]),
        ("", "spool pooling carpool pools", "pool", ["pooling", "pools"]),
    ],
)
async def test_what_is_marked(desk: Desk, who: Principal, title: str, body: str, q: str, expected: list[str]) -> None:
    await desk.add(who, title, body)
    await desk.settled()
    for legs in ([], ["lexical"]):
        (hit,) = (await desk.find(who, q, legs=legs)).items
        assert marked(hit) == expected


async def test_every_mark_in_any_text_stems_to_a_word_of_the_query(desk: Desk, who: Principal) -> None:
    bodies: list[Any] = [
        "Pools of connections; getConnectionPool() 🙂 connected_pools. " * 3,
        "x " * 15_000 + "one connection only 🙂 here " + "y " * 15_000,
        "连接池 connection 池 🙂 " * 40,
    ]
    for number, body in enumerate(bodies):
        await desk.add(who, f"Connection pools {number} 🙂", body)
    await desk.settled()
    wanted = set(ANALYSER.query("connection pool").words)
    page = await desk.find(who, "connection pool", limit=10)
    assert len(page.items) == 3
    for hit in page.items:
        assert marked(hit, "title") == ["Connection", "pools"]
        assert marked(hit), "every body has the word, so every excerpt shows it"
        for text in marked(hit):
            assert wanted & set(ANALYSER.query(text).words), text
        assert all(len(highlight.excerpt) <= 240 for highlight in hit.highlights)


async def test_a_hit_by_meaning_alone_shows_its_nearest_passage(desk: Desk, who: Principal) -> None:
    filler = "The canteen serves soup and bread on most days of the week. " * 60
    await desk.add(who, "", filler + "\n\nThe violin needs tuning before the concert. " + "Strings go flat. " * 20)
    await desk.settled()
    (hit,) = (await desk.find(who, "violin concert tuning", legs=["vector"], explain=True)).items
    assert hit.explanation is not None
    assert hit.explanation.passage is not None
    start, end = hit.explanation.passage
    assert "violin" in hit.memory.body[start:end]
    assert marked(hit) == ["violin", "tuning", "concert"]


async def test_a_long_match_is_marked_as_far_as_it_is_shown(desk: Desk, who: Principal) -> None:
    sentence = "我们发现数据库的连接池在高峰期会耗尽所以必须提高上限" * 30
    await desk.add(who, "", sentence)
    await desk.settled()
    (hit,) = (await desk.find(who, sentence, legs=["lexical"])).items
    (highlight,) = hit.highlights
    assert isinstance(highlight, Highlight)
    assert highlight.spans, "the whole excerpt matched"
    assert all(0 <= a < b <= len(highlight.excerpt) for a, b in highlight.spans)


async def test_scores_are_what_their_explanation_says(desk: Desk, who: Principal) -> None:
    for number in range(12):
        await desk.add(
            who, f"loom {number}", f"weaving {'silk ' * (number % 4)}", importance=number / 11, pinned=number == 3
        )
    gone = await desk.add(who, "loom of old", "weaving silk", importance=0.0)
    async with desk.parts.service._parts.log.database.transaction(who) as connection:
        await connection.execute("UPDATE memory.memory SET status = 'superseded' WHERE id = %s", (gone.id,))
    await desk.settled()
    page = await desk.find(who, "loom silk status:any", limit=20, explain=True)
    assert gone.id in {hit.memory.id for hit in page.items}
    assert [hit.score for hit in page.items] == sorted((hit.score for hit in page.items), reverse=True)
    for hit in page.items:
        assert hit.explanation is not None
        total = sum(leg.contribution for leg in hit.explanation.legs)
        for name, factor in hit.explanation.factors.items():
            total *= factor
            assert 0.88 <= factor <= 1.12, name
        assert hit.score == pytest.approx(total, abs=2e-5)
        for leg in hit.explanation.legs:
            assert (leg.rank is None) == (leg.score is None)
            assert leg.rank is None or leg.rank >= 1
