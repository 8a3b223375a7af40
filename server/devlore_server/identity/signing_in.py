"""Signing in and stepping up: a proof, by password or passkey, and the session it opens or freshens."""

from __future__ import annotations

from devlore.problems import Problem
from devlore.types import PasskeySignIn, SignIn, StepUp
from devlore_server.identity.checks import refuse
from devlore_server.identity.oneself import Origin, session_of
from devlore_server.identity.passkeys import Passkeys
from devlore_server.identity.passwords import Passwords
from devlore_server.identity.sessions import Opened, Sessions, Wanted
from devlore_server.kit.audit import Leaf, refusal
from devlore_server.kit.auth import Principal
from devlore_server.kit.db import Database


class SigningIn:
    """Puts proofs and sessions together."""

    def __init__(self, database: Database, passwords: Passwords, passkeys: Passkeys, sessions: Sessions) -> None:
        self._database = database
        self._passwords = passwords
        self._passkeys = passkeys
        self._sessions = sessions

    async def with_password(self, asked: SignIn, origin: Origin) -> Opened:
        """A session for an address and its password; raises what ``Passwords.prove`` and ``Sessions.open`` do."""
        person = await self._passwords.prove(asked.email, asked.password, origin)
        wanted = Wanted(asked.organisation, asked.invitation, asked.cookie)
        return await self._sessions.open(person, wanted, origin, by="password")

    async def with_passkey(self, asked: PasskeySignIn, origin: Origin) -> Opened:
        """A session for an authenticator's answer; raises what ``Passkeys.prove`` and ``Sessions.open`` do."""
        person = await self._passkeys.prove(asked.credential, origin)
        wanted = Wanted(asked.organisation, asked.invitation, asked.cookie)
        return await self._sessions.open(person, wanted, origin, by="passkey")

    async def step_up(self, who: Principal, proof: StepUp) -> None:
        """Make the caller's session fresh; raises ``SignInFailed`` (audited), ``Invalid`` unless there is one proof."""
        session_of(who)
        if (proof.password is None) == (proof.credential is None):
            raise refuse("/password", "Send either a password or a passkey's answer.")
        by = "password" if proof.password is not None else "passkey"
        try:
            if proof.password is not None:
                await self._passwords.confirm(who, proof.password)
            else:
                await self._passkeys.confirm(who, proof.credential or {})
        except Problem:
            await refusal(self._database, who, Leaf("session.stepped_up", result="failed", context={"by": by}))
            raise
        await self._sessions.stepped_up(who, by=by)
