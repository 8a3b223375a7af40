"""What the analysis finds in developers' text, and that texts and queries are analysed alike."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from devlore_server.search.analysis import STOP_WORDS, Analyser

ANALYSER = Analyser()


def words(text: str) -> set[str]:
    return set(ANALYSER.engine.analyze(ANALYSER.index(text).words))


def code(text: str) -> set[str]:
    return set(ANALYSER.index(text).code.split())


@pytest.mark.parametrize(
    ("text", "parts"),
    [
        ("getUserName", {"getusernam", "get", "user", "name"}),
        ("HTTPServer", {"httpserver", "http", "server"}),
        ("parse_query_string", {"pars", "queri", "string"}),
        ("np.linalg.norm", {"np", "linalg", "norm"}),
        ("src/_pytest/python.py:12", {"src", "pytest", "python", "py", "12"}),
        ("Café", {"cafe"}),
    ],
)
def test_words_hold_the_parts_of_identifiers(text: str, parts: set[str]) -> None:
    assert words(text) == parts


@pytest.mark.parametrize(
    ("text", "wholes"),
    [
        ("see np.linalg.norm.", {"np.linalg.norm"}),
        ("ERR_CONN_REFUSED!", {"err_conn_refused"}),
        (
            "at src/_pytest/python.py:12",
            {"src/_pytest/python.py:12", "src/_pytest/python.py", "python.py"},
        ),
        ("std::vector and a->b", {"std::vector", "a->b"}),
        ("released v3.2.4", {"v3.2.4"}),
        ("plain words only", set()),
    ],
)
def test_code_holds_identifiers_whole(text: str, wholes: set[str]) -> None:
    assert code(text) == wholes


def test_a_commit_is_found_by_its_short_hash() -> None:
    full = "0a1b2c3d4e5f60718293a4b5c6d7e8f901234567"
    held = code(f"reverts {full}")
    assert {full, full[:7], full[:8], full[:12]} <= held
    assert full[:7] not in code("deadbeef is a word")


def test_a_hash_of_letters_only_is_a_word() -> None:
    assert code("abcdefabcdefabcdefab") == set()


def test_inflected_words_meet_in_their_stem() -> None:
    assert ANALYSER.query("connections pooled").words.keys() == ANALYSER.query("connection pooling").words.keys()


def test_stop_words_are_dropped_from_queries_but_not_from_the_index() -> None:
    assert set(ANALYSER.query("why did the pool run dry").words) == {"pool", "run", "dri"}
    assert "the" in words("the pool")


def test_a_query_of_stop_words_alone_still_looks_for_them() -> None:
    assert set(ANALYSER.query("who is it").words) == {"who", "is", "it"}


def test_counts_say_how_often_a_query_has_a_word() -> None:
    assert ANALYSER.query("pool pools other").words == {"pool": 2, "other": 1}


def test_chinese_is_cut_into_characters_and_pairs() -> None:
    text = ANALYSER.index("我修复了连接池 in Redis")
    assert text.han.split() == list("我修复了连接池")
    assert text.han_pairs.split() == ["我修", "修复", "复了", "了连", "连接", "接池"]
    assert "redis" in text.words.lower()
    assert "我" not in text.words


def test_pairs_never_cross_a_gap() -> None:
    assert "库我" not in ANALYSER.index("数据库 and 我们").han_pairs.split()


def test_a_chinese_word_inside_a_sentence_shares_its_terms() -> None:
    sentence, word = ANALYSER.index("昨天我们修复了连接池的问题"), ANALYSER.query("连接池")
    assert set(word.han_pairs) <= set(sentence.han_pairs.split())
    assert set(word.han) <= set(sentence.han.split())
    assert not word.words


def test_japanese_and_korean_are_treated_the_same() -> None:
    assert "テス" in ANALYSER.index("テスト").han_pairs
    assert "데이" in ANALYSER.index("데이터").han_pairs


def test_a_phrase_keeps_order_and_stop_words() -> None:
    latin, han = ANALYSER.phrase("the Connection pools 连接")
    assert latin == ["the", "connect", "pool"]
    assert han == ["连", "接"]


def test_other_languages_have_other_stems() -> None:
    assert Analyser("german").query("Verbindungen").words.keys() == Analyser("german").query("Verbindung").words.keys()


def test_an_empty_query_has_no_terms() -> None:
    assert not ANALYSER.query("")
    assert not ANALYSER.query("  ?! ")
    assert ANALYSER.query("x")


def test_very_long_tokens_are_left_out() -> None:
    assert code("a." * 200 + "b") == set()
    assert words("x" * 500) == set()


@given(st.text(max_size=300))
def test_any_text_is_found_by_itself(text: str) -> None:
    stored, asked = ANALYSER.index(text), ANALYSER.query(text)
    held = set(ANALYSER.engine.analyze(stored.words))
    assert set(asked.words) <= held
    assert set(asked.code) <= set(stored.code.split())
    assert set(asked.han) <= set(stored.han.split())


@given(st.text(max_size=300))
def test_words_alone_are_the_words_of_the_whole_analysis(text: str) -> None:
    assert ANALYSER.words(text).words == ANALYSER.index(text).words
    assert ANALYSER.words(text).han == ANALYSER.index(text).han


def test_stop_words_are_plain_words() -> None:
    assert all(word.isalpha() and word.islower() for word in STOP_WORDS)
    assert {"error", "test", "null", "return"}.isdisjoint(STOP_WORDS)
