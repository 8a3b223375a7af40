"""Pulling a connector in tests: what it yields, and the checkpoint it leaves, as it travels through JSON."""

from __future__ import annotations

import json
from dataclasses import dataclass, field
from typing import Any

from devlore_server.integration.connector import Batch, Connector, Failure, Origin
from devlore_server.ports import IngestDraft


@dataclass
class Pulled:
    """Everything a pull yielded."""

    drafts: list[IngestDraft] = field(default_factory=list)
    deleted: list[str] = field(default_factory=list)
    failures: list[Failure] = field(default_factory=list)
    checkpoint: Any = None
    expected: int | None = None
    skipped: int = 0
    restart: bool = False
    sweep: bool = False
    batches: list[Batch] = field(default_factory=list)

    @property
    def titles(self) -> list[str]:
        return [one.draft.title for one in self.drafts]

    @property
    def ids(self) -> list[str]:
        return [one.draft.source.external_id or "" for one in self.drafts if one.draft.source]

    def named(self, title: str) -> IngestDraft:
        (found,) = [one for one in self.drafts if one.draft.title == title]
        return found


async def pull(connector: Connector, config: dict[str, Any], checkpoint: Any = None, *, most: int = 10_000) -> Pulled:
    """Check the settings and pull up to ``most`` batches."""
    place = await connector.check(config)
    pulled = Pulled(checkpoint=checkpoint)
    batches = connector.pull(Origin(place.config, place.project), json.loads(json.dumps(checkpoint)))
    async for batch in batches:
        pulled.batches.append(batch)
        pulled.drafts += batch.drafts
        pulled.deleted += batch.deleted
        pulled.failures += batch.failures
        pulled.checkpoint = batch.checkpoint or pulled.checkpoint
        pulled.expected = batch.expected if batch.expected is not None else pulled.expected
        pulled.skipped += batch.skipped
        pulled.restart |= batch.restart
        pulled.sweep |= batch.sweep
        if len(pulled.batches) >= most:
            break
    await batches.aclose()
    return pulled
