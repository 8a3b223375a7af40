"""Passwords: proving who one is, choosing one, changing it."""

from __future__ import annotations

import asyncio
from collections.abc import Iterable
from dataclasses import replace
from uuid import UUID

from devlore.problems import SecondFactorRequired, SignInFailed, StepUpRequired
from devlore.types import PasswordChange
from devlore_server.identity.checks import refuse
from devlore_server.identity.hashing import Hashing
from devlore_server.identity.oneself import Origin, alone, session_of
from devlore_server.identity.store import passkeys, passwords, sessions
from devlore_server.identity.store.passwords import StoredPassword
from devlore_server.identity.strength import LONG, SHORT, weakness
from devlore_server.kit import audit
from devlore_server.kit.audit import Leaf, refusal
from devlore_server.kit.auth import Principal
from devlore_server.kit.clock import Clock, utc_now
from devlore_server.kit.db import Database
from devlore_server.kit.revocation import Revocations

FAILS_AFTER = 0.5
"""Seconds after which every failed sign-in is answered: what was wrong must not show in the time it took."""


_FAILED = Leaf("session.started", result="failed", context={"by": "password"})
_HALF = Leaf("session.started", result="refused", context={"by": "password", "reason": "second-factor-required"})


class Passwords:
    """What is done with passwords; hashing never happens inside a transaction."""

    def __init__(self, database: Database, hashing: Hashing, revocations: Revocations, clock: Clock = utc_now) -> None:
        self._database = database
        self._hashing = hashing
        self._revocations = revocations
        self._clock = clock

    async def prove(self, email: str, password: str, origin: Origin) -> UUID:
        """The person whose address and password these are.

        Raises ``SignInFailed``, or ``SecondFactorRequired`` when the password is right but too short to be the only
        proof. Both are audited.
        """
        answer_at = asyncio.get_running_loop().time() + FAILS_AFTER
        person = await passwords.person_of(self._database, email)
        stored = await self._stored(person)
        right = await self._hashing.matches(stored.hash if stored else None, password)
        if person is None or stored is None or not right:
            await self._note(person, email, origin, _FAILED)
            await asyncio.sleep(answer_at - asyncio.get_running_loop().time())
            raise SignInFailed
        if not stored.long:
            await self._note(person, email, origin, _HALF)
            raise SecondFactorRequired
        if self._hashing.outdated(stored.hash):
            fresh = await self._hashing.hash(password)
            async with self._database.transaction(alone(person)) as connection:
                await passwords.rehash(connection, person, stored.hash, fresh)
        return person

    async def confirm(self, who: Principal, password: str) -> None:
        """Raise ``SignInFailed`` unless this is the caller's password."""
        stored = await self._stored(who.person)
        if not await self._hashing.matches(stored.hash if stored else None, password):
            raise SignInFailed

    async def prepare(
        self, password: str, *, about: Iterable[str], passkey: bool = False, field: str = "/password"
    ) -> StoredPassword:
        """A new password, hashed; ``passkey``: its owner has one. Raises ``Invalid`` for one that is easy to guess."""
        refused = weakness(password, least=SHORT if passkey else LONG, about=about)
        if refused is not None:
            raise refuse(field, refused)
        return StoredPassword(await self._hashing.hash(password), len(password) >= LONG)

    async def change(self, who: Principal, asked: PasswordChange) -> None:
        """Set another password and end every other session of the caller's, in whichever organisation.

        Raises ``SignInFailed`` for a wrong old one, ``StepUpRequired`` when there is none to prove and the sign-in is
        not fresh, ``Invalid`` for a new one that is easy to guess, ``NotAllowed`` for an API key.
        """
        session = session_of(who)
        before = await self._stored(who.person)
        if before is None and not who.fresh:
            raise StepUpRequired
        if before is not None and not await self._hashing.matches(before.hash, asked.old or ""):
            await refusal(self._database, who, Leaf("password.changed", result="failed"))
            raise SignInFailed
        async with self._database.transaction(alone(who.person)) as connection:
            about = await passwords.names_of(connection, who.person)
            secured = bool(await passkeys.credential_ids(connection, who.person))
        after = await self.prepare(asked.new, about=about, passkey=secured, field="/new")
        at = self._clock()
        async with self._database.transaction(who) as connection:
            if await passwords.find(connection, who.person, lock=True) != before:
                raise SignInFailed
            await passwords.put(connection, who.person, after, at=at)
            ended = await sessions.revoke_others(connection, who.person, session, at=at)
            leaf = Leaf("password.changed", context={"sessions_ended": len(ended)})
            await audit.append(connection, who, leaf, at=at)
        for organisation in {organisation for organisation, _ in ended}:
            await self._revocations.changed(organisation, who.person)

    async def _stored(self, person: UUID | None) -> StoredPassword | None:
        if person is None:
            return None
        async with self._database.transaction(alone(person)) as connection:
            return await passwords.find(connection, person)

    async def _note(self, person: UUID | None, email: str, origin: Origin, leaf: Leaf) -> None:
        """Audit a failed sign-in where its person belongs, or as nobody's."""
        places: list[UUID] = []
        if person is not None:
            leaf = replace(leaf, targets=[("person", person)])
            async with self._database.transaction(alone(person)) as connection:
                places = await sessions.places_of(connection, person)
        else:
            leaf = replace(leaf, targets=[("email", email)])
        await refusal(self._database, None, leaf, network=origin.network, organisations=places)
