"""Invitations: single use, of limited time, bound to an organisation, a role, and an address if one is given."""

from __future__ import annotations

from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from uuid import UUID

from devlore.problems import Conflict, NotAllowed, NotFound
from devlore.types import Invitation, InvitationCreated, InvitationDraft, InvitationView, Membership
from devlore_server.identity.checks import authorise, check_own, refuse
from devlore_server.identity.members import ONLY_OWNERS, may_offer
from devlore_server.identity.oneself import NOT_BY_KEY
from devlore_server.identity.store import departures, invitations, members, organisations, people, teams
from devlore_server.identity.store.invitations import NewInvitation, Offer
from devlore_server.kit import audit
from devlore_server.kit.audit import Leaf, Personal
from devlore_server.kit.auth import Principal
from devlore_server.kit.clock import Clock, utc_now
from devlore_server.kit.credentials import digest, new_secret
from devlore_server.kit.db import Connection, Database, system
from devlore_server.kit.ids import new_id
from devlore_server.kit.revocation import Revocations

NOT_VALID = "This invitation is not valid: it was used, was withdrawn, has expired, or never was."
FIRST_DAYS = 7
"""How long the invitation of an instance's first owner is good for."""


@dataclass(frozen=True, slots=True)
class Pending:
    """An invitation somebody holds the secret of: whose it is, and what it offers."""

    organisation: UUID
    id: UUID
    offer: Offer


class Invitations:
    """Each change is one transaction with its audit leaves. ``public_url`` is what links begin with."""

    def __init__(self, database: Database, revocations: Revocations, public_url: str, clock: Clock = utc_now) -> None:
        self._database = database
        self._revocations = revocations
        self._public_url = public_url
        self._clock = clock

    async def create(self, who: Principal, organisation: UUID, draft: InvitationDraft) -> InvitationCreated:
        """Invite somebody; the secret is in the answer only.

        Raises ``NotFound``, ``NotAllowed``, ``Invalid`` for teams that do not exist, ``Conflict`` while the
        organisation waits for its deletion.
        """
        check_own(who, organisation)
        async with self._database.transaction(who) as connection:
            acting = await authorise(connection, who, "organisation:write")
            if not may_offer(acting, draft.role):
                raise NotAllowed(ONLY_OWNERS)
            await _check_open(connection, who)
            await _check_teams(connection, organisation, draft)
            offer = Offer(draft.role, draft.email, None, draft.teams, who.person)
            token, id = await write(connection, who, offer, days=draft.days, at=self._clock())
            made = await invitations.find(connection, organisation, id, self._clock())
            assert made is not None
        return InvitationCreated(**dict(made), token=token, link=link(self._public_url, token))

    async def page(self, who: Principal, organisation: UUID, limit: int, after: UUID | None = None) -> list[Invitation]:
        """Invitations, whatever became of them, newest first, behind the id in ``after``."""
        check_own(who, organisation)
        async with self._database.transaction(who) as connection:
            return await invitations.page(connection, organisation, self._clock(), limit, after)

    async def revoke(self, who: Principal, organisation: UUID, id: UUID) -> None:
        """Withdraw one; again is no error. Raises ``NotFound``, ``NotAllowed``, ``Conflict`` when somebody took it."""
        check_own(who, organisation)
        at = self._clock()
        async with self._database.transaction(who) as connection:
            await authorise(connection, who, "organisation:write")
            if await invitations.revoke(connection, organisation, id, at=at):
                await audit.append(connection, who, Leaf("invitation.revoked", [("invitation", id)]), at=at)
                return
            found = await invitations.find(connection, organisation, id, at)
            if found is None:
                raise NotFound
            if found.state == "accepted":
                raise Conflict("Somebody has taken this invitation.")

    async def look(self, token: str) -> InvitationView:
        """What the bearer of the secret is invited to; raises ``NotFound`` for one that is not good (any more)."""
        organisation, id = await self._find(token)
        async with self._database.transaction(system(organisation)) as connection:
            found = await invitations.view(connection, organisation, id, self._clock())
        if found is None:
            raise NotFound(NOT_VALID)
        return found

    async def pending(self, token: str) -> Pending:
        """What the secret is good for, without taking it; raises ``NotFound``."""
        organisation, id = await self._find(token)
        async with self._database.transaction(system(organisation)) as connection:
            offer = await invitations.offer(connection, organisation, id, self._clock())
        if offer is None:
            raise NotFound(NOT_VALID)
        return Pending(organisation, id, offer)

    async def accept(self, who: Principal, token: str) -> Membership:
        """Become a member; of those who try at once with one secret, one does.

        Raises ``NotFound`` for a secret that is not good (any more), ``NotAllowed`` when it is bound to somebody else
        and for an API key, ``Conflict`` for a member.
        """
        if who.key is not None:  # whoever signs in by an invitation has no session yet
            raise NotAllowed(NOT_BY_KEY)
        organisation, id = await self._find(token)
        joining = replace(who, organisation=organisation, teams=frozenset(), role=None)
        async with self._database.transaction(joining) as connection:
            person = await people.address_of(connection, who.person)
            if person is None or person[0] != "human":
                raise NotAllowed("A service account belongs to one organisation.")
            joined = await claim(connection, joining, id, person[1], at=self._clock())
        await self._revocations.changed(organisation, who.person)
        return joined

    async def _find(self, token: str) -> tuple[UUID, UUID]:
        async with self._database.transaction(None) as connection:
            found = await invitations.find_by_digest(connection, digest(token))
        if found is None:
            raise NotFound(NOT_VALID)
        return found


