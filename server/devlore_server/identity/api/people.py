"""People and service accounts over HTTP, and the caller's own profile."""

from __future__ import annotations

from typing import Annotated, Any
from uuid import UUID

from fastapi import Body, Path, Response

from devlore.problems import BadCursor, Conflict, NotAllowed, NotFound
from devlore.types import Page, Person, ProfilePatch, ServiceAccountDraft, WhoAmI
from devlore_server.identity.api.organisations import Cursor, Limit
from devlore_server.identity.people import People
from devlore_server.kit.http import Router, Who, encoded, problems, requires
from devlore_server.kit.paging import Paging, listing

_LOCATION = {"Location": {"description": "The person's path.", "schema": {"type": "string"}}}
_Id = Annotated[UUID, Path(description="The person's id.")]
_Draft = Annotated[
    ServiceAccountDraft,
    Body(openapi_examples={"ci": {"summary": "For a pipeline", "value": {"name": "CI", "role": "member"}}}),
]
_Profile = Annotated[
    ProfilePatch,
    Body(
        media_type="application/merge-patch+json",
        openapi_examples={"rename": {"summary": "Another name", "value": {"name": "Ada King"}}},
    ),
]


class _People:
    """The handlers: each makes one service call."""

    def __init__(self, service: People, paging: Paging) -> None:
        self._service = service
        self._paging = paging

    async def page(self, principal: Who, limit: Limit = 50, cursor: Cursor = None) -> Response:
        name = listing("people")
        after = UUID(self._paging.decode(name, cursor)[0]) if cursor is not None else None
        found = await self._service.page(principal, limit + 1, after)
        following = self._paging.encode(name, [str(found[limit - 1].id)]) if len(found) > limit else None
        return encoded(Page[Person].model_construct(items=found[:limit], next=following))

    async def get(self, principal: Who, id: _Id) -> Response:
        return encoded(await self._service.get(principal, id))

    async def create(self, principal: Who, draft: _Draft) -> Response:
        made = await self._service.create(principal, draft)
        return encoded(made, 201, {"Location": f"/v1/people/{made.id}"})

    async def remove(self, principal: Who, id: _Id) -> Response:
        await self._service.remove(principal, id)
        return Response(status_code=204)

    async def whoami(self, principal: Who) -> Response:
        return encoded(await self._service.whoami(principal))

    async def edit_own(self, principal: Who, patch: _Profile) -> Response:
        return encoded(await self._service.edit_own(principal, patch))


def router(service: People, paging: Paging) -> Router:
    """``/v1/people`` and ``/v1/identity``."""
    handlers = _People(service, paging)
    routes = Router(tags=["people"])
    routes.get("/v1/people", **_LIST)(handlers.page)
    routes.post("/v1/people", **_CREATE)(handlers.create)
    routes.get("/v1/people/{id}", **_GET)(handlers.get)
    routes.delete("/v1/people/{id}", **_REMOVE)(handlers.remove)
    routes.get("/v1/identity", **_WHOAMI)(handlers.whoami)
    routes.patch("/v1/identity", **_EDIT_OWN)(handlers.edit_own)
    return routes


_LIST: dict[str, Any] = {
    "operation_id": "list_people",
    "summary": "List people",
    "description": "The people and service accounts of the organisation.",
    "response_model": Page[Person],
    "responses": problems(BadCursor),
    "dependencies": [requires("people:read")],
}
_CREATE: dict[str, Any] = {
    "operation_id": "create_service_account",
    "summary": "Make a service account",
    "description": "An account for a program: it has no password and signs in with API keys made for it.",
    "status_code": 201,
    "response_model": Person,
    "responses": {201: {"description": "Made.", "headers": _LOCATION}, **problems(NotAllowed)},
    "dependencies": [requires("organisation:write")],
}
_GET: dict[str, Any] = {
    "operation_id": "get_person",
    "summary": "Read a person",
    "description": "Somebody of the organisation.",
    "response_model": Person,
    "responses": problems(NotFound),
    "dependencies": [requires("people:read")],
}
_REMOVE: dict[str, Any] = {
    "operation_id": "delete_service_account",
    "summary": "Remove a service account",
    "description": (
        "Its keys end at once. An owner decides what becomes of its private memories: see the departures. Humans are"
        " removed from the organisation's members instead."
    ),
    "status_code": 204,
    "responses": problems(NotFound, NotAllowed, Conflict),
    "dependencies": [requires("organisation:write")],
}
_WHOAMI: dict[str, Any] = {
    "operation_id": "whoami",
    "summary": "Who am I",
    "description": "The caller, the organisation they are in, what they may do there, and where else they belong.",
    "response_model": WhoAmI,
    "responses": problems(NotFound),
    "dependencies": [requires("identity:read")],
}
_EDIT_OWN: dict[str, Any] = {
    "operation_id": "edit_identity",
    "summary": "Change one's profile",
    "description": "A JSON merge patch (RFC 7396). Every organisation the caller belongs to sees it.",
    "response_model": Person,
    "responses": problems(NotFound),
    "dependencies": [requires("identity:write")],
}
