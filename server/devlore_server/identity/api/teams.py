"""Teams over HTTP, and who is in them."""

from __future__ import annotations

from typing import Annotated, Any
from uuid import UUID

from fastapi import Body, Path, Response

from devlore.problems import BadCursor, Conflict, NotAllowed, NotFound, PreconditionRequired, VersionMismatch
from devlore.types import Page, Team, TeamDraft, TeamMember, TeamMemberDraft, TeamPatch
from devlore_server.identity.api.organisations import Cursor, Limit
from devlore_server.identity.teams import Teams
from devlore_server.kit.http import Router, Who, encoded, problems, requires
from devlore_server.kit.http.preconditions import ETAG_HEADER, IfMatch, IfNoneMatch, etag, expected, unchanged
from devlore_server.kit.paging import Paging, listing

_LOCATION = {"Location": {"description": "The team's path.", "schema": {"type": "string"}}}
_Id = Annotated[UUID, Path(description="The team's id.")]
_PersonId = Annotated[UUID, Path(description="The person's id.")]
_Draft = Annotated[TeamDraft, Body(openapi_examples={"new": {"summary": "A team", "value": {"name": "Platform"}}})]
_Patch = Annotated[
    TeamPatch,
    Body(
        media_type="application/merge-patch+json",
        openapi_examples={"rename": {"summary": "Rename it", "value": {"name": "Foundations"}}},
    ),
]
_Member = Annotated[
    TeamMemberDraft,
    Body(openapi_examples={"maintainer": {"summary": "A maintainer", "value": {"role": "maintainer"}}}),
]


class _Teams:
    """The handlers: each makes one service call."""

    def __init__(self, service: Teams, paging: Paging) -> None:
        self._service = service
        self._paging = paging

    async def create(self, principal: Who, draft: _Draft) -> Response:
        made = await self._service.create(principal, draft)
        return encoded(made, 201, etag(made.version) | {"Location": f"/v1/teams/{made.id}"})

    async def page(self, principal: Who, limit: Limit = 50, cursor: Cursor = None) -> Response:
        name = listing("teams")
        after = None
        if cursor is not None:
            last_name, id = self._paging.decode(name, cursor)
            after = (str(last_name), UUID(id))
        found = await self._service.page(principal, limit + 1, after)
        last = found[limit - 1] if len(found) > limit else None
        following = self._paging.encode(name, [last.name, str(last.id)]) if last else None
        return encoded(Page[Team].model_construct(items=found[:limit], next=following))

    async def get(self, principal: Who, id: _Id, if_none_match: IfNoneMatch = None) -> Response:
        found = await self._service.get(principal, id)
        if unchanged(if_none_match, found.version):
            return Response(status_code=304, headers=etag(found.version))
        return encoded(found, headers=etag(found.version))

    async def edit(self, principal: Who, id: _Id, patch: _Patch, if_match: IfMatch = None) -> Response:
        if if_match is None:
            raise PreconditionRequired
        edited = await self._service.edit(principal, id, patch, expected(if_match))
        return encoded(edited, headers=etag(edited.version))

    async def delete(self, principal: Who, id: _Id) -> Response:
        await self._service.delete(principal, id)
        return Response(status_code=204)

    async def members(self, principal: Who, id: _Id, limit: Limit = 50, cursor: Cursor = None) -> Response:
        name = listing("team members", team=id)
        after = UUID(self._paging.decode(name, cursor)[0]) if cursor is not None else None
        found = await self._service.members(principal, id, limit + 1, after)
        following = self._paging.encode(name, [str(found[limit - 1].person_id)]) if len(found) > limit else None
        return encoded(Page[TeamMember].model_construct(items=found[:limit], next=following))

    async def put(self, principal: Who, id: _Id, person_id: _PersonId, draft: _Member) -> Response:
        return encoded(await self._service.put(principal, id, person_id, draft))

    async def remove(self, principal: Who, id: _Id, person_id: _PersonId) -> Response:
        await self._service.remove(principal, id, person_id)
        return Response(status_code=204)


