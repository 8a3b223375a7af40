"""One pull of a folder: what changed since the checkpoint, in batches that a crash may fall between."""

from __future__ import annotations

import asyncio
import hashlib
from collections.abc import AsyncGenerator, Iterator
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import TypeVar

from pydantic import ValidationError

from devlore_server.integration.connector import BATCH, Batch, Failure
from devlore_server.integration.connectors.markdown.ages import ages
from devlore_server.integration.connectors.markdown.folder import File, Listing, Unreadable, content
from devlore_server.integration.connectors.markdown.notes import Note, draft_of, note_of
from devlore_server.integration.connectors.markdown.state import Entry, under, written
from devlore_server.integration.connectors.markdown.succession import Claim, Place, succession
from devlore_server.ports import IngestDraft

T = TypeVar("T")

_CHUNK = 100
"""Files read at a time: what is in memory, and for how long one thread is busy."""
_FIRST, _LAST = -62_000_000_000, 253_370_764_799
"""The years 5 and 9998, in seconds since 1970."""
_CHECKPOINTS = 20
"""Most checkpoints of one pull: each names every file, so writing one per batch would grow with the square."""


@dataclass(frozen=True, slots=True)
class Folder:
    """The folder to read: ``identity`` leads to external ids, ``base`` to paths in the repository.

    ``home`` names the folders it lies in as far as they say what its notes are.
    """

    root: str
    identity: str
    base: str
    home: str
    project: str | None
    settings: str


@dataclass(slots=True)
class Reading:
    """A pull under way. ``entries`` is what will be remembered, brought forward batch by batch."""

    folder: Folder
    listing: Listing
    entries: dict[str, Entry]
    restart: bool
    whole: bool
    claims: dict[str, Claim] = field(default_factory=dict)
    changed: dict[str, File] = field(default_factory=dict)
    kept: list[str] = field(default_factory=list)
    failures: list[Failure] = field(default_factory=list)

    async def batches(self) -> AsyncGenerator[Batch, None]:
        """Deletions, then changed notes, successors before what they replaced."""
        gone = self._gone()
        await self._look()
        places = succession(self.claims)
        due = [path for path, place in places.items() if path in self.changed or self.entries[path].place != place]
        due.sort(key=lambda path: (places[path].depth, path))
        yield Batch(
            deleted=[self.folder.identity + path for path in gone],
            present=[self.folder.identity + path for path in self.kept],
            failures=[*self.listing.failures, *self.failures],
            checkpoint=None if self.restart else self._checkpoint(),
            expected=len(due),
            skipped=len(places) - len(due),
            restart=self.restart,
        )
        every = max(BATCH, len(due) // _CHECKPOINTS)
        stored = 0
        for paths in _slices(due, _CHUNK):
            drafts, failures = await self._drafts(paths, places)
            stored += len(paths)
            last = stored == len(due)
            mark = self._checkpoint() if stored % every < _CHUNK or last else None
            # What could not be read is there all the same: its memory stays as it was.
            there = [self.folder.identity + failure.item for failure in failures]
            yield Batch(drafts=drafts, present=there, failures=failures, checkpoint=mark)
        # Where a folder could not be looked into, nobody knows what is gone.
        self.whole, sweep = self.whole and bool(self.listing.unseen), self.whole and not self.listing.unseen
        yield Batch(checkpoint=self._checkpoint(), sweep=sweep)

    def _checkpoint(self) -> dict[str, object]:
        return written(self.entries, settings=self.folder.settings, whole=self.whole)

    def _gone(self) -> list[str]:
        seen = {file.path for file in self.listing.files}
        missing = [path for path in self.entries if path not in seen]
        hidden = {path for path in missing if under(path, self.listing.unseen)}
        self.kept += sorted(hidden)
        self.claims |= {path: self.entries[path].claim for path in hidden}
        gone = [path for path in missing if path not in hidden]
        for path in gone:
            del self.entries[path]
        return gone

    async def _look(self) -> None:
        """Tell changed files from the others, and hear what each note claims."""
        open_questions = []
        for file in self.listing.files:
            entry = self.entries.get(file.path)
            if entry is not None and entry.matches(file):
                self.claims[file.path] = entry.claim
            else:
                open_questions.append(file)
        for files in _slices(open_questions, _CHUNK):
            await asyncio.to_thread(self._look_into, files)

    def _look_into(self, files: list[File]) -> None:
        for file in files:
            entry = self.entries.get(file.path)
            try:
                text = content(self.folder.root, file.path)
            except Unreadable as error:
                self.failures.append(Failure(file.path, str(error)))
                self.kept.append(file.path)
                if entry is not None:
                    self.claims[file.path] = entry.claim
                continue
            if entry is not None and entry.digest == digest(text):
                self.entries[file.path] = entry.touched(file)
                self.claims[file.path] = entry.claim
                continue
            self.changed[file.path] = file
            said = note_of(file.path, text, home=self.folder.home).standing
            self.claims[file.path] = Claim(said.status, said.partly, said.statements)

    async def _drafts(self, paths: list[str], places: dict[str, Place]) -> tuple[list[IngestDraft], list[Failure]]:
        notes, failures = await asyncio.to_thread(self._read, paths)
        committed = await ages(self.folder.root, [note.path for note, _, _ in notes if note.written is None])
        drafts = []
        for note, text, file in notes:
            place = places[note.path]
            try:
                drafts.append(self._draft(note, place, committed.get(note.path), file))
            except ValidationError as error:
                fault = error.errors(include_url=False)[0]
                where = ".".join(str(part) for part in fault["loc"])
                failures.append(Failure(note.path, f"It does not make a memory: {where}: {fault['msg']}"))
            self.entries[note.path] = Entry(file.modified, file.size, digest(text), self.claims[note.path], place)
        return drafts, failures

    def _draft(self, note: Note, place: Place, committed: datetime | None, file: File) -> IngestDraft:
        # Some file systems hold times that no calendar does.
        changed = committed or datetime.fromtimestamp(min(max(file.modified // 10**9, _FIRST), _LAST), UTC)
        here = self.folder
        return draft_of(note, place, identity=here.identity, base=here.base, project=here.project, changed=changed)

    def _read(self, paths: list[str]) -> tuple[list[tuple[Note, str, File]], list[Failure]]:
        notes, failures = [], []
        files = {file.path: file for file in self.listing.files}
        for path in paths:
            try:
                text = content(self.folder.root, path)
            except Unreadable as error:
                failures.append(Failure(path, str(error)))
                continue
            note = note_of(path, text, home=self.folder.home)
            if note.fault:
                failures.append(Failure(path, note.fault))
            notes.append((note, text, files[path]))
        return notes, failures


def digest(text: str) -> str:
    """A short hash of a file's text."""
    return hashlib.blake2b(text.encode(), digest_size=12).hexdigest()


def _slices(items: list[T], size: int) -> Iterator[list[T]]:
    for start in range(0, len(items), size):
        yield items[start : start + size]
