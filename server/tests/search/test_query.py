"""The query language: what it reads, what it leaves alone, and that nothing but InvalidQuery ever comes of it."""

from __future__ import annotations

from datetime import UTC, datetime

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from devlore.problems import InvalidQuery
from devlore_server.search.moments import moment
from devlore_server.search.query import FIELDS, Query, parse

NOW = datetime(2026, 3, 31, 15, 30, tzinfo=UTC)


def test_words_phrases_exclusions_and_filters() -> None:
    read = parse('pool "ran dry" -mysql -"too many" kind:bug-fix,Tip -project:legacy author:"Ada L" tag:x', NOW)
    assert read.text == "pool ran dry"
    assert read.phrases == ("ran dry",)
    assert read.excluded == ("mysql", "too many")
    assert read.wanted == {"kind": ("bug-fix", "tip"), "author": ("Ada L",), "tag": ("x",)}
    assert read.unwanted == {"project": ("legacy",)}


def test_a_field_may_stand_several_times_and_bounds_narrow() -> None:
    read = parse("tag:a tag:b after:2025 after:2025-06 before:2026 before:2025-12-31", NOW)
    assert read.wanted == {"tag": ("a", "b")}
    assert (read.after, read.before) == (datetime(2025, 6, 1, tzinfo=UTC), datetime(2025, 12, 31, tzinfo=UTC))


@pytest.mark.parametrize(
    "text",
    [
        "TypeError: x is not a function",
        "TypeError:x",
        "std::vector foo::bar author::new",
        "http://foo.bar/x?a=b:c",
        r"C:\x\y.txt",
        "file.py:12",
        "key: value",
        "status: 500",
        "source://thing",
        "localhost:8080",
        "git commit --no-verify -1",
        "a - b",
        "alter:table kid:abc bind:x item:y",
        '{"type":"x"}',
        "(kind:bug)",
        '5" disk',
        "x:",
        "kind:",
    ],
)
def test_what_developers_paste_is_text(text: str) -> None:
    assert parse(text, NOW) == Query(text=" ".join(text.split()))


@pytest.mark.parametrize(
    ("text", "position", "says"),
    [
        ('pool "ran', 5, "not closed"),
        ('-"ran', 1, "not closed"),
        ('author:"ran', 7, "not closed"),
        ("x knid:bug", 2, "kind:"),
        ("tags:x", 0, "tag:"),
        ("autor:x", 0, "author:"),
        ("since:7d", 0, "after:"),
        ("status:500", 7, "superseded"),
        ("-status:gone", 8, "superseded"),
        ("privacy:secret", 8, "public"),
        ("team:backend", 5, "by its id"),
        ("after:soon", 6, "2025-06-30"),
        ("x before:2025-13", 9, "2025-06-30"),
        ("-before:7d", 0, "cannot be excluded"),
        ("as_of:today as_of:2025", 12, "twice"),
        ('project:""', 8, "needs a value"),
        ("kind:,", 5, "needs a value"),
    ],
)
def test_a_bad_query_says_where_and_what(text: str, position: int, says: str) -> None:
    with pytest.raises(InvalidQuery) as refused:
        parse(text, NOW)
    assert refused.value.extra["position"] == position
    assert says in str(refused.value.detail)


def test_a_quote_inside_quotes() -> None:
    assert parse(r'"say \"hi\" to C:\\x"', NOW).phrases == (r'say "hi" to C:\x',)


@pytest.mark.parametrize(
    ("written", "expected"),
    [
        ("2025", datetime(2025, 1, 1, tzinfo=UTC)),
        ("2025-06", datetime(2025, 6, 1, tzinfo=UTC)),
        ("2025-06-30", datetime(2025, 6, 30, tzinfo=UTC)),
        ("2025-06-30T14:00", datetime(2025, 6, 30, 14, tzinfo=UTC)),
        ("2025-06-30T14:00:00Z", datetime(2025, 6, 30, 14, tzinfo=UTC)),
        ("2025-06-30T14:00+02:00", datetime(2025, 6, 30, 12, tzinfo=UTC)),
        ("today", datetime(2026, 3, 31, tzinfo=UTC)),
        ("Yesterday", datetime(2026, 3, 30, tzinfo=UTC)),
        ("12h", datetime(2026, 3, 31, 3, 30, tzinfo=UTC)),
        ("7d", datetime(2026, 3, 24, 15, 30, tzinfo=UTC)),
        ("2w", datetime(2026, 3, 17, 15, 30, tzinfo=UTC)),
        ("1mo", datetime(2026, 2, 28, 15, 30, tzinfo=UTC)),
        ("1y", datetime(2025, 3, 31, 15, 30, tzinfo=UTC)),
    ],
)
def test_moments(written: str, expected: datetime) -> None:
    assert moment(written, NOW) == expected


@pytest.mark.parametrize("written", ["", "soon", "3m", "2025-13", "0000", "999999y", "999999w", "2025-02-30", "-7d"])
def test_what_is_no_moment(written: str) -> None:
    with pytest.raises(ValueError):
        moment(written, NOW)


_PIECES = st.sampled_from([*(f"{f}:" for f in FIELDS), "-", '"', "\\", " ", "a", ":", ",", "@me", "7d", "99999y", "\0"])


@given(st.one_of(st.text(), st.lists(_PIECES, max_size=12).map("".join)))
@example('-"')
@example("after:0001-01-01T00:00:00+14:00")
def test_a_query_is_read_or_refused_at_a_place_in_it(text: str) -> None:
    try:
        read = parse(text, NOW)
    except InvalidQuery as refused:
        assert 0 <= refused.extra["position"] <= len(text)
        assert refused.detail
    else:
        assert all(read.wanted.values())
        assert all(phrase.strip() for phrase in read.phrases)


@given(st.lists(st.text("abcXYZ019_/.#é数", min_size=1, max_size=8), min_size=1, max_size=6))
def test_plain_words_stay_as_they_are(words: list[str]) -> None:
    assert parse(" ".join(words), NOW) == Query(text=" ".join(words))


@given(st.text(min_size=1).filter(lambda t: t.strip() and "\0" not in t))
def test_anything_can_be_asked_for_in_quotes(text: str) -> None:
    escaped = text.replace("\\", "\\\\").replace('"', '\\"')
    assert parse(f'"{escaped}"', NOW).phrases == (text,)
    assert parse(f'project:"{escaped}"', NOW).wanted == {"project": (text.strip(),)}
