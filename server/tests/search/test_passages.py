"""Where passages begin and end."""

from itertools import pairwise

from hypothesis import given, settings
from hypothesis import strategies as st

from devlore_server.search.passages import TARGET_TOKENS, WHOLE_TOKENS, count_tokens, split

SENTENCE = "The pool ran dry because a worker kept its connection open. "


def test_a_short_note_is_one_passage_with_its_title() -> None:
    (passage,) = split("Pool", "It ran dry.")
    assert (passage.ordinal, passage.start, passage.end) == (0, 0, 11)
    assert passage.text == "Pool\nIt ran dry."


def test_a_title_that_the_text_begins_with_is_not_repeated() -> None:
    assert split("Pool ran dry", "Pool ran dry\nbecause of a leak")[0].text == "Pool ran dry\nbecause of a leak"


def test_a_title_alone_is_a_passage_and_nothing_is_none() -> None:
    assert [(p.start, p.end, p.text) for p in split("Only a title", " \n")] == [(0, 0, "Only a title")]
    assert split("", "") == []


def test_offsets_point_into_the_body() -> None:
    body = "  \n" + SENTENCE * 60 + "\n\n"
    for passage in split("T", body):
        assert passage.text == "T\n" + body[passage.start : passage.end]
        assert not passage.text[-1].isspace()


def test_neighbours_share_one_sentence() -> None:
    body = "".join(f"Sentence number {i} says that the pool ran dry again. " for i in range(80))
    passages = split("", body)
    assert len(passages) > 3
    for left, right in pairwise(passages):
        shared = body[right.start : left.end]
        assert shared.count("Sentence number") == 1


def test_a_text_just_over_the_target_stays_whole() -> None:
    body = SENTENCE * ((WHOLE_TOKENS - 2) // count_tokens(SENTENCE))
    assert TARGET_TOKENS < count_tokens(body) <= WHOLE_TOKENS
    assert len(split("", body)) == 1


def test_a_section_begins_its_own_passage() -> None:
    body = "# One\n\n" + SENTENCE * 12 + "\n\n# Two\n\n" + SENTENCE * 12
    starts = [body[p.start : p.start + 5] for p in split("", body)]
    assert starts == ["# One", "# Two"]


def test_small_sections_share_a_passage() -> None:
    body = "".join(f"## Part {i}\n\nShort.\n\n" for i in range(6))
    assert len(split("", body)) == 1


def test_a_hash_in_code_is_no_heading_and_lines_stay_whole() -> None:
    line = "# value = compute(first, second)  \n"
    body = "Intro.\n\n```python\n" + line * 60 + "```\nAfter.\n"
    passages = split("", body)
    assert len(passages) > 1
    for passage in passages[1:]:
        assert body[passage.start - 1] == "\n"


def test_code_without_fences_is_cut_between_lines() -> None:
    body = "\n".join(f"    result_{i} = first_function(second_argument, third_{i})" for i in range(60))
    for passage in split("", body)[1:]:
        assert body[passage.start :].startswith("result_")


def test_turns_of_a_conversation_are_not_torn() -> None:
    body = "\n".join(f"{'Ann' if i % 2 else 'Bob'}: I think that we should look at number {i} again" for i in range(60))
    for passage in split("", body):
        assert body[passage.start : passage.start + 5] in ("Ann: ", "Bob: ")


def test_chinese_is_cut_at_its_own_full_stop() -> None:
    body = "昨天我们修复了连接池的问题。" * 60
    passages = split("", body)
    assert len(passages) > 3
    assert all(passage.text.endswith("。") for passage in passages)


def test_a_line_without_end_is_cut_all_the_same() -> None:
    passages = split("", "x" * 40_000)
    assert len(passages) > 10
    assert all(count_tokens(passage.text) <= WHOLE_TOKENS for passage in passages)


def test_a_long_title_is_shortened() -> None:
    assert len(split("t" * 400, "body")[0].text) < 200


@settings(max_examples=150)
@given(st.text(alphabet="aB1 .!?\n#`~-:。我\t\u2028", max_size=4_000), st.text(max_size=20))
def test_passages_cover_every_visible_character_in_order(body: str, title: str) -> None:
    passages = split(title, body)
    covered: set[int] = set()
    for number, passage in enumerate(passages):
        assert passage.ordinal == number
        assert 0 <= passage.start <= passage.end <= len(body)
        covered.update(range(passage.start, passage.end))
    assert [p.start for p in passages] == sorted(p.start for p in passages)
    assert all(index in covered for index, sign in enumerate(body) if not sign.isspace())


@settings(max_examples=100)
@given(st.text(alphabet="abc d.\n我1#`", max_size=6_000))
def test_no_passage_is_longer_than_the_model_reads(body: str) -> None:
    assert all(count_tokens(passage.text) <= WHOLE_TOKENS for passage in split("", body))
