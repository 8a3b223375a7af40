"""Owns the translation of a lexical query into Tantivy's queries."""

import math
from bisect import bisect_right
from collections import Counter
from collections.abc import Collection, Iterable
from dataclasses import dataclass, fields, replace
from itertools import accumulate
from uuid import UUID

from tantivy import FieldType, Occur, Query

from devlore_server.search.analysis import Analyser, QueryTerms
from devlore_server.search.backends.tantivy_schema import EARLIEST, LATEST, Opened, joined, micros, scope
from devlore_server.search.lexical import Filters, Key, LexicalQuery

MAX_TERMS = 40
"""Words of a long query that are looked up: the rarest say what it is about, the rest cost time."""

K1 = 1.2
"""The engine's saturation of term frequency."""

LEADING_POSTINGS = 20_000
"""Postings walked for candidates when only access bounds a search; commoner words then only score what is found."""

_MANY = 16

CODE_WEIGHT = 0.5
"""A whole identifier adds this much to its parts, which are found as words already."""

HAN_WEIGHT = 0.3
"""Single CJK characters count less than pairs: they are in every second sentence."""

_VALUES = ("kind", "project", "tag", "author", "source", "privacy")


@dataclass(frozen=True, slots=True)
class Scored:
    """The scoring part of a query for one index.

    `ceiling` is what a document that holds every word, often and in little other text, would score: the scale on which
    an actual score says how well the words were met.
    """

    query: Query | None
    ceiling: float


@dataclass(frozen=True, slots=True, order=True)
class _Found:
    """A word of a query that the index has: what meeting it is worth, and what the engine's score is multiplied by."""

    worth: float
    field: str
    term: str
    boost: float
    frequency: int

    def query(self, opened: Opened) -> Query:
        query = Query.term_query(opened.schema, self.field, self.term, "freq")
        return query if self.boost == 1.0 else Query.boost_query(query, self.boost)


@dataclass(frozen=True, slots=True)
class Words:
    """The free-text part of a query."""

    terms: QueryTerms

    def scored(self, opened: Opened, seen: Query | None = None, *, wide: bool = False) -> Scored:
        """Any of the words, each weighted by the root of how often the query has it; None without words.

        A word is as rare as it is among the documents `seen`: a score must not tell how often others write it. None is
        for all.

        In a `wide` search, one over all a caller may see, the rarest words choose the candidates and the others only
        score them: roughly MaxScore (Turtle & Flood 1995), which the engine does not do for filtered queries.
        """
        found, missing = self._found(opened)
        kept = sorted(found, reverse=True)[:MAX_TERMS]
        if seen is not None:
            kept, unseen = _as_rare_as_in(opened, seen, kept)
            missing += unseen
        if not kept:
            return Scored(Query.empty_query() if self.terms else None, missing)
        walked = list(accumulate(one.frequency for one in kept))
        leading = max(1, bisect_right(walked, LEADING_POSTINGS)) if wide else len(kept)
        terms = [one.query(opened) for one in kept]
        query = Query.boolean_query([(Occur.Should, term) for term in terms[:leading]])
        if leading < len(terms):
            rest = [(Occur.Should, term) for term in terms[leading:]]
            query = Query.boolean_query([(Occur.Must, query), *rest])
        return Scored(query, missing + sum(one.worth for one in kept))

    def _found(self, opened: Opened) -> tuple[list[_Found], float]:
        """The words the index has, and what the others would be worth."""
        searcher, total = opened.index.searcher(), opened.total()
        found, missing = [], 0.0
        for name, counts, weight in self._fields(opened):
            for term, count in counts.items():
                frequency = searcher.doc_freq(name, term)
                boost = weight * math.sqrt(count)
                worth = boost * (K1 + 1) * _idf(total, frequency)
                if frequency:
                    found.append(_Found(worth, name, term, boost, frequency))
                elif name != "code":
                    missing += worth
        return found, missing

    def _fields(self, opened: Opened) -> list[tuple[str, Counter[str], float]]:
        fields = [
            ("words", self.terms.words, 1.0),
            ("han_pairs", self.terms.han_pairs, 1.0),
            ("han", self.terms.han, HAN_WEIGHT),
        ]
        return [*fields, ("code", self.terms.code, CODE_WEIGHT)] if opened.has_code else fields


def _as_rare_as_in(opened: Opened, seen: Query, found: Iterable[_Found]) -> tuple[list[_Found], float]:
    """Words weighed as if the index held only what is `seen`, and what those are worth that nothing there holds.

    A word in more than `LEADING_POSTINGS` documents takes too long to count, and one more or less of them says little.
    """
    total, kept, missing = opened.total(), list[_Found](), 0.0
    for one in found:
        if one.frequency > LEADING_POSTINGS:
            kept.append(one)
            continue
        word = Query.term_query(opened.schema, one.field, one.term, "basic")
        both = Query.boolean_query([(Occur.Must, seen), (Occur.Must, word)])
        frequency = opened.count(Query.const_score_query(both, 1.0))
        share = _idf(total, frequency) / _idf(total, one.frequency)
        if frequency:
            kept.append(replace(one, worth=one.worth * share, boost=one.boost * share))
        elif one.field != "code":
            missing += one.worth * share
    return sorted(kept, reverse=True), missing


