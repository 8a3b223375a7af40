"""Commits as git log prints them: the arguments, and a parser that takes the output in pieces."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field

from devlore_server.integration.connectors.git.command import text

FILES_KEPT = 50
_FIELDS = 7
_SHA_LENGTHS = (40, 64)

LOG = (
    "log",
    "--stdin",
    "--reverse",
    "--topo-order",
    "-z",
    "--name-status",
    "--no-renames",
    "--no-diff-merges",
    "--no-ext-diff",
    "--no-textconv",
    "--no-color",
    "--no-show-signature",
    "--no-notes",
    "--no-decorate",
    "--ignore-submodules=none",
    "--format=tformat:%H%x00%P%x00%aN%x00%aE%x00%at%x00%ct%x00%B%x00",
)
"""Oldest first and parents before children: what has been read is then closed under ancestry at every moment."""


@dataclass(slots=True)
class Commit:
    """One commit. ``files`` holds the first ``FILES_KEPT`` paths it changed, ``file_count`` how many there are."""

    sha: str
    parents: list[str]
    author: str
    email: str
    authored: int | None
    committed: int | None
    message: str
    files: list[str] = field(default_factory=list)
    file_count: int = 0


class Parser:
    """Turns tokens of ``git log -z`` into commits; a commit is complete when the next one begins."""

    def __init__(self) -> None:
        self._fields: list[bytes] = []
        self._commit: Commit | None = None
        self._path_follows = False

    def feed(self, tokens: Iterable[bytes]) -> Iterator[Commit]:
        """The commits that these tokens complete."""
        for token in tokens:
            if self._fields:
                self._field(token)
            elif self._path_follows:
                self._path(token)
            elif len(token) in _SHA_LENGTHS:
                yield from self.end()
                self._fields.append(token)
            elif token:  # a status letter, the first after a newline; an empty token ends the message
                self._path_follows = True

    def end(self) -> Iterator[Commit]:
        """The last commit, once nothing follows."""
        if self._commit is not None:
            yield self._commit
            self._commit = None

    def _field(self, token: bytes) -> None:
        self._fields.append(token)
        if len(self._fields) < _FIELDS:
            return
        sha, parents, author, email, authored, committed, message = self._fields
        self._fields = []
        self._commit = Commit(
            sha.decode(),
            parents.decode().split(),
            text(author),
            text(email),
            _seconds(authored),
            _seconds(committed),
            text(message),
        )

    def _path(self, token: bytes) -> None:
        self._path_follows = False
        if self._commit is not None:
            self._commit.file_count += 1
            if len(self._commit.files) < FILES_KEPT:
                self._commit.files.append(text(token))


def _seconds(token: bytes) -> int | None:
    try:
        return int(token)
    except ValueError:
        return None
