"""The people of an organisation, its service accounts, and the caller's own profile."""

from __future__ import annotations

from uuid import UUID

from devlore.problems import Conflict, NotFound
from devlore.types import Person, ProfilePatch, ServiceAccountDraft, WhoAmI
from devlore_server.identity.checks import authorise, check_name
from devlore_server.identity.members import let_go
from devlore_server.identity.store import members, organisations, people
from devlore_server.kit import audit
from devlore_server.kit.audit import Leaf
from devlore_server.kit.auth import Principal
from devlore_server.kit.clock import Clock, utc_now
from devlore_server.kit.db import Connection, Database
from devlore_server.kit.ids import new_id
from devlore_server.kit.log import EventLog
from devlore_server.kit.revocation import Revocations


class People:
    """Each change is one transaction with its audit leaf."""

    def __init__(self, database: Database, log: EventLog, revocations: Revocations, clock: Clock = utc_now) -> None:
        self._database = database
        self._log = log
        self._revocations = revocations
        self._clock = clock

    async def page(self, who: Principal, limit: int, after: UUID | None = None) -> list[Person]:
        """The people of the organisation, by id, behind ``after``."""
        async with self._database.transaction(who) as connection:
            return await people.page(connection, who.organisation, limit, after)

    async def get(self, who: Principal, id: UUID) -> Person:
        """A person of the organisation; raises ``NotFound`` for everybody else."""
        async with self._database.transaction(who) as connection:
            return await _get(connection, who, id)

    async def create(self, who: Principal, draft: ServiceAccountDraft) -> Person:
        """A service account; raises ``NotAllowed``."""
        id, at = new_id(), self._clock()
        async with self._database.transaction(who) as connection:
            await authorise(connection, who, "organisation:write")
            await people.insert(connection, id, "service", draft.name, None, at=at)
            await members.insert(connection, who.organisation, id, draft.role, who.person, at=at)
            leaf = Leaf("person.created", [("person", id)], context={"kind": "service", "role": draft.role})
            await audit.append(connection, who, leaf, at=at)
            return await _get(connection, who, id)

    async def remove(self, who: Principal, id: UUID) -> None:
        """Remove a service account with its keys; what becomes of its private memories is for an owner to decide.

        Raises ``NotFound``, ``NotAllowed``, ``Conflict`` for a human.
        """
        async with self._database.transaction(who) as connection:
            await organisations.lock(connection, who.organisation)
            await authorise(connection, who, "organisation:write")
            member = await members.find(connection, who.organisation, id)
            if member is None:
                raise NotFound
            if member.kind != "service":
                raise Conflict("A human is nobody's to delete: remove them from the organisation's members.")
            await let_go(connection, self._log, who, member, at=self._clock())
        self._log.notify()
        await self._revocations.changed(who.organisation, id)

    async def whoami(self, who: Principal) -> WhoAmI:
        """The caller, what they may do here, and where else they belong."""
        async with self._database.transaction(who) as connection:
            person = await _get(connection, who, who.person)
            organisation = await organisations.find(connection, who.organisation, who.person)
            if organisation is None:
                raise NotFound
            places = await members.places_of(connection, who.person)
        return WhoAmI(
            person=person,
            organisation=organisation,
            role=person.role,
            teams=sorted(who.teams),
            scopes=sorted(who.scopes),
            organisations=places,
        )

    async def edit_own(self, who: Principal, patch: ProfilePatch) -> Person:
        """Change the caller's profile, which every organisation of theirs sees; raises ``Invalid``."""
        check_name(patch.name, patch.model_fields_set)
        async with self._database.transaction(who) as connection:
            before = await _get(connection, who, who.person)
            if patch.name is None or patch.name == before.name:
                return before
            await people.rename(connection, who.person, patch.name)
            await audit.append(connection, who, Leaf("person.updated", [("person", who.person)]), at=self._clock())
            return await _get(connection, who, who.person)


async def _get(connection: Connection, who: Principal, id: UUID) -> Person:
    found = await people.find(connection, who.organisation, id)
    if found is None:
        raise NotFound
    return found
