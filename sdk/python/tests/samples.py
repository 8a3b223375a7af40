"""JSON as the server sends it, for the scripted server."""

from __future__ import annotations

from typing import Any

MOMENT = "2026-03-01T12:00:00Z"
ID = "01936f00-0000-7000-8000-000000000001"
OTHER = "01936f00-0000-7000-8000-000000000002"
ORGANISATION = "00000000-0000-7000-8000-000000000001"
PERSON = "00000000-0000-7000-8000-000000000002"


def memory(**changes: Any) -> dict[str, Any]:
    plain = {
        "id": ID,
        "organisation_id": ORGANISATION,
        "team_id": None,
        "project": "api",
        "kind": "decision",
        "title": "Pin psycopg",
        "body": "3.2.4 leaks.",
        "tags": ["postgres"],
        "source": None,
        "privacy": "private",
        "status": "active",
        "status_reason": None,
        "valid_from": MOMENT,
        "valid_to": None,
        "superseded_by": None,
        "occurred_at": MOMENT,
        "created_at": MOMENT,
        "updated_at": MOMENT,
        "deleted_at": None,
        "created_by": PERSON,
        "version": 1,
        "importance": 0.5,
        "pinned": False,
        "encryption": None,
        "trust": "person",
    }
    return plain | changes


def page(*items: Any, next: str | None = None) -> dict[str, Any]:
    return {"items": list(items), "next": next}


def problem(status: int, code: str, **extra: Any) -> dict[str, Any]:
    return {"type": f"https://devlore.dev/problems/{code}", "title": code, "status": status, "code": code} | extra


def hits(*items: dict[str, Any], next: str | None = None) -> dict[str, Any]:
    found = [{"memory": item, "score": 0.5, "highlights": []} for item in items]
    return {"items": found, "next": next, "degraded": [], "facets": {}, "took_ms": 1.5}
