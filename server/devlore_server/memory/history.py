"""What a memory was: its versions, and the difference between two of them."""

from __future__ import annotations

import difflib
from uuid import UUID

from devlore.problems import NotFound
from devlore.types import Diff, FieldChange, Memory, Version
from devlore_server.kit.auth import Principal
from devlore_server.kit.db import Connection, Database
from devlore_server.memory.store import versions

_COMPARED = (
    "title",
    "kind",
    "project",
    "tags",
    "privacy",
    "team_id",
    "status",
    "status_reason",
    "valid_from",
    "valid_to",
    "superseded_by",
    "occurred_at",
    "importance",
    "pinned",
    "source",
    "deleted_at",
)
"""Every field a diff reports besides the body; the rest changes with each version by itself."""


class History:
    """Reads versions; a deleted memory still has its history, one the caller may not see has none.

    Of a memory that was private before it was published, others see the versions from then on (row-level security).
    """

    def __init__(self, database: Database) -> None:
        self._database = database

    async def versions(self, who: Principal, id: UUID, limit: int, below: int | None = None) -> list[Version]:
        """Versions newest first, the current one included, from below version ``below``. Raises ``NotFound``."""
        async with self._database.transaction(who) as connection:
            current = await _current(connection, who, id)
            listed = [current] if below is None or current.version < below else []
            listed += await versions.past(connection, who, id, below=below, limit=limit - len(listed))
        return listed

    async def version(self, who: Principal, id: UUID, version: int) -> Version:
        """One version. Raises ``NotFound``."""
        async with self._database.transaction(who) as connection:
            current = await _current(connection, who, id)
            return await _at(connection, who, current, version)

    async def diff(self, who: Principal, id: UUID, old: int | None, new: int | None) -> Diff:
        """What changed from version ``old`` (default: the last before ``new``) to ``new`` (default: the current one).

        Raises ``NotFound`` for a version that does not exist. The first version differs from nothing: comparing it
        with its predecessor gives an empty diff. So does the oldest that was imported, or that the caller may see.
        """
        async with self._database.transaction(who) as connection:
            current = await _current(connection, who, id)
            newer = await _at(connection, who, current, current.version if new is None else new)
            if old is None:
                before = await versions.past(connection, who, id, below=newer.version, limit=1)
                older = before[0] if before else newer
            else:
                older = await _at(connection, who, current, old)
        return compare(older.memory, newer.memory)


def compare(old: Memory, new: Memory) -> Diff:
    """The changed fields and a unified diff of the bodies, three lines of context."""
    changes = [
        FieldChange(field=name, old=getattr(old, name), new=getattr(new, name))
        for name in _COMPARED
        if getattr(old, name) != getattr(new, name)
    ]
    lines = difflib.unified_diff(
        old.body.splitlines(), new.body.splitlines(), f"version {old.version}", f"version {new.version}", lineterm=""
    )
    return Diff(
        memory_id=new.id, old_version=old.version, new_version=new.version, fields=changes, body="\n".join(lines)
    )


async def _current(connection: Connection, who: Principal, id: UUID) -> Version:
    found = await versions.current(connection, who, id)
    if found is None:
        raise NotFound
    return found


async def _at(connection: Connection, who: Principal, current: Version, version: int) -> Version:
    if version == current.version:
        return current
    found = await versions.find(connection, who, current.memory_id, version)
    if found is None:
        raise NotFound(f"This memory has no version {version}.")
    return found
