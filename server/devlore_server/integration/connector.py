"""What a connector is: settings checked once, then a source pulled in batches that carry their checkpoint."""

from __future__ import annotations

import hashlib
import json
import os
import re
import unicodedata
from collections.abc import AsyncGenerator
from dataclasses import dataclass, field
from typing import Any, Protocol, TypeVar

from pydantic import BaseModel, ValidationError

from devlore.problems import Invalid
from devlore_server.ports import IngestDraft

BATCH = 500
"""Most drafts in one batch."""

_TARGET_LIMIT = 2_000
"""Longest target of a link, in bytes."""

Checkpoint = dict[str, Any]
"""How far a connection has read: JSON, understood by its connector only."""


@dataclass(frozen=True, slots=True)
class Place:
    """Settings that were checked: what to store, and what the connector could tell about the source.

    ``location`` is where it is, the same text for the same place, so that nothing is connected twice.
    """

    config: dict[str, Any]
    location: str
    name: str
    project: str | None = None


@dataclass(frozen=True, slots=True)
class Origin:
    """What a pull knows of its connection: the checked settings, and the project of what it brings."""

    config: dict[str, Any]
    project: str | None = None


@dataclass(frozen=True, slots=True)
class Failure:
    """An item of the source that could not be read, as data: the pull goes on."""

    item: str
    reason: str


@dataclass(frozen=True, slots=True)
class Batch:
    """A step of a pull.

    ``checkpoint`` says how far the source has been read once this batch is stored; None moves nothing.
    ``present`` are items that are still there and need no new draft. ``skipped`` counts items passed over as
    unchanged. ``expected`` announces how many drafts are still to come, this batch included.
    ``restart`` says that everything there is follows; ``sweep``, that it did, and that what was not named since the
    restart is gone.
    """

    drafts: list[IngestDraft] = field(default_factory=list)
    deleted: list[str] = field(default_factory=list)
    present: list[str] = field(default_factory=list)
    failures: list[Failure] = field(default_factory=list)
    checkpoint: Checkpoint | None = None
    expected: int | None = None
    skipped: int = 0
    restart: bool = False
    sweep: bool = False


class Connector(Protocol):
    """A kind of source. One object serves every connection and keeps nothing between calls."""

    name: str
    local: bool
    """Whether it reads this machine's files: allowed only where the server may."""

    async def check(self, config: dict[str, Any]) -> Place:
        """Check and normalise settings; raises ``Invalid`` with pointers below ``/config``."""
        ...

    def pull(self, origin: Origin, checkpoint: Checkpoint | None) -> AsyncGenerator[Batch, None]:
        """Everything that changed since ``checkpoint`` (everything there is when None), a batch at a time.

        Raises ``Invalid`` when the source cannot be read at all. A pull that stops half way is continued from the
        checkpoint of the last batch that was stored.
        """
        ...

    def watch(self, origin: Origin) -> AsyncGenerator[None, None]:
        """Yield once it listens, and then whenever the source changed since; bursts are one change. Until closed.

        What happens before the first yield is for the sync that follows it.
        """
        ...

    def summary(self, checkpoint: Checkpoint) -> dict[str, Any]:
        """The checkpoint as people may want to see it: small, without per-item state."""
        ...


S = TypeVar("S", bound=BaseModel)


def settings_of(model: type[S], config: dict[str, Any]) -> S:
    """The settings as the connector's model; raises ``Invalid`` naming each field below ``/config``."""
    try:
        return model.model_validate(config)
    except ValidationError as error:
        found = [
            {"pointer": "/config" + "".join(f"/{part}" for part in one["loc"]), "detail": one["msg"]}
            for one in error.errors(include_url=False, include_context=False, include_input=False)
        ]
        raise Invalid("The connection's settings are not valid.", errors=found) from None


def invalid(field_name: str, detail: str) -> Invalid:
    """The problem of one setting."""
    return Invalid(detail, errors=[{"pointer": f"/config/{field_name}", "detail": detail}])


def folder_at(path: str) -> tuple[str, str]:
    """A folder on this machine as it was named, tidied up, and where it really is; raises ``Invalid``."""
    tidy = os.path.normpath(path)
    if not os.path.isdir(tidy):
        raise invalid("path", f"{tidy} is not a folder on the server.")
    return tidy, os.path.realpath(tidy)


def linkable(target: str) -> bool:
    """Whether a link can have this target; a longer one would cost the whole memory, a cut one points elsewhere."""
    return 0 < len(target.encode("utf-8", "replace")) <= _TARGET_LIMIT


def fingerprint(config: dict[str, Any]) -> str:
    """A digest of settings: a checkpoint made under others does not count."""
    return hashlib.sha256(json.dumps(config, sort_keys=True).encode()).hexdigest()[:16]


def slug(text: str) -> str | None:
    """A name as a project slug, or None when nothing of it fits."""
    plain = unicodedata.normalize("NFKD", text).encode("ascii", "ignore").decode().lower()
    return re.sub(r"[^a-z0-9._/-]+", "-", plain).strip("-._/")[:100] or None
