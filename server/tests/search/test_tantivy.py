"""The embedded lexical index: what it finds, what it never shows, and what survives versions, crashes and damage."""

import threading
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any
from uuid import UUID

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from devlore_server.search.backends.tantivy import TantivyIndex
from devlore_server.search.lexical import (
    Filters,
    IndexCorrupted,
    IndexIncompatible,
    LexicalDocument,
    LexicalQuery,
)
from devlore_server.search.passages import split

ACME, GLOBEX = UUID(int=1), UUID(int=2)
ANN, TEAM = UUID(int=10), UUID(int=20)
MINE = (f"p:{ANN}",)
MAY = datetime(2025, 5, 1, tzinfo=UTC)


def memory(number: int, body: str = "", version: int = 1, **fields: Any) -> LexicalDocument:
    defaults: dict[str, Any] = {
        "organisation": ACME,
        "access": MINE[0],
        "title": "",
        "passages": [passage.text for passage in split(fields.get("title", ""), body)],
        "kind": "note",
        "status": "active",
        "privacy": "private",
        "created_at": MAY,
        "occurred_at": MAY,
    }
    return LexicalDocument(id=UUID(int=number), version=version, body=body, **(defaults | fields))


def query(text: str = "", **fields: Any) -> LexicalQuery:
    return LexicalQuery(**({"organisation": ACME, "access": MINE, "text": text} | fields))


def filled(*memories: LexicalDocument) -> TantivyIndex:
    index = TantivyIndex.in_memory()
    index.upsert(memories)
    index.commit()
    return index


def found(index: TantivyIndex, asked: LexicalQuery, limit: int = 10) -> list[int]:
    return [match.id.int for match in index.search(asked, limit).memories]


def in_passages(index: TantivyIndex, asked: LexicalQuery, limit: int = 10) -> list[int]:
    return [match.id.int for match in index.search(asked, limit).passages]


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


def test_access_does_not_change_scores() -> None:
    index = filled(memory(1, "pool"), memory(2, "pool pool dry", access=f"t:{TEAM}"), memory(3, "x", access="p:x"))
    alone = index.search(query("pool"), 10).memories[0]
    together = index.search(query("pool", access=[*MINE, f"t:{TEAM}", "p:x"]), 10).memories
    assert next(m.score for m in together if m.id.int == 1) == alone.score


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


# ------------------------------------------------------------------ versions


def test_a_newer_version_replaces_the_older() -> None:
    index = filled(memory(1, "old words"))
    assert index.upsert([memory(1, "new words", version=2)]) == 1
    index.commit()
    assert found(index, query("old")) == []
    assert found(index, query("new")) == [1]
    assert in_passages(index, query("words")) == [1]
    assert index.ids() == {UUID(int=1): 2}


def test_a_late_older_version_changes_nothing() -> None:
    index = filled(memory(1, "new", version=3))
    assert index.upsert([memory(1, "old", version=2), memory(1, "same", version=3)]) == 0
    index.commit()
    assert found(index, query("new")) == [1]


def test_a_deleted_memory_is_not_resurrected_by_a_late_older_version() -> None:
    index = filled(memory(1, "pool"))
    assert index.delete({UUID(int=1): 2}) == 1
    assert index.upsert([memory(1, "pool", version=1)]) == 0
    index.commit()
    assert index.upsert([memory(1, "pool", version=2)]) == 0
    index.commit()
    assert (found(index, query("pool")), in_passages(index, query("pool")), index.count(), index.ids()) == (
        [],
        [],
        0,
        {},
    )
    assert index.upsert([memory(1, "pool", version=3)]) == 1
    index.commit()
    assert (found(index, query("pool")), index.count()) == ([1], 1)


def test_a_late_delete_of_an_older_version_changes_nothing() -> None:
    index = filled(memory(1, "pool", version=5))
    assert index.delete({UUID(int=1): 4}) == 0
    index.commit()
    assert found(index, query("pool")) == [1]


def test_a_delete_may_come_before_the_memory() -> None:
    index = TantivyIndex.in_memory()
    index.delete({UUID(int=1): 2})
    index.upsert([memory(1, "pool")])
    index.commit()
    assert index.count() == 0


