"""A repository on this machine: where it is, what its branches point at, and the forge it came from."""

from __future__ import annotations

import asyncio
import fnmatch
import hashlib
import os
import re
from dataclasses import dataclass
from pathlib import Path

from devlore_server.integration.connector import folder_at, invalid
from devlore_server.integration.connectors.git.command import GitFailed, read, text

_REMOTE = re.compile(
    r"(?:(?:https?|ssh|git)://(?:[^/\s]*@)?(?P<host>[^/:@\s]{1,253})(?::\d+)?/|[^@/\s]+@(?P<scp_host>[^/:@\s]{1,253}):)"
    r"(?P<path>[^\s?#]{1,500}?)(?:\.git)?/?"
)


@dataclass(frozen=True, slots=True)
class Forge:
    """Where a repository is published: ``host`` and ``path`` (``owner/name``)."""

    host: str
    path: str

    def commit_url(self, sha: str) -> str | None:
        """The page of a commit, on forges whose addresses are known."""
        if self.host in ("github.com", "codeberg.org", "gitea.com") or self.host.startswith("github."):
            return f"https://{self.host}/{self.path}/commit/{sha}"
        if self.host.startswith("gitlab."):
            return f"https://{self.host}/{self.path}/-/commit/{sha}"
        if self.host == "bitbucket.org":
            return f"https://{self.host}/{self.path}/commits/{sha}"
        return None


@dataclass(frozen=True, slots=True)
class Repository:
    """``folder`` is the top of the working tree, or the git directory of a bare repository."""

    folder: str
    git_directory: str
    forge: Forge | None

    @property
    def name(self) -> str:
        """What people call it: its name on the forge, else the folder's."""
        if self.forge is not None:
            return self.forge.path.rpartition("/")[2]
        return os.path.basename(self.folder).removesuffix(".git") or self.folder


async def find_repository(folder: str) -> Repository | None:
    """The repository ``folder`` is in, or None."""
    try:
        answer = await read(folder, "rev-parse", "--is-bare-repository", "--absolute-git-dir")
        bare, git_directory = text(answer).rstrip("\n").split("\n", 1)
        top = git_directory
        if bare != "true":
            top = text(await read(folder, "rev-parse", "--show-toplevel")).rstrip("\n")
    except GitFailed:
        return None
    return Repository(top, git_directory, await _forge(top))


async def get_repository(folder: str) -> Repository:
    """Like ``find_repository``; raises ``Invalid`` saying what is wrong with the path."""
    repository = await find_repository(folder_at(folder)[0])
    if repository is None:
        raise invalid("path", f"{folder} is not a git repository.")
    return repository


async def _forge(folder: str) -> Forge | None:
    try:
        remote = text(await read(folder, "config", "--get", "remote.origin.url")).strip()
    except GitFailed:
        return None
    return forge_of(remote)


def forge_of(remote: str) -> Forge | None:
    """The forge in a remote's address (without any credentials in it), or None for a local path."""
    match = _REMOTE.fullmatch(remote)
    if match is None:
        return None
    return Forge((match["host"] or match["scp_host"]).lower(), match["path"].strip("/"))


async def tips(folder: str, branches: list[str]) -> list[str]:
    """The commits that the configured branches point at, sorted; all local branches and HEAD when none is named.

    ``branches`` are names or patterns such as ``release/*``, and ``HEAD``.
    """
    listed = text(await read(folder, "for-each-ref", "--format=%(objectname) %(refname)", "refs/heads"))
    found = set()
    # Not splitlines: it also breaks at characters that a branch may be named with.
    for line in listed.split("\n")[:-1]:
        sha, _, reference = line.partition(" ")
        name = reference.removeprefix("refs/heads/")
        if not branches or any(fnmatch.fnmatchcase(name, pattern) for pattern in branches):
            found.add(sha)
    if not branches or "HEAD" in branches:
        found.update(await _head(folder))
    return sorted(found)


async def _head(folder: str) -> list[str]:
    try:
        return text(await read(folder, "rev-parse", "--verify", "--quiet", "HEAD^{commit}")).split()
    except GitFailed:
        return []  # a repository without commits


async def present(folder: str, shas: list[str]) -> list[str]:
    """Which of these commits the repository still has."""
    if not shas:
        return []
    asked = "".join(f"{sha}\n" for sha in shas).encode()
    answer = text(await read(folder, "cat-file", "--batch-check=%(objectname) %(objecttype)", given=asked))
    return [line.split()[0] for line in answer.splitlines() if line.endswith(" commit")]


async def boundary(folder: str) -> str:
    """A digest of where a shallow clone ends; empty when it is complete. It changes when the clone is deepened."""
    path = text(await read(folder, "rev-parse", "--git-path", "shallow")).rstrip("\n")
    try:
        ends = await asyncio.to_thread(Path(folder, path).read_bytes)
    except FileNotFoundError:
        return ""
    return hashlib.sha256(ends).hexdigest()[:16]
