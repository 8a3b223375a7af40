"""Reading your own writes: ``?wait=indexed`` holds the answer until search has caught up, or says that it has not."""

from __future__ import annotations

from typing import Annotated, Literal

from fastapi import Query

from devlore_server.ports import Indexing

LONGEST = 10.0
"""Seconds after which a waiting caller is answered anyway."""

Wait = Annotated[
    Literal["indexed"] | None,
    Query(description="`indexed`: answer when search has caught up, at most 10 s later; see `Devlore-Indexed`."),
]

INDEXED_HEADER = {
    "Devlore-Indexed": {
        "description": "With `wait=indexed`: whether every index caught up in time; if not, which did not.",
        "schema": {"type": "string"},
        "example": "true",
    }
}


async def indexed(indexing: Indexing | None, wait: str | None) -> dict[str, str]:
    """The header that says whether search has caught up; waits for it when the caller asked."""
    if wait is None:
        return {}
    if indexing is None:
        return {"Devlore-Indexed": "false; search"}
    behind = await indexing.wait(LONGEST)
    return {"Devlore-Indexed": "; ".join(["false", *behind]) if behind else "true"}
