"""Which server the commands talk to, and where the session with it is kept: the keyring, else a file of mode 0600."""

from __future__ import annotations

import contextlib
import hashlib
import importlib
import json
import os
import platform
import re
from collections.abc import Mapping
from dataclasses import asdict
from pathlib import Path
from typing import Any

import devlore
from devlore.authentication import from_environment
from devlore.calls import Retry
from devlore.client import Client
from devlore.credential_file import CredentialFile
from devlore.credentials import SignedIn
from devlore_cli import instance
from devlore_cli.failures import EXIT_NOT_ALLOWED, Failure

_SERVICE = "devlore"
_KEYRING = "keyring"


class KeptSession(CredentialFile):
    """The session with one server. The file says where it is: in the keyring, or in the file itself.

    Without a file there is no session, and the keyring, which takes long to load, is never asked.
    """

    def __init__(self, url: str, folder: Path | None = None) -> None:
        name = re.sub(r"[^a-z0-9.]+", "-", url.partition("://")[2].lower())[:60]
        super().__init__((folder or config()) / f"{name}-{hashlib.sha256(url.encode()).hexdigest()[:12]}.json")
        self._url = url

    @property
    def place(self) -> str:
        """Where the session is, in words."""
        return "the keyring" if self._in_keyring() else str(self.path)

    def load(self) -> SignedIn | None:
        """The session, if there is one; raises ``Failure`` when the keyring does not open."""
        if not self._in_keyring():
            return super().load()
        try:
            text = _keyring().get_password(_SERVICE, self._url)
            return SignedIn(**json.loads(text)) if text else None
        except (TypeError, ValueError):
            return None
        except Exception as error:
            # Backends raise what they like: a locked keyring, no D-Bus, a program that is missing.
            message = f"The keyring that holds your session does not open: {error}"
            raise Failure(message, "Unlock it, or sign in again: devlore login", EXIT_NOT_ALLOWED) from error

    def save(self, session: SignedIn) -> None:
        """Keep this session, in the keyring where there is one."""
        if self._given_to_keyring(json.dumps(asdict(session))):
            self.write({"kept_in": _KEYRING, "url": self._url})
        else:
            super().save(session)

    def clear(self) -> None:
        """Forget the session."""
        if self._in_keyring():
            with contextlib.suppress(Exception):
                _keyring().delete_password(_SERVICE, self._url)
        super().clear()

    def _in_keyring(self) -> bool:
        return self.read().get("kept_in") == _KEYRING

    def _given_to_keyring(self, text: str) -> bool:
        try:
            _keyring().set_password(_SERVICE, self._url, text)
            # A backend may take it and keep nothing.
            return bool(_keyring().get_password(_SERVICE, self._url) == text)
        except Exception:
            # Whatever is wrong with it: a session that is kept nowhere is lost.
            return False


def address(url: str | None) -> str:
    """The server's address: given, ``DEVLORE_URL``, where one signed in last, else this machine's.

    Whoever names a port of this machine means this machine.
    """
    given = url or os.environ.get("DEVLORE_URL")
    if not given and not os.environ.get("DEVLORE_PORT"):
        given = remembered()
    return (given or instance.place().url).rstrip("/")


def connected(url: str | None, *, retry: Retry, timeout: float) -> Client:
    """A client of that server, as whoever signed in there, or as the token or key of the environment says."""
    place = address(url)
    kept = None if from_environment() else KeptSession(place)
    # What one's sessions are told apart by.
    agent = f"devlore/{devlore.__version__} ({platform.node() or 'unknown'})".encode("ascii", "replace").decode()
    return Client(place, credentials=kept, retry=retry, timeout=timeout, headers={"User-Agent": agent})


def config(environ: Mapping[str, str] = os.environ) -> Path:
    """The folder of what the command line remembers: ``devlore`` in the XDG configuration directory."""
    parent = environ.get("XDG_CONFIG_HOME") or str(Path(environ.get("HOME", "~")).expanduser() / ".config")
    return Path(parent) / "devlore"


def remembered() -> str | None:
    """The server one signed in to last, unless one has signed out there."""
    url = CredentialFile(config() / "server.json").read().get("url")
    return url if isinstance(url, str) else None


def remember(url: str) -> None:
    """Let commands that name no server talk to this one."""
    CredentialFile(config() / "server.json").write({"url": url})


def forget(url: str) -> None:
    """Let commands that name no server talk to this machine's, if it was this one they talked to."""
    if remembered() == url:
        CredentialFile(config() / "server.json").clear()


def _keyring() -> Any:
    # Loading it takes longer than most commands.
    return importlib.import_module(_KEYRING)
