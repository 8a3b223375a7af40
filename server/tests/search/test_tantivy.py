"""The embedded lexical index: what it finds, and what it never shows."""

from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import UUID

import pytest

from devlore_server.search.lexical import (
    Filters,
)
from tests.search.indexed import ACME, ANN, GLOBEX, MAY, MINE, TEAM, filled, found, in_passages, memory, query

# ------------------------------------------------------------------ finding


@pytest.mark.parametrize(
    ("asked", "body"),
    [
        ("why did the pools run dry", "the connection pool ran dry"),
        ("get_user_name", "calls getUserName, then get_user_name"),
        ("user name", "calls getUserName"),
        ("python.py:12", "raised in src/_pytest/python.py:12"),
        ("ERR_CONN_RESET", "saw err_conn_reset again"),
        ("0a1b2c3", "fixed by 0a1b2c3d4e5f60718293a4b5c6d7e8f901234567"),
        ("连接池", "昨天我们修复了连接池的问题"),
        ("Redis 连接", "我昨天用Redis修复了连接池"),
        ("resume", "the résumé upload"),
    ],
)
def test_found_by(asked: str, body: str) -> None:
    index = filled(memory(1, body), memory(2, "nothing to do with it: lunch"))
    assert found(index, query(asked)) == [1]
    assert 1 in in_passages(index, query(asked)) or asked == "0a1b2c3"


def test_the_title_counts_more_than_the_body() -> None:
    words = "alpha beta gamma delta"
    index = filled(memory(1, f"{words} pool", title="timeout of x"), memory(2, f"{words} timeout", title="pool of x"))
    assert found(index, query("pool")) == [2, 1]
    assert in_passages(index, query("pool")) == [2, 1]


def test_the_first_line_stands_in_for_a_missing_title() -> None:
    index = filled(memory(1, "about lunch today\npool and more"), memory(2, "pool and more\nabout lunch today"))
    assert found(index, query("pool")) == [2, 1]


def test_tags_are_words_too() -> None:
    assert found(filled(memory(1, "x", tags=["postgres"]), memory(2, "y")), query("postgres")) == [1]


def test_a_memory_is_found_once_by_its_best_passage() -> None:
    body = "Filler about lunch and the weather today. " * 60 + "The pool ran dry. " + "More filler about dinner. " * 60
    document = memory(1, body)
    index = filled(document, memory(2, "lunch"))
    (match,) = index.search(query("pool dry"), 10).passages
    assert match.id.int == 1
    assert match.passage is not None
    assert "pool ran dry" in document.passages[match.passage]


def test_a_phrase_must_occur_as_written() -> None:
    index = filled(memory(1, "the connection pool is dry"), memory(2, "a pool for each connection"))
    assert sorted(found(index, query("connection pool"))) == [1, 2]
    assert found(index, query(phrases=["connection pools"])) == [1]
    assert in_passages(index, query(phrases=["connection pools"])) == [1]
    assert found(index, query(phrases=["pool for each"])) == [2]


def test_a_phrase_of_chinese_characters() -> None:
    index = filled(memory(1, "修复了连接池"), memory(2, "连了接池"))
    assert found(index, query(phrases=["连接池"])) == [1]


def test_an_excluded_word_excludes_the_whole_memory() -> None:
    long = "The pool ran dry. " + "Filler about lunch and the weather. " * 80 + "It was Redis."
    index = filled(memory(1, long), memory(2, "another pool"))
    assert found(index, query("pool", excluded=["redis"])) == [2]
    assert in_passages(index, query("pool", excluded=["redis"])) == [2]
    assert found(index, query(excluded=["another pool"])) == [1]


def test_without_words_the_filters_alone_find() -> None:
    index = filled(memory(1, "a", kind="decision"), memory(2, "b"))
    matches = index.search(query(filters=Filters(kind=["decision"])), 10)
    assert [(m.id.int, m.score) for m in matches.memories] == [(1, 0.0)]
    assert matches.memory_ceiling == 0.0


def test_words_that_nothing_holds_find_nothing() -> None:
    index = filled(memory(1, "a pool"))
    assert found(index, query("zebra")) == []
    assert index.search(query("zebra"), 10).memory_ceiling > 0


def test_no_score_exceeds_the_ceiling() -> None:
    index = filled(*(memory(n, f"pool {n} " * n, title="pool") for n in range(1, 30)))
    matches = index.search(query("pool pool 7 get_user"), 30)
    assert 0 < matches.memories[0].score <= matches.memory_ceiling
    assert 0 < matches.passages[0].score <= matches.passage_ceiling


def test_a_very_long_query_is_answered() -> None:
    index = filled(memory(1, "pool"), memory(2, "other"))
    assert found(index, query(" ".join(f"word{n}" for n in range(5_000)) + " pool"))[0] == 1


# ------------------------------------------------------------------ access and filters


def test_only_what_the_tokens_open_is_found() -> None:
    index = filled(
        memory(1, "pool"),
        memory(2, "pool", access=f"t:{TEAM}"),
        memory(3, "pool", access=f"o:{ACME}"),
        memory(4, "pool", access="p:someone-else"),
        memory(5, "pool", organisation=GLOBEX, access=f"o:{ACME}"),
    )
    assert sorted(found(index, query("pool"))) == [1]
    assert sorted(found(index, query("pool", access=[*MINE, f"t:{TEAM}", f"o:{ACME}"]))) == [1, 2, 3]
    assert sorted(in_passages(index, query("pool", access=[*MINE, f"t:{TEAM}", f"o:{ACME}"]))) == [1, 2, 3]
    assert found(index, query("pool", access=[])) == []
    assert index.facets(query("pool"), ["kind"]) == {"kind": {"note": 1}}
    assert index.matching(query(), [UUID(int=n) for n in range(1, 6)]) == {UUID(int=1)}


