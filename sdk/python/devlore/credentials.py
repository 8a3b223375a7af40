"""The session a client has signed in with, and where it is kept between requests and between programs."""

from __future__ import annotations

import threading
from dataclasses import dataclass
from typing import Protocol, Self

from devlore.problems import Invalid
from devlore.types import Tokens


@dataclass(frozen=True, slots=True)
class SignedIn:
    """A session as it is kept; ``expires_at``, in seconds since 1970, is when its access token runs out."""

    session_id: str
    organisation_id: str
    access_token: str
    refresh_token: str
    expires_at: float

    @classmethod
    def from_tokens(cls, tokens: Tokens, now: float) -> Self:
        """What was handed out at ``now``; raises ``Invalid`` for a browser's session, which has no tokens."""
        if tokens.access_token is None or tokens.refresh_token is None:
            raise Invalid("A browser's session has no tokens to keep.")
        expires_at = now + tokens.expires_in
        place = str(tokens.session_id), str(tokens.organisation_id)
        return cls(*place, tokens.access_token, tokens.refresh_token, expires_at)


class CredentialStore(Protocol):
    """Keeps one session. An ``AsyncClient`` calls it from its event loop, so it answers at once.

    Its refresh token is good once: whoever exchanges it holds the store, so that two programs never do so at the same
    time and end the session for both.
    """

    def load(self) -> SignedIn | None:
        """The session, if there is one."""
        ...

    def save(self, session: SignedIn) -> None:
        """Keep this session instead; only by whoever holds the store."""
        ...

    def clear(self) -> None:
        """Forget the session; only by whoever holds the store."""
        ...

    def acquire(self) -> bool:
        """Hold the store, unless another thread or program does; never waits."""
        ...

    def release(self) -> None:
        """Let go of the store."""
        ...


class MemoryCredentials:
    """Keeps a session as long as the program runs."""

    def __init__(self, session: SignedIn | None = None) -> None:
        self._session = session
        self._lock = threading.Lock()

    def load(self) -> SignedIn | None:
        """The session, if there is one."""
        return self._session

    def save(self, session: SignedIn) -> None:
        """Keep this session instead."""
        self._session = session

    def clear(self) -> None:
        """Forget the session."""
        self._session = None

    def acquire(self) -> bool:
        """Hold the store, unless another thread does."""
        return self._lock.acquire(blocking=False)

    def release(self) -> None:
        """Let go of the store."""
        self._lock.release()
