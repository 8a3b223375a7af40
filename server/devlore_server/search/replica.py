"""Owns this process's copy of the lexical index: its folder, the cursor beside it, and its replacement by a new one.

Layout below `root`: `current.json` names the folder that answers, how far it has read and of which line of rows it is;
every other folder is rubbish of a rebuild that did not end. Everything can be deleted at any time, it is built again
from the rows.
"""

import asyncio
import json
import shutil
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from pathlib import Path
from typing import TypeVar
from uuid import UUID

import structlog

from devlore.problems import Unavailable
from devlore_server.kit.ids import new_id
from devlore_server.kit.log import START, Position
from devlore_server.search.bounded import ListingIndex
from devlore_server.search.documents import Change, lexical_document
from devlore_server.search.lexical import IndexUnusable, LexicalIndex

T = TypeVar("T")
_POINTER = "current.json"
_said = structlog.get_logger("devlore.search")


class LexicalReplica:
    """The index that answers, if there is one, and the one being built, if there is one. Implements kit.log's Cursors.

    `open_index` opens or begins an index in a folder and raises IndexUnusable. Searches and writes run on threads of
    their own, so that a commit never delays a search.
    """

    def __init__(self, root: Path, open_index: Callable[[Path], ListingIndex]) -> None:
        self._root = root
        self._open_index = open_index
        self._folder: Path | None = None
        self._building_folder: Path | None = None
        self._position = START
        self._lineage: UUID | None = None
        self._writing = asyncio.Lock()
        self._searchers = ThreadPoolExecutor(2, thread_name_prefix="lexical-search")
        self._writer = ThreadPoolExecutor(1, thread_name_prefix="lexical-write")
        self.current: ListingIndex | None = None
        self.building: ListingIndex | None = None
        self.fault: str | None = None
        self._closed = False
        self.answering = asyncio.Event()
        """Set once an index answers."""

    async def open(self, lineage: UUID) -> bool:
        """Open what is on disk; False where nothing there can answer, which takes a rebuild. `fault` says why.

        An index of rows of another `lineage` (the database was restored since, or is another) cannot.
        """
        self._lineage = lineage
        found = await self.write(self._open)
        if found:
            self.answering.set()
        return found

    async def search(self, work: Callable[[ListingIndex], T]) -> T:
        """Ask the index that answers, on a thread. Raises IndexUnusable while there is none."""
        index = self.current
        if index is None:
            raise IndexUnusable(self.fault or "the lexical index is being built")
        return await asyncio.get_running_loop().run_in_executor(self._searchers, work, index)

    async def write(self, work: Callable[[], T]) -> T:
        """Do something to the files, after what is being done to them."""
        return await asyncio.get_running_loop().run_in_executor(self._writer, work)

    async def apply(self, changes: Sequence[Change]) -> None:
        """Bring every index up to date with changes, durably.

        Raises Unavailable once closed, and when an index cannot be written: it is given up and built again.
        """
        async with self._writing:
            self._refuse_if_closed()
            for index in (self.current, self.building):
                if index is not None:
                    try:
                        await self.write(lambda index=index: store(index, changes))  # type: ignore[misc]
                    except IndexUnusable as error:
                        await self._give_up(index, error)
                        raise Unavailable("The lexical index is being built again.") from error

    async def fill(self, changes: Sequence[Change]) -> None:
        """Write rows into the index that is being built; `promote` makes them durable."""
        async with self._writing:
            if (index := self.building) is not None:
                await self.write(lambda: store(index, changes, commit=False))

    async def begin(self, position: Position) -> None:
        """Begin an empty index beside the one that answers; where none answers, the log is read from `position`."""
        async with self._writing:
            await self._drop_building()
            self._building_folder = self._root / new_id().hex
            folder = self._building_folder
            self.building = await self.write(lambda: self._open_index(folder))
            if self.current is None:
                self._position = position

    async def promote(self, position: Position, built: ListingIndex | None) -> None:
        """Let the index that was `built` answer, unless another was begun; it has everything up to `position`."""
        async with self._writing:
            index, folder = self.building, self._building_folder
            if index is None or folder is None or index is not built:
                return
            await self.write(index.commit)
            old, old_folder = self.current, self._folder
            self._folder, self._position = folder, position
            await self.write(self._note)
            self.current, self.building, self._building_folder, self.fault = index, None, None, None
            self.answering.set()
            if old is not None and old_folder is not None:
                await self.write(old.close)
                await self.write(lambda: shutil.rmtree(old_folder, ignore_errors=True))

    async def drop_building(self) -> None:
        """Give up the index that was being built."""
        async with self._writing:
            await self._drop_building()

    async def load(self, name: str) -> Position:
        """How far the index has read."""
        return self._position

    async def store(self, name: str, position: Position) -> None:
        """Keep how far the index has read. Beside the index, because it is true of this copy alone."""
        self._refuse_if_closed()
        self._position = position
        if self._folder is not None:
            await self.write(self._note)

    async def close(self) -> None:
        """Release the files."""
        async with self._writing:
            self._closed = True
            for index in (self.current, self.building):
                if index is not None:
                    await self.write(index.close)
            self.current = self.building = None
        self._searchers.shutdown(wait=False, cancel_futures=True)
        self._writer.shutdown(wait=False)

    def _refuse_if_closed(self) -> None:
        # A consumer that still runs must not take what nobody wrote for done: it waits, and reads it again next time.
        if self._closed:
            raise Unavailable("The lexical index is closed.")

    async def _give_up(self, index: ListingIndex, why: Exception) -> None:
        _said.error("lexical_index_lost", error=type(why).__name__)
        if index is self.building:
            await self._drop_building()
            return
        self.current = self._folder = None
        self.answering.clear()
        self.fault = f"the lexical index was lost and is being built again: {why}"
        with suppress(IndexUnusable, ValueError, OSError):
            await self.write(index.close)

    async def _drop_building(self) -> None:
        index, folder = self.building, self._building_folder
        self.building = self._building_folder = None
        if index is not None and folder is not None:
            await self.write(index.close)
            await self.write(lambda: shutil.rmtree(folder, ignore_errors=True))

    def _open(self) -> bool:
        self._root.mkdir(parents=True, exist_ok=True)
        try:
            noted = json.loads((self._root / _POINTER).read_text())
            folder = self._root / str(noted["folder"])
            position = Position(int(noted["xid"]), int(noted["seq"]))
            if noted["lineage"] != str(self._lineage):
                raise IndexUnusable("it was made from other rows")
            if not any(folder.iterdir()):
                raise IndexUnusable(f"{folder} is empty")
            self.current = self._open_index(folder)
        except FileNotFoundError:
            self.fault = "there is no lexical index yet; it is being built"
        except (IndexUnusable, OSError, ValueError, KeyError, TypeError) as error:
            self.fault = f"the lexical index cannot be used and is being built again: {error}"
            _said.warning("lexical_index_unusable", error=str(error))
        else:
            self._folder, self._position = folder, position
        self._sweep()
        return self.current is not None

    def _sweep(self) -> None:
        for path in self._root.iterdir():
            if path.is_dir() and path != self._folder:
                shutil.rmtree(path, ignore_errors=True)

    def _note(self) -> None:
        """Write the pointer, by renaming: a crash leaves the old one or the new one."""
        if self._folder is None:
            return
        half = self._root / f"{_POINTER}.new"
        noted = {
            "folder": self._folder.name,
            "xid": self._position.xid,
            "seq": self._position.seq,
            "lineage": str(self._lineage),
        }
        with suppress(FileNotFoundError):
            half.write_text(json.dumps(noted))
            half.replace(self._root / _POINTER)


def store(index: LexicalIndex, changes: Sequence[Change], *, commit: bool = True) -> None:
    """Write changes into an index; a tombstone where a memory is gone."""
    index.upsert([lexical_document(change.memory) for change in changes if change.memory is not None])
    index.delete({(change.organisation, change.id): change.version for change in changes if change.memory is None})
    if commit:
        index.commit()