def _idf(total: int, frequency: int) -> float:
    """Robertson & Zaragoza 2009, 3.1, as the engine computes it."""
    return math.log1p((total - frequency + 0.5) / (frequency + 0.5))


@dataclass(frozen=True, slots=True)
class Clauses:
    """The part of a query that bounds what may be found; it never changes a score."""

    asked: LexicalQuery
    analyser: Analyser

    def bare(self) -> "Clauses":
        """The same without phrases and exclusions, for passages: only the memory as a whole can satisfy those."""
        return replace(self, asked=replace(self.asked, phrases=(), excluded=()))

    def query(self, opened: Opened, scored: Query | None) -> Query:
        """All bounds, and the scoring part where there is one."""
        asked = self.asked
        must = [_any(opened, "scope", self._asked_scopes())]
        must += [_any(opened, name, values) for name in _VALUES if (values := getattr(asked.filters, name))]
        if asked.filters.team:
            must.append(_any(opened, "team", [UUID(team).hex for team in asked.filters.team]))
        must += self._times(opened)
        must += self._phrases(opened, asked.phrases)
        clauses = [(Occur.Must, Query.const_score_query(clause, 0.0)) for clause in must]
        clauses += [(Occur.MustNot, phrase) for phrase in self._phrases(opened, asked.excluded)]
        if scored is not None:
            clauses.append((Occur.Must, scored))
        return Query.boolean_query(clauses)

    def seen(self, opened: Opened) -> Query | None:
        """All that the caller may see, whatever is asked for; None where that is all there is."""
        theirs = sum(opened.index.searcher().doc_freq("scope", one) for one in self._scopes())
        return None if theirs >= opened.total("live") else _any(opened, "scope", self._scopes())

    def hold_nothing(self, opened: Opened) -> bool:
        """Whether the caller may see no memory of the statuses asked for; then nothing need be counted."""
        searcher = opened.index.searcher()
        return not any(searcher.doc_freq("scope", one) for one in self._asked_scopes())

    def _asked_scopes(self) -> list[str]:
        asked = self.asked
        statuses = asked.filters.status or [""]
        return [scope(asked.organisation, access, status) for access in asked.access for status in statuses]

    def _scopes(self) -> list[str]:
        return [scope(self.asked.organisation, access) for access in self.asked.access]

    @property
    def wide(self) -> bool:
        """Whether nothing but access and status bounds the search."""
        narrowing = (f.name for f in fields(Filters) if f.name != "status")
        bounds = (getattr(self.asked.filters, name) for name in narrowing)
        return not self.asked.phrases and not any(bound and bound != (None, None) for bound in bounds)

    def _times(self, opened: Opened) -> list[Query]:
        filters = self.asked.filters
        ranges = [
            _range(opened, name, *(None if moment is None else micros(moment) for moment in bounds))
            for name, bounds in (("occurred", filters.occurred), ("created", filters.created))
            if bounds != (None, None)
        ]
        if filters.as_of is not None:
            now = micros(filters.as_of)
            ranges += [_range(opened, "valid_from", None, now + 1), _range(opened, "valid_to", now + 1, None)]
        return ranges

    def _phrases(self, opened: Opened, texts: Collection[str]) -> list[Query]:
        """One query for each text that has a word; signs alone are in no index, so they neither bind nor exclude."""
        queries = []
        for text in texts:
            words, han = self.analyser.phrase(text)
            parts = [_sequence(opened, name, tokens) for name, tokens in (("words", words), ("han", han)) if tokens]
            if parts:
                queries.append(Query.boolean_query([(Occur.Must, part) for part in parts]))
        return queries


def key_term(opened: Opened, keys: Collection[Key]) -> Query:
    """The documents of these memories."""
    return Query.const_score_query(Query.term_set_query(opened.schema, "key", [joined(key) for key in keys]), 1.0)


def _any(opened: Opened, name: str, values: Collection[str]) -> Query:
    if len(values) == 1:
        return Query.term_query(opened.schema, name, next(iter(values)), "basic")
    if len(values) > _MANY:
        return Query.term_set_query(opened.schema, name, list(values))
    # A term set first collects all its documents, which costs more than walking a few lists.
    terms = [Query.term_query(opened.schema, name, value, "basic") for value in values]
    return Query.boolean_query([(Occur.Should, term) for term in terms])


def _range(opened: Opened, name: str, low: int | None, high: int | None) -> Query:
    """Half-open [low, high)."""
    return Query.range_query(
        opened.schema,
        name,
        FieldType.Integer,
        EARLIEST if low is None else low,
        LATEST + 1 if high is None else high,
        include_lower=True,
        include_upper=False,
    )


def _sequence(opened: Opened, name: str, tokens: list[str]) -> Query:
    if len(tokens) == 1:
        return Query.term_query(opened.schema, name, tokens[0], "basic")
    return Query.phrase_query(opened.schema, name, list(tokens))
