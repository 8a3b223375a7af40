"""Owns the order of results: fusing arms, bounded factors, collapsing near-duplicates. Pure functions."""

import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from math import inf
from types import MappingProxyType
from typing import NamedTuple, Protocol
from uuid import UUID

MEMORY_ARM, PASSAGE_ARM, VECTOR_ARM = "lexical.memory", "lexical.passage", "vector"

WEIGHTS: Mapping[str, float] = {MEMORY_ARM: 0.1, PASSAGE_ARM: 0.5, VECTOR_ARM: 0.4}
"""Each arm's share, measured over LoCoMo, BEAM, GitBugs, CoSQA, commits, Cranfield and CACM (bench/recall.py)."""

DEPTH = 50
"""How many memories each arm is asked for at least: with 400 recall is the same, reading them four times slower."""

LARGEST_FACTOR = 0.10
"""All factors together change a relevance by at most this share: relevance comes first."""

SAME_TEXT = 0.9
"""Jaccard similarity of two texts' word triples from which they are shown as one."""

_TYPICAL_DECLINE = 0.45
_DECLINE_BOUNDS = (0.25, 1.5)
_DECLINE_RANK = 20
_DECLINE_POWER = 1.5
_RECENCY_HALF_LIFE = timedelta(days=90)
_NO_TIME = timedelta(0)
_RECENCY_SHARE, _IMPORTANCE_SHARE, _PINNED_SHARE = 0.03, 0.03, 0.02
_COMPARED_CHARS = 1_200
_WORD = re.compile(r"\w+")


class Found(Protocol):
    """A memory an arm found, as each index has it."""

    @property
    def id(self) -> UUID: ...
    @property
    def score(self) -> float: ...


@dataclass(frozen=True, slots=True)
class Arm:
    """What one arm found, best first, a memory at most once.

    `ceiling` is the score of a perfect match (1 for a cosine), which puts arms on one scale. `counted` says that scores
    are sums over words, whose decline down the list tells how selective the words were. `superseded` is what it found
    besides among what no longer holds: scored alike, without a part in how the others are.
    """

    name: str
    found: Sequence[Found]
    ceiling: float = 1.0
    counted: bool = False
    superseded: Sequence[Found] = ()

    @property
    def exhausted(self) -> bool:
        """Whether this is all that holds any of the words; a vector arm always has a next best."""
        return self.counted and len(self.found) < DEPTH


@dataclass(frozen=True, slots=True)
class ArmScore:
    """What an arm said of a memory: rank from 1 and score, None where it did not return it, and its part of the sum."""

    arm: str
    rank: int | None
    score: float | None
    contribution: float


class Ranked(NamedTuple):
    """A memory in the fused order with everything that explains its place. `score` is relevance times the factors.

    `matched` is what the arms found where the hit stands in the place of another memory. A tuple, as a hundred are made
    for each search and ten are shown.
    """

    id: UUID
    score: float
    relevance: float
    columns: Sequence["_Column"] = ()
    factors: Mapping[str, float] = MappingProxyType({})
    duplicates: int = 0
    matched: UUID | None = None

    @property
    def arms(self) -> tuple[ArmScore, ...]:
        """What each arm said of it; their contributions add up to the relevance."""
        return tuple(column.of(self.matched or self.id) for column in self.columns)


class Traits(NamedTuple):
    """What factors look at in a memory's row."""

    occurred_at: datetime
    importance: float = 0.5
    pinned: bool = False
    active: bool = True


def fuse(arms: Sequence[Arm], weights: Mapping[str, float] = WEIGHTS) -> list[Ranked]:
    """Order all found memories by a convex combination of the arms' scores, best first; ties by id.

    Scores are divided by the arm's ceiling instead of being stretched over what this query found, so that a weak match
    stays weak (Bruch, Gai & Ingber 2023 on convex combination against reciprocal ranks). A memory an arm did not return
    gets the arm's lowest score, or nothing where the arm returned all it has: then it holds none of the words, and the
    one memory with a rare identifier stands out. Word arms weigh more where their scores fall off steeply, the sign of
    a well posed query (query performance prediction; Shtok et al. 2012). Relevance lies between 0 and 1.
    """
    # Arms come as their indexes answer; neither sums of floats nor an explanation should depend on who was first.
    weighed = (arm for arm in arms if (arm.found or arm.superseded) and weights.get(arm.name, 0.0) > 0)
    present = sorted(weighed, key=lambda arm: arm.name)
    shares = _shares(present, weights)
    columns = [_column(arm, share) for arm, share in zip(present, shares, strict=True)]
    # By number: a UUID computes its hash anew each time, in Python.
    ids = {found.id.int: found.id for arm in present for found in arm.found}
    held = len(ids)
    ids |= {found.id.int: found.id for arm in present for found in arm.superseded}
    # Of equals, what is found itself comes before what leads to it.
    order = [
        (-sum([column.worth.get(number, column.absent) for column in columns]), place >= held, number)
        for place, number in enumerate(ids)
    ]
    return [Ranked(ids[number], -worse, -worse, columns) for worse, _, number in sorted(order)]


