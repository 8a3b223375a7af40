"""One memory over HTTP: create, read, edit, delete, erase, restore."""

from __future__ import annotations

from typing import Annotated, Any
from uuid import UUID

from fastapi import Body, Path, Query, Response

from devlore.problems import (
    Conflict,
    Invalid,
    NotAllowed,
    NotFound,
    PreconditionRequired,
    StepUpRequired,
    VersionMismatch,
)
from devlore.types import Memory, MemoryDraft, MemoryPatch, Restoration
from devlore_server.kit.http import Router, Who, check_fresh, encoded, problems, requires
from devlore_server.memory.api.preconditions import ETAG_HEADER, IfMatch, IfNoneMatch, etag, expected, unchanged
from devlore_server.memory.api.waiting import INDEXED_HEADER, Wait, indexed
from devlore_server.memory.service import MemoryService
from devlore_server.ports import Indexing

_LOCATION = {"Location": {"description": "The memory's path.", "schema": {"type": "string"}}}

Id = Annotated[UUID, Path(description="The memory's id.")]
Draft = Annotated[
    MemoryDraft,
    Body(
        openapi_examples={
            "decision": {
                "summary": "A decision",
                "value": {
                    "title": "We pin psycopg",
                    "body": "3.2.4 leaks prepared statements.",
                    "kind": "decision",
                    "project": "api",
                    "tags": ["postgres"],
                },
            },
            "upsert": {
                "summary": "An item of a source: sent again, it updates its memory",
                "value": {
                    "title": "Fix the pool running dry",
                    "kind": "bug-fix",
                    "source": {"connector": "github", "external_id": "acme/api#12", "author": "Ada"},
                },
            },
        }
    ),
]
Patch = Annotated[
    MemoryPatch,
    Body(
        media_type="application/merge-patch+json",
        openapi_examples={
            "edit": {"summary": "Change the title, drop the project", "value": {"title": "A title", "project": None}}
        },
    ),
]
Restored = Annotated[
    Restoration,
    Body(
        openapi_examples={
            "deleted": {"summary": "Undo a deletion", "value": {}},
            "older": {"summary": "Bring back the content of version 1", "value": {"version": 1}},
        }
    ),
]


class _Memories:
    """The handlers: each makes one service call."""

    def __init__(self, service: MemoryService, indexing: Indexing | None) -> None:
        self._service = service
        self._indexing = indexing

    async def create(self, principal: Who, draft: Draft, wait: Wait = None) -> Response:
        outcome = await self._service.create(principal, draft)
        headers = etag(outcome.memory) | await indexed(self._indexing, wait)
        if outcome.result != "created":
            return encoded(outcome.memory, headers=headers)
        return encoded(outcome.memory, 201, headers | {"Location": f"/v1/memories/{outcome.memory.id}"})

    async def get(
        self,
        principal: Who,
        id: Id,
        deleted: Annotated[bool, Query(description="Also answer when it is deleted.")] = False,
        if_none_match: IfNoneMatch = None,
    ) -> Response:
        memory = await self._service.get(principal, id, deleted=deleted)
        if unchanged(if_none_match, memory):
            return Response(status_code=304, headers=etag(memory))
        return encoded(memory, headers=etag(memory))

    async def edit(self, principal: Who, id: Id, patch: Patch, if_match: IfMatch = None, wait: Wait = None) -> Response:
        if if_match is None:
            raise PreconditionRequired
        memory = await self._service.edit(principal, id, patch, expected(if_match))
        return encoded(memory, headers=etag(memory) | await indexed(self._indexing, wait))

    async def delete(
        self,
        principal: Who,
        id: Id,
        purge: Annotated[bool, Query(description="Erase every trace instead; cannot be undone.")] = False,
        if_match: IfMatch = None,
        wait: Wait = None,
    ) -> Response:
        if purge:
            check_fresh(principal, keys=True)
        remove = self._service.purge if purge else self._service.delete
        await remove(principal, id, expected(if_match))
        return Response(status_code=204, headers=await indexed(self._indexing, wait))

    async def restore(
        self, principal: Who, id: Id, asked: Restored, if_match: IfMatch = None, wait: Wait = None
    ) -> Response:
        memory = await self._service.restore(principal, id, asked, expected(if_match))
        return encoded(memory, headers=etag(memory) | await indexed(self._indexing, wait))


