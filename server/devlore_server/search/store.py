"""Owns the search service's own rows: generations of the vector index, and the one rebuild."""

from contextlib import suppress
from dataclasses import dataclass
from datetime import datetime
from typing import Any
from uuid import UUID

from psycopg.errors import LockNotAvailable
from psycopg.types.json import Jsonb

from devlore_server.kit.db import Database, row, rows
from devlore_server.search.vectors import VectorModel


@dataclass(frozen=True, slots=True)
class Rebuild:
    """A rebuild and how far it is: `done` of `total` memories, all up to (organisation, id) `scanned_to`."""

    spec: str
    state: str
    scanned_to: tuple[UUID, UUID] | None
    done: int
    total: int
    error: str | None
    started_at: datetime
    finished_at: datetime | None


class SearchStore:
    """Reads and writes of `search.model`, `search.rebuild` and `search.lineage`, which hold no tenant's data."""

    def __init__(self, database: Database) -> None:
        self._database = database

    async def lineage(self) -> UUID:
        """Which line of rows this database holds; another one after every restore."""
        found = await self._database.statement("SELECT id FROM search.lineage")
        assert found is not None
        return UUID(str(found["id"]))

    async def models(self) -> list[VectorModel]:
        """Every generation, oldest first."""
        async with self._database.transaction(None) as connection:
            found = await rows(
                connection,
                "SELECT id, name, spec, configured, dimension, state FROM search.model ORDER BY id",
            )
        return [VectorModel(**held) for held in found]

    async def begin(self, name: str, spec: str, configured: str, dimension: int, state: str) -> VectorModel:
        """Begin an empty generation that is `active` or `building`; there is at most one of each."""
        async with self._database.transaction(None) as connection:
            made = await row(
                connection,
                "SELECT search.begin_model(%s, %s, %s, %s, %s) AS id",
                (name, spec, configured, dimension, state),
            )
        assert made is not None
        return VectorModel(int(made["id"]), name, spec, configured, dimension, state)

    async def promote(self, model: VectorModel) -> bool:
        """Let a building generation answer from now on; the one before is retired, the rebuild done.

        False, and nothing has changed, if it is no longer being built: given up meanwhile, or promoted by another
        process.
        """
        async with self._database.transaction(None) as connection:
            built = await row(
                connection, "SELECT id FROM search.model WHERE id = %s AND state = 'building' FOR UPDATE", (model.id,)
            )
            if built is None:
                return False
            await connection.execute("UPDATE search.model SET state = 'retired' WHERE state = 'active'")
            await connection.execute("UPDATE search.model SET state = 'active' WHERE id = %s", (model.id,))
            await connection.execute(
                "UPDATE search.rebuild SET state = 'done', finished_at = now() WHERE state = 'running'"
            )
        return True

    async def retire(self, model: VectorModel) -> None:
        """Take a building generation out."""
        async with self._database.transaction(None) as connection:
            await connection.execute(
                "UPDATE search.model SET state = 'retired' WHERE id = %s AND state = 'building'", (model.id,)
            )

    async def confirm(self, model: VectorModel, configured: str) -> None:
        """Remember under which setting a generation is in use, and that this one reaches its model."""
        async with self._database.transaction(None) as connection:
            await connection.execute(
                "UPDATE search.model SET configured = %s, spec = %s WHERE id = %s", (configured, configured, model.id)
            )

    async def drop(self, model: VectorModel) -> None:
        """Drop a retired generation's vectors; not while somebody reads all of them (a backup)."""
        with suppress(LockNotAvailable):
            async with self._database.transaction(None) as connection:
                await connection.execute("SELECT search.drop_model(%s::smallint)", (model.id,))

    async def rebuild(self) -> Rebuild | None:
        """The running or last rebuild."""
        async with self._database.transaction(None) as connection:
            found = await row(
                connection,
                "SELECT spec, state, scanned_to, done, total, error, started_at, finished_at FROM search.rebuild",
            )
        if found is None:
            return None
        place = found.pop("scanned_to")
        return Rebuild(**found, scanned_to=(UUID(place[0]), UUID(place[1])) if place else None)

    async def start_rebuild(self, spec: str, total: int) -> None:
        """Note that a rebuild begins."""
        async with self._database.transaction(None) as connection:
            await connection.execute(
                "INSERT INTO search.rebuild (spec, state, total) VALUES (%s, 'running', %s)"
                " ON CONFLICT (only_one) DO UPDATE SET spec = excluded.spec, state = 'running', scanned_to = NULL,"
                " done = 0, total = excluded.total, error = NULL, started_at = now(), finished_at = NULL",
                (spec, total),
            )

    async def advance_rebuild(self, started_at: datetime, scanned_to: tuple[UUID, UUID], done: int, total: int) -> None:
        """Note how far a rebuild is; nothing, if another has begun since: that one is not so far."""
        async with self._database.transaction(None) as connection:
            await connection.execute(
                "UPDATE search.rebuild SET scanned_to = %s, done = %s, total = %s"
                " WHERE started_at = %s AND state = 'running'",
                (_place(scanned_to), done, max(done, total), started_at),
            )

    async def end_rebuild(self, state: str, error: str | None = None) -> bool:
        """Note that the running rebuild is `cancelled` or `failed`; False when none runs any more."""
        async with self._database.transaction(None) as connection:
            ended = await connection.execute(
                "UPDATE search.rebuild SET state = %s, error = %s, finished_at = now() WHERE state = 'running'",
                (state, error),
            )
        return ended.rowcount > 0


def _place(scanned_to: tuple[UUID, UUID]) -> Any:
    return Jsonb([str(part) for part in scanned_to])
