"""What the checkpoint of a folder remembers of each file."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, replace
from typing import Any

from devlore.types import Status
from devlore_server.integration.connector import Checkpoint
from devlore_server.integration.connectors.markdown.decisions import Statement
from devlore_server.integration.connectors.markdown.folder import File
from devlore_server.integration.connectors.markdown.succession import Claim, Place

VERSION = 1
"""Of the checkpoint and of how notes are read: raised when either changes, so that everything is read again."""


@dataclass(frozen=True, slots=True)
class Entry:
    """A file as it was last stored: its state on disk, what it claims, and where it then stood.

    The place is kept, not told again from the claims: a sync that stopped between a note and the one it replaces
    must still see that the other is due.
    """

    modified: int
    size: int
    digest: str
    claim: Claim
    place: Place

    def touched(self, file: File) -> Entry:
        """The same content under another time."""
        return replace(self, modified=file.modified, size=file.size)

    def matches(self, file: File) -> bool:
        return self.modified == file.modified and self.size == file.size


_PLAIN = (Claim(Status.ACTIVE), Place(Status.ACTIVE))


def written(entries: dict[str, Entry], *, settings: str, whole: bool) -> Checkpoint:
    """The checkpoint of these entries as JSON; most notes take four short values."""
    files = {path: _row(entry) for path, entry in entries.items()}
    return {"version": VERSION, "settings": settings, "whole": whole, "files": files}


def _row(entry: Entry) -> list[Any]:
    row: list[Any] = [entry.modified, entry.size, entry.digest]
    if (entry.claim, entry.place) == _PLAIN:
        return row
    claim, place = entry.claim, entry.place
    said = [[one.direction, one.target, one.partly] for one in claim.statements]
    return [*row, [claim.status, claim.partly, said], [place.status, place.successor, place.replaced_partly]]


def remembered(checkpoint: Checkpoint | None, settings: str) -> dict[str, Entry] | None:
    """The entries of a checkpoint, or None when there is none made with these settings by this version."""
    if checkpoint is None or checkpoint.get("version") != VERSION or checkpoint.get("settings") != settings:
        return None
    return {path: _entry(row) for path, row in checkpoint["files"].items()}


def _entry(row: list[Any]) -> Entry:
    modified, size, digest, *more = row
    if not more:
        return Entry(modified, size, digest, *_PLAIN)
    (status, partly, said), (stands, successor, replaced) = more
    statements = tuple(Statement(direction, target, part) for direction, target, part in said)
    return Entry(
        modified, size, digest, Claim(Status(status), partly, statements), Place(Status(stands), successor, replaced)
    )


def under(path: str, folders: Iterable[str]) -> bool:
    """Whether a path lies in one of these folders (each with its ``/``)."""
    return any(path.startswith(folder) for folder in folders)