def link(public_url: str, token: str) -> str:
    """The address to send; the secret is in the fragment, which no browser tells a server and no server logs."""
    return f"{public_url.rstrip('/')}/invitation#{token}"


async def claim(connection: Connection, who: Principal, id: UUID, email: str | None, *, at: datetime) -> Membership:
    """Take an invitation of the organisation of ``who`` as ``who.person``, whose address ``email`` is.

    In the caller's transaction and context; a sign-up writes the person in the same one. Whoever comes second waits
    for the first, and then finds it taken. Raises like ``Invitations.accept``.
    """
    organisation = who.organisation
    offer = await invitations.offer(connection, organisation, id, at, lock=True)
    if offer is None:
        raise NotFound(NOT_VALID)
    if offer.person not in (None, who.person) or (offer.email is not None and offer.email != email):
        raise NotAllowed("This invitation is for somebody else.")
    if not await members.insert(connection, organisation, who.person, offer.role, offer.created_by, at=at):
        raise Conflict("You are a member already.")
    await invitations.accept(connection, organisation, id, who.person, at=at)
    await teams.put_into(connection, organisation, offer.teams, who.person)
    leaves = [
        Leaf("invitation.accepted", [("invitation", id)]),
        Leaf("member.added", [("person", who.person)], context={"role": offer.role}),
    ]
    if await departures.withdraw(connection, organisation, who.person):
        leaves.append(Leaf("departure.withdrawn", [("person", who.person)]))
    await audit.append(connection, who, *leaves, at=at)
    found = await organisations.find(connection, organisation, who.person)
    assert found is not None
    return Membership(organisation_id=organisation, organisation_name=found.name, role=offer.role)


async def write(connection: Connection, who: Principal, offer: Offer, *, days: int, at: datetime) -> tuple[str, UUID]:
    """Store an invitation to the organisation of ``who`` in the caller's transaction; its secret and its id."""
    token, id = new_secret(), new_id()
    new = NewInvitation(id, digest(token), offer, at, at + timedelta(days=days))
    await invitations.insert(connection, who.organisation, new)
    context = {"role": offer.role} | ({"email": Personal("email", offer.email)} if offer.email else {})
    await audit.append(connection, who, Leaf("invitation.created", [("invitation", id)], context=context), at=at)
    return token, id


async def _check_open(connection: Connection, who: Principal) -> None:
    found = await organisations.find(connection, who.organisation, who.person)
    if found is None:
        raise NotFound
    if found.delete_after is not None:
        raise Conflict("This organisation waits for its deletion; restore it first.")


async def _check_teams(connection: Connection, organisation: UUID, draft: InvitationDraft) -> None:
    known = await teams.existing(connection, organisation, draft.teams)
    for index, team in enumerate(draft.teams):
        if team not in known:
            raise refuse(f"/teams/{index}", "There is no such team.")
