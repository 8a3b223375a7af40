"""Owns highlights: which excerpt of a hit to show, and where in it the query matched, as character offsets."""

import re
from bisect import bisect_left
from collections.abc import Iterator, Sequence
from functools import lru_cache
from typing import Literal

from devlore.types import Highlight, Memory
from devlore_server.kit.trusted import trusted
from devlore_server.search.analysis import Analyser

EXCERPT = 200
"""Characters of an excerpt, give or take a word."""
LEAD = 40
"""Characters of context wanted before the first match."""
SCANNED = 20_000
"""Characters of a long body that are looked at."""

_WORD = re.compile(r"[^\W_]+")
_PART = re.compile(r"[A-Z]+(?![a-z])|[A-Z]?[a-z]+|\d+")
_MIXED = re.compile(r"[a-z][A-Z]|[A-Z]{2}[a-z]|[A-Za-z]\d|\d[A-Za-z]")
_SPACED = bytes(code if code < 128 and chr(code).isalnum() else ord(" ") for code in range(256))
_OPENING = re.compile(r"(?<=[\n.!?。！？])\s*(?=\S)|\s+(?=\S)")

Span = tuple[int, int]


class Marker:
    """Marks what one query matched. Words match by stem, parts of identifiers count, CJK text matches by pairs."""

    def __init__(self, analyser: Analyser, text: str, phrases: Sequence[str] = ()) -> None:
        terms = analyser.query(text)
        self._stems = frozenset(terms.words)
        self._wholes = [whole for whole in terms.code if not whole.isalnum()]
        self._pairs = list(terms.han_pairs) or list(terms.han)
        self._phrases = [pattern for phrase in phrases if (pattern := _phrase(phrase)) is not None]
        self._vocabulary = _vocabulary(analyser.language)
        self._inside: dict[str, list[Span]] = {}

    def highlights(self, memory: Memory, passage: Span | None = None) -> list[Highlight]:
        """The title if it matched, and the body's best excerpt; `passage` is where the body was nearest in meaning."""
        found = []
        if title := self._excerpt("title", memory.title, None):
            found.append(title)
        if body := self._excerpt("body", memory.body, passage):
            found.append(body)
        elif memory.body and (shown := _opening(memory.body, passage)):
            found.append(shown)
        return found

    def _excerpt(self, field: Literal["title", "body"], text: str, passage: Span | None) -> Highlight | None:
        start, end = self._region(text, passage)
        spans = _merged(self._spans(text[start:end]))
        if not spans and passage and len(text) > SCANNED:
            # What is nearest in meaning may hold none of the words.
            start, end = self._region(text, None)
            spans = _merged(self._spans(text[start:end]))
        if not spans:
            return None
        if start:
            spans = [(a + start, b + start) for a, b in spans]
        first, last = _window(spans, text)
        inside = [(max(a, first) - first, min(b, last) - first) for a, b in spans if a < last and b > first]
        return _highlight(field, text, first, last, inside)

    def _region(self, text: str, passage: Span | None) -> Span:
        """The part of a long text to look at: around the passage, else around the first word that may match."""
        if len(text) <= SCANNED:
            return 0, len(text)
        at = passage[0] if passage else self._first(text)
        start = max(0, min(at - SCANNED // 4, len(text) - SCANNED))
        return start, start + SCANNED

    def _first(self, text: str) -> int:
        lowered = _lowered(text)
        places = [lowered.find(needle) for needle in (*self._wholes, *self._pairs, *self._stems)]
        return min((place for place in places if place >= 0), default=0)

    def _spans(self, text: str) -> list[Span]:
        spans = self._words(text) if self._stems else []
        lowered = _lowered(text) if self._wholes or self._pairs else ""
        for needle in (*self._wholes, *self._pairs):
            spans += [(at, at + len(needle)) for at in _occurrences(lowered, needle)]
        for phrase in self._phrases:
            spans += [match.span() for match in phrase.finditer(text)]
        return spans

    def _words(self, text: str) -> list[Span]:
        # Each different word is looked at once, its places are found by the much faster str.find.
        spans: list[Span] = []
        for word in [word for word in _words_of(text) if not self._stems.isdisjoint(self._vocabulary[word])]:
            inside = self._inside.get(word) or self._remember(word)
            for start in _occurrences(text, word):
                end = start + len(word)
                if not (text[start - 1 : start].isalnum() or text[end : end + 1].isalnum()):
                    spans += [(start + first, start + last) for first, last in inside]
        return spans

    def _remember(self, word: str) -> list[Span]:
        """Which parts of a word match: all of it, or what an identifier is put together from."""
        whole, *stems = self._vocabulary[word]
        parts = [part.span() for part, stem in zip(_parts(word), stems, strict=True) if stem in self._stems]
        self._inside[word] = [(0, len(word))] if whole in self._stems else parts
        return self._inside[word]


@lru_cache(maxsize=8)
def _vocabulary(language: str) -> "_Vocabulary":
    return _Vocabulary(language)


class _Vocabulary(dict[str, tuple[str, ...]]):
    """The stems of a word as the index makes them, its own and its parts', remembered: hits repeat most words."""

    MOST = 50_000

    def __init__(self, language: str) -> None:
        super().__init__()
        self._engine = Analyser(language).engine

    def __missing__(self, word: str) -> tuple[str, ...]:
        if len(self) >= self.MOST:
            self.clear()
        self[word] = stems = (self._stem(word), *(self._stem(part.group()) for part in _parts(word)))
        return stems

    def _stem(self, word: str) -> str:
        made: list[str] = self._engine.analyze(word)
        return made[0] if len(made) == 1 else ""


def _parts(word: str) -> Iterator[re.Match[str]]:
    """What an identifier is put together from; nothing for any other word."""
    return iter(()) if word.islower() or not _MIXED.search(word) else _PART.finditer(word)


def _words_of(text: str) -> set[str]:
    """The different words of a text."""
    if text.isascii():
        return set(text.encode().translate(_SPACED).decode().split())  # the same in a fifth of the time
    return set(_WORD.findall(text))


def _phrase(phrase: str) -> re.Pattern[str] | None:
    words = phrase.split()
    return re.compile(r"\s+".join(map(re.escape, words)), re.IGNORECASE) if words else None


def _lowered(text: str) -> str:
    """Lower case, character for character, so that offsets stay true (`İ` lowers to two characters)."""
    lowered = text.lower()
    if len(lowered) == len(text):
        return lowered
    return "".join(low if len(low := character.lower()) == 1 else character for character in text)


def _occurrences(text: str, needle: str) -> Iterator[int]:
    at = text.find(needle)
    while at >= 0:
        yield at
        at = text.find(needle, at + 1)


def _merged(spans: list[Span]) -> list[Span]:
    """Spans in order, those that overlap or touch as one."""
    merged: list[Span] = []
    reached = -1
    for start, end in sorted(spans):
        if start > reached:
            merged.append((start, end))
            reached = end
        elif end > reached:
            merged[-1] = (merged[-1][0], end)
            reached = end
    return merged


def _window(spans: Sequence[Span], text: str) -> Span:
    """The stretch of about EXCERPT characters, from word to word, with the most different matches in it."""
    starts = [start for start, _ in spans]
    if len(spans) <= 50 and starts[-1] < starts[0] + EXCERPT - LEAD:
        return _stretch(spans[0], text)  # all of them
    matched = [text[a:b].lower() for a, b in spans]
    best, most = 0, (-1, 0)
    for number, start in enumerate(starts):
        behind = bisect_left(starts, start + EXCERPT - LEAD)
        held = matched[number : min(behind, number + 50)]
        worth = (len(set(held)), sum(map(len, held)))
        if worth > most:
            best, most = number, worth
    return _stretch(spans[best], text)


def _stretch(match: Span, text: str) -> Span:
    """About EXCERPT characters, from word to word, in which a match is the first."""
    first_match, first_end = match
    first = _begin(text, max(0, first_match - LEAD), first_match)
    last = max(min(len(text), first + EXCERPT), min(first_end, first + 2 * EXCERPT))
    return first, _end(text, last, first_end)


def _begin(text: str, earliest: int, latest: int) -> int:
    """A word's first letter at or behind `earliest`; behind a line or sentence, if one ends there."""
    if earliest == 0:
        return len(text[:latest]) - len(text[:latest].lstrip())
    place = _OPENING.search(text, earliest, latest + 1)
    return min(place.end(), latest) if place else earliest


def _end(text: str, last: int, least: int) -> int:
    """Back to the end of a word, but not before `least`."""
    if last >= len(text):
        return least + len(text[least:].rstrip())
    space = max(text.rfind(" ", least, last + 1), text.rfind("\n", least, last + 1))
    return space if space > last - LEAD and space >= least else last


def _opening(body: str, passage: Span | None) -> Highlight | None:
    """What to show where no word matched: how the nearest passage, or the body, begins."""
    start = passage[0] if passage and passage[0] < len(body) else 0
    start += len(body[start : start + EXCERPT]) - len(body[start : start + EXCERPT].lstrip())
    end = _end(body, min(len(body), start + EXCERPT), start)
    if end <= start:
        return None
    return _highlight("body", body, start, end, [])


def _highlight(field: str, text: str, start: int, end: int, spans: list[Span]) -> Highlight:
    return trusted(Highlight, {"field": field, "excerpt": text[start:end], "offset": start, "spans": spans})
