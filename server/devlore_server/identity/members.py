"""Members of an organisation: their roles, and letting them go."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from uuid import UUID

from devlore.events import Event
from devlore.problems import Conflict, NotAllowed, NotFound
from devlore.types import Member, MemberPatch, Role, Scope
from devlore_server.identity.checks import authorise, check_own, refuse
from devlore_server.identity.roles import ROLES, scopes_of
from devlore_server.identity.store import departures, invitations, keys, members, organisations, people
from devlore_server.kit import audit
from devlore_server.kit.audit import Leaf
from devlore_server.kit.auth import Principal
from devlore_server.kit.clock import Clock, utc_now
from devlore_server.kit.db import Connection, Database
from devlore_server.kit.ids import new_id
from devlore_server.kit.log import EventLog
from devlore_server.kit.revocation import Revocations

ONLY_OWNERS = "Only owners give or take the role of an owner."


class Members:
    """Each change is one transaction with its audit leaf; changes of one organisation's members wait for each other."""

    def __init__(self, database: Database, log: EventLog, revocations: Revocations, clock: Clock = utc_now) -> None:
        self._database = database
        self._log = log
        self._revocations = revocations
        self._clock = clock

    async def page(
        self, who: Principal, organisation: UUID, limit: int, after: tuple[datetime, UUID] | None = None
    ) -> list[Member]:
        """The members, longest there first, behind ``(joined_at, person_id)``; raises ``NotFound``."""
        check_own(who, organisation)
        async with self._database.transaction(who) as connection:
            return await members.page(connection, organisation, limit, after)

    async def change(self, who: Principal, organisation: UUID, person: UUID, patch: MemberPatch) -> Member:
        """Give a member another role.

        Raises ``NotFound``, ``NotAllowed`` (only owners give or take the role of an owner), ``Conflict`` for the last
        owner, ``Invalid`` for a service account as an owner.
        """
        check_own(who, organisation)
        async with self._database.transaction(who) as connection:
            await organisations.lock(connection, organisation)
            acting = await authorise(connection, who, "organisation:write")
            before = await _get(connection, organisation, person)
            if patch.role == before.role:
                return before
            if acting != "owner" and "owner" in (before.role, patch.role):
                raise NotAllowed(ONLY_OWNERS)
            if before.kind == "service" and patch.role == "owner":
                raise refuse("/role", "A service account is no owner.")
            await check_not_last(connection, organisation, before)
            await self._set_role(connection, who, before, patch.role)
            after = await _get(connection, organisation, person)
        await self._revocations.changed(organisation, person)
        return after

    async def remove(self, who: Principal, organisation: UUID, person: UUID) -> None:
        """Let a member go, or leave: sessions, keys, teams and open invitations of theirs end at once.

        What becomes of their private memories is for an owner to decide (``Departures``). Raises ``NotFound``,
        ``NotAllowed``, ``Conflict`` for the last owner.
        """
        check_own(who, organisation)
        async with self._database.transaction(who) as connection:
            await organisations.lock(connection, organisation)
            # Leaving is everybody's own business.
            scope: Scope = "identity:write" if person == who.person else "organisation:write"
            acting = await authorise(connection, who, scope)
            member = await _get(connection, organisation, person)
            if member.role == "owner" and acting != "owner":
                raise NotAllowed(ONLY_OWNERS)
            await check_not_last(connection, organisation, member)
            await let_go(connection, self._log, who, member, at=self._clock())
        self._log.notify()
        await self._revocations.changed(organisation, person)

    async def _set_role(self, connection: Connection, who: Principal, before: Member, role: Role) -> None:
        at = self._clock()
        await members.set_role(connection, who.organisation, before.person_id, role)
        await _withdraw(connection, who, before.person_id, [one for one in ROLES if not may_offer(role, one)], at=at)
        context = {"from": before.role, "to": role}
        leaf = Leaf("member.role_changed", [("person", before.person_id)], context=context)
        await audit.append(connection, who, leaf, at=at)


async def let_go(connection: Connection, log: EventLog, who: Principal, member: Member, *, at: datetime) -> None:
    """Remove a member in the caller's transaction, which holds the organisation's lock; then call ``log.notify``.

    Team memberships, sessions and API keys go with the membership, by their foreign keys. Keys that they made for
    service accounts stay, as those do, and are named: whoever left knew them.
    """
    organisation, person = who.organisation, member.person_id
    await departures.insert(connection, organisation, new_id(), person, member.name, who.person, at=at)
    await _withdraw(connection, who, person, list(ROLES), at=at)
    if member.kind == "service":  # of no other organisation, and visible only as long as it belongs to this one
        await people.delete(connection, person)
    await members.delete(connection, organisation, person)
    left = person == who.person
    removed = Leaf("member.removed", [("person", person)], context={"left": left})
    made = await keys.left_by(connection, person)
    known = [Leaf("key.left_behind", [("key", id), ("person", account)]) for id, account in made]
    await audit.append(connection, who, removed, *known, at=at)
    await log.append(connection, [_removed(organisation, person, at)])


def _removed(organisation: UUID, person: UUID, at: datetime) -> Event:
    return Event(
        id=new_id(),
        type="identity.member_removed",
        organisation_id=organisation,
        subject=person,
        version=1,
        audience=organisation,
        occurred_at=at,
        data={},
    )


async def check_not_last(connection: Connection, organisation: UUID, member: Member) -> None:
    """Raise ``Conflict`` for the last owner; the caller's transaction holds the organisation's lock."""
    if member.role == "owner" and await members.owners(connection, organisation) == 1:
        raise Conflict("An organisation keeps at least one owner: make somebody else one first.")


def may_offer(role: Role, offered: Role) -> bool:
    """Whether somebody with ``role`` may invite others as ``offered``."""
    return "organisation:write" in scopes_of(role) and (offered != "owner" or role == "owner")


async def _get(connection: Connection, organisation: UUID, person: UUID) -> Member:
    found = await members.find(connection, organisation, person)
    if found is None:
        raise NotFound
    return found


async def _withdraw(
    connection: Connection, who: Principal, person: UUID, roles: Sequence[Role], *, at: datetime
) -> None:
    """Withdraw what ``person`` may not offer any more: whoever was removed must not come back by their own hand."""
    gone = await invitations.revoke_of(connection, who.organisation, person, roles, at=at)
    await audit.append(connection, who, *(Leaf("invitation.revoked", [("invitation", id)]) for id in gone), at=at)
