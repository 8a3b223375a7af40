"""Owns the embedded index as the service uses it: Tantivy with exclusion by field and listings, newest first."""

from collections.abc import Sequence
from dataclasses import replace
from uuid import UUID

from tantivy import Occur, Order, Query

from devlore_server.search.backends.tantivy import TantivyIndex
from devlore_server.search.backends.tantivy_query import Clauses, Words
from devlore_server.search.backends.tantivy_schema import EPOCH, MICROSECOND, Opened, halves
from devlore_server.search.bounded import BoundedQuery
from devlore_server.search.lexical import Filters, LexicalQuery
from devlore_server.search.place import Listed

_NAMES = ("kind", "project", "tag", "author", "source", "privacy", "status")


class ListingTantivy(TantivyIndex):
    """The embedded index of one process (ListingIndex)."""

    def newest(self, query: LexicalQuery, limit: int, behind: Listed | None = None) -> Sequence[Listed]:
        """The `limit` memories within the bounds that were created last, newest first, then by id; only those `behind`
        a place of the same order."""
        if behind is not None:
            query = replace(query, filters=replace(query.filters, created=(None, behind[0] + MICROSECOND)))
        wanted = limit
        while True:
            listed = self._latest(query, wanted)
            kept = [place for place in listed if behind is None or place < behind]
            if len(kept) >= limit or len(listed) < wanted:
                return kept[:limit]
            # What one import brought has one moment: more of it was listed before than is asked for now.
            wanted *= 4

    def _latest(self, query: LexicalQuery, limit: int) -> list[Listed]:
        """At least `limit` places, complete down to the last one's moment, so that the order of ids holds in it."""
        found = self._places(query, limit)
        if len(found) == limit and found:
            last = min(found)[0]
            every = replace(query, filters=replace(query.filters, created=(last, last + MICROSECOND)))
            found |= self._places(every, self._memories.index.searcher().num_docs)
        return sorted(found, reverse=True)

    def _places(self, query: LexicalQuery, limit: int) -> set[Listed]:
        bounds = self._clauses(query).query(self._memories, None)
        searcher = self._memories.index.searcher()
        hits = searcher.search(bounds, limit, count=False, order_by_field="created", order=Order.Desc).hits
        addresses = [address for _, address in hits]
        columns = [searcher.fast_field_values(name, addresses) for name in ("created", "id_high", "id_low")]
        return {
            (EPOCH + int(created or 0) * MICROSECOND, halves(high, low))
            for created, high, low in zip(*columns, strict=True)
        }

    def _clauses(self, query: LexicalQuery) -> Clauses:
        if isinstance(query, BoundedQuery) and any(_values(query.without)):
            return _Bounded(query, self._analyser)
        return Clauses(query, self._analyser)


class _Bounded(Clauses):
    """Clauses that also exclude values."""

    __slots__ = ()

    def query(self, opened: Opened, words: "Words | Query | None") -> Query:
        """All bounds but the unwanted values."""
        assert isinstance(self.asked, BoundedQuery)
        clauses = [(Occur.Must, super().query(opened, words))]  # type: ignore[arg-type]
        for name, values in _values(self.asked.without):
            clauses.append((Occur.MustNot, Query.term_set_query(opened.schema, name, list(values))))
        return Query.boolean_query(clauses)


def _values(filters: Filters) -> list[tuple[str, Sequence[str]]]:
    named: list[tuple[str, Sequence[str]]] = [(name, list(getattr(filters, name))) for name in _NAMES]
    named.append(("team", [UUID(team).hex for team in filters.team]))
    return [(name, values) for name, values in named if values]