def test_versions_are_kept_apart_within_one_uncommitted_batch() -> None:
    index = TantivyIndex.in_memory()
    assert index.upsert([memory(1, "second", version=2), memory(1, "first"), memory(1, "third", version=3)]) == 1
    assert index.upsert([memory(1, "second", version=2)]) == 0
    index.commit()
    assert (found(index, query("third")), index.count()) == ([1], 1)


def test_purge_leaves_no_trace() -> None:
    index = filled(memory(1, "pool"), memory(2, "pool"))
    index.delete({UUID(int=2): 2})
    index.purge([UUID(int=1), UUID(int=2)])
    index.commit()
    assert (index.count(), index.ids()) == (0, {})
    assert index.upsert([memory(1, "pool"), memory(2, "pool")]) == 2


def test_any_uuid_comes_back_as_it_went_in() -> None:
    odd = [UUID(int=0), UUID(int=2**128 - 1), UUID(int=2**63), UUID(int=2**127 + 5)]
    index = TantivyIndex.in_memory()
    index.upsert([memory(id.int, "pool") for id in odd])
    index.commit()
    assert set(index.ids()) == set(odd) == {match.id for match in index.search(query("pool"), 10).memories}


changes = st.lists(st.tuples(st.integers(1, 3), st.integers(1, 6), st.booleans(), st.booleans()), max_size=12)


@settings(max_examples=40, deadline=None)
@given(changes)
def test_in_any_order_the_newest_version_wins(steps: list[tuple[int, int, bool, bool]]) -> None:
    index, newest = TantivyIndex.in_memory(), dict[int, tuple[int, bool]]()
    for number, version, delete, commit in steps:
        if delete:
            index.delete({UUID(int=number): version})
        else:
            index.upsert([memory(number, f"pool v{version}", version)])
        if version > newest.get(number, (0, False))[0]:
            newest[number] = (version, delete)
        if commit:
            index.commit()
    index.commit()
    alive = {number: version for number, (version, deleted) in newest.items() if not deleted}
    assert {id.int: version for id, version in index.ids().items()} == alive
    assert set(found(index, query("pool"))) == set(in_passages(index, query("pool"))) == alive.keys()


# ------------------------------------------------------------------ on disk


def test_what_is_committed_survives_and_the_rest_does_not(tmp_path: Path) -> None:
    index = TantivyIndex.open(tmp_path / "index")
    index.upsert([memory(1, "pool")])
    index.commit()
    index.upsert([memory(2, "pool")])
    index.close()
    again = TantivyIndex.open(tmp_path / "index")
    assert found(again, query("pool")) == [1]
    assert again.upsert([memory(1, "pool"), memory(2, "pool")]) == 1
    again.close()


def test_an_index_of_another_format_is_refused(tmp_path: Path) -> None:
    TantivyIndex.open(tmp_path).close()
    with pytest.raises(IndexIncompatible, match="english"):
        TantivyIndex.open(tmp_path, language="german")


@pytest.mark.parametrize("damage", ["stamp", "half a stamp", "meta"])
def test_a_damaged_index_is_recognised(tmp_path: Path, damage: str) -> None:
    index = TantivyIndex.open(tmp_path)
    index.upsert([memory(1, "pool")])
    index.commit()
    index.close()
    if damage == "stamp":
        (tmp_path / "format.json").unlink()
    elif damage == "half a stamp":
        (tmp_path / "format.json").write_text('{"form')
    else:
        (tmp_path / "memories" / "meta.json").write_text("{ not json")
    with pytest.raises(IndexCorrupted):
        TantivyIndex.open(tmp_path)


def test_a_closed_index_takes_nothing_more(tmp_path: Path) -> None:
    index = TantivyIndex.open(tmp_path)
    index.close()
    with pytest.raises(ValueError, match="closed"):
        index.upsert([memory(1, "pool")])


def test_searches_run_beside_writes(tmp_path: Path) -> None:
    index, failures = TantivyIndex.open(tmp_path), list[BaseException]()
    stop = threading.Event()

    def read() -> None:
        while not stop.is_set():
            try:
                assert len(found(index, query("pool"), 50)) <= 50
            except BaseException as failure:
                failures.append(failure)
                return

    reader = threading.Thread(target=read)
    reader.start()
    for start in range(0, 200, 20):
        index.upsert([memory(number, "pool", version=start + 1) for number in range(start % 60 + 1, start % 60 + 20)])
        index.commit()
    stop.set()
    reader.join()
    index.close()
    assert failures == []
