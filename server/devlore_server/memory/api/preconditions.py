"""Preconditions of a change to a memory: its version is its entity tag."""

from __future__ import annotations

from devlore.types import Memory, Status
from devlore_server.kit.http import preconditions
from devlore_server.kit.http.preconditions import ETAG_HEADER, IfMatch, IfNoneMatch, expected

__all__ = ["ETAG_HEADER", "IfMatch", "IfNoneMatch", "etag", "expected", "unchanged"]


def etag(memory: Memory) -> dict[str, str]:
    """The header that names a memory's version."""
    return preconditions.etag(memory.version)


def unchanged(if_none_match: str | None, memory: Memory) -> bool:
    """Whether the caller has this version of a memory already, as they would be told it now."""
    # Who may see what replaced it changes without a version of it.
    return memory.status is not Status.SUPERSEDED and preconditions.unchanged(if_none_match, memory.version)
