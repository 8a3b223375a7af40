"""The audit trail over HTTP."""

from __future__ import annotations

from datetime import datetime
from typing import Annotated, Any, Literal
from uuid import UUID

from fastapi import Query, Response
from pydantic import AwareDatetime

from devlore.problems import BadCursor, Invalid, NotAllowed
from devlore.types import AuditLeaf, AuditResult, Page
from devlore.types.model import NO_NUL
from devlore_server.identity.api.organisations import Cursor, Limit
from devlore_server.identity.audit import AuditTrail, Filters, Place
from devlore_server.kit.auth import Principal
from devlore_server.kit.http import Router, Who, encoded, problems, requires
from devlore_server.kit.paging import Paging, listing

_Actions = Annotated[
    list[Annotated[str, Query(max_length=100)]],
    Query(description="Only these; `memory.*` is every action of that kind.", max_length=50, examples=["session.*"]),
]
_Actor = Annotated[UUID | Literal["system", "nobody"] | None, Query(description="A person's id, `system` or `nobody`.")]
_Target = Annotated[
    str | None,
    Query(max_length=500, pattern=NO_NUL, description="What it was about: an id, an e-mail address, a network."),
]
_Results = Annotated[list[AuditResult], Query(description="Only these.", max_length=3)]
_After = Annotated[AwareDatetime | None, Query(description="Not before this time.")]
_Before = Annotated[AwareDatetime | None, Query(description="Before this time.")]
_Follow = Annotated[
    bool,
    Query(description="What is committed from now on, oldest first: `next` is always there, to ask again with it."),
]


class _Audit:
    """The handler."""

    def __init__(self, trail: AuditTrail, paging: Paging) -> None:
        self._trail = trail
        self._paging = paging

    async def page(
        self,
        principal: Who,
        action: _Actions = [],  # noqa: B006
        actor: _Actor = None,
        target: _Target = None,
        result: _Results = [],  # noqa: B006
        after: _After = None,
        before: _Before = None,
        follow: _Follow = False,
        limit: Limit = 50,
        cursor: Cursor = None,
    ) -> Response:
        filters = Filters(action, None if actor is None else str(actor), target, result, after, before)
        name = _listing(principal, filters, follow)
        if follow:
            return encoded(await self._on(principal, filters, limit, name, cursor))
        place = None
        if cursor is not None:
            at, id = self._paging.decode(name, cursor)
            place = (datetime.fromisoformat(at), UUID(id))
        found = await self._trail.newest(principal, filters, limit + 1, place)
        last = found[limit - 1] if len(found) > limit else None
        following = self._paging.encode(name, [last.occurred_at.isoformat(), str(last.id)]) if last else None
        return encoded(Page[AuditLeaf].model_construct(items=found[:limit], next=following))

    async def _on(self, who: Principal, filters: Filters, limit: int, name: str, cursor: str | None) -> Page[AuditLeaf]:
        place = None
        if cursor is not None:
            xid, id = self._paging.decode(name, cursor)
            place = Place(xid, UUID(id))
        found, reached = await self._trail.follow(who, filters, limit, place)
        following = self._paging.encode(name, [reached.xid, str(reached.id)])
        return Page[AuditLeaf].model_construct(items=found, next=following)


def _listing(who: Principal, filters: Filters, follow: bool) -> str:
    # Of this person in this organisation: that somebody read on with another's cursor would leave no leaf.
    named = {name: getattr(filters, name) for name in filters.__slots__}
    return listing("audit", organisation=who.organisation, person=who.person, follow=follow, **named)


def router(trail: AuditTrail, paging: Paging) -> Router:
    """``/v1/audit``."""
    routes = Router(tags=["audit"])
    routes.get("/v1/audit", **_READ)(_Audit(trail, paging).page)
    return routes


_READ: dict[str, Any] = {
    "operation_id": "read_audit",
    "summary": "Read the audit trail",
    "description": (
        "One leaf for each change, refusal and sensitive read in the organisation, newest first. People, e-mail"
        " addresses and networks are pseudonyms; `names` says what they stand for until that is erased. `hash` is the"
        " SHA-256 of the RFC 8785 form of everything else but `names`. Reading leaves a leaf, too."
    ),
    "response_model": Page[AuditLeaf],
    "responses": problems(NotAllowed, BadCursor, Invalid),
    "dependencies": [requires("audit:read")],
}
