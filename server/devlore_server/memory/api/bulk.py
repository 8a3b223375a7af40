"""Many drafts in one request: each is parsed by itself, so that a bad one stops no other."""

from __future__ import annotations

from typing import Annotated, Any

from fastapi import Body, Response
from pydantic import ValidationError

from devlore.problems import Invalid
from devlore.types import BulkRequest, BulkResult, MemoryDraft
from devlore_server.kit.http import Router, Who, encoded, problems, requires
from devlore_server.kit.http.rendering import ERRORS_SHOWN, pointed
from devlore_server.memory.api.waiting import INDEXED_HEADER, Wait, indexed
from devlore_server.memory.checks import refuse_all
from devlore_server.memory.service import MemoryService
from devlore_server.ports import Indexing

Request = Annotated[
    BulkRequest,
    Body(
        openapi_examples={
            "two": {
                "summary": "Two memories",
                "value": {"items": [{"title": "We use uv"}, {"title": "Pool of 10", "kind": "decision"}]},
            }
        }
    ),
]


def router(service: MemoryService, indexing: Indexing | None = None) -> Router:
    """``POST /v1/memories/bulk``."""
    routes = Router(tags=["memories"], dependencies=[requires("memories:write")])

    @routes.post("/v1/memories/bulk", **_BULK)
    async def bulk(principal: Who, request: Request, wait: Wait = None) -> Response:
        result = await service.bulk(principal, [parse(item) for item in request.items])
        return encoded(result, headers=await indexed(indexing, wait))

    return routes


def parse(item: dict[str, Any]) -> MemoryDraft | Invalid:
    """The draft in an item of the request, or why it is none (pointers are relative to the item)."""
    try:
        return MemoryDraft.model_validate(item)
    except ValidationError as error:
        found = error.errors(include_url=False, include_context=False, include_input=False)[:ERRORS_SHOWN]
        places = (pointed(one, item) for one in found)
        return refuse_all([(place["pointer"], place["detail"]) for place in places])


# The items are declared loosely for the parser's sake; a client is better off knowing that they are drafts.
_ITEMS_ARE_DRAFTS = {"properties": {"items": {"items": {"$ref": "#/components/schemas/MemoryDraft"}}}}

_BULK: dict[str, Any] = {
    "operation_id": "bulk_memories",
    "summary": "Store up to 1,000 memories",
    "description": (
        "One transaction; every item is answered in its place as 201 created, 200 updated or unchanged, or 422 refused"
        " with a problem. Refused items stop no other. Of several items with one `source.external_id` the newest is"
        " stored and the others are unchanged."
    ),
    "response_model": BulkResult,
    "responses": {
        200: {"description": "What became of each item.", "headers": INDEXED_HEADER},
        **problems(Invalid),
    },
    "openapi_extra": {"requestBody": {"content": {"application/json": {"schema": _ITEMS_ARE_DRAFTS}}}},
}
