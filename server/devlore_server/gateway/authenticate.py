"""Turns the credential of a request into the Principal it is from; whoever has none is a visitor."""

from __future__ import annotations

import asyncio
import time
from collections import OrderedDict
from collections.abc import Awaitable, Callable
from datetime import timedelta
from functools import partial

from starlette.types import ASGIApp, Receive, Scope, Send

from devlore.problems import Problem, Unauthenticated
from devlore_server.gateway.credentials import Browser, Credential, Token, credential_of
from devlore_server.gateway.networks import Networks, address_of, network_of
from devlore_server.gateway.standings import Standings
from devlore_server.kit.auth import Principal, Visitor
from devlore_server.kit.clock import Clock, utc_now
from devlore_server.kit.credentials import ApiKey
from devlore_server.kit.http import admit, problem_response
from devlore_server.kit.revocation import Revocations
from devlore_server.kit.tokens import Claims, Keys, UnknownKey, public_keys, verify
from devlore_server.ports import Identity, Standing

FRESH = timedelta(minutes=15)
"""How long a person counts as having just proved who they are."""

_REFUSAL = "devlore.refusal"


class Authenticate:
    """Admits each request as the person its credential belongs to, or as a visitor when it carries none.

    A credential that does not hold is refused by ``Refusals``, behind the rate limits: guessing costs, too. A
    browser's cookie that ran out makes a visitor instead: its page must still be able to sign in.
    """

    def __init__(
        self,
        app: ASGIApp,
        *,
        identity: Identity,
        revocations: Revocations,
        origin: str,
        proxies: Networks,
        clock: Clock = utc_now,
    ) -> None:
        self._app = app
        self._identity = identity
        self._standings = Standings(revocations)
        self._keyring = Keyring(identity)
        self._origin = origin
        self._proxies = proxies
        self._clock = clock

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "http":
            network = network_of(address_of(scope, self._proxies))
            admit(scope, Visitor(network))
            try:
                credential = credential_of(scope, self._origin.encode())
                if credential is not None:
                    await self._admit(scope, credential, network)
            except Problem as problem:
                scope[_REFUSAL] = problem
        await self._app(scope, receive, send)

    async def _admit(self, scope: Scope, credential: Credential, network: str | None) -> None:
        standing = await self._standing(credential, network)
        if standing is not None:
            admit(scope, self._principal(standing, network))
        elif not isinstance(credential, Browser):
            raise Unauthenticated("This credential does not hold (any more).")

    async def _standing(self, credential: Credential, network: str | None) -> Standing | None:
        ask = self._identity
        match credential:
            case Token(text):
                claims = await self._keyring.claims(text, self._origin, self._clock)
                whose = (claims.organisation, claims.person)
                return await self._standings.of(
                    (claims.session, *whose),
                    partial(ask.session, claims.session, claims.person, claims.organisation),
                    whose,
                )
            case ApiKey(key_id, digest):
                # By network as well: identity notes from where a key is used.
                return await self._standings.of((digest, network), partial(ask.key, key_id, digest, network))
            case Browser(digest):
                return await self._standings.of(digest, partial(ask.cookie, digest))

    def _principal(self, standing: Standing, network: str | None) -> Principal:
        proved_lately = self._clock() - standing.authenticated_at <= FRESH
        return Principal(
            organisation=standing.organisation,
            person=standing.person,
            teams=standing.teams,
            scopes=standing.scopes,
            session=standing.session,
            role=standing.role,
            network=network,
            fresh=standing.session is not None and proved_lately,
            key=standing.key,
        )


class Keyring:
    """The public keys of access tokens: read from identity at first use, every five minutes, and for a new key.

    A token that was verified is known again until it runs out or the keys are read anew: checking an Ed25519 signature
    takes as long as the rest of a request's way through the gateway. Whoever brings a token of an unknown key waits
    for one reading that all who wait share.
    """

    _KEPT = 300.0
    _BETWEEN = 1.0
    """Least seconds between two readings: anybody can name a key that does not exist."""
    _MOST = 10_000

    def __init__(
        self,
        identity: Identity,
        *,
        clock: Callable[[], float] = time.monotonic,
        sleep: Callable[[float], Awaitable[None]] = asyncio.sleep,
    ) -> None:
        self._identity = identity
        self._reading = asyncio.Lock()
        self._sleep = sleep
        self._keys: Keys = {}
        self._verified: OrderedDict[str, Claims] = OrderedDict()
        self._read_at: float | None = None
        self._clock = clock

    async def claims(self, token: str, issuer: str, now: Clock) -> Claims:
        """What ``token`` says; raises ``Unauthenticated`` when it is not ours or has run out."""
        if self._age() >= self._KEPT:
            async with self._reading:
                if self._age() >= self._KEPT:
                    await self._read()
        asked_at = self._clock()
        known = self._verified.get(token)
        if known is not None and now() < known.expires_at:
            return known
        try:
            return self._verify(token, issuer, now)
        except UnknownKey:
            await self._read_since(asked_at)
        return self._verify(token, issuer, now)

    def _verify(self, token: str, issuer: str, now: Clock) -> Claims:
        claims = verify(token, self._keys, issuer=issuer, now=now())
        self._verified[token] = claims
        if len(self._verified) > self._MOST:
            self._verified.popitem(last=False)
        return claims

    def _age(self) -> float:
        return float("inf") if self._read_at is None else self._clock() - self._read_at

    async def _read_since(self, moment: float) -> None:
        """Read the keys, unless somebody has begun to after ``moment``: whoever waited meanwhile has them then."""
        async with self._reading:
            if self._read_at is None or self._read_at <= moment:
                await self._sleep(max(0.0, self._BETWEEN - self._age()))
                await self._read()

    async def _read(self) -> None:
        begun_at = self._clock()
        self._keys = public_keys(await self._identity.keyset())
        self._verified.clear()
        self._read_at = begun_at


class Refusals:
    """Answers what ``Authenticate`` refused; stands behind the rate limits."""

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        problem = scope.get(_REFUSAL)
        await (problem_response(problem) if isinstance(problem, Problem) else self._app)(scope, receive, send)
