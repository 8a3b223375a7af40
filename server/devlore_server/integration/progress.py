"""How far a sync has come."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field

from devlore.types import Sync, SyncFailure
from devlore_server.integration.connector import Batch, Failure
from devlore_server.ports import IngestResult

FAILURES_KEPT = 100
"""Failures told one by one; beyond, they are only counted."""


@dataclass(slots=True)
class Progress:
    """The counters of a sync. ``done`` counts items dealt with: stored, unchanged or failed."""

    total: int | None = None
    done: int = 0
    created: int = 0
    updated: int = 0
    unchanged: int = 0
    deleted: int = 0
    failed: int = 0
    failures: list[SyncFailure] = field(default_factory=list)

    @classmethod
    def of(cls, sync: Sync) -> Progress:
        """Where a sync that was interrupted stood."""
        counted = {name: getattr(sync, name) for name in cls.__dataclass_fields__}
        return cls(**counted | {"failures": list(sync.failures)})

    def announce(self, batch: Batch) -> None:
        """What a batch says before it is stored."""
        # A sync that goes on after an interruption passes over what it has counted as stored already.
        skipped = batch.skipped if self.done == 0 else 0
        self.done += skipped
        self.unchanged += skipped
        if batch.expected is not None:
            self.total = self.done + batch.expected
        self._fail(batch.failures)

    def add(self, batch: Batch, stored: IngestResult) -> None:
        """What became of a batch. A refused draft is done, and failed."""
        self.done += len(batch.drafts)
        self.created += stored.created
        self.updated += stored.updated
        self.unchanged += stored.unchanged
        self.deleted += stored.deleted
        self._fail(Failure(item, reason) for item, reason in stored.refused)

    def _fail(self, failures: Iterable[Failure]) -> None:
        for failure in failures:
            told = SyncFailure(item=_storable(failure.item), reason=_storable(failure.reason))
            if told in self.failures:
                continue  # met again after an interruption
            self.failed += 1
            if len(self.failures) < FAILURES_KEPT:
                self.failures.append(told)


def _storable(text: str) -> str:
    # Names of files may hold what neither UTF-8 nor PostgreSQL can.
    return text[:1_000].encode("utf-8", "replace").decode("utf-8").replace("\0", "?")
