"""A server on loopback that renews sessions without any grace: a refresh token used twice ends the session."""

from __future__ import annotations

import json
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

from sdk.python.tests.samples import memory, problem

from devlore.credentials import SignedIn
from devlore.types import Tokens

SESSION = "01936f00-0000-7000-8000-0000000000a1"
ORGANISATION = "01936f00-0000-7000-8000-0000000000b1"


class Issuer(ThreadingHTTPServer):
    """One session; every other request is answered with a memory to whoever has its access token."""

    daemon_threads = True
    request_queue_size = 100

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), _Handler)
        self.guard = threading.Lock()
        self.generation = 0
        self.exchangeable = ""
        """The refresh token that may be exchanged now: none while the access token holds."""
        self.ended = False
        self.refreshes = 0
        self.presented: list[str | None] = []
        self.busy = 0
        """How many refreshes are answered with 503 before the next one is looked at."""

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.server_address[1]}"

    def tokens(self, expires_in: int = 600) -> Tokens:
        """The session's tokens at this moment."""
        return Tokens.model_validate(self.handed_out(expires_in))

    def signed_in(self, expires_in: int = 600) -> SignedIn:
        """The same as a client keeps it."""
        return SignedIn.from_tokens(self.tokens(expires_in), time.time())

    def handed_out(self, expires_in: int = 600) -> dict[str, Any]:
        place = {"session_id": SESSION, "organisation_id": ORGANISATION, "token_type": "Bearer"}
        pair = {"access_token": f"access-{self.generation}", "refresh_token": f"refresh-{self.generation}"}
        return place | pair | {"expires_in": expires_in}

    def signed_in_before(self) -> SignedIn:
        """What a client keeps that has not heard of the last ``expire``."""
        pair = f"access-{self.generation - 1}", f"refresh-{self.generation - 1}"
        return SignedIn(SESSION, ORGANISATION, *pair, time.time() + 600)

    def expire(self) -> None:
        """The access token runs out; the refresh token is good once."""
        with self.guard:
            self.generation += 1
            self.exchangeable = f"refresh-{self.generation - 1}"

    def refresh(self, token: str) -> tuple[int, dict[str, Any]]:
        with self.guard:
            if self.busy:
                self.busy -= 1
                return 503, problem(503, "unavailable")
            self.refreshes += 1
            if self.ended or token != self.exchangeable:
                self.ended = True
                return 401, problem(401, "unauthenticated", detail="This session has ended.")
            self.exchangeable = ""
            return 200, self.handed_out()

    def answer(self, authorization: str | None) -> tuple[int, dict[str, Any]]:
        with self.guard:
            self.presented.append(authorization)
            if self.ended or self.exchangeable or authorization != f"Bearer access-{self.generation}":
                return 401, problem(401, "unauthenticated")
            return 200, memory()


@contextmanager
def issuing() -> Iterator[Issuer]:
    """A running issuer."""
    server = Issuer()
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02}, daemon=True)
    thread.start()
    try:
        yield server
    finally:
        server.shutdown()
        server.server_close()
        thread.join()


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    server: Issuer

    def log_message(self, format: str, *args: Any) -> None:
        pass

    def reply(self) -> None:
        body = self.rfile.read(int(self.headers.get("content-length") or 0))
        if self.path == "/v1/sessions/refresh":
            status, members = self.server.refresh(json.loads(body)["refresh_token"])
        else:
            status, members = self.server.answer(self.headers.get("authorization"))
        content = json.dumps(members).encode()
        self.send_response(status)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(content)))
        self.end_headers()
        self.wfile.write(content)

    do_GET = do_POST = do_PATCH = do_PUT = do_DELETE = reply  # noqa: N815 - the parent's names
