"""The file of a backup: a tar of the database's dump, the instance's secret, and last a manifest that proves both.

database.dump   pg_dump's custom format
secret          what signs cursors and encrypts the signing keys in the database
manifest.json   Manifest: what is in the parts before it, with their sizes and SHA-256
"""

from __future__ import annotations

import hashlib
import os
import tarfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import datetime
from pathlib import Path
from typing import BinaryIO

from pydantic import BaseModel, ConfigDict, ValidationError

FORMAT = 1
DATABASE, SECRET, MANIFEST = "database.dump", "secret", "manifest.json"
_BLOCK = tarfile.BLOCKSIZE
_CHUNK = 1 << 20
_LONGEST_MANIFEST = 10_000_000


class BadBackup(Exception):
    """The file is no backup that can be restored here; the message says why. Nothing was changed."""


class Part(BaseModel):
    """One part: its size in bytes, and the SHA-256 of them in hexadecimal digits."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    size: int
    sha256: str


class Manifest(BaseModel):
    """What a backup holds: `server` is PostgreSQL's major version, `migrations` checksums, `rows` counts by table."""

    model_config = ConfigDict(frozen=True)

    format: int
    devlore: str
    created_at: datetime
    server: int
    migrations: dict[str, str]
    rows: dict[str, int]
    parts: dict[str, Part]


class Writing:
    """A tar that is being written: its parts come as streams whose lengths nobody knows before they end."""

    def __init__(self, file: BinaryIO) -> None:
        self._file = file
        self.parts: dict[str, Part] = {}

    @contextmanager
    def part(self, name: str) -> Iterator[Callable[[bytes], None]]:
        """Begin a part, and give what appends to it."""
        at = self._file.tell()
        self._file.write(bytes(_BLOCK))
        digest, size = hashlib.sha256(), 0

        def write(chunk: bytes) -> None:
            nonlocal size
            self._file.write(chunk)
            digest.update(chunk)
            size += len(chunk)

        yield write
        self._file.write(bytes(-size % _BLOCK))
        self._file.seek(at)
        self._file.write(_header(name, size))
        self._file.seek(0, os.SEEK_END)
        self.parts[name] = Part(size=size, sha256=digest.hexdigest())

    def finish(self, manifest: Manifest) -> None:
        """Append the manifest and the end: without them it is not a backup."""
        with self.part(MANIFEST) as write:
            write(manifest.model_dump_json(indent=2).encode() + b"\n")
        self._file.write(bytes(2 * _BLOCK))


@contextmanager
def written(target: Path) -> Iterator[Writing]:
    """Write an archive that only its owner can read; `target` is the whole of it, or what it was before."""
    draft = target.with_name(f".{target.name}.{os.getpid()}.part")
    try:
        with open(os.open(draft, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "wb") as file:
            yield Writing(file)
            file.flush()
            os.fsync(file.fileno())
        os.replace(draft, target)
        _make_durable(target.parent)
    finally:
        draft.unlink(missing_ok=True)


class Backup:
    """A file that was opened; nothing in it has been looked at yet but its manifest."""

    def __init__(self, path: Path, tar: tarfile.TarFile, members: dict[str, tarfile.TarInfo]) -> None:
        self._path = path
        self._tar = tar
        self._members = members
        self.manifest = _manifest(path, b"".join(self.read(MANIFEST, _LONGEST_MANIFEST)))

    def read(self, name: str, most: int | None = None) -> Iterator[bytes]:
        """The bytes of a part, `most` of them at most. Raises BadBackup when they end too soon."""
        member = self._members[name]
        file = self._tar.extractfile(member)
        left = member.size if most is None else min(member.size, most)
        while left and file is not None:
            chunk = file.read(min(left, _CHUNK))
            if not chunk:
                break
            left -= len(chunk)
            yield chunk
        if left:
            raise BadBackup(f"{self._path} ends in the middle of {name}: it was cut off.")

    def verify(self) -> None:
        """Raise BadBackup unless every part is there as it was written."""
        if set(self.manifest.parts) != {DATABASE, SECRET} or set(self._members) != {DATABASE, SECRET, MANIFEST}:
            found = ", ".join(sorted(self._members))
            raise BadBackup(f"{self._path} should hold {DATABASE}, {SECRET} and {MANIFEST}, but holds {found}.")
        for name, part in self.manifest.parts.items():
            digest = hashlib.sha256()
            for chunk in self.read(name):
                digest.update(chunk)
            if self._members[name].size != part.size or digest.hexdigest() != part.sha256:
                raise BadBackup(f"{name} in {self._path} is not what was written: its SHA-256 is another.")


@contextmanager
def opened(path: Path) -> Iterator[Backup]:
    """Open a backup for reading. Raises BadBackup when it is none, or not a whole one."""
    with path.open("rb") as file:
        try:
            tar = tarfile.TarFile(fileobj=file)
            members = {member.name: member for member in tar.getmembers()}
        except tarfile.TarError as error:
            raise BadBackup(f"{path} is no backup, or damaged, or was cut off: {error}.") from None
        if MANIFEST not in members:
            raise BadBackup(f"{path} holds no {MANIFEST}: it is no backup, or was cut off.")
        yield Backup(path, tar, members)


def _manifest(path: Path, text: bytes) -> Manifest:
    try:
        return Manifest.model_validate_json(text)
    except ValidationError:
        raise BadBackup(f"{MANIFEST} in {path} cannot be read.") from None


def _header(name: str, size: int) -> bytes:
    info = tarfile.TarInfo(name)
    info.size, info.mode, info.mtime = size, 0o600, int(time.time())
    return info.tobuf(tarfile.GNU_FORMAT)


def _make_durable(folder: Path) -> None:
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
