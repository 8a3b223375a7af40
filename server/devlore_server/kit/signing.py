"""Requests to a service in another process, in a caller's name: signed as they leave."""

from __future__ import annotations

from collections.abc import Generator

import httpx2

from devlore_server.kit.auth import HEADER, Caller, sign
from devlore_server.kit.clock import Clock, utc_now


class SignedAs(httpx2.Auth):
    """``httpx2`` authentication that makes a request ``caller``'s; each request gets a header of its own."""

    def __init__(self, caller: Caller, secret: bytes, clock: Clock = utc_now) -> None:
        self._caller = caller
        self._secret = secret
        self._clock = clock

    def auth_flow(self, request: httpx2.Request) -> Generator[httpx2.Request, httpx2.Response, None]:
        request.headers[HEADER] = sign(self._caller, self._secret, self._clock(), request.method, request.url.raw_path)
        yield request
