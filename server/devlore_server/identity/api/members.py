"""Members of the organisation over HTTP, and those who left it."""

from __future__ import annotations

from datetime import datetime
from typing import Annotated, Any
from uuid import UUID

from fastapi import Body, Path, Query, Response

from devlore.problems import BadCursor, Conflict, Invalid, NotAllowed, NotFound, StepUpRequired
from devlore.types import Departure, Member, MemberPatch, Page, Settlement
from devlore_server.identity.api.organisations import Cursor, Id, Limit
from devlore_server.identity.departures import Departures
from devlore_server.identity.members import Members
from devlore_server.kit.http import Router, Who, encoded, problems, requires
from devlore_server.kit.paging import Paging, listing

_PersonId = Annotated[UUID, Path(description="The person's id.")]
_DepartureId = Annotated[UUID, Path(description="The departure's id.")]
_Pending = Annotated[bool | None, Query(description="Only those that are still open, or only the others.")]
_Patch = Annotated[
    MemberPatch,
    Body(
        media_type="application/merge-patch+json",
        openapi_examples={"admin": {"summary": "Make somebody an administrator", "value": {"role": "admin"}}},
    ),
]
_Settlement = Annotated[
    Settlement,
    Body(
        openapi_examples={
            "transfer": {"summary": "Take them over oneself", "value": {"action": "transfer"}},
            "purge": {"summary": "Erase them", "value": {"action": "purge"}},
        }
    ),
]


class _Members:
    """The handlers: each makes one service call."""

    def __init__(self, service: Members, departures: Departures, paging: Paging) -> None:
        self._service = service
        self._departures = departures
        self._paging = paging

    async def page(self, principal: Who, id: Id, limit: Limit = 50, cursor: Cursor = None) -> Response:
        name = listing("members", organisation=id)
        after = None
        if cursor is not None:
            joined_at, person = self._paging.decode(name, cursor)
            after = (datetime.fromisoformat(joined_at), UUID(person))
        found = await self._service.page(principal, id, limit + 1, after)
        following = None
        if len(found) > limit:
            last = found[limit - 1]
            following = self._paging.encode(name, [last.joined_at.isoformat(), str(last.person_id)])
        return encoded(Page[Member].model_construct(items=found[:limit], next=following))

    async def change(self, principal: Who, id: Id, person_id: _PersonId, patch: _Patch) -> Response:
        return encoded(await self._service.change(principal, id, person_id, patch))

    async def remove(self, principal: Who, id: Id, person_id: _PersonId) -> Response:
        await self._service.remove(principal, id, person_id)
        return Response(status_code=204)

    async def page_departures(
        self, principal: Who, id: Id, pending: _Pending = None, limit: Limit = 50, cursor: Cursor = None
    ) -> Response:
        name = listing("departures", organisation=id, pending=pending)
        after = UUID(self._paging.decode(name, cursor)[0]) if cursor is not None else None
        found = await self._departures.page(principal, id, pending, limit + 1, after)
        following = self._paging.encode(name, [str(found[limit - 1].id)]) if len(found) > limit else None
        return encoded(Page[Departure].model_construct(items=found[:limit], next=following))

    async def settle(self, principal: Who, id: Id, departure_id: _DepartureId, settlement: _Settlement) -> Response:
        return encoded(await self._departures.settle(principal, id, departure_id, settlement))


def router(service: Members, departures: Departures, paging: Paging) -> Router:
    """``/v1/organisations/{id}/members`` and ``/v1/organisations/{id}/departures``."""
    handlers = _Members(service, departures, paging)
    routes = Router(tags=["organisations"])
    members, left = "/v1/organisations/{id}/members", "/v1/organisations/{id}/departures"
    routes.get(members, **_LIST)(handlers.page)
    routes.patch(members + "/{person_id}", **_CHANGE)(handlers.change)
    routes.delete(members + "/{person_id}", **_REMOVE)(handlers.remove)
    routes.get(left, **_LIST_DEPARTURES)(handlers.page_departures)
    routes.post(left + "/{departure_id}", **_SETTLE)(handlers.settle)
    return routes


_LIST: dict[str, Any] = {
    "operation_id": "list_members",
    "summary": "List the members",
    "description": "People and service accounts with their roles, longest there first.",
    "response_model": Page[Member],
    "responses": problems(NotFound, BadCursor),
    "dependencies": [requires("people:read")],
}
_CHANGE: dict[str, Any] = {
    "operation_id": "change_member",
    "summary": "Change somebody's role",
    "description": (
        "At once, in every session and key of theirs. Only owners give or take the role of an owner; an organisation"
        " keeps at least one. Invitations that somebody could not make any more are withdrawn."
    ),
    "response_model": Member,
    "responses": problems(NotFound, NotAllowed, Conflict),
    "dependencies": [requires("organisation:write")],
}
_REMOVE: dict[str, Any] = {
    "operation_id": "remove_member",
    "summary": "Remove a member, or leave",
    "description": (
        "Sessions, keys, teams and open invitations of theirs end at once. An owner decides what becomes of their"
        " private memories: see the departures. Everybody but the last owner may leave."
    ),
    "status_code": 204,
    "responses": problems(NotFound, NotAllowed, Conflict),
    "dependencies": [requires("identity:write")],
}
_LIST_DEPARTURES: dict[str, Any] = {
    "operation_id": "list_departures",
    "summary": "List those who left",
    "description": "Newest first, with what became of their private memories.",
    "response_model": Page[Departure],
    "responses": problems(NotFound, BadCursor),
    "dependencies": [requires("organisation:write")],
}
_SETTLE: dict[str, Any] = {
    "operation_id": "settle_departure",
    "summary": "Decide what becomes of somebody's private memories",
    "description": (
        "Owners only, once: hand them to a member (`to`, else the caller), who alone sees them then, or erase them."
        " Needs a sign-in of the last 15 minutes."
    ),
    "response_model": Departure,
    "responses": problems(NotFound, NotAllowed, StepUpRequired, Conflict, Invalid),
    "dependencies": [requires("organisation:write", fresh=True)],
}
