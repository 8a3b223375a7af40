"""Operations of search: finding, and the state and upkeep of the indexes."""

from __future__ import annotations

from datetime import datetime

from devlore.calls import Call, keyed, nothing, one
from devlore.operations.arguments import Id, Several, given, params, several, waiting
from devlore.operations.memories import path_of
from devlore.types import CheckResult, SearchPage, SearchRequest, SearchStatus


def search(
    q: str = "",
    *,
    kind: Several = (),
    project: Several = (),
    tag: Several = (),
    author: Several = (),
    source: Several = (),
    privacy: Several = (),
    status: Several = (),
    after: datetime | None = None,
    before: datetime | None = None,
    as_of: datetime | None = None,
    limit: int | None = None,
    cursor: str | None = None,
    facets: Several = (),
    explain: bool = False,
    legs: Several = (),
    wait: bool = False,
) -> Call[SearchPage]:
    """One page of what ``q`` (in the query language) finds, best first.

    ``wait`` first waits (≤ 10 s) until everything committed so far can be found. Raises ``InvalidQuery``.
    """
    lists = {
        "kind": several(kind),
        "project": several(project),
        "tag": several(tag),
        "author": several(author),
        "source": several(source),
        "privacy": several(privacy),
        "status": several(status),
        "facets": several(facets),
        "legs": several(legs),
    }
    body = {name: values for name, values in lists.items() if values}
    body |= given(after=after, before=before, as_of=as_of, limit=limit, cursor=cursor, explain=explain or None)
    return _search({"q": q, **body}, wait)


def request(asked: SearchRequest, *, wait: bool = False) -> Call[SearchPage]:
    """One page of what a ``SearchRequest`` finds."""
    return _search(asked.model_dump(mode="json", exclude_unset=True), wait)


def similar(memory_id: Id, *, limit: int | None = None) -> Call[SearchPage]:
    """The memories most like one, best first."""
    return Call("GET", path_of(memory_id, "similar"), one(SearchPage), params(limit=limit))


def status() -> Call[SearchStatus]:
    """How far each index has come, and a rebuild that is running."""
    return Call("GET", "/v1/search/status", one(SearchStatus))


def check() -> Call[CheckResult]:
    """Compare every index with the memories themselves."""
    return Call("GET", "/v1/search/check", one(CheckResult), timeout=300.0)


def rebuild(*, embedder: str | None = None, idempotency_key: str | None = None) -> Call[SearchStatus]:
    """Start building the indexes anew, with another embedder if named; the old ones answer until then."""
    body = given(embedder=embedder)
    return Call("POST", "/v1/search/rebuild", one(SearchStatus), body=body, headers=keyed(idempotency_key))


def cancel_rebuild() -> Call[None]:
    """Stop a running rebuild; the old indexes stay."""
    return Call("DELETE", "/v1/search/rebuild", nothing)


def _search(body: dict[str, object], wait: bool) -> Call[SearchPage]:
    # A search changes nothing, so it may be repeated without an Idempotency-Key for the server to remember.
    return Call("POST", "/v1/search", one(SearchPage), waiting(wait), body, cursor_in="body")
