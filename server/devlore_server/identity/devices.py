"""Signing in a device without a browser (RFC 8628): it shows a code, somebody signed in elsewhere approves it."""

from __future__ import annotations

import secrets
from dataclasses import replace
from datetime import timedelta
from typing import Final, NoReturn, cast

from devlore.problems import DeviceExpired, DevicePending, DeviceRefused, NotFound, RateLimited, SlowDown
from devlore.types import DeviceApproval, DeviceGrant, DeviceView, Scope
from devlore_server.identity.oneself import Origin, alone, session_of
from devlore_server.identity.sessions import Begun, Opened, Sessions
from devlore_server.identity.store import devices, sessions
from devlore_server.identity.store.devices import NewDevice, StoredDevice
from devlore_server.kit import audit
from devlore_server.kit.audit import Leaf, refusal
from devlore_server.kit.auth import NIL, Principal
from devlore_server.kit.cache import visitor_key
from devlore_server.kit.clock import Clock, utc_now
from devlore_server.kit.credentials import digest, new_secret
from devlore_server.kit.db import Connection, Database, system
from devlore_server.kit.limit import Demand, Limiter, Policy

ALPHABET: Final = "BCDFGHJKLMNPQRSTVWXZ"
"""RFC 8628 §6.1: no vowels, so no words, and nothing that is easily taken for something else."""
LENGTH: Final = 8
PATIENCE: Final = timedelta(minutes=10)
INTERVAL: Final = 5
"""Seconds between two questions of a device, at first; each that comes too early adds as many."""
GUESSES: Final = Policy("device-codes", 10, 600)
"""Wrong codes one person may enter. There are 20⁸; ten in the ten minutes a code lives find one in 2.5 billion."""


class Devices:
    """``public_url`` is where people approve; ``limiter`` holds back those who guess codes."""

    def __init__(
        self, database: Database, opened: Sessions, limiter: Limiter, *, public_url: str, clock: Clock = utc_now
    ) -> None:
        self._database = database
        self._sessions = opened
        self._limiter = limiter
        self._page = public_url.rstrip("/") + "/device"
        self._clock = clock

    async def start(self, origin: Origin) -> DeviceGrant:
        """Begin a sign-in: a secret for the device, a code for its person."""
        at, secret = self._clock(), new_secret()
        agent = origin.user_agent[:200] if origin.user_agent else None
        while True:
            code = "".join(secrets.choice(ALPHABET) for _ in range(LENGTH))
            new = NewDevice(digest(secret), digest(code), agent, origin.network, INTERVAL, at + PATIENCE)
            async with self._database.transaction(None) as connection:
                if await devices.insert(connection, new, at=at):
                    break
        shown = f"{code[:4]}-{code[4:]}"
        return DeviceGrant(
            device_code=secret,
            user_code=shown,
            verification_uri=self._page,
            # In the fragment, so that no log on the way holds it.
            verification_uri_complete=f"{self._page}#{shown}",
            expires_in=int(PATIENCE.total_seconds()),
            interval=INTERVAL,
        )

    async def look(self, who: Principal, user_code: str) -> DeviceView:
        """Who waits with this code, so that the caller can tell their own device from a stranger's (RFC 8628 §5.4).

        Raises as ``settle`` does.
        """
        session_of(who)
        guess = await self._guess(who)
        async with self._database.transaction(who) as connection:
            found = await devices.waiting(connection, _digest(user_code), self._clock())
        if found is None:
            await self._wrong(who, Leaf("device.looked_at"))
        await self._limiter.give_back([guess])
        return DeviceView(
            user_agent=found.user_agent,
            network=found.network,
            near=found.network is not None and found.network == who.network,
            created_at=found.created_at,
            expires_at=found.expires_at,
            scopes=cast(list[Scope], sorted(who.scopes)),
        )

    async def settle(self, who: Principal, approval: DeviceApproval) -> None:
        """Let the device with this code sign in as the caller, in this organisation, or refuse it.

        Raises ``NotFound`` for a code that is not good (any more), ``RateLimited`` for too many wrong ones,
        ``NotAllowed`` for an API key.
        """
        session, at = session_of(who), self._clock()
        guess = await self._guess(who)
        action = Leaf("device.approved" if approval.approve else "device.denied")
        async with self._database.transaction(who) as connection:
            now = await sessions.find_within(connection, session, at)
            settled = now is not None and await devices.settle(
                connection,
                _digest(approval.user_code),
                organisation=who.organisation,
                person=who.person,
                approved=approval.approve,
                authenticated_at=now.authenticated_at,
                at=at,
            )
            if settled:
                await audit.append(connection, who, action, at=at)
        if not settled:
            await self._wrong(who, action)
        await self._limiter.give_back([guess])

    async def _guess(self, who: Principal) -> Demand:
        """What one code costs the caller, given back if it is right; raises ``RateLimited``."""
        # The person's wherever they work: who founds another organisation must not have ten guesses more.
        guess = Demand(visitor_key("device-codes", who.person), GUESSES)
        (verdict,) = await self._limiter.take([guess])
        if not verdict.allowed:
            raise RateLimited("Too many codes.", retry_after=verdict.retry_after)
        return guess

    async def _wrong(self, who: Principal, action: Leaf) -> NoReturn:
        await refusal(self._database, who, replace(action, result="failed"))
        raise NotFound("No device waits with this code.")

    async def poll(self, device_code: str, origin: Origin) -> Opened:
        """The session of an approved device, once.

        Raises ``DevicePending``, ``SlowDown``, ``DeviceRefused``, ``DeviceExpired`` (RFC 8628 §3.5).
        """
        key = digest(device_code)
        settled = await devices.settled_by(self._database, key)
        if settled is None:
            await self._wait(key)
            # Somebody settled it between the two looks.
            settled = await devices.settled_by(self._database, key)
        if settled is None:
            raise _expired()
        who = replace(system(*settled), network=origin.network)
        async with self._database.transaction(who) as connection:
            found = await devices.find(connection, key)
            if found is None or found.expires_at <= self._clock():
                raise _expired()
            await devices.delete(connection, key)
            begun = await self._begin(connection, who, found, origin)
        if begun is None:
            raise DeviceRefused(error="access_denied")
        return await self._sessions.hand_out(begun)

    async def _wait(self, key: bytes) -> None:
        """Raise what a device nobody has settled is told; return when it is none of those."""
        at = self._clock()
        async with self._database.transaction(alone(NIL)) as connection:
            found = await devices.find(connection, key)
            if found is None or found.expires_at <= at:
                return
            early = found.polled_at is not None and at - found.polled_at < timedelta(seconds=found.interval_seconds)
            interval = found.interval_seconds + (INTERVAL if early else 0)
            await devices.polled(connection, key, interval, at=at)
        if early:
            raise SlowDown(error="slow_down", interval=interval)
        raise DevicePending(error="authorization_pending", interval=interval)

    async def _begin(self, connection: Connection, who: Principal, found: StoredDevice, origin: Origin) -> Begun | None:
        if not found.approved or found.authenticated_at is None:
            return None
        return await self._sessions.begin(
            connection, who, origin, cookie=False, authenticated_at=found.authenticated_at, by="device"
        )


def _digest(user_code: str) -> bytes:
    """Of a code however it is written."""
    return digest("".join(one for one in user_code.upper() if one in ALPHABET))


def _expired() -> DeviceExpired:
    return DeviceExpired(error="expired_token")
