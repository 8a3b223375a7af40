"""HTTP face of a memory's status: superseded, invalidated, reinstated."""

from __future__ import annotations

from typing import Annotated, Any
from uuid import UUID

from fastapi import Body, Path, Response

from devlore.problems import Conflict, NotFound
from devlore.types import Memory, StatusChange, Supersession
from devlore_server.kit.http import Router, Who, encoded, problems, requires
from devlore_server.memory.api.preconditions import ETAG_HEADER, etag
from devlore_server.memory.api.waiting import INDEXED_HEADER, Wait, indexed
from devlore_server.memory.lifecycle import Lifecycle
from devlore_server.ports import Indexing

_Id = Annotated[UUID, Path(description="The memory's id.")]
_Supersession = Annotated[
    Supersession,
    Body(examples=[{"by": "0199aa00-0000-7000-8000-000000000002", "reason": "We moved to PostgreSQL 18."}]),
]
_RESPONSES: dict[int | str, dict[str, Any]] = {
    200: {"description": "The memory as it is now.", "headers": ETAG_HEADER | INDEXED_HEADER},
    **problems(NotFound, Conflict),
}
_Change = Annotated[StatusChange, Body(examples=[{"reason": "The benchmark measured the cache."}])]


def router(lifecycle: Lifecycle, indexing: Indexing | None) -> Router:
    """Routes that say whether a memory holds."""
    routes = Router(tags=["memories"], dependencies=[requires("memories:write")])

    async def changed(memory: Memory, wait: str | None) -> Response:
        return encoded(memory, headers=etag(memory) | await indexed(indexing, wait))

    @routes.post(
        "/v1/memories/{id}/supersede",
        operation_id="supersede_memory",
        summary="Say that another memory replaces this one",
        description="Status, validity, successor and a `supersedes` link change in one transaction. "
        "Repeating it changes nothing.",
        response_model=Memory,
        responses=_RESPONSES,
    )
    async def supersede(principal: Who, id: _Id, asked: _Supersession, wait: Wait = None) -> Response:
        return await changed(await lifecycle.supersede(principal, id, asked.by, asked.reason), wait)

    @routes.post(
        "/v1/memories/{id}/invalidate",
        operation_id="invalidate_memory",
        summary="Say that a memory was wrong",
        description="It stays readable, and search leaves it out unless asked for it.",
        response_model=Memory,
        responses=_RESPONSES,
    )
    async def invalidate(principal: Who, id: _Id, asked: _Change, wait: Wait = None) -> Response:
        return await changed(await lifecycle.invalidate(principal, id, asked.reason), wait)

    @routes.post(
        "/v1/memories/{id}/reinstate",
        operation_id="reinstate_memory",
        summary="Say that a memory holds after all",
        description="Undoes `supersede` and `invalidate`; the history keeps both.",
        response_model=Memory,
        responses=_RESPONSES,
    )
    async def reinstate(principal: Who, id: _Id, asked: _Change, wait: Wait = None) -> Response:
        return await changed(await lifecycle.reinstate(principal, id, asked.reason), wait)

    return routes
