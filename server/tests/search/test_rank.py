"""That fusion keeps its promises for any scores, and that factors and collapsing stay within bounds."""

from datetime import UTC, datetime, timedelta
from uuid import UUID

import pytest
from hypothesis import given
from hypothesis import strategies as st

from devlore_server.search.lexical import Match
from devlore_server.search.rank import (
    LARGEST_FACTOR,
    MEMORY_ARM,
    PASSAGE_ARM,
    VECTOR_ARM,
    Arm,
    Ranked,
    Traits,
    adjust,
    collapse,
    fuse,
)

NOW = datetime(2026, 6, 1, tzinfo=UTC)
IDS = [UUID(int=number) for number in range(1, 40)]


def arm(name: str, *scores: tuple[int, float], ceiling: float = 1.0, counted: bool = False) -> Arm:
    return Arm(name, [Match(IDS[number], score) for number, score in scores], ceiling, counted)


@st.composite
def arms(draw: st.DrawFn) -> list[Arm]:
    made = []
    for name in draw(st.lists(st.sampled_from([MEMORY_ARM, PASSAGE_ARM, VECTOR_ARM]), unique=True)):
        ids = draw(st.lists(st.sampled_from(IDS), unique=True))
        size = len(ids)
        scores = sorted(draw(st.lists(st.floats(0, 50), min_size=size, max_size=size)), reverse=True)
        found = [Match(id, score) for id, score in zip(ids, scores, strict=True)]
        made.append(Arm(name, found, draw(st.floats(0, 100)), name != VECTOR_ARM))
    return made


def hit(number: int, score: float) -> Ranked:
    return Ranked(IDS[number], score, score, ())


@given(arms())
def test_every_found_memory_is_ranked_once_between_zero_and_one(found: list[Arm]) -> None:
    ranked = fuse(found)
    assert sorted(r.id for r in ranked) == sorted({f.id for a in found for f in a.found})
    assert all(0 <= r.relevance <= 1 + 1e-9 for r in ranked)
    assert [r.score for r in ranked] == sorted((r.score for r in ranked), reverse=True)


@given(arms())
def test_contributions_add_up_and_ranks_are_those_of_the_arms(found: list[Arm]) -> None:
    by_name = {a.name: a for a in found}
    for ranked in fuse(found):
        assert sum(score.contribution for score in ranked.arms) == pytest.approx(ranked.relevance)
        for score in ranked.arms:
            if score.rank is not None:
                place = by_name[score.arm].found[score.rank - 1]
                assert (place.id, place.score) == (ranked.id, score.score)


@given(arms(), st.randoms())
def test_the_order_of_arms_does_not_matter(found: list[Arm], random: object) -> None:
    forth, back = fuse(found), fuse(list(reversed(found)))
    assert [(r.id, r.relevance, r.arms) for r in forth] == [(r.id, r.relevance, r.arms) for r in back]


@given(arms())
def test_being_better_in_every_arm_is_being_better(found: list[Arm]) -> None:
    ranked = {r.id: r.relevance for r in fuse(found)}
    full = [a for a in found if a.found]
    for one in ranked:
        for other in ranked:
            places = [{f.id: f.score for f in a.found} for a in full]
            if all(one in p and p[one] >= p.get(other, -1.0) for p in places):
                assert ranked[one] >= ranked[other] - 1e-9


def test_equal_scores_are_ordered_by_id() -> None:
    tied = [arm(MEMORY_ARM, (9, 2.0), (4, 2.0), ceiling=4), arm(VECTOR_ARM, (4, 0.5), (9, 0.5), (7, 0.5))]
    assert [r.id for r in fuse(tied)] == [IDS[4], IDS[7], IDS[9]]


def test_one_arm_alone_keeps_its_order() -> None:
    only = arm(VECTOR_ARM, (3, 0.9), (1, 0.5), (2, 0.4))
    assert [r.id for r in fuse([only])] == [IDS[3], IDS[1], IDS[2]]


def test_nothing_found_is_nothing_ranked() -> None:
    assert fuse([]) == []
    assert fuse([arm(MEMORY_ARM)]) == []


def test_agreement_beats_a_single_arm() -> None:
    lexical = arm(MEMORY_ARM, (1, 10.0), (2, 9.0), (3, 1.0), ceiling=20)
    vector = arm(VECTOR_ARM, (4, 0.72), (2, 0.70), (5, 0.1))
    assert fuse([lexical, vector])[0].id == IDS[2]


def test_a_weak_match_stays_weak() -> None:
    weak = [arm(MEMORY_ARM, (1, 1.0), (2, 0.9), ceiling=50), arm(VECTOR_ARM, (2, 0.9), (1, 0.2))]
    strong = [arm(MEMORY_ARM, (1, 45.0), (2, 1.0), ceiling=50), arm(VECTOR_ARM, (2, 0.5), (1, 0.4))]
    assert fuse(weak)[0].id == IDS[2]
    assert fuse(strong)[0].id == IDS[1]


def test_words_count_less_where_their_scores_hardly_fall() -> None:
    flat = arm(MEMORY_ARM, *((number, 10.0 - number / 100) for number in range(20)), ceiling=20, counted=True)
    steep = arm(MEMORY_ARM, *((number, 10.0 / (number + 1)) for number in range(20)), ceiling=20, counted=True)
    best = {name: fuse([a, arm(VECTOR_ARM, (30, 0.5))]) for name, a in (("flat", flat), ("steep", steep))}
    share = {name: next(r for r in ranked if r.id == IDS[0]).arms[0].contribution for name, ranked in best.items()}
    assert share["steep"] > 3 * share["flat"]


