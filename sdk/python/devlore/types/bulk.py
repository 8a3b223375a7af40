"""Many memories at once: bulk requests, and the records of an export."""

from __future__ import annotations

from typing import Annotated, Any, Literal
from uuid import UUID

from pydantic import Field

from devlore.types.memory import Link, Memory, Version
from devlore.types.model import ALLOW_SECRETS, BULK_LIMIT, Model, ProblemBody


class BulkRequest(Model):
    """Up to 1,000 drafts, stored in one transaction."""

    items: Annotated[list[dict[str, Any]], Field(min_length=1, max_length=BULK_LIMIT)]


class BulkItem(Model):
    """What became of one draft: 201 created, 200 updated or unchanged, 422 refused."""

    index: int
    status: int
    result: Literal["created", "updated", "unchanged", "refused"]
    id: UUID | None = None
    version: int | None = None
    problem: ProblemBody | None = None


class BulkResult(Model):
    """Per-item outcomes in the order of the request."""

    items: list[BulkItem]
    created: int
    updated: int
    unchanged: int
    refused: int


class MemoryRecord(Model):
    """A memory with all its versions and outgoing links: one line of an export."""

    memory: Memory
    versions: list[Version] = []
    links: list[Link] = []


class ImportRequest(Model):
    """Up to 1,000 exported records; existing newer versions win."""

    items: Annotated[list[dict[str, Any]], Field(min_length=1, max_length=BULK_LIMIT)]
    allow_secrets: bool = Field(default=False, description=ALLOW_SECRETS)