def adjust(ranked: Iterable[Ranked], traits: Mapping[UUID, Traits], now: datetime) -> list[Ranked]:
    """Multiply relevance by recency, importance, pin and status, bounded to ±10 % together, and order again."""
    adjusted = [_adjusted(hit, traits.get(hit.id), now) for hit in ranked]
    return sorted(adjusted, key=lambda hit: (-hit.score, hit.id))


def collapse(ranked: Sequence[Ranked], texts: Mapping[UUID, str]) -> list[Ranked]:
    """Drop each hit whose text is nearly that of a better one, which counts it. Hits without a text are kept."""
    kept: list[Ranked] = []
    sketches: list[_Sketch | None] = []
    for hit in ranked:
        sketch = _Sketch(texts[hit.id]) if hit.id in texts else None
        twin = None
        if sketch is not None:
            twin = next((i for i, other in enumerate(sketches) if other and sketch.resembles(other)), None)
        if twin is None:
            kept.append(hit)
            sketches.append(sketch)
        else:
            kept[twin] = kept[twin]._replace(duplicates=kept[twin].duplicates + hit.duplicates + 1)
    return kept


@dataclass(frozen=True, slots=True)
class _Column:
    """One arm ready to be summed: contributions by the id's number, and what a memory it does not have gets."""

    arm: Arm
    worth: Mapping[int, float]
    absent: float

    def of(self, id: UUID) -> ArmScore:
        for several in (self.arm.found, self.arm.superseded):
            for rank, found in enumerate(several, start=1):
                if found.id == id:
                    return ArmScore(self.arm.name, rank, found.score, self.worth[id.int])
        return ArmScore(self.arm.name, None, None, self.absent)


def _shares(arms: Sequence[Arm], weights: Mapping[str, float]) -> list[float]:
    raw = [weights[arm.name] * (_selectivity(arm) if arm.counted else 1.0) for arm in arms]
    total = sum(weights[arm.name] for arm in arms)
    largest = _DECLINE_BOUNDS[1] ** _DECLINE_POWER
    return [share / (total * largest) for share in raw]


def _selectivity(arm: Arm) -> float:
    best = arm.found[0].score if arm.found else 0.0
    if best <= 0:
        return 1.0
    later = arm.found[_DECLINE_RANK - 1].score if len(arm.found) >= _DECLINE_RANK else 0.0
    low, high = _DECLINE_BOUNDS
    return float(min(high, max(low, (best - later) / best / _TYPICAL_DECLINE)) ** _DECLINE_POWER)


def _column(arm: Arm, share: float) -> _Column:
    ceiling = arm.ceiling if arm.ceiling > 0 else inf
    held, past = (
        {one.id.int: share * min(1.0, max(0.0, one.score / ceiling)) for one in several}
        for several in (arm.found, arm.superseded)
    )
    return _Column(arm, held | past, 0.0 if arm.exhausted else min(held.values(), default=0.0))


def _adjusted(hit: Ranked, traits: Traits | None, now: datetime) -> Ranked:
    if traits is None:
        return hit
    age = max(_NO_TIME, now - traits.occurred_at)
    factors = {
        "recency": 1 + _RECENCY_SHARE * 0.5 ** (age / _RECENCY_HALF_LIFE),
        "importance": 1 + _IMPORTANCE_SHARE * (2 * min(1.0, max(0.0, traits.importance)) - 1),
        "pinned": 1 + _PINNED_SHARE * traits.pinned,
        "status": 1.0 if traits.active else 1 - LARGEST_FACTOR,
    }
    product = 1.0
    for factor in factors.values():
        product *= factor
    bounded = min(1 + LARGEST_FACTOR, max(1 - LARGEST_FACTOR, product))
    score = hit.relevance * bounded
    return Ranked(hit.id, score, hit.relevance, hit.columns, factors, hit.duplicates, hit.matched)


class _Sketch:
    """A text as the set of its word triples (shingles; Broder 1997), made only when lengths make a match possible."""

    def __init__(self, text: str) -> None:
        self._text = text
        self._triples: frozenset[tuple[str, ...]] | None = None

    def resembles(self, other: "_Sketch") -> bool:
        """Whether the two texts share nearly all word triples."""
        short, long = sorted((len(self._text), len(other._text)))
        if short < SAME_TEXT * SAME_TEXT * long:
            return False
        mine, theirs = self.triples(), other.triples()
        return len(mine & theirs) >= SAME_TEXT * len(mine | theirs)

    def triples(self) -> frozenset[tuple[str, ...]]:
        """The word triples of the text's beginning; of a text under three words, its words."""
        if self._triples is None:
            words = _WORD.findall(self._text[:_COMPARED_CHARS].lower())
            size = min(3, max(1, len(words)))
            self._triples = frozenset(tuple(words[i : i + size]) for i in range(len(words) - size + 1))
        return self._triples
