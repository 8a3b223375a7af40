"""One example per type of the API, shown in its description; a test holds each against its own type."""

from __future__ import annotations

from typing import Any, Final

from devlore_server.credential_examples import CREDENTIAL_EXAMPLES
from devlore_server.directory_examples import DIRECTORY_EXAMPLES

_ID = "0199c1a2-7f3e-7c41-9d52-1f2a6be0c311"
_OLDER = "0199b7d4-03aa-7a90-8b1e-5c0d9e7712f0"
_CONNECTION = "0199c1a3-1b5c-7d02-a3c4-77e5f0a91d64"
_SYNC = "0199c1a3-2a90-7f4e-b0d1-0c6d5f8e2b17"
_ORGANISATION = "00000000-0000-7000-8000-000000000001"
_PERSON = "00000000-0000-7000-8000-000000000002"
_WHEN = "2026-03-02T09:30:00Z"

_DRAFT: Final[dict[str, Any]] = {
    "title": "Pin psycopg below 3.2.4",
    "body": "3.2.4 leaks prepared statements when a pooled connection is reset.",
    "kind": "decision",
    "project": "api",
    "tags": ["postgres"],
}
_MEMORY: Final[dict[str, Any]] = _DRAFT | {
    "id": _ID,
    "organisation_id": _ORGANISATION,
    "team_id": None,
    "source": None,
    "privacy": "private",
    "status": "active",
    "status_reason": None,
    "valid_from": _WHEN,
    "valid_to": None,
    "superseded_by": None,
    "occurred_at": _WHEN,
    "created_at": _WHEN,
    "updated_at": _WHEN,
    "deleted_at": None,
    "created_by": _PERSON,
    "version": 1,
    "importance": 0.5,
    "pinned": False,
    "encryption": None,
    "trust": "person",
}
_VERSION: Final[dict[str, Any]] = {
    "memory_id": _ID,
    "version": 1,
    "change": "created",
    "changed_at": _WHEN,
    "changed_by": _PERSON,
    "reason": None,
    "memory": _MEMORY,
}
_LINK_DRAFT: Final[dict[str, Any]] = {
    "type": "fixes",
    "target_kind": "ticket",
    "target": "API-212",
    "note": "found while on call",
}
_LINK: Final[dict[str, Any]] = _LINK_DRAFT | {
    "id": _OLDER,
    "memory_id": _ID,
    "direction": "outgoing",
    "score": None,
    "created_at": _WHEN,
}
_HIT: Final[dict[str, Any]] = {
    "memory": _MEMORY,
    "score": 0.83,
    "highlights": [{"field": "title", "excerpt": "Pin psycopg below 3.2.4", "offset": 0, "spans": [[4, 11]]}],
    "duplicates": 0,
    "explanation": {
        "legs": [
            {"leg": "lexical", "rank": 1, "score": 11.2, "contribution": 0.6},
            {"leg": "vector", "rank": 2, "score": 0.61, "contribution": 0.23},
        ],
        "factors": {"recency": 1.02},
        "passage": [0, 66],
    },
}
_STATUS: Final[dict[str, Any]] = {
    "indexes": [{"name": "lexical", "state": "ready", "documents": 17204, "lag": 0, "parked": 0}],
    "embedder": "all-MiniLM-L6-v2-onnx-int8",
    "rebuild": None,
}
_CONNECTION_DRAFT: Final[dict[str, Any]] = {"connector": "git", "project": "api", "config": {"path": "/src/api"}}
_CONNECTED: Final[dict[str, Any]] = _CONNECTION_DRAFT | {
    "id": _CONNECTION,
    "name": "api",
    "watch": False,
    "created_at": _WHEN,
    "last_synced_at": None,
    "checkpoint": None,
}
_SYNCED: Final[dict[str, Any]] = {
    "id": _SYNC,
    "connection_id": _CONNECTION,
    "state": "done",
    "total": 120,
    "done": 120,
    "created": 118,
    "updated": 1,
    "unchanged": 0,
    "deleted": 0,
    "failed": 1,
    "failures": [{"item": "3f9c2e1", "reason": "The message is not text."}],
    "error": None,
    "started_at": _WHEN,
    "finished_at": "2026-03-02T09:30:04Z",
}


def _page(item: dict[str, Any]) -> dict[str, Any]:
    return {"items": [item], "next": None}


_COUNT: Final[dict[str, Any]] = {"value": "postgres", "count": 12}

EXAMPLES: Final[dict[str, dict[str, Any]]] = {
    **DIRECTORY_EXAMPLES,
    **CREDENTIAL_EXAMPLES,
    "MemoryDraft": _DRAFT,
    "MemoryPatch": {"tags": ["postgres", "pool"], "importance": 0.8},
    "Memory": _MEMORY,
    "Version": _VERSION,
    "Link": _LINK,
    "LinkDraft": _LINK_DRAFT,
    "Diff": {
        "memory_id": _ID,
        "old_version": 1,
        "new_version": 2,
        "fields": [{"field": "tags", "old": ["postgres"], "new": ["postgres", "pool"]}],
        "body": "",
    },
    "Supersession": {"by": _OLDER, "reason": "3.2.5 fixed the leak"},
    "StatusChange": {"reason": "It was the proxy after all"},
    "Restoration": {"version": 1},
    "Page_Memory_": _page(_MEMORY),
    "Page_Version_": _page(_VERSION),
    "Page_Link_": _page(_LINK),
    "Page_Count_": _page(_COUNT),
    "Page_Connection_": _page(_CONNECTED),
    "Page_Sync_": _page(_SYNCED),
    "BulkRequest": {"items": [_DRAFT]},
    "BulkResult": {
        "items": [{"index": 0, "status": 201, "result": "created", "id": _ID, "version": 1, "problem": None}],
        "created": 1,
        "updated": 0,
        "unchanged": 0,
        "refused": 0,
    },
    "MemoryRecord": {"memory": _MEMORY, "versions": [_VERSION], "links": [_LINK]},
    "ImportRequest": {"items": [{"memory": _MEMORY, "versions": [_VERSION], "links": []}]},
    "SecretsPolicy": {"action": "redact", "changed_at": _WHEN, "changed_by": _PERSON},
    "SecretsPolicyChange": {"action": "block"},
    "SearchRequest": {"q": "why did the connection pool run dry kind:decision", "limit": 5, "explain": True},
    "SearchPage": {"items": [_HIT], "next": None, "degraded": [], "facets": {"tag": [_COUNT]}, "took_ms": 3.4},
    "SearchStatus": _STATUS,
    "CheckResult": {"clean": True, "memories": 17204, "indexes": [], "problems": []},
    "RebuildRequest": {"embedder": "bundled"},
    "ConnectionDraft": _CONNECTION_DRAFT,
    "ConnectionPatch": {"name": "api, main branch", "watch": True},
    "Connection": _CONNECTED,
    "SyncRequest": {"full": False},
    "Sync": _SYNCED,
    "Alive": {"status": "alive"},
    "Readiness": {
        "status": "ready",
        "degraded": [],
        "resources": [{"name": "postgres", "up": True, "critical": True, "milliseconds": 0.6, "detail": None}],
    },
}