def router(service: Teams, paging: Paging) -> Router:
    """``/v1/teams`` and what is below."""
    handlers = _Teams(service, paging)
    routes = Router(tags=["teams"])
    routes.post("/v1/teams", **_CREATE)(handlers.create)
    routes.get("/v1/teams", **_LIST)(handlers.page)
    routes.get("/v1/teams/{id}", **_GET)(handlers.get)
    routes.patch("/v1/teams/{id}", **_EDIT)(handlers.edit)
    routes.delete("/v1/teams/{id}", **_DELETE)(handlers.delete)
    routes.get("/v1/teams/{id}/members", **_MEMBERS)(handlers.members)
    routes.put("/v1/teams/{id}/members/{person_id}", **_PUT)(handlers.put)
    routes.delete("/v1/teams/{id}/members/{person_id}", **_REMOVE)(handlers.remove)
    return routes


_CREATE: dict[str, Any] = {
    "operation_id": "create_team",
    "summary": "Make a team",
    "description": "Empty at first. Names differ within the organisation, whatever their case.",
    "status_code": 201,
    "response_model": Team,
    "responses": {
        201: {"description": "Made.", "headers": ETAG_HEADER | _LOCATION},
        **problems(NotAllowed, Conflict),
    },
    "dependencies": [requires("teams:write")],
}
_LIST: dict[str, Any] = {
    "operation_id": "list_teams",
    "summary": "List teams",
    "description": "Every team of the organisation, by name.",
    "response_model": Page[Team],
    "responses": problems(BadCursor),
    "dependencies": [requires("people:read")],
}
_GET: dict[str, Any] = {
    "operation_id": "get_team",
    "summary": "Read a team",
    "description": "Its name and how many are in it.",
    "response_model": Team,
    "responses": {
        200: {"description": "The team.", "headers": ETAG_HEADER},
        304: {"description": "If-None-Match names the current version."},
        **problems(NotFound),
    },
    "dependencies": [requires("people:read")],
}
_EDIT: dict[str, Any] = {
    "operation_id": "edit_team",
    "summary": "Change a team",
    "description": "A JSON merge patch (RFC 7396). If-Match names the version you read.",
    "response_model": Team,
    "responses": {
        200: {"description": "The team as it is now.", "headers": ETAG_HEADER},
        **problems(NotFound, NotAllowed, VersionMismatch, PreconditionRequired, Conflict),
    },
    "dependencies": [requires("teams:write")],
}
_DELETE: dict[str, Any] = {
    "operation_id": "delete_team",
    "summary": "Dissolve a team",
    "description": "Its memories are their authors' alone until these say otherwise.",
    "status_code": 204,
    "responses": problems(NotFound, NotAllowed),
    "dependencies": [requires("teams:write")],
}
_MEMBERS: dict[str, Any] = {
    "operation_id": "list_team_members",
    "summary": "List the people in a team",
    "description": "With their roles in it.",
    "response_model": Page[TeamMember],
    "responses": problems(NotFound, BadCursor),
    "dependencies": [requires("people:read")],
}
_PUT: dict[str, Any] = {
    "operation_id": "put_team_member",
    "summary": "Take somebody into a team",
    "description": (
        "A member of the organisation; sent again, it sets their role in the team. For administrators and the team's"
        " maintainers. They see the team's memories at once."
    ),
    "response_model": TeamMember,
    "responses": problems(NotFound, NotAllowed),
    "dependencies": [requires("identity:write")],
}
_REMOVE: dict[str, Any] = {
    "operation_id": "remove_team_member",
    "summary": "Let somebody out of a team",
    "description": (
        "For administrators and the team's maintainers; everybody may leave. They stop seeing the team's memories at"
        " once, but their own."
    ),
    "status_code": 204,
    "responses": problems(NotFound, NotAllowed),
    "dependencies": [requires("identity:write")],
}
