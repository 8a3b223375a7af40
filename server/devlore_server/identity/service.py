"""What credentials are good for at this moment: implements ``ports.Identity`` for the gateway."""

from __future__ import annotations

from collections.abc import Collection
from datetime import datetime, timedelta
from typing import Any, cast
from uuid import UUID

from devlore.types import Role
from devlore_server.identity.roles import scopes_of
from devlore_server.identity.sessions import IDLE
from devlore_server.identity.signing import Signing
from devlore_server.identity.store import keys, networks, sessions, signing_keys
from devlore_server.identity.store.keys import FoundKey
from devlore_server.identity.store.sessions import FoundSession
from devlore_server.kit import audit
from devlore_server.kit.audit import Leaf
from devlore_server.kit.auth import Principal
from devlore_server.kit.clock import Clock, utc_now
from devlore_server.kit.db import Database
from devlore_server.ports import Standing

NOTED = timedelta(minutes=1)
"""How much later than the last a use is worth a write."""
FAMILIAR = timedelta(days=90)
"""How long a network somebody signed in from is remembered."""
_AT_ONCE = 10_000


class IdentityService:
    """Asks the database each time; whoever remembers an answer looks at ``kit.revocation``."""

    def __init__(self, database: Database, signing: Signing, clock: Clock = utc_now) -> None:
        self._database = database
        self._signing = signing
        self._clock = clock

    async def session(self, sid: UUID, person: UUID, organisation: UUID) -> Standing | None:
        """See ``ports.Identity``."""
        found = await sessions.find(self._database, sid, self._clock())
        if found is None or (found.person_id, found.organisation_id) != (person, organisation):
            return None
        return _standing_of_session(found)

    async def cookie(self, digest: bytes) -> Standing | None:
        """See ``ports.Identity``."""
        at = self._clock()
        found = await sessions.find_by_cookie(self._database, digest, at)
        if found is None:
            return None
        if at - found.last_seen_at >= NOTED:
            who = Principal(organisation=found.organisation_id, person=found.person_id)
            async with self._database.transaction(who) as connection:
                await sessions.touch(connection, found.id, None, at + IDLE, at=at)
        return _standing_of_session(found)

    async def key(self, key_id: str, digest: bytes, network: str | None) -> Standing | None:
        """See ``ports.Identity``."""
        at = self._clock()
        found = await keys.find(self._database, key_id, digest, at)
        if found is None:
            return None
        if _worth_noting(found, network, at):
            await self._note(found, network, at)
        return Standing(
            organisation=found.organisation_id,
            person=found.person_id,
            role=found.role,
            teams=frozenset(found.teams),
            scopes=_scopes(found.role, found.scopes),
            session=None,
            authenticated_at=found.created_at,
            expires_at=found.expires_at,
            key=str(found.id),
        )

    async def keyset(self) -> dict[str, Any]:
        """See ``ports.Identity``."""
        return await self._signing.keyset()

    async def familiar(self, network: str, *, email: str | None = None, person: UUID | None = None) -> bool:
        """See ``ports.Identity``."""
        return await networks.is_familiar(self._database, email, person, network, self._clock() - FAMILIAR)

    async def forget_expired(self) -> int:
        """Delete what proves nothing any more: long ended sessions, answered challenges, device codes, retired keys,
        networks nobody signs in from."""
        now = self._clock()
        async with self._database.transaction(None) as connection:
            spent = await signing_keys.forget(connection, now, _AT_ONCE)
            return spent + await networks.forget(connection, now - FAMILIAR, _AT_ONCE)

    async def _note(self, found: FoundKey, network: str | None, at: datetime) -> None:
        who = Principal(organisation=found.organisation_id, person=found.person_id, network=network, key=str(found.id))
        async with self._database.transaction(who) as connection:
            if await keys.used(connection, found, network, at=at):
                leaf = Leaf("key.used_from_new_network", [("key", found.id)])
                await audit.append(connection, who, leaf, at=at)


def _worth_noting(found: FoundKey, network: str | None, at: datetime) -> bool:
    new = network is not None and network not in found.networks
    return new or found.last_used_at is None or at - found.last_used_at >= NOTED


def _standing_of_session(found: FoundSession) -> Standing:
    return Standing(
        organisation=found.organisation_id,
        person=found.person_id,
        role=found.role,
        teams=frozenset(found.teams),
        scopes=_scopes(found.role, None),
        session=str(found.id),
        authenticated_at=found.authenticated_at,
        expires_at=found.expires_at,
    )


def _scopes(role: str, given: Collection[str] | None) -> frozenset[str]:
    """What a role allows, of that only what was ``given`` to a key."""
    allowed: frozenset[str] = scopes_of(cast(Role, role))
    return allowed if given is None else allowed & frozenset(given)
