"""Limits of guessing: attempts to sign in are delayed, longer the more have failed; no account is ever locked."""

from __future__ import annotations

from collections.abc import Mapping
from contextlib import suppress
from typing import Any, Final

import orjson
from starlette.requests import ClientDisconnect
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from devlore.problems import RateLimited, TooLarge
from devlore_server.kit.cache import visitor_key
from devlore_server.kit.http import admitted, caller_of, problem_response
from devlore_server.kit.limit import Demand, Limiter, Policy

PER_ACCOUNT: Final = (Policy("burst", 20, 300), Policy("hour", 60, 3_600))
"""Twenty failures at once, then one in 15 s, after 60 one a minute: whoever guesses at an account cannot keep its
owner out for longer than that."""
PER_NETWORK: Final = (*PER_ACCOUNT, Policy("day", 200, 86_400))
"""As well; after 200 failures one in 7 minutes."""

ATTEMPTS: Final[Mapping[str, str | None]] = {
    "/v1/sessions": "email",
    "/v1/sessions/passkey": None,
    "/v1/sessions/step-up": None,
    "/v1/identity/password": None,
    "/v1/identity/sign-up": "email",
    "/v1/invitations/look": None,
    "/v1/invitations/accept": None,
}
"""POSTs that try a secret, and the member of the body that names the account; otherwise it is the caller's own."""
LARGEST: Final = 65_536


class Attempts:
    """Counts failed attempts per account and per network; beyond a limit, 429 with the seconds to wait.

    An attempt is taken before it is made, so that many at once cannot all pass, and given back when it succeeds.
    """

    def __init__(self, app: ASGIApp, *, limiter: Limiter, paths: Mapping[str, str | None] = ATTEMPTS) -> None:
        self._app = app
        self._limiter = limiter
        self._paths = dict(paths)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http" or scope["method"] != "POST" or scope["path"] not in self._paths:
            await self._app(scope, receive, send)
            return
        try:
            body = await _small_body(receive)
        except ClientDisconnect:
            return
        except TooLarge as problem:
            await problem_response(problem, {"Connection": "close"})(scope, receive, send)
            return
        demands = self._demands(scope, body)
        verdicts = await self._limiter.take(demands)
        if all(verdict.allowed for verdict in verdicts):
            await self._app(scope, _replaying(body, receive), self._settling(demands, send))
            return
        wait = max(1, *(verdict.retry_after for verdict in verdicts))
        refusal = RateLimited(f"Too many attempts failed; try again in {wait} s.", retry_after=wait)
        await problem_response(refusal)(scope, receive, send)

    def _demands(self, scope: Scope, body: bytes) -> list[Demand]:
        network = caller_of(scope).network or "here"
        accounts: list[tuple[str, str, tuple[Policy, ...]]] = [("network", network, PER_NETWORK)]
        if account := self._account(scope, body):
            accounts.append(("account", account, PER_ACCOUNT))
        return [
            Demand(visitor_key(f"attempts-{kind}", policy.name, name), policy)
            for kind, name, policies in accounts
            for policy in policies
        ]

    def _account(self, scope: Scope, body: bytes) -> str | None:
        member = self._paths[scope["path"]]
        if member is None:
            caller = admitted(scope)
            return str(caller.person) if caller is not None else None
        named = _object(body).get(member)
        return named.strip().lower() if isinstance(named, str) else None

    def _settling(self, demands: list[Demand], send: Send) -> Send:
        async def send_and_settle(message: Message) -> None:
            if message["type"] == "http.response.start" and not 400 <= message["status"] < 500:
                await self._limiter.give_back(demands)
            await send(message)

        return send_and_settle


async def _small_body(receive: Receive) -> bytes:
    """The whole body. Raises ``TooLarge``, or ``ClientDisconnect`` when its sender is gone."""
    pieces: list[bytes] = []
    size, more = 0, True
    while more:
        message = await receive()
        if message["type"] == "http.disconnect":
            raise ClientDisconnect
        pieces.append(message.get("body", b""))
        size += len(pieces[-1])
        more = message.get("more_body", False)
        if size > LARGEST:
            raise TooLarge(f"The body may have at most {LARGEST} bytes.", limit=LARGEST)
    return b"".join(pieces)


def _object(body: bytes) -> dict[str, Any]:
    with suppress(orjson.JSONDecodeError):
        found = orjson.loads(body)
        if isinstance(found, dict):
            return found
    return {}


def _replaying(body: bytes, receive: Receive) -> Receive:
    pending: list[Message] = [{"type": "http.request", "body": body, "more_body": False}]

    async def receive_again() -> Message:
        return pending.pop() if pending else await receive()

    return receive_again
