"""Limits of guessing: attempts to sign in are delayed, longer the more have failed; no account is ever locked.

An account has a limit in each network, and a larger one for all networks together that its person never signed in from
(NIST SP 800-63B-4 §3.2.2: at most 100 failures in a row). So whoever guesses from many networks gets no further than
from few, and cannot keep out somebody who is where they were before.
"""

from __future__ import annotations

from collections.abc import Awaitable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from typing import Any, Final, Protocol
from uuid import UUID

import orjson
from starlette.requests import ClientDisconnect
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from devlore.problems import RateLimited, TooLarge
from devlore_server.kit.cache import visitor_key
from devlore_server.kit.http import admitted, caller_of, problem_response
from devlore_server.kit.limit import Demand, Limiter, Policy, Verdict

PER_ACCOUNT: Final = (Policy("burst", 20, 300), Policy("hour", 60, 3_600))
"""At one account from one network: twenty failures at once, then one in 15 s, after 60 one a minute."""
PER_NETWORK: Final = (*PER_ACCOUNT, Policy("day", 200, 86_400))
"""From one network at any account: as well; after 200 failures one in 7 minutes."""
FROM_ANYWHERE: Final = (Policy("account", 100, 86_400),)
"""At one account from all networks: 100 failures at once, then one in 15 minutes. Somebody who signed in from a
network before does not wait for it there."""

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
_LONGEST_ADDRESS = 254  # RFC 5321 §4.5.3.1.3


class Familiar(Protocol):
    """``ports.Identity.familiar``."""

    def __call__(self, network: str, *, email: str | None, person: UUID | None) -> Awaitable[bool]: ...


@dataclass(frozen=True, slots=True)
class _Account:
    """Whose secret is tried: the ``email`` a visitor gave, or the ``person`` who is signed in."""

    email: str | None = None
    person: UUID | None = None

    @property
    def name(self) -> tuple[str, str]:
        # The kind as well: a visitor may give anything as an address, somebody's id among it.
        return ("email", self.email) if self.email is not None else ("person", str(self.person))


class Attempts:
    """Counts failed attempts; beyond a limit, 429 with the seconds to wait. ``familiar`` knows who was where before.

    An attempt is taken before it is made, so that many at once cannot all pass, and given back when it succeeds.
    """

    def __init__(
        self, app: ASGIApp, *, limiter: Limiter, familiar: Familiar, paths: Mapping[str, str | None] = ATTEMPTS
    ) -> None:
        self._app = app
        self._limiter = limiter
        self._familiar = familiar
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
        taken, wait = await self._take(caller_of(scope).network or "here", self._account(scope, body))
        if not wait:
            await self._app(scope, _replaying(body, receive), self._settling(taken, send))
            return
        refusal = RateLimited(f"Too many attempts failed; try again in {wait} s.", retry_after=wait)
        await problem_response(refusal)(scope, receive, send)

    async def _take(self, network: str, account: _Account | None) -> tuple[list[Demand], int]:
        """What was taken, and 0; or nothing, and the seconds to wait."""
        here = _demands("network", PER_NETWORK, network)
        if account is None:
            return here, _wait(await self._limiter.take(here))
        here += _demands("here", PER_ACCOUNT, network, *account.name)
        everywhere = _demands("account", FROM_ANYWHERE, *account.name)
        verdicts = await self._limiter.take([*here, *everywhere])
        wait, elsewhere = _wait(verdicts), not _wait(verdicts[: len(here)])
        if wait and elsewhere and await self._familiar(network, email=account.email, person=account.person):
            return here, _wait(await self._limiter.take(here))
        return [*here, *everywhere], wait

    def _account(self, scope: Scope, body: bytes) -> _Account | None:
        member = self._paths[scope["path"]]
        if member is None:
            caller = admitted(scope)
            return _Account(person=caller.person) if caller is not None else None
        named = _object(body).get(member)
        email = named.strip().lower() if isinstance(named, str) else ""
        return _Account(email=email) if email.isprintable() and 0 < len(email) <= _LONGEST_ADDRESS else None

    def _settling(self, demands: list[Demand], send: Send) -> Send:
        async def send_and_settle(message: Message) -> None:
            if message["type"] == "http.response.start" and not 400 <= message["status"] < 500:
                await self._limiter.give_back(demands)
            await send(message)

        return send_and_settle


def _demands(kind: str, policies: Sequence[Policy], *name: str) -> list[Demand]:
    return [Demand(visitor_key(f"attempts-{kind}", policy.name, *name), policy) for policy in policies]


def _wait(verdicts: Sequence[Verdict]) -> int:
    """Seconds until there is room for everything; 0 when there was."""
    return max(verdict.retry_after for verdict in verdicts)


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
