"""Highlights: the right words, marked at the right place, in an excerpt that is a piece of the field."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from devlore.types import Highlight
from devlore_server.search.analysis import Analyser
from devlore_server.search.highlight import _WORD, EXCERPT, Marker, _vocabulary, _words_of

ANALYSER = Analyser()


def marks(
    query: str, body: str, title: str = "", phrases: tuple[str, ...] = (), passage: Any = None
) -> list[Highlight]:
    memory: Any = SimpleNamespace(title=title, body=body)
    return Marker(ANALYSER, query, phrases).highlights(memory, passage)


def marked(highlight: Highlight) -> list[str]:
    return [highlight.excerpt[start:end] for start, end in highlight.spans]


@pytest.mark.parametrize(
    ("query", "body", "expected"),
    [
        ("connection pool", "Pools of connections are connected.", ["Pools", "connections", "connected"]),
        ("user name", "calls getUserName() once", ["UserName"]),
        ("pool.py:12", "see api/pool.py:12 there", ["pool.py:12"]),
        ("foo::bar", "in Foo::Bar it is", ["Foo::Bar"]),
        ("数据库", "我们的数据库坏了", ["数据库"]),
        ("the", "the end", ["the"]),
        ("café", "at the Cafe", ["Cafe"]),
    ],
)
def test_matches_are_marked_as_the_index_finds_them(query: str, body: str, expected: list[str]) -> None:
    (highlight,) = marks(query, body)
    assert marked(highlight) == expected


def test_title_and_body_have_their_own() -> None:
    found = marks("pool", "the pool", "Pool")
    assert [(h.field, h.excerpt, marked(h)) for h in found] == [
        ("title", "Pool", ["Pool"]),
        ("body", "the pool", ["pool"]),
    ]


def test_the_excerpt_is_where_most_words_meet() -> None:
    body = "A pool. " + "Nothing here. " * 60 + "The connection pool ran dry at night. " + "More of nothing. " * 60
    (highlight,) = marks("connection pool dry", body)
    assert marked(highlight) == ["connection", "pool", "dry"]
    assert len(highlight.excerpt) <= EXCERPT + 20
    assert body[highlight.offset :].startswith(highlight.excerpt)


def test_without_a_match_the_nearest_passage_opens() -> None:
    body = "First part. " * 40 + "Second part begins here. " * 5
    (highlight,) = marks("zebra", body, passage=(480, 600))
    assert highlight.spans == []
    assert highlight.excerpt.startswith("Second part")
    assert marks("zebra", "") == []


def test_a_phrase_is_marked_whole() -> None:
    (highlight,) = marks("", "It ran  Dry there", phrases=("ran dry",))
    assert marked(highlight) == ["ran  Dry"]


def test_a_match_deep_in_a_long_body_is_found() -> None:
    body = "filler text. " * 20_000 + "the needle lies here"
    (highlight,) = marks("needle", body)
    assert marked(highlight) == ["needle"]


@given(st.text(max_size=400), st.text(max_size=30), st.text("ab cİß数据库.:_/", max_size=300))
def test_offsets_always_lie_in_the_field(query: str, title: str, body: str) -> None:
    for highlight in marks(query, body, title, (query[:10],)):
        field = title if highlight.field == "title" else body
        assert field[highlight.offset : highlight.offset + len(highlight.excerpt)] == highlight.excerpt
        assert highlight.excerpt
        ends = 0
        for start, end in highlight.spans:
            assert ends <= start < end <= len(highlight.excerpt)
            ends = end


@given(st.text(alphabet=st.characters(max_codepoint=127)))
def test_plain_text_is_cut_into_the_words_that_any_text_is(text: str) -> None:
    assert _words_of(text) == set(_WORD.findall(text))


def test_words_that_were_forgotten_are_learned_again(monkeypatch: pytest.MonkeyPatch) -> None:
    body = "Pools of connections: getConnectionPool() and connected_pools, over and over."
    found = marks("connection pool", body)
    vocabulary = _vocabulary("english")
    vocabulary.clear()
    monkeypatch.setattr(vocabulary, "MOST", 3)
    assert [marks("connection pool", body) for _ in range(3)] == [found] * 3
    assert len(vocabulary) <= 3
