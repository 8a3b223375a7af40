"""Owns what the Tantivy index looks like: fields, how a memory fills them, opening and reading one index."""

from collections.abc import Iterator, Sequence
from datetime import UTC, datetime, timedelta
from pathlib import Path
from uuid import UUID

from tantivy import Document, Index, IndexWriter, Query, Schema, SchemaBuilder

from devlore_server.search.analysis import Analyser, token_analyser
from devlore_server.search.lexical import FACETS, Key, LexicalDocument

FORMAT = 4
"""Raised whenever fields or analysis change, which makes indexes of older servers incompatible."""

TITLE_WEIGHT = 3
"""How often the title counts against the body once: BM25F's field weight (Robertson & Zaragoza 2009, 3.6), by
repetition, so that one list of postings serves both. Measured: changelog to commit, nDCG@10 .623, .645, .656 with
1, 2, 3."""

HEADLINE_CHARS = 160
"""A first line up to this long stands in for a missing title."""

EARLIEST, LATEST = -(2**62), 2**62
EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_64_BITS = 2**64 - 1
MICROSECOND = timedelta(microseconds=1)


class Opened:
    """One Tantivy index with its writer."""

    def __init__(self, schema: Schema, path: Path | None, analyser: Analyser, heap: int, *, code: bool) -> None:
        self.schema = schema
        self.has_code = code
        if path is not None:
            path.mkdir(parents=True, exist_ok=True)
        self.index = Index(schema, str(path) if path is not None else None)
        self.index.register_tokenizer("words", analyser.engine)
        self.index.register_tokenizer("tokens", token_analyser())
        self.index.config_reader(reload_policy="manual")
        self._writer: IndexWriter | None = self.index.writer(heap_size=heap, num_threads=1)

    @property
    def writer(self) -> IndexWriter:
        """The only writer. Raises ValueError once closed."""
        if self._writer is None:
            raise ValueError("the index is closed")
        return self._writer

    def commit(self) -> None:
        """Make written documents durable and let searches see them."""
        self.writer.commit()
        self.index.reload()

    def close(self) -> None:
        """Drop what is not committed; the files stay."""
        if self._writer is not None:
            self._writer.rollback()
            self._writer = None

    def top(self, query: Query, limit: int) -> list[tuple[int, int, float]]:
        """The best documents: the memory id's number (a UUID takes long to make), ordinal or version, score."""
        if limit < 1:
            return []
        searcher = self.index.searcher()
        hits = searcher.search(query, limit, count=False).hits
        addresses = [address for _, address in hits]
        columns = [searcher.fast_field_values(name, addresses) for name in ("id_high", "id_low", "number")]
        return [
            (whole(high, low), int(number or 0), float(score))
            for (score, _), high, low, number in zip(hits, *columns, strict=True)
        ]

    def versions(self, query: Query, limit: int) -> dict[Key, int]:
        """Version by key of the documents `query` finds; of the index of memories only."""
        if limit < 1:
            return {}
        searcher = self.index.searcher()
        addresses = [address for _, address in searcher.search(query, limit, count=False).hits]
        names = ("organisation_high", "organisation_low", "id_high", "id_low", "number")
        columns = [searcher.fast_field_values(name, addresses) for name in names]
        return {(halves(a, b), halves(c, d)): int(number or 0) for a, b, c, d, number in zip(*columns, strict=True)}

    def state(self, value: str) -> Query:
        """The documents that are `live`, or `gone`: tombstones."""
        return Query.const_score_query(Query.term_query(self.schema, "state", value, "basic"), 1.0)

    def total(self, *states: str) -> int:
        """Documents in any of these states, or all, as the engine weighs words by: deleted ones too, until a merge."""
        searcher = self.index.searcher()
        return sum(searcher.doc_freq("state", state) for state in states or ("live", "gone"))

    def count(self, query: Query) -> int:
        """How many documents a query finds."""
        found = self.index.searcher().search(query, 1, count=True)
        return int(found.count)  # type: ignore[attr-defined]  # missing from the stub


def memory_schema() -> Schema:
    """Fields of the index of memories."""
    builder = _common(facets=True)
    builder.add_text_field("code", tokenizer_name="tokens", index_option="freq")
    for name in ("organisation_high", "organisation_low"):
        builder.add_integer_field(name, fast=True)
    return builder.build()


def passage_schema() -> Schema:
    """Fields of the index of passages."""
    return _common(facets=False).build()


def memory_document(memory: LexicalDocument, analyser: Analyser) -> Document:
    """The whole memory; title and tags count as words.

    Each part is a value of its own: the engine leaves a gap between two, so that no phrase reaches over it.
    """
    headline = _headline(memory)
    once = [analyser.index(text) for text in (*headline[:1], memory.body, *memory.tags)]
    parts = once[:1] * (len(headline) - 1) + once if headline else once
    return Document(
        **_bounds(memory),
        **_organisation(memory.organisation),
        number=memory.version,
        state="live",
        words=[part.words for part in parts],
        code=[part.code for part in parts if part.code],
        han=[part.han for part in parts if part.han],
        han_pairs=[part.han_pairs for part in parts if part.han_pairs],
    )


