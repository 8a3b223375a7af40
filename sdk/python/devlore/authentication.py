"""Who a client's requests are from: a token or key it was given, or a session that is renewed as it runs out.

What is decided here is one generator, a *plan*, driven by both clients: it yields requests to send, and seconds to
wait while somebody else renews the same session.
"""

from __future__ import annotations

import asyncio
import os
import time
from collections.abc import AsyncGenerator, Callable, Generator, Iterator
from typing import Protocol

import httpx2

from devlore.calls import Answer, one, problem_of
from devlore.credentials import CredentialStore, MemoryCredentials, SignedIn
from devlore.operations.sessions import REFRESH
from devlore.problems import Invalid, NotAllowed, Unavailable
from devlore.transport import refuse_open_line
from devlore.types import Tokens

_EARLY = 10.0
"""Seconds before it runs out that a token is renewed."""
_POLL = 0.02
_PATIENCE = 60.0
"""Seconds to wait for whoever holds the store."""

Plan = Generator[httpx2.Request | float, httpx2.Response | None, None]


class _NotNow(Exception):
    """The server cannot renew a session at this moment; its last answer says why."""


class Builds(Protocol):
    """``httpx2.Client.build_request``, as far as it is used here."""

    def __call__(self, method: str, url: str, *, json: object) -> httpx2.Request:
        """A request with the client's address and headers."""
        ...


class Given(httpx2.Auth):
    """Signs every request with one token or key, which cannot be renewed."""

    def __init__(self, secret: str) -> None:
        if not (secret.isascii() and secret.isprintable()) or " " in secret:
            raise Invalid("A token or key has printable ASCII characters only; was it copied whole?")
        self._secret = secret

    def auth_flow(self, request: httpx2.Request) -> Generator[httpx2.Request, httpx2.Response, None]:
        """The request, signed."""
        _sign(request, self._secret)
        yield request

    def adopting(self, tokens: Tokens) -> Iterator[float]:
        """Raise ``NotAllowed``: the client was told who it is."""
        raise NotAllowed("This client has a token or key of its own and cannot sign in as somebody else.")

    def forgetting(self) -> Iterator[float]:
        """Raise ``NotAllowed``: what the client was given it cannot forget."""
        raise NotAllowed("This client has a token or key of its own and cannot sign out.")


