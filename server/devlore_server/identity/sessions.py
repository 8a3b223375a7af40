"""Sessions: begun by whoever proved who they are, listed and ended by their person."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from uuid import UUID

from devlore.problems import NotAllowed, NotFound, Unauthenticated
from devlore.types import SessionView, Tokens
from devlore_server.identity.invitations import Invitations
from devlore_server.identity.oneself import Origin, alone, session_of
from devlore_server.identity.signing import Signing
from devlore_server.identity.store import networks, sessions
from devlore_server.identity.store.sessions import NewSession
from devlore_server.kit import audit
from devlore_server.kit.audit import Leaf
from devlore_server.kit.auth import Principal
from devlore_server.kit.clock import Clock, utc_now
from devlore_server.kit.credentials import digest, new_secret
from devlore_server.kit.db import Connection, Database, system
from devlore_server.kit.ids import new_id
from devlore_server.kit.revocation import Revocations
from devlore_server.kit.tokens import LIFETIME

IDLE = timedelta(days=30)
"""How long a session nobody uses lasts; one in use lasts 90 days."""
_PROVED_THERE = frozenset({"password", "passkey", "sign-up"})
"""Whoever begins a session so has proved where they are who they are; a device may be anywhere."""
NOT_THERE = "You do not belong to this organisation."


@dataclass(frozen=True, slots=True)
class Wanted:
    """The session somebody asks for: in an organisation of theirs, or by an invitation to one; as a cookie or not."""

    organisation: UUID | None = None
    invitation: str | None = None
    cookie: bool = False


@dataclass(frozen=True, slots=True)
class Opened:
    """A session as it is handed out; ``cookie`` is the secret of a browser's, which then has no tokens."""

    tokens: Tokens
    cookie: str | None


@dataclass(frozen=True, slots=True)
class Begun:
    """A session that was stored, and its one secret: of a cookie, or to refresh tokens with."""

    who: Principal
    id: UUID
    secret: str
    cookie: bool


