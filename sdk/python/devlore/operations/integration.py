"""Operations on connections and their syncs, and on the instance itself."""

from __future__ import annotations

from typing import Any, TypedDict, Unpack

from devlore.calls import Call, document, keyed, nothing, one
from devlore.operations.arguments import Id, as_body, given, params, under
from devlore.types import Connection, ConnectionDraft, Page, Sync

_CONNECTIONS = "/v1/connections"


class ConnectionChanges(TypedDict, total=False):
    """What may change on a connection."""

    name: str
    watch: bool
    config: dict[str, Any]


def connect(
    draft: ConnectionDraft | str,
    /,
    *,
    name: str | None = None,
    project: str | None = None,
    config: dict[str, Any] | None = None,
    watch: bool | None = None,
    idempotency_key: str | None = None,
) -> Call[Connection]:
    """Configure a source of memories: a draft, or a connector's name with its settings."""
    base = {"connector": draft} if isinstance(draft, str) else as_body(draft)
    body = base | given(name=name, project=project, config=config, watch=watch)
    return Call("POST", _CONNECTIONS, one(Connection), body=body, headers=keyed(idempotency_key))


def connections(*, limit: int | None = None, cursor: str | None = None) -> Call[Page[Connection]]:
    """One page of configured connections."""
    return Call("GET", _CONNECTIONS, one(Page[Connection]), params(limit=limit, cursor=cursor))


def connection(connection_id: Id) -> Call[Connection]:
    """One connection; raises ``NotFound``."""
    return Call("GET", under(_CONNECTIONS, connection_id), one(Connection))


def change_connection(connection_id: Id, **changes: Unpack[ConnectionChanges]) -> Call[Connection]:
    """Change a connection's name, settings or whether it is watched."""
    return Call("PATCH", under(_CONNECTIONS, connection_id), one(Connection), body=dict(changes))


def disconnect(connection_id: Id) -> Call[None]:
    """Forget a connection; its memories stay."""
    return Call("DELETE", under(_CONNECTIONS, connection_id), nothing)


def sync(connection_id: Id, *, full: bool = False, idempotency_key: str | None = None) -> Call[Sync]:
    """Start reading a connection from its checkpoint on, or with ``full`` from the beginning."""
    body = given(full=full or None)
    path = under(_CONNECTIONS, connection_id, "sync")
    return Call("POST", path, one(Sync), body=body, headers=keyed(idempotency_key))


def syncs_of(connection_id: Id, *, limit: int | None = None, cursor: str | None = None) -> Call[Page[Sync]]:
    """One page of a connection's syncs, newest first."""
    path = under(_CONNECTIONS, connection_id, "syncs")
    return Call("GET", path, one(Page[Sync]), params(limit=limit, cursor=cursor))


def get_sync(sync_id: Id) -> Call[Sync]:
    """One sync and how far it is; raises ``NotFound``."""
    return Call("GET", under("/v1/syncs", sync_id), one(Sync))


def cancel_sync(sync_id: Id) -> Call[None]:
    """Stop a sync after its current batch; what it stored stays."""
    return Call("DELETE", under("/v1/syncs", sync_id), nothing)


def instance() -> Call[dict[str, Any]]:
    """The server's version, tier and roles."""
    return Call("GET", "/v1/instance", document)


def ready() -> Call[dict[str, Any]]:
    """Whether every resource of the server answers; raises ``Unavailable`` when one does not."""
    return Call("GET", "/readyz", document)
