"""Rows of ``integration.sync``."""

from __future__ import annotations

from dataclasses import asdict
from datetime import datetime
from typing import LiteralString
from uuid import UUID

from psycopg.types.json import Jsonb

from devlore.types import Sync
from devlore_server.integration.progress import Progress
from devlore_server.integration.store.connections import Owned
from devlore_server.kit.auth import Principal
from devlore_server.kit.db import Connection as Transaction
from devlore_server.kit.db import Row, row, rows

_COLUMNS: LiteralString = (
    "s.id, s.connection_id, s.state, s.total, s.done, s.created, s.updated, s.unchanged, s.deleted, s.failed,"
    " s.failures, s.error, s.started_at, s.finished_at"
)
_COUNTERS: LiteralString = (
    "total = %(total)s, done = %(done)s, created = %(created)s, updated = %(updated)s, unchanged = %(unchanged)s,"
    " deleted = %(deleted)s, failed = %(failed)s, failures = %(failures)s"
)


async def insert(
    transaction: Transaction, who: Principal, id: UUID, connection_id: UUID, *, anew: bool, at: datetime
) -> bool:
    """Queue a sync, which reads everything ``anew`` or goes on; False when one of this connection is under way."""
    found = await row(
        transaction,
        "INSERT INTO integration.sync (organisation_id, id, connection_id, created_by, state, anew, queued_at)"
        " VALUES (%s, %s, %s, %s, 'queued', %s, %s)"
        " ON CONFLICT (organisation_id, connection_id) WHERE state IN ('queued', 'running') DO NOTHING RETURNING id",
        (who.organisation, id, connection_id, who.person, anew, at),
    )
    return found is not None


async def read_anew(transaction: Transaction, who: Principal, id: UUID) -> bool:
    """Make a queued sync read everything anew; False when it has started."""
    found = await row(
        transaction,
        "UPDATE integration.sync s SET anew = true"
        " WHERE s.organisation_id = %s AND s.id = %s AND s.state = 'queued' RETURNING s.id",
        (who.organisation, id),
    )
    return found is not None


async def is_anew(transaction: Transaction, who: Principal, id: UUID) -> bool:
    """Whether a sync has still to forget the checkpoint."""
    found = await row(
        transaction,
        "SELECT s.anew FROM integration.sync s WHERE s.organisation_id = %s AND s.id = %s",
        (who.organisation, id),
    )
    return found is not None and bool(found["anew"])


async def note_begun(transaction: Transaction, who: Principal, id: UUID) -> None:
    """The checkpoint was forgotten: if the sync is interrupted now, it goes on instead of starting over."""
    await transaction.execute(
        "UPDATE integration.sync s SET anew = false WHERE s.organisation_id = %s AND s.id = %s",
        (who.organisation, id),
    )


async def prune(transaction: Transaction, who: Principal, connection_id: UUID, keep: int) -> None:
    """Forget all but the newest ``keep`` finished syncs of a connection."""
    await transaction.execute(
        "DELETE FROM integration.sync s WHERE s.organisation_id = %(organisation)s AND s.connection_id = %(connection)s"
        " AND s.state NOT IN ('queued', 'running') AND s.id < (SELECT k.id FROM (SELECT n.id FROM"
        " integration.sync n WHERE n.organisation_id = %(organisation)s AND n.connection_id = %(connection)s"
        " ORDER BY n.id DESC LIMIT %(keep)s) AS k ORDER BY k.id LIMIT 1)",
        {"organisation": who.organisation, "connection": connection_id, "keep": keep},
    )


async def find(transaction: Transaction, who: Principal, id: UUID) -> Sync | None:
    """One of the person's syncs."""
    found = await row(
        transaction,
        f"SELECT {_COLUMNS} FROM integration.sync s WHERE s.organisation_id = %s AND s.created_by = %s AND s.id = %s",
        (who.organisation, who.person, id),
    )
    return _sync(found) if found else None


async def find_under_way(transaction: Transaction, who: Principal, connection_id: UUID) -> Sync | None:
    """The queued or running sync of a connection."""
    found = await row(
        transaction,
        f"SELECT {_COLUMNS} FROM integration.sync s WHERE s.organisation_id = %s AND s.connection_id = %s"
        " AND s.state IN ('queued', 'running')",
        (who.organisation, connection_id),
    )
    return _sync(found) if found else None


async def find_page(
    transaction: Transaction, who: Principal, connection_id: UUID, limit: int, after: UUID | None
) -> list[Sync]:
    """The syncs of a connection, newest first."""
    found = await rows(
        transaction,
        f"SELECT {_COLUMNS} FROM integration.sync s WHERE s.organisation_id = %s AND s.created_by = %s"
        " AND s.connection_id = %s AND (%s::uuid IS NULL OR s.id < %s) ORDER BY s.id DESC LIMIT %s",
        (who.organisation, who.person, connection_id, after, after, limit),
    )
    return [_sync(one) for one in found]


