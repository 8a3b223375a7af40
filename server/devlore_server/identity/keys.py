"""API keys: of a person for their programs, or of a service account; never more than their person may do."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import cast
from uuid import UUID

from devlore.problems import Conflict, NotFound
from devlore.types import KeyCreated, KeyDraft, KeyView, Role, Scope
from devlore_server.identity.checks import authorise, refuse
from devlore_server.identity.oneself import session_of
from devlore_server.identity.roles import scopes_of
from devlore_server.identity.store import keys, people
from devlore_server.identity.store.keys import NewKey
from devlore_server.kit import audit
from devlore_server.kit.audit import Leaf
from devlore_server.kit.auth import Principal
from devlore_server.kit.clock import Clock, utc_now
from devlore_server.kit.credentials import new_api_key, read_api_key
from devlore_server.kit.db import Database, system
from devlore_server.kit.ids import new_id
from devlore_server.kit.revocation import Revocations

MOST = 50
"""Most keys of one person in an organisation that are not revoked."""


class Keys:
    """Each change is one transaction with its audit leaf; a service account's keys are its organisation's admins'."""

    def __init__(self, database: Database, revocations: Revocations, clock: Clock = utc_now) -> None:
        self._database = database
        self._revocations = revocations
        self._clock = clock

    async def create(self, who: Principal, draft: KeyDraft) -> KeyCreated:
        """A new key; its secret is in the answer only.

        Raises ``NotFound`` for a ``person`` that is no service account here, ``NotAllowed`` for an API key or without
        the right to make keys for others, ``Invalid`` for scopes its person or the caller has not, or an expiry that is
        past, ``Conflict`` for one too many.
        """
        session_of(who)
        at = self._clock()
        if draft.expires_at is not None and draft.expires_at <= at:
            raise refuse("/expires_at", "This moment has passed.")
        owner = await self._owner(who, draft.person)
        _check_scopes(who, owner, draft.scopes)
        text, new = _made(owner, draft)
        async with self._database.transaction(owner) as connection:
            if await keys.count(connection, owner.organisation, owner.person) >= MOST:
                raise Conflict(f"There are {MOST} keys already; revoke one first.")
            made = await keys.insert(connection, owner.organisation, owner.person, new, who.person, at=at)
            about = {"scopes": new.scopes, "expires_at": draft.expires_at.isoformat() if draft.expires_at else None}
            leaf = Leaf("key.created", [("key", new.id), ("person", owner.person)], context=about)
            await audit.append(connection, who, leaf, at=at)
        return KeyCreated(**dict(made), key=text)

    async def page(self, who: Principal, person: UUID | None, limit: int, after: UUID | None = None) -> list[KeyView]:
        """Keys of the caller or a service account, newest first, behind the id in ``after``; raises ``NotFound``.

        That somebody looks at keys that are not their own is audited.
        """
        owner = await self._owner(who, person)
        async with self._database.transaction(owner) as connection:
            found = await keys.page(connection, owner.organisation, owner.person, limit, after)
            if owner.person != who.person and after is None:
                await audit.append(connection, who, Leaf("key.listed", [("person", owner.person)]), at=self._clock())
        return found

    async def revoke(self, who: Principal, id: UUID) -> None:
        """End a key of the caller's or, for those who may, of a service account; again is no error.

        Raises ``NotFound`` for any other.
        """
        async with self._database.transaction(who) as connection:
            person = await keys.owner_of(connection, id)
        if person is None:
            raise NotFound
        if person != who.person and "organisation:write" not in who.scopes:
            raise NotFound
        owner, at = await self._owner(who, person), self._clock()
        async with self._database.transaction(owner) as connection:
            if await keys.revoke(connection, owner.organisation, person, id, at=at):
                leaf = Leaf("key.revoked", [("key", id), ("person", person)])
                await audit.append(connection, who, leaf, at=at)
        await self._revocations.changed(owner.organisation, person)

    async def _owner(self, who: Principal, person: UUID | None) -> Principal:
        """In whose context the keys are: the caller's own, or that of a service account the caller looks after."""
        if person is None or person == who.person:
            return who
        async with self._database.transaction(who) as connection:
            await authorise(connection, who, "organisation:write")
            found = await people.find(connection, who.organisation, person)
        if found is None or found.kind != "service":
            raise NotFound
        return replace(system(who.organisation, person), role=found.role)


def _made(owner: Principal, draft: KeyDraft) -> tuple[str, NewKey]:
    text = new_api_key()
    read = read_api_key(text)
    assert read is not None
    # Where it is made is where it will be used first, if by its own person.
    networks = [owner.network] if owner.network else []
    scopes: list[str] | None = None if draft.scopes is None else sorted(set(draft.scopes))
    return text, NewKey(new_id(), read.key_id, read.digest, draft.name, scopes, networks, draft.expires_at)


def _check_scopes(who: Principal, owner: Principal, asked: Sequence[Scope] | None) -> None:
    """Raise ``Invalid`` unless both the key's person and whoever makes it have all of ``asked``."""
    theirs = who.scopes if owner == who else who.scopes & scopes_of(cast(Role, owner.role))
    for index, scope in enumerate(asked or ()):
        if scope not in theirs:
            raise refuse(f"/scopes/{index}", "Its person, or you, may not do this.")
