"""The search service's HTTP face: parse, one service call, answer in bytes."""

from __future__ import annotations

from typing import Annotated, Any, Literal, get_origin
from uuid import UUID

from fastapi import Body, Path, Query, Request, Response
from fastapi.exceptions import RequestValidationError
from pydantic import Field, ValidationError

from devlore.problems import (
    BadCursor,
    Conflict,
    EmbedderChanged,
    EmbedderUnavailable,
    InvalidQuery,
    NotAllowed,
    NotFound,
)
from devlore.types import CheckResult, Model, RebuildRequest, SearchPage, SearchRequest, SearchStatus
from devlore_server.kit.auth import Principal
from devlore_server.kit.http import Router, Who, encoded, problems, requires, who
from devlore_server.search.service import SearchService

LONGEST = 10.0
"""Seconds after which a waiting caller is answered anyway."""

INTERNAL = "internal"
"""The scope that services sign for each other; the gateway never does."""

OPERATOR = "search:admin"
"""The scope of whoever runs the instance: what needs it concerns every organisation, and no role grants it."""


class SearchParameters(SearchRequest):
    """A search as query parameters; lists by repetition."""

    wait: Literal["indexed"] | None = Field(
        default=None, description="`indexed`: search when everything committed is searchable, at most 10 s later."
    )


_SEVERAL = frozenset(
    name for name, field in SearchParameters.model_fields.items() if get_origin(field.annotation) is list
)


def in_one_step(request: Request) -> SearchParameters:
    """The query parameters as FastAPI's ``Query()`` reads them, and refused as it refuses them.

    That looks at each of the model's fields in Python: 0.3 ms, a tenth of what the server does for a search.
    """
    given = request.query_params
    values = {name: given.getlist(name) if name in _SEVERAL else given[name] for name in given}
    try:
        return SearchParameters.model_validate(values)
    except ValidationError as refused:
        found = refused.errors(include_url=False)
        raise RequestValidationError([error | {"loc": ("query", *error["loc"])} for error in found]) from None


class WaitRequest(Model):
    """How long to wait for the indexes, in seconds."""

    timeout: Annotated[float, Field(ge=0, le=60)]


class WaitResult(Model):
    """The names of the indexes that did not catch up."""

    behind: list[str]


Asked = Annotated[
    SearchRequest,
    Body(
        openapi_examples={
            "question": {
                "summary": "A question, bounded",
                "value": {"q": "why did the connection pool run dry kind:bug-fix after:2025-01-01", "explain": True},
            },
            "filters": {"summary": "Filters alone: newest first", "value": {"kind": ["decision"], "project": ["api"]}},
        }
    ),
]
Rebuilt = Annotated[
    RebuildRequest,
    Body(
        openapi_examples={
            "again": {"summary": "Every index from the rows", "value": {}},
            "switch": {
                "summary": "Vectors of another model",
                "value": {"embedder": "openai:text-embedding-3-small@https://api.openai.com/v1"},
            },
        }
    ),
]
Wait = Annotated[
    Literal["indexed"] | None,
    Query(description="`indexed`: search when everything committed is searchable, at most 10 s later."),
]
Id = Annotated[UUID, Path(description="The memory's id.")]
Limit = Annotated[int, Query(ge=1, le=100, description="Most hits.")]


class _Search:
    """The handlers: each makes one service call, after waiting for the indexes where asked."""

    def __init__(self, service: SearchService) -> None:
        self._service = service

    async def documented(self, principal: Who, asked: Annotated[SearchParameters, Query()]) -> Response:
        return await self._find(principal, asked)

    async def find(self, request: Request) -> Response:
        return await self._find(await who(request), in_one_step(request))

    async def post(self, principal: Who, asked: Asked, wait: Wait = None) -> Response:
        return await self._answer(principal, asked, wait)

    async def similar(self, principal: Who, id: Id, limit: Limit = 10) -> Response:
        return encoded(await self._service.similar(principal, id, limit))

    async def status(self, principal: Who) -> Response:
        # Whoever runs the instance sees all of it, everybody else their own part.
        return encoded(await self._service.status(None if OPERATOR in principal.scopes else principal))

    async def check(self) -> Response:
        return encoded(await self._service.check())

    async def rebuild(self, principal: Who, asked: Rebuilt) -> Response:
        return encoded(await self._service.rebuild(asked, principal), 202)

    async def cancel(self) -> Response:
        return encoded(await self._service.cancel_rebuild())

    async def _find(self, principal: Principal, asked: SearchParameters) -> Response:
        request = SearchRequest.model_construct(**{name: getattr(asked, name) for name in SearchRequest.model_fields})
        return await self._answer(principal, request, asked.wait)

    async def _answer(self, principal: Principal, request: SearchRequest, wait: str | None) -> Response:
        headers: dict[str, str] = {}
        if wait is not None:
            behind = await self._service.wait(LONGEST)
            headers["Devlore-Indexed"] = "; ".join(["false", *behind]) if behind else "true"
        return encoded(await self._service.search(principal, request), headers=headers)


