"""Invitations over HTTP: made and withdrawn by the organisation, looked at and taken by whoever holds the secret."""

from __future__ import annotations

from typing import Annotated, Any
from uuid import UUID

from fastapi import Body, Path, Response

from devlore.problems import BadCursor, Conflict, Invalid, NotAllowed, NotFound
from devlore.types import (
    Invitation,
    InvitationCreated,
    InvitationDraft,
    InvitationToken,
    InvitationView,
    Membership,
    Page,
)
from devlore_server.identity.api.organisations import Cursor, Id, Limit
from devlore_server.identity.invitations import Invitations
from devlore_server.kit.http import Router, Who, encoded, problems, public, requires
from devlore_server.kit.paging import Paging, listing

_InvitationId = Annotated[UUID, Path(description="The invitation's id.")]
_Draft = Annotated[
    InvitationDraft,
    Body(
        openapi_examples={
            "link": {"summary": "A link for one new member", "value": {}},
            "address": {"summary": "For one address only", "value": {"email": "ada@example.org", "role": "admin"}},
        }
    ),
]
_Token = Annotated[
    InvitationToken,
    Body(openapi_examples={"token": {"summary": "The secret in the link", "value": {"token": "x" * 43}}}),
]


class _Invitations:
    """The handlers: each makes one service call."""

    def __init__(self, service: Invitations, paging: Paging) -> None:
        self._service = service
        self._paging = paging

    async def create(self, principal: Who, id: Id, draft: _Draft) -> Response:
        return encoded(await self._service.create(principal, id, draft), 201, {"Cache-Control": "no-store"})

    async def page(self, principal: Who, id: Id, limit: Limit = 50, cursor: Cursor = None) -> Response:
        name = listing("invitations", organisation=id)
        after = UUID(self._paging.decode(name, cursor)[0]) if cursor is not None else None
        found = await self._service.page(principal, id, limit + 1, after)
        following = self._paging.encode(name, [str(found[limit - 1].id)]) if len(found) > limit else None
        return encoded(Page[Invitation].model_construct(items=found[:limit], next=following))

    async def revoke(self, principal: Who, id: Id, invitation_id: _InvitationId) -> Response:
        await self._service.revoke(principal, id, invitation_id)
        return Response(status_code=204)

    async def look(self, asked: _Token) -> Response:
        return encoded(await self._service.look(asked.token), headers={"Cache-Control": "no-store"})

    async def accept(self, principal: Who, asked: _Token) -> Response:
        return encoded(await self._service.accept(principal, asked.token))


def router(service: Invitations, paging: Paging) -> Router:
    """``/v1/organisations/{id}/invitations`` and ``/v1/invitations``."""
    handlers = _Invitations(service, paging)
    routes = Router(tags=["organisations"])
    made = "/v1/organisations/{id}/invitations"
    routes.post(made, **_CREATE)(handlers.create)
    routes.get(made, **_LIST)(handlers.page)
    routes.delete(made + "/{invitation_id}", **_REVOKE)(handlers.revoke)
    routes.post("/v1/invitations/look", **_LOOK)(handlers.look)
    routes.post("/v1/invitations/accept", **_ACCEPT)(handlers.accept)
    return routes


_CREATE: dict[str, Any] = {
    "operation_id": "create_invitation",
    "summary": "Invite somebody",
    "description": (
        "The answer holds the secret and the link to send, this once. Good for one person; with `email` only for the"
        " one with that address. Only owners invite owners."
    ),
    "status_code": 201,
    "response_model": InvitationCreated,
    "responses": problems(NotFound, NotAllowed, Conflict),
    "dependencies": [requires("organisation:write")],
}
_LIST: dict[str, Any] = {
    "operation_id": "list_invitations",
    "summary": "List invitations",
    "description": "Whatever became of them, newest first.",
    "response_model": Page[Invitation],
    "responses": problems(NotFound, BadCursor),
    "dependencies": [requires("organisation:write")],
}
_REVOKE: dict[str, Any] = {
    "operation_id": "revoke_invitation",
    "summary": "Withdraw an invitation",
    "description": "Its link is good for nothing any more. Withdrawn again, nothing happens.",
    "status_code": 204,
    "responses": problems(NotFound, NotAllowed, Conflict),
    "dependencies": [requires("organisation:write")],
}
_LOOK: dict[str, Any] = {
    "operation_id": "look_at_invitation",
    "summary": "Look at an invitation",
    "description": "What the holder of the link is invited to. One used, withdrawn or expired is gone.",
    "response_model": InvitationView,
    "responses": problems(NotFound, Invalid),
    "dependencies": [public()],
}
_ACCEPT: dict[str, Any] = {
    "operation_id": "accept_invitation",
    "summary": "Accept an invitation",
    "description": (
        "Signed in: the caller becomes a member; switch the session to work there. Who has no account yet signs up with"
        " the invitation instead."
    ),
    "response_model": Membership,
    "responses": problems(NotFound, NotAllowed, Conflict),
    "dependencies": [requires("identity:write")],
}
