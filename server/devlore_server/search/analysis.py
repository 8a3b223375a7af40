"""Owns the analysis of text: what the lexical index holds of a text, and which terms a query looks for."""

import re
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, field, replace
from functools import lru_cache

from tantivy import Filter, TextAnalyzer, TextAnalyzerBuilder, Tokenizer

_STOPPED = """a about an and are as at be been but by can could did do does for from had has have how i if in into is it
its me my no not of on or our she he so such that the their them then there these they this to us was we were what when
where which who why will with would you your"""

STOP_WORDS = frozenset(_STOPPED.split())
"""Left out of free-text queries, not of the index: a quoted phrase still finds them."""

_HAN = "\u3040-\u30ff\u3400-\u4dbf\u4e00-\u9fff\uac00-\ud7af\uf900-\ufaff\uff66-\uff9f\U00020000-\U0002fa1f"
_HAN_RUN = re.compile(f"[{_HAN}]+")
# Beginning only where a run begins keeps both linear: a run of 30,000 letters took 90 seconds.
_CAMEL = re.compile(r"(?<![A-Za-z0-9])(?:[A-Za-z0-9]*[a-z0-9][A-Z][A-Za-z0-9]*|[A-Z]{2,}[a-z][A-Za-z0-9]*)")
_CAMEL_PARTS = re.compile(r"[A-Z]+(?![a-z])|[A-Z]?[a-z]+|\d+")
_COMPOUND = re.compile(
    r"(?<![A-Za-z0-9_])(?:[A-Za-z0-9_]+(?:(?:[./\\:#@-]|::|->)[A-Za-z0-9_]+)+|[A-Za-z0-9]*_[A-Za-z0-9_]+)"
)
_LINE_NUMBER = re.compile(r":\d+(?::\d+)?$")
_HASH = re.compile(r"\b(?=[0-9a-f]*\d)(?=\d*[a-f])[0-9a-f]{7,64}\b")
_HASH_PREFIXES = (7, 8, 10, 12)
_MAX_COMPOUND = 120
_LAST_QUERIES = 8


@dataclass(frozen=True, slots=True)
class IndexedText:
    """A text as the index's fields take it, each a string of tokens separated by spaces.

    `words` is split and stemmed by the engine; `code` are identifiers, paths and hashes whole; `han` and
    `han_pairs` are CJK characters and pairs of them.
    """

    words: str
    code: str
    han: str
    han_pairs: str


@dataclass(frozen=True, slots=True)
class QueryTerms:
    """The terms of a query with how often each occurs, per field of the index."""

    words: Counter[str] = field(default_factory=Counter)
    code: Counter[str] = field(default_factory=Counter)
    han: Counter[str] = field(default_factory=Counter)
    han_pairs: Counter[str] = field(default_factory=Counter)

    def __bool__(self) -> bool:
        return bool(self.words or self.code or self.han)


class Analyser:
    """Analyses texts and queries of one natural language alike, so that what is stored can be found.

    `language` names a Snowball stemmer (Porter 2001); code and CJK text are treated the same in every language.
    """

    def __init__(self, language: str = "english") -> None:
        self.language = language
        self.engine = word_analyser(language)
        """The same steps for the engine's own use, registered with the index."""
        stopped = STOP_WORDS if language == "english" else ()
        self._stopped = frozenset(stem for word in stopped for stem in self.engine.analyze(word))
        # One search looks at its text several times: for its legs and for its highlights.
        self._query = lru_cache(_LAST_QUERIES)(self._analysed)

    def index(self, text: str) -> IndexedText:
        """Analyse a text to be stored."""
        if text.isascii():
            return IndexedText(_with_camel_parts(text), " ".join(_compounds(text)), "", "")
        runs = _HAN_RUN.findall(text)
        latin = _HAN_RUN.sub(" ", text) if runs else text
        han = " ".join(" ".join(run) for run in runs)
        pairs = " ".join(" ".join(_pairs(run)) for run in runs)
        return IndexedText(_with_camel_parts(latin), " ".join(_compounds(latin)), han, pairs)

    def words(self, text: str) -> IndexedText:
        """Analyse a text whose identifiers are not wanted whole: half the work, for passages."""
        if text.isascii():
            return IndexedText(_with_camel_parts(text), "", "", "")
        return replace(self.index(text), code="")

    def query(self, text: str) -> QueryTerms:
        """Analyse free text to be searched for. Stop words are left out unless the query has no other word."""
        return self._query(text)

    def _analysed(self, text: str) -> QueryTerms:
        parts = self.index(text)
        found = self.engine.analyze(parts.words)
        words = Counter(word for word in found if word not in self._stopped)
        if not words and not parts.han:
            words = Counter(found)
        return QueryTerms(
            words, Counter(parts.code.split()), Counter(parts.han.split()), Counter(parts.han_pairs.split())
        )

    def phrase(self, text: str) -> tuple[list[str], list[str]]:
        """Analyse a quoted phrase into its stemmed words and its CJK characters, in order, stop words included."""
        runs = _HAN_RUN.findall(text)
        latin = _HAN_RUN.sub(" ", text)
        return self.engine.analyze(_with_camel_parts(latin)), list("".join(runs))


def word_analyser(language: str) -> TextAnalyzer:
    """Build the engine's chain for words: split at what is no letter or digit, fold accents and case, stem."""
    chain = TextAnalyzerBuilder(Tokenizer.simple()).filter(Filter.remove_long(60)).filter(Filter.lowercase())
    return chain.filter(Filter.ascii_fold()).filter(Filter.stemmer(language)).build()


def token_analyser() -> TextAnalyzer:
    """Build the engine's chain for fields whose tokens were made here."""
    return TextAnalyzerBuilder(Tokenizer.whitespace()).build()


def _with_camel_parts(text: str) -> str:
    """Write the parts of each camelCase word after it: `getUserName` is found as itself, as `user` and as `name`."""
    return _CAMEL.sub(_camel_and_parts, text)


def _camel_and_parts(match: re.Match[str]) -> str:
    word = match.group()
    return f"{word} {' '.join(_CAMEL_PARTS.findall(word))}"


def _compounds(text: str) -> Iterator[str]:
    """Yield identifiers, paths and references whole, lower case, and what people also call them by."""
    for match in _COMPOUND.finditer(text):
        whole = match.group().lower()
        if len(whole) > _MAX_COMPOUND:
            continue
        yield whole
        bare = _LINE_NUMBER.sub("", whole)
        if bare != whole:
            yield bare
        if "/" in bare:
            yield bare.rsplit("/", 1)[1]
    for match in _HASH.finditer(text):
        whole = match.group()
        yield whole
        yield from (whole[:length] for length in _HASH_PREFIXES if length < len(whole))


def _pairs(run: str) -> Iterator[str]:
    return (run[i : i + 2] for i in range(len(run) - 1))
