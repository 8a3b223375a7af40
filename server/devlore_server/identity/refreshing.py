"""Refresh tokens: each is exchanged once, its successor derived from it, and a stolen one ends the session.

RFC 9700 §4.14.2 (rotation). Strict reuse detection logs out whoever refreshes twice at once or loses an answer, so for
30 s an exchanged token answers with the same successor again.
"""

from __future__ import annotations

import hashlib
import hmac
from base64 import urlsafe_b64encode
from dataclasses import replace
from datetime import datetime, timedelta
from uuid import UUID

from devlore.problems import Unauthenticated
from devlore.types import Tokens
from devlore_server.identity.oneself import Origin
from devlore_server.identity.sessions import IDLE
from devlore_server.identity.signing import Signing
from devlore_server.identity.store import sessions
from devlore_server.kit import audit
from devlore_server.kit.audit import Leaf
from devlore_server.kit.auth import Principal
from devlore_server.kit.clock import Clock, utc_now
from devlore_server.kit.credentials import digest
from devlore_server.kit.db import Connection, Database, system
from devlore_server.kit.revocation import Revocations
from devlore_server.kit.tokens import LIFETIME

GRACE = timedelta(seconds=30)
"""How long an exchanged token still answers with its successor."""


class Refreshing:
    """Exchanges refresh tokens. ``secret`` is the instance's; from it and a token the successor is derived."""

    def __init__(
        self, database: Database, signing: Signing, revocations: Revocations, secret: bytes, clock: Clock = utc_now
    ) -> None:
        self._database = database
        self._signing = signing
        self._revocations = revocations
        self._key = hmac.digest(secret, b"devlore refresh successors v1", hashlib.sha256)
        self._clock = clock

    async def refresh(self, token: str, origin: Origin) -> Tokens:
        """New tokens for a refresh token.

        Raises ``Unauthenticated`` for one that is unknown, whose session has ended, or that was exchanged more than
        30 s ago: then somebody has a copy, and the session ends for both.
        """
        found = await sessions.find_refresh(self._database, digest(token))
        if found is None:
            raise Unauthenticated
        organisation, session, person = found
        who = replace(system(organisation, person), session=str(session), network=origin.network)
        at = self._clock()
        async with self._database.transaction(who) as connection:
            if await sessions.find_within(connection, session, at) is None:
                raise Unauthenticated
            successor = await self._exchange(connection, who, session, token, at)
            if successor is None:
                await sessions.revoke(connection, person, session, at=at)
                leaf = Leaf("session.token_reused", [("session", session)], "refused")
                await audit.append(connection, who, leaf, at=at)
        if successor is None:
            await self._revocations.changed(organisation, person)
            raise Unauthenticated("This session has ended: its refresh token was used before. Sign in again.")
        access = await self._signing.token(person, organisation, session)
        return Tokens(
            session_id=session,
            organisation_id=organisation,
            access_token=access,
            refresh_token=successor,
            expires_in=LIFETIME,
        )

    async def _exchange(
        self, connection: Connection, who: Principal, session: UUID, token: str, at: datetime
    ) -> str | None:
        """The token to go on with, or None for a reuse.

        Whoever is late by less than the grace gets the end of the line, which is the successor of their token unless
        that was exchanged, too: it would betray them the next time.
        """
        used_at = await sessions.lock_refresh(connection, who.organisation, digest(token))
        following = self._successor(token)
        if used_at is None:
            await sessions.use_refresh(connection, who.organisation, digest(token), at=at)
            added = digest(following)
            await sessions.insert_refresh(connection, who.organisation, who.person, session, added, at=at)
            await sessions.touch(connection, session, who.network, at + IDLE, at=at)
            return following
        if at - used_at > GRACE:
            return None
        while await sessions.lock_refresh(connection, who.organisation, digest(following)) is not None:
            following = self._successor(following)
        return following

    def _successor(self, token: str) -> str:
        derived = hmac.digest(self._key, token.encode("utf-8", "surrogatepass"), hashlib.sha256)
        return urlsafe_b64encode(derived).rstrip(b"=").decode()
