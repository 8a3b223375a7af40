"""HTTP face of links."""

from __future__ import annotations

from typing import Annotated
from uuid import UUID

from fastapi import Body, Path, Query, Response

from devlore.problems import BadCursor, Conflict, NotFound
from devlore.types import Link, LinkDraft, Page
from devlore_server.kit.http import Router, Who, encoded, problems, requires
from devlore_server.kit.paging import Paging, listing
from devlore_server.memory.links import Links

_Id = Annotated[UUID, Path(description="The memory's id.")]
_EXAMPLES = {
    "commit": {"value": {"type": "fixes", "target_kind": "commit", "target": "9f2c1e7"}},
    "memory": {"value": {"target_kind": "memory", "target": "0199aa00-0000-7000-8000-000000000001"}},
}
_Draft = Annotated[LinkDraft, Body(openapi_examples=_EXAMPLES)]


def router(links: Links, paging: Paging) -> Router:
    """Routes under ``/v1/memories/{id}/links``."""
    routes = Router(tags=["memories"])

    @routes.get(
        "/v1/memories/{id}/links",
        operation_id="list_links",
        summary="List the links of a memory",
        description="Both directions: what it points at (`outgoing`) and which memories point at it (`incoming`).",
        response_model=Page[Link],
        responses=problems(NotFound, BadCursor),
        dependencies=[requires("memories:read")],
    )
    async def list_links(
        principal: Who, id: _Id, limit: Annotated[int, Query(ge=1, le=200)] = 50, cursor: str | None = None
    ) -> Response:
        name = listing("links", id=id)
        after = UUID(paging.decode(name, cursor)[0]) if cursor is not None else None
        found = await links.list(principal, id, limit + 1, after)
        following = paging.encode(name, [str(found[limit - 1].id)]) if len(found) > limit else None
        return encoded(Page[Link].model_construct(items=found[:limit], next=following))

    @routes.post(
        "/v1/memories/{id}/links",
        operation_id="add_link",
        summary="Link a memory",
        description="To another memory by id, or outwards. Adding a link that exists answers the existing one.",
        status_code=201,
        response_model=Link,
        responses=problems(NotFound, Conflict),
        dependencies=[requires("memories:write")],
    )
    async def add_link(principal: Who, id: _Id, draft: _Draft) -> Response:
        return encoded(await links.add(principal, id, draft), status=201)

    @routes.delete(
        "/v1/memories/{id}/links/{link_id}",
        operation_id="remove_link",
        summary="Remove a link",
        description="From either end.",
        status_code=204,
        responses=problems(NotFound),
        dependencies=[requires("memories:write")],
    )
    async def remove_link(principal: Who, id: _Id, link_id: UUID) -> Response:
        await links.remove(principal, id, link_id)
        return Response(status_code=204)

    return routes
