"""Owns the place in a search where its next page begins, and how a cursor says it."""

import hashlib
from base64 import b64decode, b64encode
from collections.abc import Iterable
from dataclasses import dataclass, replace
from datetime import datetime
from typing import Any
from uuid import UUID

from devlore.problems import BadCursor

RANKED = 500
"""How many hits of a ranking can be paged through; the legs' depth mostly ends it sooner."""

_MARK = 4
Listed = tuple[datetime, UUID]
"""When a memory was created, and its id: its place in a listing."""


@dataclass(frozen=True, slots=True)
class Place:
    """Where to go on.

    `moment` is when the first page was asked for, so that `after:7d` and recency mean the same on every page. A ranking
    shifts while memories are written, so what was `shown` is left out rather than counted; it is kept as short marks.
    A listing goes on `behind` its last memory.
    """

    moment: datetime
    shown: frozenset[bytes] = frozenset()
    behind: Listed | None = None

    def was_shown(self, id: UUID) -> bool:
        """Whether an earlier page had this memory."""
        return bool(self.shown) and _mark(id) in self.shown

    def after(self, ids: Iterable[UUID]) -> "Place | None":
        """The place behind a page of a ranking; None where it cannot be paged further."""
        shown = self.shown | {_mark(id) for id in ids}
        return replace(self, shown=shown) if len(shown) < RANKED else None

    def key(self) -> list[Any]:
        """The place as JSON values, for a cursor."""
        behind = [self.behind[0].isoformat(), str(self.behind[1])] if self.behind else None
        return [self.moment.isoformat(), b64encode(b"".join(sorted(self.shown))).decode(), behind]


def read_place(key: list[Any]) -> Place:
    """The place of a cursor's key. Raises BadCursor for the key of another server version."""
    try:
        moment, marks, behind = key
        raw = b64decode(marks)
        shown = frozenset(raw[at : at + _MARK] for at in range(0, len(raw), _MARK))
        listed = (datetime.fromisoformat(behind[0]), UUID(behind[1])) if behind else None
        return Place(datetime.fromisoformat(moment), shown, listed)
    except (ValueError, TypeError, IndexError) as error:
        raise BadCursor from error


def _mark(id: UUID) -> bytes:
    # Two hits of one search share a mark once in forty million; the second would then be missing.
    return hashlib.blake2b(id.bytes, digest_size=_MARK).digest()