def test_tokens_that_show_nothing_more_do_not_change_scores() -> None:
    index = filled(memory(1, "pool"), memory(2, "pool", access="p:x"))
    alone = index.search(query("pool"), 10).memories
    assert index.search(query("pool", access=[*MINE, f"t:{TEAM}", "p:y"]), 10).memories == alone


@pytest.mark.parametrize("hidden", [{"access": "p:x"}, {"organisation": GLOBEX}])
def test_a_word_is_as_rare_as_it_is_among_what_is_seen(hidden: dict[str, Any]) -> None:
    mine = [memory(1, "pool"), memory(2, "lake"), memory(3, "well and"), memory(4, "well also")]
    theirs = [memory(number, "lake", **hidden) for number in range(5, 15)]
    index = filled(*mine, *theirs)
    for version in range(2, 6):
        index.upsert([memory(number, "lake", version, **hidden) for number in range(5, 10)])
        index.commit()
    asked = index.search(query("pool lake"), 10)
    for arm in (asked.memories, asked.passages):
        assert sorted(match.id.int for match in arm) == [1, 2]
        assert arm[0].score == pytest.approx(arm[1].score, rel=1e-6)
    single = [index.search(query(word), 10) for word in ("pool", "lake", "well")]
    assert single[0].memories[0].score == pytest.approx(single[1].memories[0].score, rel=1e-6)
    assert single[0].memory_ceiling == pytest.approx(single[1].memory_ceiling, rel=1e-6)
    assert single[2].memory_ceiling < single[0].memory_ceiling


def test_what_was_written_often_and_deleted_is_found_all_the_same() -> None:
    index = filled(memory(1, "pool"), memory(2, "pool", access="p:x"))
    for version in range(2, 12):
        index.upsert([memory(1, "pool", version), memory(2, "pool", version, access="p:x")])
        index.commit()
    assert found(index, query("pool")) == [1]
    assert in_passages(index, query("pool")) == [1]


def test_a_word_only_others_write_is_worth_what_nobody_writes() -> None:
    index = filled(memory(1, "pool"), *(memory(number, "lake", access="p:x") for number in range(2, 9)))
    known, unknown = index.search(query("pool lake"), 10), index.search(query("pool void"), 10)
    assert known.memories == unknown.memories
    assert known.memory_ceiling == pytest.approx(unknown.memory_ceiling, rel=1e-6)
    assert known.passage_ceiling == pytest.approx(unknown.passage_ceiling, rel=1e-6)
    assert index.search(query("lake"), 10).memories == []


DIVERSE = {
    "kind": "decision",
    "project": "api",
    "tags": ["postgres", "pool"],
    "authors": ["ann lee", str(ANN)],
    "team": TEAM,
    "source": "git",
    "privacy": "team",
    "status": "superseded",
}


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("kind", "decision"),
        ("project", "api"),
        ("tag", "pool"),
        ("author", "ann lee"),
        ("author", str(ANN)),
        ("team", str(TEAM)),
        ("source", "git"),
        ("privacy", "team"),
        ("status", "superseded"),
    ],
)
def test_a_filter_keeps_only_what_has_the_value(name: str, value: str) -> None:
    index = filled(memory(1, "pool", **DIVERSE), memory(2, "pool"))
    for values in ([value], [value, str(UUID(int=99))]):
        assert found(index, query("pool", filters=Filters(**{name: values}))) == [1]
        assert in_passages(index, query("pool", filters=Filters(**{name: values}))) == [1]


def test_filters_join_by_and() -> None:
    index = filled(memory(1, "pool", kind="decision", project="api"), memory(2, "pool", kind="decision"))
    assert found(index, query("pool", filters=Filters(kind=["decision"], project=["api"]))) == [1]


@pytest.mark.parametrize("name", ["occurred", "created"])
def test_time_ranges_are_half_open(name: str) -> None:
    day = timedelta(days=1)
    index = filled(*(memory(n, "pool", **{f"{name}_at": MAY + n * day}) for n in range(1, 5)))
    asked = Filters(**{name: (MAY + 2 * day, MAY + 4 * day)})
    assert sorted(found(index, query("pool", filters=asked))) == [2, 3]
    assert sorted(found(index, query("pool", filters=Filters(**{name: (None, MAY + 2 * day)})))) == [1]
    assert sorted(found(index, query("pool", filters=Filters(**{name: (MAY + 4 * day, None)})))) == [4]


def test_as_of_finds_what_was_valid_then() -> None:
    year = timedelta(days=365)
    index = filled(
        memory(1, "pool", valid_from=MAY, valid_to=MAY + year),
        memory(2, "pool", valid_from=MAY + year),
        memory(3, "pool"),
        memory(4, "pool", valid_from=datetime(1969, 1, 1, tzinfo=UTC), valid_to=MAY),
    )
    assert sorted(found(index, query("pool", filters=Filters(as_of=MAY)))) == [1, 3]
    assert sorted(found(index, query("pool", filters=Filters(as_of=MAY + year)))) == [2, 3]


def test_facets_count_the_hits() -> None:
    index = filled(
        memory(1, "pool", tags=["a", "b"], project="x"), memory(2, "pool", tags=["a"]), memory(3, "lunch", tags=["c"])
    )
    assert index.facets(query("pool"), ["tag", "project"]) == {"tag": {"a": 2, "b": 1}, "project": {"x": 1}}
    assert index.facets(query(), ["tag"])["tag"] == {"a": 2, "b": 1, "c": 1}
    assert index.facets(query("pool"), ["unknown"]) == {}