def router(service: SearchService) -> Router:
    """`/v1/search` with its indexes, and `/v1/memories/{id}/similar`."""
    handlers = _Search(service)
    routes = Router(tags=["search"])
    # The first that fits answers; the second is its description.
    routes.get("/v1/search", dependencies=_READ, include_in_schema=False)(handlers.find)
    routes.get("/v1/search", **_FIND)(handlers.documented)
    routes.post("/v1/search", **_POST)(handlers.post)
    routes.get("/v1/memories/{id}/similar", **_SIMILAR)(handlers.similar)
    routes.get("/v1/search/status", **_STATUS)(handlers.status)
    routes.get("/v1/search/check", **_CHECK)(handlers.check)
    routes.post("/v1/search/rebuild", **_REBUILD)(handlers.rebuild)
    routes.delete("/v1/search/rebuild", **_CANCEL)(handlers.cancel)
    return routes


def internal_router(service: SearchService) -> Router:
    """The route `search.client.IndexingClient` calls; in no OpenAPI document."""
    routes = Router(prefix="/internal/search", dependencies=[requires(INTERNAL)], include_in_schema=False)

    @routes.post("/wait", response_model=WaitResult)
    async def wait(asked: WaitRequest) -> Response:
        return encoded(WaitResult(behind=await service.wait(asked.timeout)))

    return routes


_INDEXED = {
    "Devlore-Indexed": {
        "description": "With `wait=indexed`: whether every index caught up in time; if not, which did not.",
        "schema": {"type": "string"},
        "example": "true",
    }
}
_READ = [requires("search:read")]
_ADMIN = [requires(OPERATOR)]
_LANGUAGE = (
    '`q` is free text with `"phrases"`, `-words`, and filters: `kind:` `project:` `tag:` `author:` (also `@me`)'
    " `team:` `source:` `privacy:` `status:` `before:` `after:` `as_of:`; values may be quoted, `-kind:note` excludes,"
    " dates may be `2025-06`, `7d`, `yesterday`. Words are matched by full text and by meaning at once; without words"
    " the newest come first. What holds now is shown unless a status or a moment is asked for. A leg that did not"
    " answer in time is named in `degraded`, and the others' hits stand."
)
_FOUND: dict[int | str, dict[str, Any]] = {
    200: {"description": "The hits, best first.", "headers": _INDEXED},
    **problems(InvalidQuery, BadCursor, EmbedderChanged, EmbedderUnavailable, NotAllowed),
}
_FIND: dict[str, Any] = {
    "operation_id": "search_memories",
    "summary": "Search",
    "description": _LANGUAGE,
    "response_model": SearchPage,
    "responses": _FOUND,
    "dependencies": _READ,
}
_POST: dict[str, Any] = {
    "operation_id": "search_memories_by_body",
    "summary": "Search, with the request as a body",
    "description": _LANGUAGE,
    "response_model": SearchPage,
    "responses": _FOUND,
    "dependencies": _READ,
}
_SIMILAR: dict[str, Any] = {
    "operation_id": "find_similar_memories",
    "summary": "Memories like this one",
    "description": "By the memory's stored vectors and its rarest words; the memory itself is not among them.",
    "response_model": SearchPage,
    "responses": problems(NotFound, NotAllowed),
    "dependencies": _READ,
}
_STATUS: dict[str, Any] = {
    "operation_id": "get_search_status",
    "summary": "How far the indexes are",
    "description": "Documents, events still to apply, rate and estimate for each index, and a running rebuild.",
    "response_model": SearchStatus,
    "responses": problems(NotAllowed),
    "dependencies": _READ,
}
_CHECK: dict[str, Any] = {
    "operation_id": "check_search_indexes",
    "summary": "Compare the rows with the indexes",
    "description": "Reads every row and every index; names up to twenty ids of each kind of difference.",
    "response_model": CheckResult,
    "responses": problems(NotAllowed),
    "dependencies": _ADMIN,
}
_REBUILD: dict[str, Any] = {
    "operation_id": "rebuild_search_indexes",
    "summary": "Build the indexes again",
    "description": (
        "In the background, from the rows, beside the indexes that answer, then in their place. With `embedder`,"
        " vectors of that model only. Goes on after a restart; progress is in the status."
    ),
    "status_code": 202,
    "response_model": SearchStatus,
    "responses": problems(Conflict, EmbedderUnavailable, NotAllowed),
    "dependencies": _ADMIN,
}
_CANCEL: dict[str, Any] = {
    "operation_id": "cancel_search_rebuild",
    "summary": "Give a rebuild up",
    "description": "The indexes that answer stay as they are.",
    "response_model": SearchStatus,
    "responses": problems(NotFound, NotAllowed),
    "dependencies": _ADMIN,
}
