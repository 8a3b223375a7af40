"""``ports.Memories`` for the other processes of a split topology; reached only with the gateway's signed header."""

from __future__ import annotations

from typing import Any
from uuid import UUID

from fastapi import Response
from pydantic import TypeAdapter

from devlore.types import Memory, Model
from devlore_server.kit.http import Router, Who, encoded, requires
from devlore_server.memory.service import MemoryService
from devlore_server.ports import Ingest, IngestResult

SCOPE = "internal"
"""Only services sign it into a Principal; the gateway never does."""

_results = TypeAdapter(IngestResult)


class VisibleRequest(Model):
    """Which of these may the caller see?"""

    ids: list[UUID]


class ScanRequest(Model):
    """The next memories of all organisations."""

    after: tuple[UUID, UUID] | None
    limit: int


class MaskedRequest(Model):
    """Texts to mask the secrets in."""

    texts: list[str]


class CheckpointRequest(Model):
    """The checkpoint of one connection."""

    connection_id: UUID


def internal_router(service: MemoryService) -> Router:
    """The routes ``memory.client.MemoriesClient`` calls; in no OpenAPI document."""
    routes = Router(prefix="/internal/memories", dependencies=[requires(SCOPE)], include_in_schema=False)

    @routes.post("/visible")
    async def visible(principal: Who, asked: VisibleRequest) -> Response:
        return _memories(await service.visible(principal, asked.ids))

    @routes.post("/scan")
    async def scan(asked: ScanRequest) -> Response:
        return _memories(await service.scan(asked.after, asked.limit))

    @routes.post("/count")
    async def count() -> Response:
        return encoded({"count": await service.count()})

    @routes.post("/ingest")
    async def ingest(principal: Who, batch: Ingest) -> Response:
        return encoded(_results.dump_python(await service.ingest(principal, batch)))

    @routes.post("/masked")
    async def masked(principal: Who, asked: MaskedRequest) -> Response:
        return encoded(list[Any](await service.masked(principal, asked.texts)))

    @routes.post("/checkpoint")
    async def checkpoint(principal: Who, asked: CheckpointRequest) -> Response:
        return encoded({"checkpoint": await service.checkpoint(principal, asked.connection_id)})

    @routes.post("/forget-checkpoint")
    async def forget_checkpoint(principal: Who, asked: CheckpointRequest) -> Response:
        await service.forget_checkpoint(principal, asked.connection_id)
        return Response(status_code=204)

    return routes


def _memories(found: list[Memory]) -> Response:
    items: list[Any] = list(found)
    return encoded(items)