def router(service: MemoryService, indexing: Indexing | None = None) -> Router:
    """``/v1/memories`` and ``/v1/memories/{id}``, one memory at a time."""
    handlers = _Memories(service, indexing)
    routes = Router(tags=["memories"])
    routes.post("/v1/memories", **_CREATE)(handlers.create)
    routes.get("/v1/memories/{id}", **_GET)(handlers.get)
    routes.patch("/v1/memories/{id}", **_EDIT)(handlers.edit)
    routes.delete("/v1/memories/{id}", **_DELETE)(handlers.delete)
    routes.post("/v1/memories/{id}/restore", **_RESTORE)(handlers.restore)
    return routes


_CREATE: dict[str, Any] = {
    "operation_id": "create_memory",
    "summary": "Store a memory",
    "description": (
        "Answers once it is committed. A draft whose `source.external_id` you have stored before updates that memory:"
        " 200 instead of 201, unless nothing changed or `source.updated_at` is older than what is stored. Fields a"
        " source does not send (project, privacy, importance, pin) keep their value; a deleted memory comes back."
    ),
    "status_code": 201,
    "response_model": Memory,
    "responses": {
        201: {"description": "Stored.", "headers": ETAG_HEADER | _LOCATION | INDEXED_HEADER},
        200: {"model": Memory, "description": "Updated, or unchanged.", "headers": ETAG_HEADER | INDEXED_HEADER},
        **problems(Invalid),
    },
    "dependencies": [requires("memories:write")],
}
_GET: dict[str, Any] = {
    "operation_id": "get_memory",
    "summary": "Read a memory",
    "description": "As it is now. What you may not see does not exist for you.",
    "response_model": Memory,
    "responses": {
        200: {"description": "The memory.", "headers": ETAG_HEADER},
        304: {"description": "If-None-Match names the current version."},
        **problems(NotFound, Invalid),
    },
    "dependencies": [requires("memories:read")],
}
_EDIT: dict[str, Any] = {
    "operation_id": "edit_memory",
    "summary": "Change a memory",
    "description": (
        "A JSON merge patch (RFC 7396): fields that are sent change, null clears `project` or `team_id`. If-Match names"
        " the version you read, so that nobody's edit is lost. A patch that changes nothing makes no version."
    ),
    "response_model": Memory,
    "responses": {
        200: {"description": "The memory as it is now.", "headers": ETAG_HEADER | INDEXED_HEADER},
        **problems(NotFound, NotAllowed, VersionMismatch, PreconditionRequired, Invalid),
    },
    "dependencies": [requires("memories:write")],
}
_DELETE: dict[str, Any] = {
    "operation_id": "delete_memory",
    "summary": "Delete or erase a memory",
    "description": (
        "Deleted, it can be restored. With `purge=true` its author erases it, deleted or not: row, versions, links,"
        " the text in earlier events, and every index entry; nothing brings it back, so this needs a fresh sign-in or"
        " an API key (403 `step-up-required`)."
    ),
    "status_code": 204,
    "responses": {
        204: {"description": "Gone.", "headers": INDEXED_HEADER},
        **problems(NotFound, NotAllowed, StepUpRequired, VersionMismatch, Invalid),
    },
    "dependencies": [requires("memories:write")],
}
_RESTORE: dict[str, Any] = {
    "operation_id": "restore_memory",
    "summary": "Restore a memory",
    "description": (
        "Bring back a deleted memory, or the content of an older version (as a new version). Who may see it, its"
        " status, source and links stay as they are."
    ),
    "response_model": Memory,
    "responses": {
        200: {"description": "The memory as it is now.", "headers": ETAG_HEADER | INDEXED_HEADER},
        **problems(NotFound, Conflict, VersionMismatch, Invalid),
    },
    "dependencies": [requires("memories:write")],
}
