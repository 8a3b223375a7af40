"""Owns the comparison of the rows with each index: what is missing, what is too much, what is out of date."""

from collections.abc import Mapping
from typing import Any
from uuid import UUID

from devlore.types import CheckResult
from devlore_server.ports import Memories
from devlore_server.search.documents import change_of
from devlore_server.search.lexical import Key

NAMED = 20
"""Ids named of each kind of difference."""
_PAGE = 1_000

Versions = dict[Key, int]


async def row_versions(memories: Memories) -> Versions:
    """The version of every memory that belongs into the indexes."""
    versions: Versions = {}
    after: tuple[UUID, UUID] | None = None
    while page := await memories.scan(after, _PAGE):
        after = (page[-1].organisation_id, page[-1].id)
        versions |= {
            (memory.organisation_id, memory.id): memory.version
            for memory in page
            if change_of(memory).memory is not None
        }
    return versions


def compare(name: str, rows: Versions, held: Mapping[Key, int] | None, incomplete: list[UUID]) -> dict[str, Any]:
    """One index against the rows; `held` None where the index cannot be read."""
    if held is None:
        return {"name": name, "clean": False, "documents": 0, "problem": "unavailable"}
    different = {
        "missing": [id for _, id in rows.keys() - held.keys()],
        "extra": [id for _, id in held.keys() - rows.keys()],
        "outdated": [key[1] for key, version in rows.items() if held.get(key, version) != version],
        "incomplete": incomplete,
    }
    named = {kind: [str(id) for id in sorted(ids)[:NAMED]] for kind, ids in different.items() if ids}
    counts = {f"{kind}_count": len(ids) for kind, ids in different.items() if ids}
    return {"name": name, "clean": not named, "documents": len(held), **named, **counts}


def judged(rows: Versions, indexes: list[dict[str, Any]], behind: Mapping[str, tuple[int, int]]) -> CheckResult:
    """The whole answer, in sentences too; `behind` has events not yet applied, and set aside, per index."""
    problems: list[str] = []
    for index in indexes:
        name = index["name"]
        waiting, parked = behind.get(name, (0, 0))
        if index.get("problem"):
            problems.append(f"{name}: the index cannot be read; it is being built again, or see `devlore status`.")
        for kind in ("missing", "extra", "outdated", "incomplete"):
            if count := index.get(f"{kind}_count"):
                hint = f" ({waiting} events still to apply)" if waiting else "; run: devlore rebuild search"
                problems.append(f"{name}: {count} memories {kind}{hint}")
        if parked:
            problems.append(f"{name}: {parked} events could not be applied and are set aside.")
    return CheckResult(clean=not problems, memories=len(rows), indexes=indexes, problems=problems)
