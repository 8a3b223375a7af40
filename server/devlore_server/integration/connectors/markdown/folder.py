"""The Markdown files of a folder: which there are, which git ignores, and what is in them."""

from __future__ import annotations

import os
import re
import stat
from dataclasses import dataclass, field

from devlore.types import BODY_LIMIT
from devlore_server.integration.connector import Failure
from devlore_server.integration.connectors.git.command import GitFailed, read

SUFFIXES = (".md", ".markdown", ".mdown", ".mkd")
_SKIPPED = re.compile(
    r"node_modules|bower_components|v?env|__pycache__|site-packages|build|dist|target|out|coverage|htmlcov"
)


@dataclass(frozen=True, slots=True)
class File:
    """A file as the folder lists it; ``path`` is relative with ``/``."""

    path: str
    modified: int
    """Nanoseconds since 1970."""
    size: int


@dataclass(slots=True)
class Listing:
    """What a walk found. ``unseen`` are folders that could not be looked into: nothing is known of their files."""

    files: list[File] = field(default_factory=list)
    failures: list[Failure] = field(default_factory=list)
    unseen: list[str] = field(default_factory=list)


class Unreadable(Exception):
    """A file cannot be taken in; the message says why."""


async def ignored_by_git(root: str) -> frozenset[str]:
    """Paths below ``root`` that git ignores, folders with a ``/`` at the end; none outside a repository."""
    try:
        listed = await read(
            root, "ls-files", "-z", "--others", "--ignored", "--exclude-standard", "--directory", "--no-empty-directory"
        )
    except GitFailed:
        return frozenset()
    paths = frozenset(os.fsdecode(path) for path in listed.split(b"\0") if path)
    # The folder itself is ignored, and yet somebody asked for it.
    return frozenset() if "./" in paths else paths


def walk(root: str, ignored: frozenset[str]) -> Listing:
    """Every Markdown file below ``root``, sorted by path.

    Leaves out hidden files and folders, what git ignores, installed packages and build output. Follows no symbolic
    link: what it points at is read where it lies, and no circle can trap the walk.
    """
    listing = Listing()
    pending = [""]
    while pending:
        folder = pending.pop()
        try:
            with os.scandir(os.path.join(root, folder)) as entries:
                for entry in entries:
                    _sort_in(entry, folder, ignored, listing, pending)
        except OSError as error:
            if not folder:
                raise
            listing.unseen.append(folder)
            listing.failures.append(Failure(printable(folder), f"The folder cannot be read: {error.strerror}."))
    listing.files.sort(key=lambda file: file.path)
    return listing


def _sort_in(
    entry: os.DirEntry[str], folder: str, ignored: frozenset[str], listing: Listing, pending: list[str]
) -> None:
    path = f"{folder}{entry.name}"
    if entry.name.startswith(".") or entry.is_symlink():
        return
    if entry.is_dir(follow_symlinks=False):
        if not _SKIPPED.fullmatch(entry.name) and f"{path}/" not in ignored:
            pending.append(f"{path}/")
        return
    if not entry.name.lower().endswith(SUFFIXES) or path in ignored or not entry.is_file(follow_symlinks=False):
        return
    if printable(path) != path:
        listing.failures.append(Failure(printable(path), "The file's name is not UTF-8."))
        return
    try:
        found = entry.stat(follow_symlinks=False)
    except FileNotFoundError:
        return  # gone since the folder was listed
    listing.files.append(File(path, found.st_mtime_ns, found.st_size))


def printable(path: str) -> str:
    """A path as text that can be stored: bytes that are not UTF-8 become question marks."""
    return path.encode("utf-8", "replace").decode("utf-8").replace("\0", "?")


def content(root: str, path: str) -> str:
    """The text of a file; raises ``Unreadable``."""
    try:
        # Neither a link put in its place since the walk nor a pipe without a writer may be opened.
        handle = os.open(os.path.join(root, path), os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC)
        with open(handle, "rb") as file:
            if not stat.S_ISREG(os.fstat(handle).st_mode):
                raise Unreadable("It is not a regular file.")
            raw = file.read(BODY_LIMIT + 1)
    except OSError as error:
        raise Unreadable(f"It cannot be read: {error.strerror}.") from None
    if len(raw) > BODY_LIMIT:
        raise Unreadable("It is larger than 1 MiB.")
    encoding = "utf-16" if raw.startswith((b"\xff\xfe", b"\xfe\xff")) else "utf-8-sig"
    try:
        text = raw.decode(encoding)
    except UnicodeDecodeError as error:
        raise Unreadable(
            f"It is not {encoding[:6].rstrip('-').upper()} text: byte {error.start} does not fit."
        ) from None
    if "\0" in text:
        raise Unreadable("It holds NUL characters, so it is not text.")
    return text.replace("\r\n", "\n").replace("\r", "\n")
