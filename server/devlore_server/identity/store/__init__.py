"""SQL of the identity service, a module per noun; each statement names the organisation it is about."""

from __future__ import annotations

from datetime import UTC, datetime

from devlore_server.kit.db import Row


def in_utc(found: Row) -> Row:
    """The row with its times in UTC: PostgreSQL answers in the session's time zone."""
    return {name: value.astimezone(UTC) if isinstance(value, datetime) else value for name, value in found.items()}
