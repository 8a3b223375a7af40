"""Signing up: a new person by an invitation, or with an organisation of their own where the instance lets anybody."""

from __future__ import annotations

from dataclasses import replace

from devlore.problems import Conflict, NotAllowed
from devlore.types import SignUp
from devlore_server.identity.invitations import Invitations, claim
from devlore_server.identity.oneself import Origin
from devlore_server.identity.passwords import Passwords
from devlore_server.identity.sessions import Opened, Sessions
from devlore_server.identity.store import members, organisations, passwords
from devlore_server.kit import audit
from devlore_server.kit.audit import Leaf
from devlore_server.kit.auth import Principal
from devlore_server.kit.clock import Clock, utc_now
from devlore_server.kit.db import Database, system
from devlore_server.kit.ids import new_id


class SigningUp:
    """Each sign-up is one transaction: the person, their place, their password and their first session, or nothing."""

    def __init__(
        self,
        database: Database,
        invitations: Invitations,
        passwords_: Passwords,
        opened: Sessions,
        *,
        anybody: bool,
        clock: Clock = utc_now,
    ) -> None:
        self._database = database
        self._invitations = invitations
        self._passwords = passwords_
        self._sessions = opened
        self._anybody = anybody
        self._clock = clock

    async def sign_up(self, asked: SignUp, origin: Origin) -> Opened:
        """A new person, signed in.

        Raises ``NotFound`` for an invitation that is not good (any more), ``NotAllowed`` for one that is for somebody
        else or where one is needed, ``Invalid`` for a password that is easy to guess, ``Conflict`` for an address that
        is somebody's already.
        """
        if asked.invitation is None and not self._anybody:
            raise NotAllowed("Here one signs up by invitation only.")
        pending = None if asked.invitation is None else await self._invitations.pending(asked.invitation)
        password = await self._passwords.prepare(asked.password, about=[asked.name, asked.email])
        organisation = new_id() if pending is None else pending.organisation
        person = new_id() if pending is None or pending.offer.person is None else pending.offer.person
        who, at = replace(system(organisation, person), network=origin.network), self._clock()
        async with self._database.transaction(who) as connection:
            if not await passwords.put_person(connection, person, asked.name, asked.email, at=at):
                raise Conflict("Somebody with this address is here already: sign in instead.")
            if pending is None:
                await organisations.insert(connection, organisation, asked.name, person, at=at)
                await members.insert(connection, organisation, person, "owner", None, at=at)
            else:
                await claim(connection, who, pending.id, asked.email, at=at)
            await passwords.put(connection, person, password, at=at)
            await audit.append(connection, who, *_leaves(who, founded=pending is None), at=at)
            begun = await self._sessions.begin(
                connection, who, origin, cookie=asked.cookie, authenticated_at=at, by="sign-up"
            )
        return await self._sessions.hand_out(begun)


def _leaves(who: Principal, *, founded: bool) -> list[Leaf]:
    created = Leaf("person.created", [("person", who.person)], context={"kind": "human"})
    return [Leaf("organisation.created", [("organisation", who.organisation)]), created] if founded else [created]
