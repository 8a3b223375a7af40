"""Turns the credential of a request into the Principal it is from; whoever has none is a visitor."""

from __future__ import annotations

import asyncio
import time
from collections import OrderedDict
from collections.abc import Awaitable, Callable, Hashable
from contextlib import suppress
from dataclasses import dataclass
from datetime import timedelta
from functools import partial

from starlette.types import ASGIApp, Receive, Scope, Send

from devlore.problems import Problem, Unauthenticated
from devlore_server.gateway.credentials import Browser, Credential, Token, credential_of
from devlore_server.gateway.limits import PAYER
from devlore_server.gateway.networks import Networks, address_of, network_of
from devlore_server.gateway.standings import Ask, Standings, Whose
from devlore_server.kit.auth import Caller, Principal, Visitor
from devlore_server.kit.clock import Clock, utc_now
from devlore_server.kit.credentials import ApiKey
from devlore_server.kit.http import admit, problem_response
from devlore_server.kit.revocation import Revocations
from devlore_server.kit.tokens import Claims, Keys, UnknownKey, public_keys, verify
from devlore_server.ports import Identity, Standing

FRESH = timedelta(minutes=15)
"""How long a person counts as having just proved who they are."""

_FINDING = "devlore.finding"


@dataclass(frozen=True, slots=True)
class _Question:
    """What identity is asked about a credential; ``lenient`` where one that does not hold makes a visitor."""

    credential: Hashable
    ask: Ask
    whose: Whose | None = None
    lenient: bool = False


class Authenticate:
    """Finds out whose credential each request carries, and tells the rate limits whom to charge meanwhile.

    Until ``Admission`` behind the limits has what was found, everybody is a visitor. There a credential that does not
    hold is refused: guessing costs, too. A browser's cookie that ran out makes a visitor instead: its page must still
    be able to sign in.
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
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        network = network_of(address_of(scope, self._proxies))
        admit(scope, Visitor(network))
        finding = await self._begun(scope, network)
        scope[_FINDING] = finding
        try:
            await self._app(scope, receive, send)
        finally:
            # Whoever was refused by the limits never looked at what was found.
            if finding is not None and not finding.cancel():
                finding.exception()

    async def _begun(self, scope: Scope, network: str | None) -> asyncio.Future[Caller] | None:
        """Who it is, being found out; None for whoever brings no credential.

        Whom the limits charge is settled at once: who it was a moment ago, while Redis is asked whether that holds.
        """
        try:
            credential = credential_of(scope, self._origin.encode())
            if credential is None:
                return None
            question = await self._question(credential, network)
        except Problem as problem:
            refused: asyncio.Future[Caller] = asyncio.get_running_loop().create_future()
            refused.set_exception(problem)
            return refused
        finding = asyncio.create_task(self._found(question, network))
        known = self._standings.remembered(question.credential)
        if known is None:
            with suppress(Problem):
                await finding
            known = self._standings.remembered(question.credential)
        if known is not None:
            scope[PAYER] = known.organisation, known.person
        return finding

    async def _found(self, question: _Question, network: str | None) -> Caller:
        standing = await self._standings.of(question.credential, question.ask, question.whose)
        if standing is not None:
            return self._principal(standing, network)
        if question.lenient:
            return Visitor(network)
        raise Unauthenticated("This credential does not hold (any more).")

    async def _question(self, credential: Credential, network: str | None) -> _Question:
        ask = self._identity
        match credential:
            case Token(text):
                claims = await self._keyring.claims(text, self._origin, self._clock)
                whose = (claims.organisation, claims.person)
                asked = partial(ask.session, claims.session, claims.person, claims.organisation)
                return _Question((claims.session, *whose), asked, whose)
            case ApiKey(key_id, digest):
                # By network as well: identity notes from where a key is used.
                return _Question((digest, network), partial(ask.key, key_id, digest, network))
            case Browser(digest):
                return _Question(digest, partial(ask.cookie, digest), lenient=True)

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


class Admission:
    """Admits whom ``Authenticate`` found, or answers why not; stands behind the rate limits."""

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        finding: asyncio.Future[Caller] | None = scope.get(_FINDING)
        if finding is not None:
            try:
                admit(scope, await finding)
            except Problem as problem:
                await problem_response(problem)(scope, receive, send)
                return
        await self._app(scope, receive, send)
