"""A session kept in a file that only its owner may read, shared by the programs of one person (POSIX)."""

from __future__ import annotations

import contextlib
import fcntl
import json
import os
import tempfile
import threading
from dataclasses import asdict
from pathlib import Path
from typing import Any

from devlore.credentials import SignedIn


class CredentialFile:
    """Keeps a session at ``path`` (mode 0600, replaced as a whole), and locks it by ``path`` with ``.lock`` behind.

    The kernel lets go of the lock however its holder ends.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        self._held: int | None = None
        # A lock of flock(2) belongs to its descriptor: threads that share this object share that.
        self._threads = threading.Lock()

    def load(self) -> SignedIn | None:
        """The session, or None when there is none that can be read as one."""
        try:
            return SignedIn(**self.read())
        except TypeError:
            return None

    def save(self, session: SignedIn) -> None:
        """Keep this session instead."""
        self.write(asdict(session))

    def clear(self) -> None:
        """Forget the session."""
        self.path.unlink(missing_ok=True)

    def acquire(self) -> bool:
        """Hold the file, unless another thread or program does."""
        if not self._threads.acquire(blocking=False):
            return False
        try:
            self._held = self._locked()
        finally:
            if self._held is None:
                self._threads.release()
        return self._held is not None

    def release(self) -> None:
        """Let go of the file."""
        held, self._held = self._held, None
        if held is not None:
            os.close(held)
            self._threads.release()

    def read(self) -> dict[str, Any]:
        """The file's JSON object; empty when there is none."""
        try:
            found = json.loads(self.path.read_bytes())
        except (FileNotFoundError, ValueError):
            return {}
        return found if isinstance(found, dict) else {}

    def write(self, members: dict[str, Any]) -> None:
        """Replace the file as a whole: whoever reads sees the old one or the new one."""
        self._make_folder()
        handle, name = tempfile.mkstemp(dir=self.path.parent, prefix=self.path.name)
        try:
            with os.fdopen(handle, "w", encoding="utf-8") as file:
                json.dump(members, file)
                file.flush()
                # The token before this one is spent: losing this one to a power cut would sign its owner out.
                os.fsync(file.fileno())
            os.replace(name, self.path)
        except BaseException:
            with contextlib.suppress(FileNotFoundError):
                os.unlink(name)
            raise

    def _locked(self) -> int | None:
        self._make_folder()
        lock = self.path.with_name(self.path.name + ".lock")
        descriptor = os.open(lock, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            os.close(descriptor)
            return None
        return descriptor

    def _make_folder(self) -> None:
        self.path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
