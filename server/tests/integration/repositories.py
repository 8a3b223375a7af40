"""Real git repositories made by the real git, for tests."""

from __future__ import annotations

import os
import subprocess
from pathlib import Path


class Repo:
    """A repository in a folder; commits have fixed authors and rising dates."""

    def __init__(self, folder: Path, *, bare: bool = False) -> None:
        self.folder = folder
        self._clock = 1_700_000_000
        folder.mkdir(parents=True, exist_ok=True)
        self.git("init", "-q", "-b", "main", *(["--bare"] if bare else []))

    def git(self, *arguments: str, given: bytes | None = None) -> str:
        """Run git here and answer what it prints."""
        self._clock += 60
        clean = {name: value for name, value in os.environ.items() if not name.startswith("GIT_")}
        who = {
            f"GIT_{role}_{part}": value
            for role in ("AUTHOR", "COMMITTER")
            for part, value in {"NAME": "Ada L", "EMAIL": "ada@x.org", "DATE": f"{self._clock} +0200"}.items()
        }
        ran = subprocess.run(
            ["git", "-C", self.folder, "-c", "commit.gpgsign=false", *arguments],
            input=given,
            capture_output=True,
            check=True,
            env=clean | who | {"GIT_CONFIG_NOSYSTEM": "1"},
        )
        return ran.stdout.decode("utf-8", "replace").strip()

    def commit(self, message: str | bytes, files: dict[str, str] | None = None, *options: str) -> str:
        """Write files, commit everything and answer the sha."""
        for name, text in (files if files is not None else {"file.txt": f"{self._clock}"}).items():
            path = self.folder / name
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(text)
        self.git("add", "-A")
        raw = message.encode() if isinstance(message, str) else message
        self.git("commit", "-q", "--allow-empty", "--allow-empty-message", "-F", "-", *options, given=raw)
        return self.git("rev-parse", "HEAD")

    def merge(self, branch: str, message: str) -> str:
        """Merge a branch without fast-forward and answer the sha."""
        self.git("merge", "-q", "--no-ff", "-m", message, branch)
        return self.git("rev-parse", "HEAD")
