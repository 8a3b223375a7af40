"""HTTP face of connections and syncs."""

from __future__ import annotations

from typing import Annotated
from uuid import UUID

from fastapi import Body, Path, Query, Response

from devlore.problems import BadCursor, Conflict, Invalid, NotAllowed, NotFound
from devlore.types import Connection, ConnectionDraft, ConnectionPatch, Page, Sync, SyncRequest
from devlore_server.integration.service import IntegrationService
from devlore_server.kit.http import Router, Who, encoded, problems, requires
from devlore_server.kit.paging import Paging, listing

_ConnectionId = Annotated[UUID, Path(description="The connection's id.")]
_SyncId = Annotated[UUID, Path(description="The sync's id.")]
_Limit = Annotated[int, Query(ge=1, le=200, description="Most items on the page.")]
_Cursor = Annotated[str | None, Query(description="`next` of the page before.")]
_DRAFTS = {
    "git": {
        "summary": "The history of a repository, merges left out",
        "value": {"connector": "git", "config": {"path": "/src/api", "since": "2025-01-01"}},
    },
    "markdown": {
        "summary": "A folder of notes and decision records, read again when a file changes",
        "value": {"connector": "markdown", "config": {"path": "/src/api/docs"}, "watch": True},
    },
}
_PATCHES = {"watch": {"summary": "Read it again whenever it changes", "value": {"watch": True}}}
_REQUESTS = {
    "continue": {"summary": "Go on from the checkpoint", "value": {}},
    "full": {"summary": "Read everything again", "value": {"full": True}},
}
_Draft = Annotated[ConnectionDraft, Body(openapi_examples=_DRAFTS)]
_Patch = Annotated[
    ConnectionPatch,
    Body(media_type="application/merge-patch+json", openapi_examples=_PATCHES),
]
_Request = Annotated[SyncRequest | None, Body(openapi_examples=_REQUESTS)]


class _Connections:
    """The handlers: each makes one service call."""

    def __init__(self, service: IntegrationService, paging: Paging) -> None:
        self._service = service
        self._paging = paging

    async def connect(self, principal: Who, draft: _Draft) -> Response:
        connection, new = await self._service.connect(principal, draft)
        headers = {"Location": f"/v1/connections/{connection.id}"} if new else {}
        return encoded(connection, 201 if new else 200, headers)

    async def page(self, principal: Who, limit: _Limit = 50, cursor: _Cursor = None) -> Response:
        name = listing("connections")
        found = await self._service.page(principal, limit + 1, self._after(name, cursor))
        following = self._paging.encode(name, [str(found[limit - 1].id)]) if len(found) > limit else None
        return encoded(Page[Connection].model_construct(items=found[:limit], next=following))

    async def get(self, principal: Who, id: _ConnectionId) -> Response:
        return encoded(await self._service.get(principal, id))

    async def change(self, principal: Who, id: _ConnectionId, patch: _Patch) -> Response:
        return encoded(await self._service.change(principal, id, patch))

    async def disconnect(self, principal: Who, id: _ConnectionId) -> Response:
        await self._service.disconnect(principal, id)
        return Response(status_code=204)

    async def sync(self, principal: Who, id: _ConnectionId, request: _Request = None) -> Response:
        started = await self._service.sync(principal, id, full=bool(request and request.full))
        return encoded(started, 202, {"Location": f"/v1/syncs/{started.id}"})

    async def page_syncs(
        self, principal: Who, id: _ConnectionId, limit: _Limit = 50, cursor: _Cursor = None
    ) -> Response:
        name = listing("syncs", connection=id)
        found = await self._service.page_syncs(principal, id, limit + 1, self._after(name, cursor))
        following = self._paging.encode(name, [str(found[limit - 1].id)]) if len(found) > limit else None
        return encoded(Page[Sync].model_construct(items=found[:limit], next=following))

    async def get_sync(self, principal: Who, id: _SyncId) -> Response:
        return encoded(await self._service.get_sync(principal, id))

    async def cancel_sync(self, principal: Who, id: _SyncId) -> Response:
        await self._service.cancel_sync(principal, id)
        return Response(status_code=204)

    def _after(self, name: str, cursor: str | None) -> UUID | None:
        return UUID(self._paging.decode(name, cursor)[0]) if cursor is not None else None


def router(service: IntegrationService, paging: Paging) -> Router:
    """Routes under ``/v1/connections`` and ``/v1/syncs``."""
    routes = Router(tags=["connections"])
    _add_connections(routes, _Connections(service, paging))
    _add_syncs(routes, _Connections(service, paging))
    return routes


def _add_connections(routes: Router, handlers: _Connections) -> None:
    read, write = [requires("connections:read")], [requires("connections:write")]
    routes.post(
        "/v1/connections",
        operation_id="connect",
        summary="Connect a source",
        description="A place that is connected already takes these settings and is answered with 200.",
        status_code=201,
        response_model=Connection,
        responses=problems(NotAllowed, Invalid, Conflict)
        | {200: {"model": Connection, "description": "It was connected already."}},
        dependencies=write,
    )(handlers.connect)
    routes.get(
        "/v1/connections",
        operation_id="list_connections",
        summary="List connections",
        description="The caller's own, newest first.",
        response_model=Page[Connection],
        responses=problems(BadCursor),
        dependencies=read,
    )(handlers.page)
    routes.get(
        "/v1/connections/{id}",
        operation_id="get_connection",
        summary="Read a connection",
        description="`checkpoint` sums up how far it has been read.",
        response_model=Connection,
        responses=problems(NotFound),
        dependencies=read,
    )(handlers.get)
    routes.patch(
        "/v1/connections/{id}",
        operation_id="change_connection",
        summary="Change a connection",
        description="A merge patch (RFC 7396). Other settings than the last sync's make the next one read everything.",
        response_model=Connection,
        responses=problems(NotFound, NotAllowed, Invalid, Conflict),
        dependencies=write,
    )(handlers.change)
    routes.delete(
        "/v1/connections/{id}",
        operation_id="disconnect",
        summary="Disconnect a source",
        description="Its memories stay; connecting the place again finds them.",
        status_code=204,
        responses=problems(NotFound),
        dependencies=write,
    )(handlers.disconnect)


def _add_syncs(routes: Router, handlers: _Connections) -> None:
    read, write = [requires("connections:read")], [requires("connections:write")]
    routes.post(
        "/v1/connections/{id}/sync",
        operation_id="start_sync",
        summary="Sync a connection",
        description="Answers the sync under way when there is one; a full sync is refused then, once that one runs.",
        status_code=202,
        response_model=Sync,
        responses=problems(NotFound, NotAllowed, Conflict),
        dependencies=write,
    )(handlers.sync)
    routes.get(
        "/v1/connections/{id}/syncs",
        operation_id="list_syncs",
        summary="List the syncs of a connection",
        description="Newest first; the last fifty are kept.",
        response_model=Page[Sync],
        responses=problems(NotFound, BadCursor),
        dependencies=read,
    )(handlers.page_syncs)
    routes.get(
        "/v1/syncs/{id}",
        operation_id="get_sync",
        summary="Read a sync",
        description="Its counters move about once a second while it runs.",
        response_model=Sync,
        responses=problems(NotFound),
        dependencies=read,
    )(handlers.get_sync)
    routes.delete(
        "/v1/syncs/{id}",
        operation_id="cancel_sync",
        summary="Cancel a sync",
        description="It stops after its current batch; what it stored stays, and the next sync goes on from there.",
        status_code=204,
        responses=problems(NotFound),
        dependencies=write,
    )(handlers.cancel_sync)
