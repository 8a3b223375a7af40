"""Organisations: founding, renaming, and deletion that can be undone for 30 days."""

from __future__ import annotations

from dataclasses import replace
from datetime import datetime, timedelta
from uuid import UUID

from devlore.events import Event
from devlore.problems import Conflict, NotAllowed, NotFound
from devlore.types import Organisation, OrganisationDraft, OrganisationPatch
from devlore_server.identity.checks import Expected, authorise, check_name, check_own, check_version
from devlore_server.identity.store import members, organisations, people
from devlore_server.kit import audit
from devlore_server.kit.audit import Leaf
from devlore_server.kit.auth import Principal
from devlore_server.kit.clock import Clock, utc_now
from devlore_server.kit.db import Connection, Database, system
from devlore_server.kit.ids import new_id
from devlore_server.kit.log import EventLog

GRACE = timedelta(days=30)
"""How long an organisation's deletion can be undone."""
MOST = 50
"""Most organisations one person belongs to before they may found no other: each has limits of its own."""
_DUE = 100


class Organisations:
    """Each change is one transaction with its audit leaf."""

    def __init__(self, database: Database, log: EventLog, clock: Clock = utc_now) -> None:
        self._database = database
        self._log = log
        self._clock = clock

    async def create(self, who: Principal, draft: OrganisationDraft) -> Organisation:
        """Found an organisation with the caller as its owner.

        Raises ``NotAllowed`` for a service account, ``Conflict`` for one too many.
        """
        id = new_id()
        founder, at = replace(who, organisation=id, teams=frozenset()), self._clock()
        async with self._database.transaction(founder) as connection:
            person = await people.address_of(connection, who.person)
            if person is None or person[0] != "human":
                raise NotAllowed("A service account belongs to one organisation.")
            if len(await members.places_of(connection, who.person)) >= MOST:
                raise Conflict(f"You belong to {MOST} organisations already; leave one first.")
            await organisations.insert(connection, id, draft.name, who.person, at=at)
            await members.insert(connection, id, who.person, "owner", None, at=at)
            await audit.append(connection, founder, Leaf("organisation.created", [("organisation", id)]), at=at)
            return await _get(connection, founder)

    async def page(self, who: Principal, limit: int, after: UUID | None = None) -> list[Organisation]:
        """Where the caller belongs, oldest first, behind the id in ``after``."""
        async with self._database.transaction(who) as connection:
            return await organisations.page(connection, who.person, limit, after)

    async def get(self, who: Principal, id: UUID) -> Organisation:
        """The caller's organisation; raises ``NotFound`` for every other."""
        check_own(who, id)
        async with self._database.transaction(who) as connection:
            return await _get(connection, who)

    async def edit(self, who: Principal, id: UUID, patch: OrganisationPatch, expected: Expected) -> Organisation:
        """Rename it; raises ``NotFound``, ``NotAllowed``, ``VersionMismatch``, ``Invalid``."""
        check_own(who, id)
        check_name(patch.name, patch.model_fields_set)
        async with self._database.transaction(who) as connection:
            before = await self._locked(connection, who)
            await authorise(connection, who, "organisation:write")
            check_version(before.version, expected)
            if patch.name is None or patch.name == before.name:
                return before
            await organisations.rename(connection, id, patch.name)
            await audit.append(connection, who, Leaf("organisation.updated", [("organisation", id)]), at=self._clock())
            return await _get(connection, who)

    async def delete(self, who: Principal, id: UUID) -> Organisation:
        """Ask for its deletion, final in 30 days; until then only owners come in. Raises ``NotFound``, ``NotAllowed``.

        Asked for again, the first time counts.
        """
        check_own(who, id)
        async with self._database.transaction(who) as connection:
            before = await self._locked(connection, who)
            await authorise(connection, who, "organisation:delete")
            if before.delete_after is not None:
                return before
            return await self._set_end(connection, who, self._clock() + GRACE)

    async def restore(self, who: Principal, id: UUID) -> Organisation:
        """Undo ``delete``; raises ``NotFound``, ``NotAllowed``, ``Conflict`` when there is nothing to undo."""
        check_own(who, id)
        async with self._database.transaction(who) as connection:
            before = await self._locked(connection, who)
            await authorise(connection, who, "organisation:delete")
            if before.delete_after is None:
                raise Conflict("Nobody asked for the deletion of this organisation.")
            return await self._set_end(connection, who, None)

    async def erase_due(self) -> int:
        """Erase the organisations whose deletion has become final; how many there were.

        The other services erase what is theirs when they read ``identity.organisation_erased``.
        """
        erased = 0
        async with self._database.transaction(None) as connection:
            due = await organisations.due(connection, self._clock(), _DUE)
        for organisation in due:
            erased += await self._erase(organisation)
        return erased

    async def _erase(self, organisation: UUID) -> bool:
        who, at = system(organisation), self._clock()
        async with self._database.transaction(who) as connection:
            # Somebody may have undone it a moment ago; the lock holds off those who try it now.
            if not await organisations.lock(connection, organisation, due=at):
                return False
            for account in await people.service_accounts(connection, organisation):
                await people.delete(connection, account)
            await organisations.erase(connection, organisation)
            await audit.erase_all(connection, who)
            await audit.append(connection, who, Leaf("organisation.erased", [("organisation", organisation)]), at=at)
            # What was told of its people before says who they were; this one event stands for all of it.
            await self._log.forget_kind(connection, organisation, "identity")
            await self._log.append(connection, [_erased(organisation, at)])
        self._log.notify()
        return True

    async def _locked(self, connection: Connection, who: Principal) -> Organisation:
        await organisations.lock(connection, who.organisation)
        return await _get(connection, who)

    async def _set_end(self, connection: Connection, who: Principal, moment: datetime | None) -> Organisation:
        await organisations.delete_after(connection, who.organisation, moment)
        action = Leaf(
            "organisation.restored" if moment is None else "organisation.deleted",
            [("organisation", who.organisation)],
        )
        await audit.append(connection, who, action, at=self._clock())
        return await _get(connection, who)


async def _get(connection: Connection, who: Principal) -> Organisation:
    found = await organisations.find(connection, who.organisation, who.person)
    if found is None:
        raise NotFound
    return found


def _erased(organisation: UUID, at: datetime) -> Event:
    return Event(
        id=new_id(),
        type="identity.organisation_erased",
        organisation_id=organisation,
        subject=organisation,
        version=1,
        audience=organisation,
        occurred_at=at,
        data={},
    )
