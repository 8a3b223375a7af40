"""Owns the embedded lexical index: two Tantivy indexes, one of memories and one of their passages."""

import json
import threading
from collections.abc import Collection, Mapping, Sequence
from importlib.metadata import version
from itertools import islice
from pathlib import Path
from typing import Self
from uuid import UUID

from tantivy import Occur, Query

from devlore_server.search.analysis import Analyser
from devlore_server.search.backends.tantivy_query import Clauses, Words, key_term
from devlore_server.search.backends.tantivy_schema import (
    FORMAT,
    Opened,
    joined,
    memory_document,
    memory_schema,
    passage_documents,
    passage_schema,
    tombstone,
)
from devlore_server.search.lexical import (
    FACETS,
    IndexCorrupted,
    IndexIncompatible,
    Key,
    LexicalDocument,
    LexicalMatches,
    LexicalQuery,
    Match,
)

WRITER_HEAP = 15_000_000
"""Bytes each of the two writers may fill before it flushes a segment: Tantivy's least, so that memory stays small."""

PASSAGES_PER_MEMORY = 3
"""How many passages are fetched for each memory asked for, since several may belong to one memory."""

_STAMP = "format.json"


class TantivyIndex:
    """The lexical index of this process (LexicalIndex). One writer; searches run beside it from any thread.

    BM25 (Robertson & Zaragoza 2009; k1 1.2, b 0.75 are the engine's) in two arms: whole memories, and passages pooled
    by their best score. No text is stored: a hit is an id, the row in PostgreSQL is the truth.
    """

    def __init__(self, path: Path | None, language: str = "english") -> None:
        self._analyser = Analyser(language)
        self._lock = threading.Lock()
        self._pending: dict[Key, int] = {}
        self._memories = Opened(memory_schema(), path and path / "memories", self._analyser, WRITER_HEAP, code=True)
        self._passages = Opened(passage_schema(), path and path / "passages", self._analyser, WRITER_HEAP, code=False)

    @classmethod
    def open(cls, path: Path, language: str = "english") -> Self:
        """Open the index in folder `path`, or begin an empty one where there is none.

        Raises IndexIncompatible where it was written in another format, IndexCorrupted where files are damaged.
        """
        stamp = {"format": FORMAT, "language": language, "engine": version("tantivy").split(".")[:2]}
        empty = not path.exists() or not any(path.iterdir())
        if not empty:
            _check(path / _STAMP, stamp)
        path.mkdir(parents=True, exist_ok=True)
        try:
            index = cls(path, language)
        except (ValueError, OSError) as error:
            raise IndexCorrupted(f"the lexical index in {path} does not open: {error}") from error
        if empty:
            _write(path / _STAMP, stamp)
        return index

    @classmethod
    def in_memory(cls, language: str = "english") -> Self:
        """Begin an empty index that lives as long as the object."""
        return cls(None, language)

    def upsert(self, documents: Sequence[LexicalDocument]) -> int:
        """Store the documents that are newer than what is held, tombstones included; return how many were."""
        newest: dict[Key, LexicalDocument] = {}
        for document in documents:
            key = (document.organisation, document.id)
            held = newest.get(key)
            if held is None or held.version < document.version:
                newest[key] = document
        with self._lock:
            known = self._versions(newest)
            fresh = {key: d for key, d in newest.items() if d.version > known.get(key, -1)}
            for key, document in fresh.items():
                self._forget(key)
                self._memories.writer.add_document(memory_document(document, self._analyser))
                for passage in passage_documents(document, self._analyser):
                    self._passages.writer.add_document(passage)
                self._pending[key] = document.version
        return len(fresh)

    def delete(self, versions: Mapping[Key, int]) -> int:
        """Replace memories by tombstones of these versions, where they are newer than what is held."""
        with self._lock:
            known = self._versions(versions)
            fresh = {key: version for key, version in versions.items() if version > known.get(key, -1)}
            for key, version in fresh.items():
                self._forget(key)
                self._memories.writer.add_document(tombstone(key, version))
                self._pending[key] = version
        return len(fresh)

    def purge(self, keys: Collection[Key]) -> None:
        """Remove memories and tombstones. Nothing then holds back an older upsert: for what will never come again."""
        with self._lock:
            for key in keys:
                self._forget(key)
                self._pending[key] = -1

    def commit(self) -> None:
        """Make what was written durable and searchable.

        Passages go first: after a crash between the two commits the memory's version is not yet known, so the replayed
        event writes both again.
        """
        with self._lock:
            try:
                self._passages.commit()
                self._memories.commit()
            except (ValueError, OSError) as error:
                # The engine's writer is of no use after that, whether files are gone or the disk is full.
                raise IndexCorrupted(f"the lexical index cannot be written: {error}") from error
            self._pending.clear()

    def search(self, query: LexicalQuery, limit: int) -> LexicalMatches:
        """Find the best `limit` memories by each arm. A query without words finds by filters alone, scored 0."""
        clauses = self._clauses(query)
        if clauses.hold_nothing(self._memories):
            return LexicalMatches((), ())
        words = Words(self._analyser.query(query.text))
        scored = words.scored(self._memories, clauses.seen(self._memories), wide=clauses.wide)
        whole = self._memories.top(clauses.query(self._memories, scored.query), limit)
        memories = [Match(UUID(int=id), score) for id, _, score in whole]
        part = words.scored(self._passages, clauses.seen(self._passages), wide=clauses.wide)
        parts = self._passages.top(clauses.bare().query(self._passages, part.query), limit * PASSAGES_PER_MEMORY)
        best: dict[int, tuple[int, float]] = {}
        for id, ordinal, score in parts:
            best.setdefault(id, (ordinal, score))
        # A phrase may span two passages, an excluded word may stand in another: the memory decides.
        if query.phrases or query.excluded:
            allowed = self.matching(query, [UUID(int=id) for id in best])
            best = {id: found for id, found in best.items() if UUID(int=id) in allowed}
        passages = [Match(UUID(int=id), score, ordinal) for id, (ordinal, score) in islice(best.items(), limit)]
        return LexicalMatches(memories, passages, scored.ceiling, part.ceiling)

    def matching(self, query: LexicalQuery, ids: Collection[UUID]) -> set[UUID]:
        """The ids among `ids` within filters, access, phrases and exclusions, whether or not a word matches."""
        if not ids:
            return set()
        bound = Query.boolean_query(
            [
                (Occur.Must, self._clauses(query).query(self._memories, None)),
                (Occur.Must, key_term(self._memories, [(query.organisation, id) for id in ids])),
            ]
        )
        return {UUID(int=id) for id, *_ in self._memories.top(bound, len(ids))}

    def facets(self, query: LexicalQuery, names: Collection[str], size: int = 20) -> dict[str, dict[str, int]]:
        """Count the lexical hits of `query` by each named facet, most frequent first."""
        wanted = [name for name in names if name in FACETS]
        if not wanted:
            return {}
        hits = self._clauses(query).query(
            self._memories, Words(self._analyser.query(query.text)).scored(self._memories).query
        )
        asked = {name: {"terms": {"field": name, "size": size}} for name in wanted}
        counted = self._memories.index.searcher().aggregate(hits, asked)
        return {name: {b["key"]: b["doc_count"] for b in counted[name]["buckets"]} for name in wanted}

    def count(self) -> int:
        """How many memories are searchable, tombstones left out."""
        return self._memories.count(self._memories.state("live"))

    def contents(self) -> dict[Key, int]:
        """Every searchable memory, of all organisations, with its version."""
        live = self._memories.state("live")
        return self._memories.versions(live, self._memories.count(live))

    def close(self) -> None:
        """Drop what is not committed and release the writers' threads."""
        with self._lock:
            self._memories.close()
            self._passages.close()

    def _clauses(self, query: LexicalQuery) -> Clauses:
        return Clauses(query, self._analyser)

    def _forget(self, key: Key) -> None:
        for opened in (self._memories, self._passages):
            opened.writer.delete_documents_by_term("key", joined(key))

    def _versions(self, keys: Collection[Key]) -> dict[Key, int]:
        known = self._memories.versions(key_term(self._memories, keys), len(keys))
        return known | {key: self._pending[key] for key in keys if key in self._pending}


def _check(stamp: Path, wanted: Mapping[str, object]) -> None:
    try:
        found = json.loads(stamp.read_text())
    except (OSError, ValueError) as error:
        raise IndexCorrupted(f"{stamp} is missing or damaged: {error}") from error
    if found != wanted:
        raise IndexIncompatible(
            f"the lexical index in {stamp.parent} is of format {found}, this server writes {wanted}"
        )


def _write(stamp: Path, content: Mapping[str, object]) -> None:
    # Renamed into place, so that a crash leaves a whole stamp or none.
    half = stamp.with_suffix(".tmp")
    half.write_text(json.dumps(content))
    half.replace(stamp)
