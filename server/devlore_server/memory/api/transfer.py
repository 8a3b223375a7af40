"""HTTP face of export and import."""

from __future__ import annotations

from collections.abc import AsyncIterator
from typing import Annotated

from fastapi import Body, Query
from fastapi.responses import Response, StreamingResponse
from pydantic_core import to_json

from devlore.problems import StepUpRequired, TooLarge
from devlore.types import BulkResult, ImportRequest, MemoryRecord
from devlore_server.kit.http import Router, Who, encoded, problems, requires
from devlore_server.memory.api.waiting import INDEXED_HEADER, Wait, indexed
from devlore_server.memory.transfer import Transfer
from devlore_server.ports import Indexing

_NDJSON = "application/x-ndjson"
# As for bulk: declared loosely, so that a bad record stops no other.
_ITEMS_ARE_RECORDS = {"properties": {"items": {"items": {"$ref": "#/components/schemas/MemoryRecord"}}}}


def router(transfer: Transfer, indexing: Indexing | None) -> Router:
    """Routes that move memories between instances. Mount them before ``/v1/memories/{id}``."""
    routes = Router(tags=["memories"])

    async def lines(records: AsyncIterator[MemoryRecord]) -> AsyncIterator[bytes]:
        async for record in records:
            yield to_json(record) + b"\n"

    @routes.get(
        "/v1/memories/export",
        operation_id="export_memories",
        summary="Export memories",
        description="NDJSON, a `MemoryRecord` a line: the memory, its past versions, its links. "
        "`import` takes the lines back.",
        response_class=StreamingResponse,
        responses={
            200: {
                "description": "One record a line.",
                "content": {_NDJSON: {"schema": {"$ref": f"#/components/schemas/{MemoryRecord.__name__}"}}},
            },
            **problems(StepUpRequired),
        },
        dependencies=[requires("memories:export", fresh=True, keys=True)],
    )
    async def export_memories(
        principal: Who,
        project: Annotated[str | None, Query(max_length=100, description="Only this project.")] = None,
        deleted: Annotated[bool, Query(description="Deleted memories too.")] = False,
    ) -> StreamingResponse:
        records = await transfer.export(principal, project=project, deleted=deleted)
        return StreamingResponse(lines(records), media_type=_NDJSON)

    @routes.post(
        "/v1/memories/import",
        operation_id="import_memories",
        summary="Import exported memories",
        description="Up to 1,000 records in one transaction. Ids, versions, times and links are kept; where a "
        "record's id exists, the newer version wins. A refused record stops no other.",
        response_model=BulkResult,
        responses={
            200: {"description": "What became of each record.", "headers": INDEXED_HEADER},
            **problems(TooLarge),
        },
        openapi_extra={"requestBody": {"content": {"application/json": {"schema": _ITEMS_ARE_RECORDS}}}},
        dependencies=[requires("memories:write")],
    )
    async def import_memories(
        principal: Who,
        records: Annotated[ImportRequest, Body(description="Lines of an export.")],
        wait: Wait = None,
    ) -> Response:
        return encoded(
            await transfer.take_in(principal, records.items, allow_secrets=records.allow_secrets),
            headers=await indexed(indexing, wait),
        )

    return routes
