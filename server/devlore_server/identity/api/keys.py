"""API keys over HTTP."""

from __future__ import annotations

from typing import Annotated, Any
from uuid import UUID

from fastapi import Body, Path, Query, Response

from devlore.problems import BadCursor, Conflict, NotAllowed, NotFound, StepUpRequired
from devlore.types import KeyCreated, KeyDraft, KeyView, Page
from devlore_server.identity.api.organisations import Cursor, Limit
from devlore_server.identity.keys import Keys
from devlore_server.kit.http import Router, Who, encoded, problems, requires
from devlore_server.kit.paging import Paging, listing

_Draft = Annotated[
    KeyDraft,
    Body(
        openapi_examples={
            "own": {"summary": "For a script of one's own", "value": {"name": "backup", "scopes": ["memories:read"]}},
            "service": {
                "summary": "For a service account",
                "value": {"name": "CI", "person": "0199c1a2-7f3e-7c41-9d52-1f2a6be0c311"},
            },
        }
    ),
]
_Id = Annotated[UUID, Path(description="The key's id.")]
_Person = Annotated[UUID | None, Query(description="A service account's keys instead of the caller's own.")]


class _Keys:
    """The handlers: each makes one service call."""

    def __init__(self, service: Keys, paging: Paging) -> None:
        self._service = service
        self._paging = paging

    async def create(self, principal: Who, draft: _Draft) -> Response:
        return encoded(await self._service.create(principal, draft), 201)

    async def page(self, principal: Who, person: _Person = None, limit: Limit = 50, cursor: Cursor = None) -> Response:
        name = listing("keys", person=person or principal.person)
        after = UUID(self._paging.decode(name, cursor)[0]) if cursor is not None else None
        found = await self._service.page(principal, person, limit + 1, after)
        following = self._paging.encode(name, [str(found[limit - 1].id)]) if len(found) > limit else None
        return encoded(Page[KeyView].model_construct(items=found[:limit], next=following))

    async def revoke(self, principal: Who, id: _Id) -> Response:
        await self._service.revoke(principal, id)
        return Response(status_code=204)


def router(service: Keys, paging: Paging) -> Router:
    """``/v1/keys``."""
    handlers = _Keys(service, paging)
    routes = Router(tags=["keys"])
    routes.post("/v1/keys", **_CREATE)(handlers.create)
    routes.get("/v1/keys", **_LIST)(handlers.page)
    routes.delete("/v1/keys/{id}", **_REVOKE)(handlers.revoke)
    return routes


_CREATE: dict[str, Any] = {
    "operation_id": "create_key",
    "summary": "Make an API key",
    "description": (
        "For oneself, or as an admin for a service account. `key` is shown this once. It never does more than its"
        " person may at that moment, and ends with their membership. Needs a sign-in of the last 15 minutes."
    ),
    "status_code": 201,
    "response_model": KeyCreated,
    "responses": problems(NotFound, NotAllowed, StepUpRequired, Conflict),
    "dependencies": [requires("identity:write", fresh=True)],
}
_LIST: dict[str, Any] = {
    "operation_id": "list_keys",
    "summary": "List API keys",
    "description": "Newest first, revoked ones too, without their secrets; `networks` says from where each was used.",
    "response_model": Page[KeyView],
    "responses": problems(BadCursor, NotFound, NotAllowed),
    "dependencies": [requires("identity:read")],
}
_REVOKE: dict[str, Any] = {
    "operation_id": "revoke_key",
    "summary": "End an API key",
    "description": "It is refused within two seconds.",
    "status_code": 204,
    "responses": problems(NotFound, NotAllowed),
    "dependencies": [requires("identity:write")],
}
