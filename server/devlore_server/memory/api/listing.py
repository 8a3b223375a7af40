"""Many memories over HTTP: filtered lists, and which tags and projects there are."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from datetime import datetime
from typing import Annotated, Any
from uuid import UUID

from fastapi import Query, Response
from pydantic import AwareDatetime, BaseModel, ConfigDict, Field, StringConstraints

from devlore.problems import BadCursor, Invalid
from devlore.types import Count, Memory, Page, Privacy, Status, Trust
from devlore_server.kit.auth import Principal
from devlore_server.kit.http import Router, Who, encoded, problems, requires
from devlore_server.kit.paging import Paging
from devlore_server.kit.paging import listing as listing_of
from devlore_server.memory.service import Filters, MemoryService

# PostgreSQL's text cannot hold NUL, so no stored value could match it either.
_Value = Annotated[str, StringConstraints(pattern=r"^[^\x00]+$", max_length=1_000)]
_Several = Annotated[list[_Value], Field(max_length=100)]


class ListQuery(BaseModel):
    """The parameters of a listing; a repeated one means any of its values, an unknown one is an error."""

    model_config = ConfigDict(extra="forbid")

    kind: _Several = []
    project: _Several = []
    tag: _Several = []
    author: _Several = Field(default=[], description="The author at its source, a person's id, or `@me`.")
    team: Annotated[list[UUID], Field(max_length=100)] = Field(default=[], description="The team it is for, by its id.")
    source: _Several = Field(default=[], description="The connector it came from.")
    status: Annotated[list[Status], Field(max_length=3)] = []
    privacy: Annotated[list[Privacy], Field(max_length=3)] = []
    trust: Annotated[list[Trust], Field(max_length=4)] = []
    external_id: _Several = []
    pinned: bool | None = None
    after: AwareDatetime | None = Field(default=None, description="Happened at this time or later.")
    before: AwareDatetime | None = Field(default=None, description="Happened before this time.")
    deleted: bool = Field(default=False, description="The deleted ones instead of the others.")
    limit: Annotated[int, Field(ge=1, le=200)] = 50
    cursor: str | None = Field(default=None, description="`next` of the page before.")


_CountReader = Callable[[Principal, int, tuple[int, str] | None], Awaitable[list[Count]]]
_Limit = Annotated[int, Query(ge=1, le=200)]
_Cursor = Annotated[str | None, Query(description="`next` of the page before.")]


class _Listings:
    """The handlers: each makes one service call."""

    def __init__(self, service: MemoryService, paging: Paging) -> None:
        self._service = service
        self._paging = paging

    async def memories(self, principal: Who, asked: Annotated[ListQuery, Query()]) -> Response:
        chosen = asked.model_dump(exclude={"limit", "cursor"})
        name = listing_of("memories", **chosen)
        after = _created_key(self._paging.decode(name, asked.cursor)) if asked.cursor is not None else None
        found = await self._service.page(principal, Filters(**chosen), asked.limit + 1, after)
        following = None
        if len(found) > asked.limit:
            last = found[asked.limit - 1]
            following = self._paging.encode(name, [last.created_at.isoformat(), str(last.id)])
        return encoded(Page[Memory].model_construct(items=found[: asked.limit], next=following))

    async def tags(self, principal: Who, limit: _Limit = 50, cursor: _Cursor = None) -> Response:
        return await self._counts("tags", self._service.tags, principal, limit, cursor)

    async def projects(self, principal: Who, limit: _Limit = 50, cursor: _Cursor = None) -> Response:
        return await self._counts("projects", self._service.projects, principal, limit, cursor)

    async def _counts(
        self, name: str, read: _CountReader, principal: Principal, limit: int, cursor: str | None
    ) -> Response:
        after = None
        if cursor is not None:
            count, value = self._paging.decode(name, cursor)
            after = (int(count), str(value))
        found = await read(principal, limit + 1, after)
        last = found[limit - 1] if len(found) > limit else None
        following = self._paging.encode(name, [last.count, last.value]) if last else None
        return encoded(Page[Count].model_construct(items=found[:limit], next=following))


def _created_key(key: list[Any]) -> tuple[datetime, UUID]:
    created_at, id = key
    return datetime.fromisoformat(created_at), UUID(id)


def router(service: MemoryService, paging: Paging) -> Router:
    """``GET /v1/memories``, ``/v1/tags`` and ``/v1/projects``."""
    handlers = _Listings(service, paging)
    routes = Router(tags=["memories"], dependencies=[requires("memories:read")])
    routes.get("/v1/memories", **_LIST)(handlers.memories)
    routes.get("/v1/tags", **_TAGS)(handlers.tags)
    routes.get("/v1/projects", **_PROJECTS)(handlers.projects)
    return routes


_LIST: dict[str, Any] = {
    "operation_id": "list_memories",
    "summary": "List memories",
    "description": (
        "Newest first, filtered. Repeat a parameter for several values: any of them counts. Follow `next` with the"
        " same filters; memories stored meanwhile neither repeat nor hide others."
    ),
    "response_model": Page[Memory],
    "responses": problems(Invalid, BadCursor),
}
_TAGS: dict[str, Any] = {
    "operation_id": "list_tags",
    "summary": "List tags",
    "description": "The tags of the memories you may see with their number, most used first.",
    "response_model": Page[Count],
    "responses": problems(Invalid, BadCursor),
}
_PROJECTS: dict[str, Any] = {
    "operation_id": "list_projects",
    "summary": "List projects",
    "description": "The projects of the memories you may see with their number, most used first.",
    "response_model": Page[Count],
    "responses": problems(Invalid, BadCursor),
}