class Sessions:
    """Each change is one transaction with its audit leaf; what ends is announced after the commit."""

    def __init__(
        self,
        database: Database,
        signing: Signing,
        invitations: Invitations,
        revocations: Revocations,
        clock: Clock = utc_now,
    ) -> None:
        self._database = database
        self._signing = signing
        self._invitations = invitations
        self._revocations = revocations
        self._clock = clock

    async def open(self, person: UUID, wanted: Wanted, origin: Origin, *, by: str) -> Opened:
        """A session of somebody who has just proved who they are, ``by`` what.

        Raises ``NotAllowed`` when they do not belong to the organisation, or to none at all, and for an invitation
        what ``Invitations.accept`` does.
        """
        place = wanted.organisation
        if wanted.invitation is not None:
            joining = replace(alone(person), network=origin.network)
            place = (await self._invitations.accept(joining, wanted.invitation)).organisation_id
        async with self._database.transaction(alone(person)) as connection:
            found = await sessions.place_of(connection, person, place)
        if found is None:
            raise NotAllowed(NOT_THERE if place else "You belong to no organisation: ask for an invitation.")
        who, at = replace(system(found, person), network=origin.network), self._clock()
        async with self._database.transaction(who) as connection:
            begun = await self.begin(connection, who, origin, cookie=wanted.cookie, authenticated_at=at, by=by)
        return await self.hand_out(begun)

    async def begin(
        self,
        connection: Connection,
        who: Principal,
        origin: Origin,
        *,
        cookie: bool,
        authenticated_at: datetime,
        by: str,
    ) -> Begun:
        """Store a new session of ``who`` in the caller's transaction; ``hand_out`` it after the commit.

        Raises ``NotAllowed`` for somebody who does not belong to the organisation (any more).
        """
        id, secret, at = new_id(), new_secret(), self._clock()
        agent = origin.user_agent[:200] if origin.user_agent else None
        new = NewSession(id, digest(secret) if cookie else None, agent, origin.network, authenticated_at, at + IDLE)
        if not await sessions.insert(connection, who.organisation, who.person, new, at=at):
            raise NotAllowed(NOT_THERE)
        if not cookie:
            await sessions.insert_refresh(connection, who.organisation, who.person, id, digest(secret), at=at)
        if by in _PROVED_THERE and origin.network is not None:
            await networks.note(connection, who.person, origin.network, at=at)
        leaf = Leaf("session.started", [("session", id)], context={"by": by, "cookie": cookie})
        await audit.append(connection, replace(who, session=str(id)), leaf, at=at)
        return Begun(who, id, secret, cookie)

    async def hand_out(self, begun: Begun) -> Opened:
        """What a new session is used with."""
        who = begun.who
        access = None if begun.cookie else await self._signing.token(who.person, who.organisation, begun.id)
        tokens = Tokens(
            session_id=begun.id,
            organisation_id=who.organisation,
            access_token=access,
            refresh_token=None if begun.cookie else begun.secret,
            expires_in=int(IDLE.total_seconds()) if begun.cookie else LIFETIME,
        )
        return Opened(tokens, begun.secret if begun.cookie else None)

    async def switch(self, who: Principal, organisation: UUID, origin: Origin) -> Opened:
        """A session in another organisation of the caller's in the place of this one.

        It is of the same kind and as fresh as this one. Raises ``NotAllowed``.
        """
        old, at = session_of(who), self._clock()
        async with self._database.transaction(alone(who.person)) as connection:
            now = await sessions.find_within(connection, old, at)
            place = await sessions.place_of(connection, who.person, organisation)
            cookie = await sessions.is_cookie(connection, who.person, old)
        if now is None:
            raise Unauthenticated
        if place is None:
            raise NotAllowed(NOT_THERE)
        there = replace(system(organisation, who.person), network=who.network)
        async with self._database.transaction(who) as connection:
            await sessions.hold(connection, who.person)
            # One that somebody has ended meanwhile must not live on elsewhere.
            if await sessions.revoke(connection, who.person, old, at=at) is None:
                raise Unauthenticated
            await audit.append(connection, who, Leaf("session.switched", [("session", old)]), at=at)
            await sessions.go_to(connection, organisation)
            begun = await self.begin(
                connection, there, origin, cookie=cookie, authenticated_at=now.authenticated_at, by="switch"
            )
        await self._revocations.changed(who.organisation, who.person)
        return await self.hand_out(begun)

    async def page(self, who: Principal, limit: int, after: UUID | None = None) -> list[SessionView]:
        """The caller's sessions in whichever organisation, newest first, behind the id in ``after``."""
        own = session_of(who)
        async with self._database.transaction(who) as connection:
            found = await sessions.page(connection, who.person, self._clock(), limit, after)
        return [one.model_copy(update={"current": one.id == own}) for one in found]

    async def revoke(self, who: Principal, id: UUID) -> None:
        """End one of the caller's sessions; raises ``NotFound``."""
        session_of(who)
        at = self._clock()
        async with self._database.transaction(who) as connection:
            organisation = await sessions.revoke(connection, who.person, id, at=at)
            if organisation is None:
                raise NotFound
            await audit.append(connection, who, Leaf("session.revoked", [("session", id)]), at=at)
        await self.announce(who.person, [organisation])

    async def revoke_others(self, who: Principal) -> None:
        """End all of the caller's sessions but this one."""
        own, at = session_of(who), self._clock()
        async with self._database.transaction(who) as connection:
            ended = await sessions.revoke_others(connection, who.person, own, at=at)
            leaves = [Leaf("session.revoked", [("session", id)]) for _, id in ended]
            await audit.append(connection, who, *leaves, at=at)
        await self.announce(who.person, (organisation for organisation, _ in ended))

    async def stepped_up(self, who: Principal, *, by: str) -> None:
        """Note that the caller has just proved again who they are, ``by`` what."""
        own, at = session_of(who), self._clock()
        async with self._database.transaction(who) as connection:
            await sessions.authenticated(connection, who.person, own, at=at)
            await audit.append(connection, who, Leaf("session.stepped_up", context={"by": by}), at=at)
        await self.announce(who.person, [who.organisation])

    async def announce(self, person: UUID, organisations: Iterable[UUID]) -> None:
        """Say, after the commit, that something of a person's changed in these organisations."""
        for organisation in set(organisations):
            await self._revocations.changed(organisation, person)