def test_an_arm_without_weight_is_left_out() -> None:
    ranked = fuse([arm("unknown", (1, 1.0)), arm(VECTOR_ARM, (2, 0.1))])
    assert [r.id for r in ranked] == [IDS[2]]


@given(
    st.floats(0, 1),
    st.booleans(),
    st.booleans(),
    st.timedeltas(timedelta(days=-400), timedelta(days=9_000)),
    st.floats(0.01, 1),
)
def test_factors_stay_within_ten_percent(
    importance: float, pinned: bool, active: bool, age: timedelta, score: float
) -> None:
    (adjusted,) = adjust([hit(0, score)], {IDS[0]: Traits(NOW - age, importance, pinned, active)}, NOW)
    assert 1 - LARGEST_FACTOR - 1e-9 <= adjusted.score / score <= 1 + LARGEST_FACTOR + 1e-9
    assert adjusted.relevance == score
    assert set(adjusted.factors) == {"recency", "importance", "pinned", "status"}


def test_among_equals_the_recent_the_important_the_pinned_and_the_valid_come_first() -> None:
    old = Traits(NOW - timedelta(days=900))
    for better in (
        Traits(NOW),
        Traits(old.occurred_at, importance=0.9),
        Traits(old.occurred_at, pinned=True),
    ):
        assert adjust([hit(0, 0.5), hit(1, 0.5)], {IDS[0]: old, IDS[1]: better}, NOW)[0].id == IDS[1]
    invalid = Traits(NOW, active=False)
    assert adjust([hit(0, 0.5), hit(1, 0.5)], {IDS[0]: invalid, IDS[1]: old}, NOW)[0].id == IDS[1]


def test_a_clearly_better_match_is_never_overtaken() -> None:
    traits = {IDS[0]: Traits(NOW - timedelta(days=5_000), 0.0, active=False), IDS[1]: Traits(NOW, 1.0, pinned=True)}
    assert adjust([hit(1, 0.6), hit(0, 0.8)], traits, NOW)[0].id == IDS[0]


def test_a_hit_without_traits_keeps_its_score() -> None:
    assert adjust([hit(0, 0.4)], {}, NOW) == [hit(0, 0.4)]


LONG = (
    "The connection pool ran dry because a worker kept its connection open during a call to the payment service. " * 3
)


def test_near_duplicates_collapse_into_the_better_one() -> None:
    texts = {IDS[0]: LONG, IDS[1]: LONG + "Again.", IDS[2]: "Another matter entirely, about the build."}
    kept = collapse([hit(0, 0.9), hit(1, 0.8), hit(2, 0.7)], texts)
    assert [(k.id, k.duplicates) for k in kept] == [(IDS[0], 1), (IDS[2], 0)]


def test_case_and_punctuation_do_not_make_a_difference() -> None:
    kept = collapse([hit(0, 0.9), hit(1, 0.8)], {IDS[0]: "We pin psycopg!", IDS[1]: "we pin psycopg"})
    assert [k.duplicates for k in kept] == [1]


def test_similar_is_not_the_same() -> None:
    texts = {IDS[0]: "We pin psycopg to 3.1 because of a leak", IDS[1]: "We pin psycopg to 3.2 because of a leak"}
    assert len(collapse([hit(0, 0.9), hit(1, 0.8)], texts)) == 2


def test_hits_without_text_are_kept() -> None:
    assert len(collapse([hit(0, 0.9), hit(1, 0.8)], {})) == 2


@given(st.lists(st.sampled_from(["", "a", "a b", "a b c d e", "a b c d f", "我 们"]), max_size=30))
def test_collapsing_loses_no_count_and_keeps_the_order(texts: list[str]) -> None:
    ranked = [hit(number, 1 - number / 100) for number in range(len(texts))]
    kept = collapse(ranked, {IDS[number]: text for number, text in enumerate(texts)})
    assert sum(1 + k.duplicates for k in kept) == len(ranked)
    assert [k.score for k in kept] == sorted((k.score for k in kept), reverse=True)


@pytest.mark.parametrize("similar", [0.62, 0.8, 0.9])
def test_the_one_memory_with_a_rare_identifier_is_not_drowned_by_similar_ones(similar: float) -> None:
    words = [arm(name, (0, 6.0), ceiling=7.0, counted=True) for name in (MEMORY_ARM, PASSAGE_ARM)]
    vectors = arm(VECTOR_ARM, *((number, similar - number / 1_000) for number in range(1, 39)))
    best = fuse([*words, vectors])[0]
    assert best.id == IDS[0]
    assert best.arms[-1].rank is None, "no vector spoke for it"


def test_a_word_arm_that_returned_all_it_asked_for_may_know_more() -> None:
    many = [UUID(int=number) for number in range(1, 60)]
    full = Arm(PASSAGE_ARM, [Match(id, 5.0 - place / 100) for place, id in enumerate(many[:50])], 6.0, counted=True)
    short = Arm(PASSAGE_ARM, full.found[:30], 6.0, counted=True)
    vectors = Arm(VECTOR_ARM, [Match(many[55], 0.9)])

    def lent(words: Arm) -> float:
        found = next(hit for hit in fuse([words, vectors]) if hit.id == many[55])
        return next(score.contribution for score in found.arms if score.arm == PASSAGE_ARM)

    assert lent(full) > 0, "the next best may have scored nearly as much as the last"
    assert lent(short) == 0, "it holds none of the words"