def passage_documents(memory: LexicalDocument, analyser: Analyser) -> Iterator[Document]:
    """Each passage with the memory's filter fields, so that a filter never needs a join."""
    bounds = _bounds(memory)
    # The passage's own text carries the title once.
    title = f"{memory.title}\n" * (TITLE_WEIGHT - 1) if memory.title else ""
    for ordinal, text in enumerate(memory.passages):
        parts = analyser.words(title + text)
        yield Document(
            **bounds, number=ordinal, state="live", words=parts.words, han=parts.han, han_pairs=parts.han_pairs
        )


def tombstone(key: Key, version: int) -> Document:
    """What stays of a deleted memory: that this version of it is gone. No access token, so no search finds it."""
    return Document(**_identity(key), **_organisation(key[0]), number=version, state="gone")


def scope(organisation: UUID, access: str, status: str = "") -> str:
    """Who may see a memory, alone and joined with its status.

    The usual search is then bounded by one list of postings; three to intersect cost 5 ms at 100,000 memories, one 2.
    """
    return f"{organisation.hex} {access} {status}".rstrip()


def micros(moment: datetime) -> int:
    """Microseconds since 1970."""
    return (moment - EPOCH) // MICROSECOND


def _common(*, facets: bool) -> SchemaBuilder:
    builder = SchemaBuilder()
    builder.add_text_field("key", tokenizer_name="raw", index_option="basic")
    for name in ("id_high", "id_low", "number"):
        builder.add_integer_field(name, fast=True)
    for name in ("occurred", "created", "valid_from", "valid_to"):
        builder.add_integer_field(name, fast=True)
    for name in ("scope", "team", "state"):
        builder.add_text_field(name, tokenizer_name="raw", index_option="basic")
    for name in FACETS:
        builder.add_text_field(name, tokenizer_name="raw", index_option="basic", fast=facets)
    builder.add_text_field("words", tokenizer_name="words")
    builder.add_text_field("han", tokenizer_name="tokens")
    builder.add_text_field("han_pairs", tokenizer_name="tokens", index_option="freq")
    return builder


def _headline(memory: LexicalDocument) -> list[str]:
    """What to write before the body so that the title, or else the first line, counts TITLE_WEIGHT times."""
    if memory.title:
        return [memory.title] * TITLE_WEIGHT
    first, _, rest = memory.body.strip().partition("\n")
    return [first] * (TITLE_WEIGHT - 1) if rest and len(first) <= HEADLINE_CHARS else []


def joined(key: Key) -> str:
    """A key as one term."""
    organisation, id = key
    return f"{organisation.hex}{id.hex}"


def halves(high: int | float | None, low: int | float | None) -> UUID:
    """An id from the two columns that hold it."""
    return UUID(int=whole(high, low))


def whole(high: int | float | None, low: int | float | None) -> int:
    """An id's number from the two columns that hold it."""
    return (int(high or 0) & _64_BITS) << 64 | int(low or 0) & _64_BITS


def _identity(key: Key) -> dict[str, str | int]:
    id = key[1].int
    return {"key": joined(key), "id_high": _signed(id >> 64), "id_low": _signed(id & _64_BITS)}


def _organisation(id: UUID) -> dict[str, str | int]:
    return {"organisation_high": _signed(id.int >> 64), "organisation_low": _signed(id.int & _64_BITS)}


def _bounds(memory: LexicalDocument) -> dict[str, str | int | Sequence[str]]:
    """The fields that filters look at. Missing values are left out, open ends of validity are extremes."""
    fields: dict[str, str | int | Sequence[str] | None] = {
        **_identity((memory.organisation, memory.id)),
        "scope": [scope(memory.organisation, memory.access), scope(memory.organisation, memory.access, memory.status)],
        "kind": memory.kind,
        "status": memory.status,
        "privacy": memory.privacy,
        "project": memory.project,
        "tag": list(memory.tags),
        "author": list(memory.authors),
        "team": memory.team.hex if memory.team else None,
        "source": memory.source,
        "occurred": micros(memory.occurred_at),
        "created": micros(memory.created_at),
        "valid_from": micros(memory.valid_from) if memory.valid_from else EARLIEST,
        "valid_to": micros(memory.valid_to) if memory.valid_to else LATEST,
    }
    return {name: value for name, value in fields.items() if value is not None and value != []}


def _signed(half: int) -> int:
    """Half an id as the engine's signed integer."""
    return half - 2**64 if half >> 63 else half