class Renewed(httpx2.Auth):
    """Signs requests with the session of a store, and renews it there: in one thread of one program at a time.

    A session that another program has ended or replaced is not followed: what began in one organisation must not go on
    in another.
    """

    def __init__(self, store: CredentialStore, build: Builds, clock: Callable[[], float] = time.time) -> None:
        self._store = store
        self._build = build
        self._clock = clock
        self._session: SignedIn | None = None
        self._loaded = False

    def sync_auth_flow(self, request: httpx2.Request) -> Generator[httpx2.Request, httpx2.Response, None]:
        """Drive the plan, blocking."""
        plan = self._plan(request)
        try:
            step = next(plan)
            while True:
                if isinstance(step, float):
                    time.sleep(step)
                    step = next(plan)
                    continue
                response = yield step
                if _is_read(step, request, response):
                    response.read()
                step = plan.send(response)
        except StopIteration:
            return
        finally:
            plan.close()

    async def async_auth_flow(self, request: httpx2.Request) -> AsyncGenerator[httpx2.Request, httpx2.Response]:
        """Drive the plan, awaiting."""
        plan = self._plan(request)
        try:
            step = next(plan)
            while True:
                if isinstance(step, float):
                    await asyncio.sleep(step)
                    step = next(plan)
                    continue
                response = yield step
                if _is_read(step, request, response):
                    await response.aread()
                step = plan.send(response)
        except StopIteration:
            return
        finally:
            plan.close()

    def adopting(self, tokens: Tokens) -> Iterator[float]:
        """Sign with these tokens from now on, and keep them in the store; yields seconds to wait."""
        session = SignedIn.from_tokens(tokens, self._clock())
        yield from self._acquired()
        try:
            self._store.save(session)
        finally:
            self._store.release()
        self._session, self._loaded = session, True

    def forgetting(self) -> Iterator[float]:
        """Sign with nothing from now on, and clear the store; yields seconds to wait."""
        yield from self._acquired()
        try:
            self._store.clear()
        finally:
            self._store.release()
        self._session, self._loaded = None, True

    def _plan(self, request: httpx2.Request) -> Plan:
        try:
            yield from self._signed(request)
        except _NotNow:
            # The answer that said so is the call's, and it is asked again like any other.
            return

    def _signed(self, request: httpx2.Request) -> Plan:
        session = self._current()
        if session is not None and session.expires_at - _EARLY <= self._clock():
            session = yield from self._renewed(session)
        if session is None:
            yield request
            return
        _sign(request, session.access_token)
        response = yield request
        if response is None or not _unauthenticated(response):
            return
        session = yield from self._renewed(session)
        if session is not None:
            _sign(request, session.access_token)
            yield request

    def _current(self) -> SignedIn | None:
        if not self._loaded:
            self._session, self._loaded = self._store.load(), True
        return self._session

    def _renewed(self, used: SignedIn) -> Generator[httpx2.Request | float, httpx2.Response | None, SignedIn | None]:
        """The session with another token than ``used`` has; None when it has ended. Raises ``_NotNow``."""
        yield from self._acquired()
        try:
            kept = self._store.load()
            if kept is None or kept.session_id != used.session_id:
                self._session = None
            elif kept.access_token != used.access_token:
                self._session = kept
            else:
                self._session = yield from self._exchanged(kept)
        finally:
            self._store.release()
        return self._session

    def _exchanged(self, kept: SignedIn) -> Generator[httpx2.Request, httpx2.Response | None, SignedIn | None]:
        request = self._build("POST", REFRESH, json={"refresh_token": kept.refresh_token})
        refuse_open_line(request)
        response = yield request
        assert response is not None
        answer = Answer(response.status_code, response.headers, response.content)
        if answer.status == 200:
            renewed = SignedIn.from_tokens(one(Tokens)(answer), self._clock())
            self._store.save(renewed)
            return renewed
        # 404: whoever answers there now has no sign-in.
        if answer.status not in (401, 404):
            raise _NotNow
        self._store.clear()
        return None

    def _acquired(self) -> Generator[float, None, None]:
        waited = 0.0
        while not self._store.acquire():
            if waited > _PATIENCE:
                raise Unavailable("Another program has been renewing this session for a minute; end it, or try again.")
            waited += _POLL
            yield _POLL


def authentication(
    build: Builds, token: str | None, key: str | None, credentials: CredentialStore | None
) -> Given | Renewed:
    """What signs a client's requests: what was given, else ``DEVLORE_TOKEN`` or ``DEVLORE_KEY``, else a sign-in.

    Raises ``Invalid`` when several were given.
    """
    if sum(given is not None for given in (token, key, credentials)) > 1:
        raise Invalid("Give one of token, key and credentials.")
    secret = token or key
    if secret is None and credentials is None:
        secret = from_environment()
    if secret is not None:
        return Given(secret.strip())
    return Renewed(credentials or MemoryCredentials(), build)


def from_environment() -> str | None:
    """The token or key that the environment brings, the token first."""
    return os.environ.get("DEVLORE_TOKEN", "").strip() or os.environ.get("DEVLORE_KEY", "").strip() or None


def _sign(request: httpx2.Request, secret: str) -> None:
    refuse_open_line(request)
    request.headers["Authorization"] = f"Bearer {secret}"


def _is_read(step: httpx2.Request, request: httpx2.Request, response: httpx2.Response) -> bool:
    """Whether the plan looks into this answer; another may be a stream that is not ours to read."""
    return step is not request or response.status_code == 401


def _unauthenticated(response: httpx2.Response) -> bool:
    if response.status_code != 401:
        return False
    # Other codes of 401 are about what was sent (a wrong password), not about the token.
    return problem_of(Answer(401, response.headers, response.content)).code == "unauthenticated"
