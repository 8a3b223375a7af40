"""Owns the embedded index as the service uses it: Tantivy with exclusion by field and listings, newest first."""

from collections.abc import Sequence
from uuid import UUID

from tantivy import Occur, Order, Query

from devlore_server.search.backends.tantivy import TantivyIndex
from devlore_server.search.backends.tantivy_query import Clauses, Words
from devlore_server.search.backends.tantivy_schema import Opened
from devlore_server.search.bounded import BoundedQuery
from devlore_server.search.lexical import Filters, LexicalQuery

_64_BITS = 2**64 - 1
_NAMES = ("kind", "project", "tag", "author", "source", "privacy", "status")


class ListingTantivy(TantivyIndex):
    """The embedded index of one process (ListingIndex)."""

    def newest(self, query: LexicalQuery, limit: int) -> Sequence[UUID]:
        """The `limit` memories within the bounds that were created last, newest first; ties by id."""
        bounds = self._clauses(query).query(self._memories, None)
        searcher = self._memories.index.searcher()
        hits = searcher.search(bounds, limit, count=False, order_by_field="created", order=Order.Desc).hits
        addresses = [address for _, address in hits]
        high, low = (searcher.fast_field_values(name, addresses) for name in ("id_high", "id_low"))
        halves = ((int(a or 0) & _64_BITS, int(b or 0) & _64_BITS) for a, b in zip(high, low, strict=True))
        found = [(created, UUID(int=a << 64 | b)) for (created, _), (a, b) in zip(hits, halves, strict=True)]
        return [id for _, id in sorted(found, reverse=True)]

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