def _sync(found: Row) -> Sync:
    return Sync.model_validate(found)


async def waiting(transaction: Transaction, dead_before: datetime) -> list[Owned]:
    """Every organisation's syncs that nobody runs: queued, or their worker died. Longest waiting first."""
    found = await rows(
        transaction, "SELECT organisation_id, created_by, id FROM integration.waiting_syncs(%s)", (dead_before,)
    )
    return [Owned(one["organisation_id"], one["created_by"], one["id"]) for one in found]


async def claim(
    transaction: Transaction, owned: Owned, worker: UUID, *, at: datetime, dead_before: datetime
) -> Sync | None:
    """Take a waiting sync over; None when another worker was faster. One that was asked to stop ends here."""
    found = await row(
        transaction,
        f"UPDATE integration.sync s SET state = CASE WHEN s.cancelling THEN 'cancelled' ELSE 'running' END,"
        " finished_at = CASE WHEN s.cancelling THEN %(at)s END, worker = %(worker)s, alive_at = %(at)s,"
        " started_at = coalesce(s.started_at, %(at)s)"
        " WHERE s.organisation_id = %(organisation)s AND s.id = %(id)s AND (s.state = 'queued'"
        " OR (s.state = 'running' AND (s.alive_at IS NULL OR s.alive_at < %(dead_before)s)))"
        f" RETURNING {_COLUMNS}",
        {"organisation": owned.organisation, "id": owned.id, "worker": worker, "at": at, "dead_before": dead_before},
    )
    return _sync(found) if found else None


async def report(
    transaction: Transaction, who: Principal, id: UUID, worker: UUID, progress: Progress, *, at: datetime
) -> bool:
    """Write how far a sync is and that its worker lives; False when it should stop, or is another worker's by now."""
    found = await row(
        transaction,
        f"UPDATE integration.sync s SET {_COUNTERS}, alive_at = %(at)s WHERE s.organisation_id = %(organisation)s"
        " AND s.id = %(id)s AND s.state = 'running' AND s.worker = %(worker)s RETURNING s.cancelling",
        _counters(progress) | {"organisation": who.organisation, "id": id, "worker": worker, "at": at},
    )
    return found is not None and not found["cancelling"]


async def goes_on(transaction: Transaction, who: Principal, id: UUID, worker: UUID) -> bool:
    """Whether a sync is still this worker's, and nobody asked it to stop."""
    found = await row(
        transaction,
        "SELECT s.id FROM integration.sync s WHERE s.organisation_id = %s AND s.id = %s AND s.state = 'running'"
        " AND s.worker = %s AND NOT s.cancelling",
        (who.organisation, id, worker),
    )
    return found is not None


async def finish(
    transaction: Transaction,
    who: Principal,
    id: UUID,
    worker: UUID,
    progress: Progress,
    *,
    state: str,
    error: str | None,
    at: datetime,
) -> bool:
    """Write how a sync ended; False when it is another worker's by now, or gone."""
    done = await transaction.execute(
        f"UPDATE integration.sync s SET {_COUNTERS}, state = %(state)s, error = %(error)s, finished_at = %(at)s,"
        " alive_at = %(at)s WHERE s.organisation_id = %(organisation)s AND s.id = %(id)s AND s.state = 'running'"
        " AND s.worker = %(worker)s",
        _counters(progress)
        | {"organisation": who.organisation, "id": id, "worker": worker, "state": state, "error": error, "at": at},
    )
    return done.rowcount > 0


async def release(transaction: Transaction, who: Principal, id: UUID, worker: UUID) -> None:
    """Put a sync back in the queue: its worker is going down in order."""
    await transaction.execute(
        "UPDATE integration.sync s SET state = 'queued', worker = NULL"
        " WHERE s.organisation_id = %s AND s.id = %s AND s.state = 'running' AND s.worker = %s",
        (who.organisation, id, worker),
    )


async def cancel(transaction: Transaction, who: Principal, id: UUID, at: datetime) -> bool:
    """End a queued sync, or ask a running one to stop; False when there is no such sync."""
    found = await row(
        transaction,
        "UPDATE integration.sync s SET cancelling = s.state IN ('queued', 'running'),"
        " finished_at = CASE s.state WHEN 'queued' THEN %(at)s ELSE s.finished_at END,"
        " state = CASE s.state WHEN 'queued' THEN 'cancelled' ELSE s.state END"
        " WHERE s.organisation_id = %(organisation)s AND s.created_by = %(person)s AND s.id = %(id)s RETURNING s.id",
        {"organisation": who.organisation, "person": who.person, "id": id, "at": at},
    )
    return found is not None


def _counters(progress: Progress) -> dict[str, object]:
    return asdict(progress) | {"failures": Jsonb([one.model_dump() for one in progress.failures])}
