"""Owns the cutting of a memory into passages, the pieces that are embedded and matched."""

import re
from collections.abc import Iterator
from dataclasses import dataclass

TARGET_TOKENS = 200
"""Size a passage is filled up to; below the 256 tokens the bundled model reads, title included."""

WHOLE_TOKENS = 236
"""A body up to this size stays one passage, because a short tail ranks worse than a slightly longer whole."""

TITLE_CHARS = 160
"""How much of the title is repeated before each passage."""

_LONG_SENTENCE = 60
_OVERLAP_TOKENS = 60
_TOKEN = re.compile(r"[A-Za-z]{1,9}|\d{1,3}|[^\sA-Za-z\d]")
_LINE = re.compile(r"[^\n]*\n|[^\n]+")
_FENCE = re.compile(r"\s{0,3}(```|~~~)")
_HEADING = re.compile(r"\s{0,3}#{1,6}\s")
_SENTENCE_END = re.compile(
    r"[.!?][\"')\]]*\s+"  # western sentence
    r"|[。！？；]+"  # CJK sentence
    r"|\n(?=\s*(?:[-*+]|\d{1,3}[.)])\s)"  # list item
    r"|\n(?=[^\s:][^\n:]{0,30}: )"  # a speaker's line in a conversation, a `Key: value` line
)


@dataclass(frozen=True, slots=True)
class Passage:
    """One passage. `body[start:end]` is its text in the memory's body; `text` is what is embedded and indexed."""

    ordinal: int
    start: int
    end: int
    text: str


@dataclass(frozen=True, slots=True)
class _Unit:
    """The smallest piece a passage boundary may fall between: a sentence, a line of code, a heading."""

    start: int
    end: int
    tokens: int
    opens_section: bool = False
    is_code: bool = False


def split(title: str, body: str) -> list[Passage]:
    """Cut `body` into passages of about 200 tokens that overlap by one sentence, each prefixed with `title`.

    Boundaries fall between Markdown sections, paragraphs, sentences or lines of code, in this order of preference. An
    empty body gives one passage that holds the title alone; offsets count characters of `body`.
    """
    prefix = title.strip()[:TITLE_CHARS]
    if not body.strip():
        return [Passage(0, 0, 0, prefix)] if prefix else []
    spans = _whole(body) or _pack(list(_units(body)))
    trimmed = (_trim(body, start, end) for start, end in spans)
    kept = [(start, end) for start, end in trimmed if start < end]
    return [Passage(n, start, end, _prefixed(prefix, body[start:end])) for n, (start, end) in enumerate(kept)]


def count_tokens(text: str) -> int:
    """Estimate the WordPiece tokens of `text`: words of up to nine letters, three digits, or one other sign each."""
    return len(_TOKEN.findall(text))


def _whole(body: str) -> list[tuple[int, int]]:
    # No text has more tokens than characters: most notes are settled without counting.
    if len(body) <= WHOLE_TOKENS or (len(body) <= WHOLE_TOKENS * 10 and count_tokens(body) <= WHOLE_TOKENS):
        return [(0, len(body))]
    return []


def _prefixed(prefix: str, text: str) -> str:
    repeated = text.startswith(prefix) and not text[len(prefix) : len(prefix) + 1].isalnum()
    return text if repeated or not prefix else f"{prefix}\n{text}"


def _trim(body: str, start: int, end: int) -> tuple[int, int]:
    text = body[start:end]
    lead = len(text) - len(text.lstrip())
    return start + lead, start + max(lead, len(text.rstrip()))


def _pack(units: list[_Unit]) -> list[tuple[int, int]]:
    """Fill passages with units; the last sentence of one opens the next, unless a section or code begins there."""
    spans: list[tuple[int, int]] = []
    first, total = 0, 0
    for index, unit in enumerate(units):
        full = total + unit.tokens > TARGET_TOKENS
        section = unit.opens_section and total >= TARGET_TOKENS // 2
        if index > first and (full or section):
            spans.append((units[first].start, units[index - 1].end))
            overlap = units[index - 1]
            repeat = not section and not unit.is_code and overlap.tokens <= _OVERLAP_TOKENS and index - 1 > first
            first = index - 1 if repeat else index
            total = overlap.tokens if repeat else 0
        total += unit.tokens
    spans.append((units[first].start, units[-1].end))
    return spans


def _units(body: str) -> Iterator[_Unit]:
    for start, end, is_code in _blocks(body):
        if is_code:
            yield from _lines(body, start, end, is_code=True)
        elif _HEADING.match(body, start):
            yield _Unit(start, end, count_tokens(body[start:end]), opens_section=True)
        else:
            yield from _sentences(body, start, end)


def _blocks(body: str) -> Iterator[tuple[int, int, bool]]:
    """Yield (start, end, is_code) for fenced code, headings and paragraphs."""
    start, fenced = 0, False
    for line in _LINE.finditer(body):
        if _FENCE.match(line.group()):
            cut = line.end() if fenced else line.start()
            if cut > start:
                yield start, cut, fenced
            start, fenced = cut, not fenced
        elif not fenced and _HEADING.match(line.group()):
            if line.start() > start:
                yield start, line.start(), False
            yield line.start(), line.end(), False
            start = line.end()
        elif not fenced and not line.group().strip():
            if line.end() > start:
                yield start, line.end(), False
            start = line.end()
    if start < len(body):
        yield start, len(body), fenced


def _sentences(body: str, start: int, end: int) -> Iterator[_Unit]:
    for first, last in _cut(body, start, end, _SENTENCE_END):
        tokens = count_tokens(body[first:last])
        if tokens > _LONG_SENTENCE and "\n" in body[first : last - 1]:
            yield from _lines(body, first, last, is_code=False)
        else:
            yield from _bounded(body, first, last, tokens, is_code=False)


def _lines(body: str, start: int, end: int, *, is_code: bool) -> Iterator[_Unit]:
    for line in _LINE.finditer(body, start, end):
        yield from _bounded(body, line.start(), line.end(), count_tokens(line.group()), is_code=is_code)


def _bounded(body: str, start: int, end: int, tokens: int, *, is_code: bool) -> Iterator[_Unit]:
    """Yield the piece itself, or, where it alone is longer than a passage, parts of it cut between tokens."""
    if tokens <= TARGET_TOKENS:
        yield _Unit(start, end, tokens, is_code=is_code)
        return
    ends = [match.end() for match in _TOKEN.finditer(body, start, end)]
    first = start
    for index in range(TARGET_TOKENS - 1, len(ends), TARGET_TOKENS):
        cut = _word_end(body, first, ends[index])
        yield _Unit(first, cut, count_tokens(body[first:cut]), is_code=is_code)
        first = cut
    if first < end:
        yield _Unit(first, end, count_tokens(body[first:end]), is_code=is_code)


def _word_end(body: str, first: int, cut: int) -> int:
    space = body.rfind(" ", first, cut)
    return space + 1 if space > first + (cut - first) // 2 else cut


def _cut(body: str, start: int, end: int, boundary: re.Pattern[str]) -> Iterator[tuple[int, int]]:
    first = start
    for match in boundary.finditer(body, start, end):
        yield first, match.end()
        first = match.end()
    if first < end:
        yield first, end
