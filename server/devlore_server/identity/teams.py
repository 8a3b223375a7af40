"""Teams of an organisation, and who is in them."""

from __future__ import annotations

from uuid import UUID

from devlore.problems import NotAllowed, NotFound
from devlore.types import Team, TeamDraft, TeamMember, TeamMemberDraft, TeamPatch
from devlore_server.identity.checks import Expected, authorise, check_name, check_version
from devlore_server.identity.store import members, teams
from devlore_server.kit import audit
from devlore_server.kit.audit import Leaf
from devlore_server.kit.auth import Principal
from devlore_server.kit.clock import Clock, utc_now
from devlore_server.kit.db import Connection, Database
from devlore_server.kit.ids import new_id
from devlore_server.kit.revocation import Revocations


class Teams:
    """Each change is one transaction with its audit leaf. Everybody in the organisation sees its teams."""

    def __init__(self, database: Database, revocations: Revocations, clock: Clock = utc_now) -> None:
        self._database = database
        self._revocations = revocations
        self._clock = clock

    async def create(self, who: Principal, draft: TeamDraft) -> Team:
        """A new team, empty; raises ``NotAllowed``, ``Conflict`` when there is one of that name."""
        id, at = new_id(), self._clock()
        async with self._database.transaction(who) as connection:
            await authorise(connection, who, "teams:write")
            await teams.insert(connection, who.organisation, id, draft.name, at=at)
            await audit.append(connection, who, Leaf("team.created", [("team", id)]), at=at)
            return await _get(connection, who, id)

    async def page(self, who: Principal, limit: int, after: tuple[str, UUID] | None = None) -> list[Team]:
        """The teams by name, behind ``(name, id)`` in ``after``."""
        async with self._database.transaction(who) as connection:
            return await teams.page(connection, who.organisation, limit, after)

    async def get(self, who: Principal, id: UUID) -> Team:
        """One team; raises ``NotFound``."""
        async with self._database.transaction(who) as connection:
            return await _get(connection, who, id)

    async def edit(self, who: Principal, id: UUID, patch: TeamPatch, expected: Expected) -> Team:
        """Rename a team; raises ``NotFound``, ``NotAllowed``, ``VersionMismatch``, ``Invalid``, ``Conflict``."""
        check_name(patch.name, patch.model_fields_set)
        async with self._database.transaction(who) as connection:
            await authorise(connection, who, "teams:write")
            before = await _get(connection, who, id, lock=True)
            check_version(before.version, expected)
            if patch.name is None or patch.name == before.name:
                return before
            await teams.rename(connection, who.organisation, id, patch.name)
            await audit.append(connection, who, Leaf("team.updated", [("team", id)]), at=self._clock())
            return await _get(connection, who, id)

    async def delete(self, who: Principal, id: UUID) -> None:
        """Dissolve a team: its memories are their authors' alone until these say otherwise.

        Raises ``NotFound``, ``NotAllowed``.
        """
        async with self._database.transaction(who) as connection:
            await authorise(connection, who, "teams:write")
            await _get(connection, who, id, lock=True)
            were = await teams.members(connection, who.organisation, id)
            await teams.delete(connection, who.organisation, id)
            await audit.append(connection, who, Leaf("team.deleted", [("team", id)]), at=self._clock())
        for member in were:
            await self._revocations.changed(who.organisation, member.person_id)

    async def members(self, who: Principal, id: UUID, limit: int, after: UUID | None = None) -> list[TeamMember]:
        """The people in a team by id, behind ``after``; raises ``NotFound``."""
        async with self._database.transaction(who) as connection:
            await _get(connection, who, id)
            return await teams.members(connection, who.organisation, id, limit, after)

    async def put(self, who: Principal, id: UUID, person: UUID, draft: TeamMemberDraft) -> TeamMember:
        """Take a member of the organisation into a team, or change their role there.

        For those with ``teams:write`` and the team's maintainers. Raises ``NotFound``, ``NotAllowed``.
        """
        async with self._database.transaction(who) as connection:
            await self._authorise(connection, who, id)
            if await members.role_of(connection, who.organisation, person) is None:
                raise NotFound
            before = await teams.role_of(connection, who.organisation, id, person)
            if before != draft.role:
                await teams.put(connection, who.organisation, id, person, draft.role)
                action = Leaf(
                    "team.member_added" if before is None else "team.member_role_changed",
                    [("team", id), ("person", person)],
                    context={"role": draft.role},
                )
                await audit.append(connection, who, action, at=self._clock())
            found = await teams.find_member(connection, who.organisation, id, person)
            assert found is not None
        await self._revocations.changed(who.organisation, person)
        return found

    async def remove(self, who: Principal, id: UUID, person: UUID) -> None:
        """Let somebody out of a team; everybody may leave. Raises ``NotFound``, ``NotAllowed``."""
        async with self._database.transaction(who) as connection:
            if person == who.person:
                await authorise(connection, who, "identity:write")
                await _get(connection, who, id, lock=True)
            else:
                await self._authorise(connection, who, id)
            if not await teams.remove(connection, who.organisation, id, person):
                raise NotFound
            leaf = Leaf("team.member_removed", [("team", id), ("person", person)])
            await audit.append(connection, who, leaf, at=self._clock())
        await self._revocations.changed(who.organisation, person)

    async def _authorise(self, connection: Connection, who: Principal, id: UUID) -> None:
        """Raise ``NotFound`` without such a team, ``NotAllowed`` unless the caller says who is in it.

        The team is locked: what two maintainers do to one membership happens one after the other.
        """
        await _get(connection, who, id, lock=True)
        if await teams.role_of(connection, who.organisation, id, who.person) == "maintainer":
            await authorise(connection, who, "identity:write")
        elif "teams:write" not in who.scopes:
            raise NotAllowed("Only maintainers of the team and administrators say who is in it.", scope="teams:write")
        else:
            await authorise(connection, who, "teams:write")


async def _get(connection: Connection, who: Principal, id: UUID, *, lock: bool = False) -> Team:
    found = await teams.find(connection, who.organisation, id, lock=lock)
    if found is None:
        raise NotFound
    return found
