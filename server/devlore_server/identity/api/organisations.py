"""Organisations over HTTP; a path names the caller's own, every other is not there."""

from __future__ import annotations

from typing import Annotated, Any
from uuid import UUID

from fastapi import Body, Path, Query, Response

from devlore.problems import (
    BadCursor,
    Conflict,
    NotAllowed,
    NotFound,
    PreconditionRequired,
    StepUpRequired,
    VersionMismatch,
)
from devlore.types import Organisation, OrganisationDraft, OrganisationPatch, Page
from devlore_server.identity.organisations import Organisations
from devlore_server.kit.http import Router, Who, encoded, problems, requires
from devlore_server.kit.http.preconditions import ETAG_HEADER, IfMatch, IfNoneMatch, etag, expected, unchanged
from devlore_server.kit.paging import Paging, listing

_LOCATION = {"Location": {"description": "The organisation's path.", "schema": {"type": "string"}}}
Id = Annotated[UUID, Path(description="The organisation's id: the one the caller is in.")]
Limit = Annotated[int, Query(ge=1, le=200, description="Most items on the page.")]
Cursor = Annotated[str | None, Query(description="`next` of the page before.")]
_Draft = Annotated[
    OrganisationDraft, Body(openapi_examples={"new": {"summary": "A second home", "value": {"name": "Acme"}}})
]
_Patch = Annotated[
    OrganisationPatch,
    Body(
        media_type="application/merge-patch+json",
        openapi_examples={"rename": {"summary": "Rename it", "value": {"name": "Acme Labs"}}},
    ),
]


class _Organisations:
    """The handlers: each makes one service call."""

    def __init__(self, service: Organisations, paging: Paging) -> None:
        self._service = service
        self._paging = paging

    async def create(self, principal: Who, draft: _Draft) -> Response:
        made = await self._service.create(principal, draft)
        return encoded(made, 201, etag(made.version) | {"Location": f"/v1/organisations/{made.id}"})

    async def page(self, principal: Who, limit: Limit = 50, cursor: Cursor = None) -> Response:
        name = listing("organisations")
        after = UUID(self._paging.decode(name, cursor)[0]) if cursor is not None else None
        found = await self._service.page(principal, limit + 1, after)
        following = self._paging.encode(name, [str(found[limit - 1].id)]) if len(found) > limit else None
        return encoded(Page[Organisation].model_construct(items=found[:limit], next=following))

    async def get(self, principal: Who, id: Id, if_none_match: IfNoneMatch = None) -> Response:
        found = await self._service.get(principal, id)
        if unchanged(if_none_match, found.version):
            return Response(status_code=304, headers=etag(found.version))
        return encoded(found, headers=etag(found.version))

    async def edit(self, principal: Who, id: Id, patch: _Patch, if_match: IfMatch = None) -> Response:
        if if_match is None:
            raise PreconditionRequired
        edited = await self._service.edit(principal, id, patch, expected(if_match))
        return encoded(edited, headers=etag(edited.version))

    async def delete(self, principal: Who, id: Id) -> Response:
        ending = await self._service.delete(principal, id)
        return encoded(ending, 202, etag(ending.version))

    async def restore(self, principal: Who, id: Id) -> Response:
        kept = await self._service.restore(principal, id)
        return encoded(kept, headers=etag(kept.version))


def router(service: Organisations, paging: Paging) -> Router:
    """``/v1/organisations`` and ``/v1/organisations/{id}``."""
    handlers = _Organisations(service, paging)
    routes = Router(tags=["organisations"])
    routes.post("/v1/organisations", **_CREATE)(handlers.create)
    routes.get("/v1/organisations", **_LIST)(handlers.page)
    routes.get("/v1/organisations/{id}", **_GET)(handlers.get)
    routes.patch("/v1/organisations/{id}", **_EDIT)(handlers.edit)
    routes.delete("/v1/organisations/{id}", **_DELETE)(handlers.delete)
    routes.post("/v1/organisations/{id}/restore", **_RESTORE)(handlers.restore)
    return routes


_CREATE: dict[str, Any] = {
    "operation_id": "create_organisation",
    "summary": "Found an organisation",
    "description": "The caller becomes its first owner; switch the session to work in it.",
    "status_code": 201,
    "response_model": Organisation,
    "responses": {201: {"description": "Founded.", "headers": ETAG_HEADER | _LOCATION}, **problems(NotAllowed)},
    "dependencies": [requires("identity:write")],
}
_LIST: dict[str, Any] = {
    "operation_id": "list_organisations",
    "summary": "List organisations",
    "description": "Where the caller belongs, oldest first.",
    "response_model": Page[Organisation],
    "responses": problems(BadCursor),
    "dependencies": [requires("identity:read")],
}
_GET: dict[str, Any] = {
    "operation_id": "get_organisation",
    "summary": "Read the organisation",
    "description": "`delete_after` says when its deletion becomes final, if it was asked for.",
    "response_model": Organisation,
    "responses": {
        200: {"description": "The organisation.", "headers": ETAG_HEADER},
        304: {"description": "If-None-Match names the current version."},
        **problems(NotFound),
    },
    "dependencies": [requires("organisation:read")],
}
_EDIT: dict[str, Any] = {
    "operation_id": "edit_organisation",
    "summary": "Change the organisation",
    "description": "A JSON merge patch (RFC 7396). If-Match names the version you read.",
    "response_model": Organisation,
    "responses": {
        200: {"description": "The organisation as it is now.", "headers": ETAG_HEADER},
        **problems(NotFound, NotAllowed, VersionMismatch, PreconditionRequired),
    },
    "dependencies": [requires("organisation:write")],
}
_DELETE: dict[str, Any] = {
    "operation_id": "delete_organisation",
    "summary": "Delete the organisation",
    "description": (
        "Final in 30 days: until then only its owners come in, and may undo it; after that everything of it is erased."
        " Needs a sign-in of the last 15 minutes."
    ),
    "status_code": 202,
    "response_model": Organisation,
    "responses": {
        202: {"description": "It will be deleted.", "headers": ETAG_HEADER},
        **problems(NotFound, NotAllowed, StepUpRequired),
    },
    "dependencies": [requires("organisation:delete", fresh=True)],
}
_RESTORE: dict[str, Any] = {
    "operation_id": "restore_organisation",
    "summary": "Undo the deletion of the organisation",
    "description": "As long as it is not final. Everybody comes in again as before.",
    "response_model": Organisation,
    "responses": {
        200: {"description": "The organisation as it is now.", "headers": ETAG_HEADER},
        **problems(NotFound, NotAllowed, Conflict),
    },
    "dependencies": [requires("organisation:delete")],
}
