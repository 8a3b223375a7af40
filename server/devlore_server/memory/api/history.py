"""HTTP face of versions and diffs."""

from __future__ import annotations

from typing import Annotated
from uuid import UUID

from fastapi import Path, Query, Response

from devlore.problems import BadCursor, NotFound
from devlore.types import Diff, Page, Version
from devlore_server.kit.http import Router, Who, encoded, problems, requires
from devlore_server.kit.paging import Paging, listing
from devlore_server.memory.history import History

_Id = Annotated[UUID, Path(description="The memory's id.")]
_Number = Annotated[int, Path(ge=1, le=2**31 - 1, description="The version's number, from 1.")]
_Optional = Annotated[int | None, Query(ge=1, le=2**31 - 1)]


def router(history: History, paging: Paging) -> Router:
    """Routes under ``/v1/memories/{id}`` that read the past."""
    routes = Router(tags=["memories"], dependencies=[requires("memories:read")])

    @routes.get(
        "/v1/memories/{id}/versions",
        operation_id="list_versions",
        summary="List the versions of a memory",
        description="Newest first, the current one included. A deleted memory still answers.",
        response_model=Page[Version],
        responses=problems(NotFound, BadCursor),
    )
    async def list_versions(
        principal: Who, id: _Id, limit: Annotated[int, Query(ge=1, le=200)] = 50, cursor: str | None = None
    ) -> Response:
        name = listing("versions", id=id)
        below = int(paging.decode(name, cursor)[0]) if cursor is not None else None
        found = await history.versions(principal, id, limit + 1, below)
        following = paging.encode(name, [found[limit - 1].version]) if len(found) > limit else None
        return encoded(Page[Version].model_construct(items=found[:limit], next=following))

    @routes.get(
        "/v1/memories/{id}/versions/{version}",
        operation_id="get_version",
        summary="Read one version of a memory",
        description="The whole memory as it was then, who made it so, and why.",
        response_model=Version,
        responses=problems(NotFound),
    )
    async def get_version(principal: Who, id: _Id, version: _Number) -> Response:
        return encoded(await history.version(principal, id, version))

    @routes.get(
        "/v1/memories/{id}/diff",
        operation_id="diff_versions",
        summary="Compare two versions of a memory",
        description="Without numbers: the current version against the one before it.",
        response_model=Diff,
        responses=problems(NotFound),
    )
    async def diff_versions(principal: Who, id: _Id, old: _Optional = None, new: _Optional = None) -> Response:
        return encoded(await history.diff(principal, id, old, new))

    return routes
