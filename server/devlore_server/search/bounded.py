"""Owns what a search asks of a lexical index besides the port: exclusion by field, and a listing without words."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol

from devlore_server.search.lexical import Filters, LexicalIndex, LexicalQuery
from devlore_server.search.place import Listed

NO_FILTERS = Filters()


@dataclass(frozen=True, slots=True)
class BoundedQuery(LexicalQuery):
    """A lexical query whose hits carry none of the values in `without`."""

    without: Filters = NO_FILTERS


class ListingIndex(LexicalIndex, Protocol):
    """A lexical index that reads bounded queries wherever it reads queries, and lists without words."""

    def newest(self, query: LexicalQuery, limit: int, behind: Listed | None = None) -> Sequence[Listed]:
        """The `limit` memories within the bounds that were created last, newest first, then by id; only those `behind`
        a place of the same order."""
