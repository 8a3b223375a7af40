"""The services themselves, with callers as the gateway makes them: sessions looked up, standings remembered."""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import AsyncIterator, Awaitable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Any, TypeVar, cast
from uuid import UUID

from devlore.problems import NotFound
from devlore.types import (
    InvitationDraft,
    LinkDraft,
    MemberPatch,
    MemoryDraft,
    MemoryPatch,
    Restoration,
    Role,
    SearchRequest,
    Settlement,
    TeamDraft,
    TeamMemberDraft,
)
from devlore_server.gateway.standings import Standings
from devlore_server.identity.sessions import Wanted
from devlore_server.kit.auth import Principal
from devlore_server.kit.clock import utc_now
from devlore_server.kit.db import Database
from devlore_server.kit.log import Consumer, EventLog
from devlore_server.memory.departures import Departures
from devlore_server.memory.history import History
from devlore_server.memory.lifecycle import Lifecycle
from devlore_server.memory.links import Links
from devlore_server.memory.reactions import DepartureReactions
from devlore_server.memory.service import Filters
from devlore_server.memory.transfer import Transfer
from devlore_server.subscriptions import MEMORY_DEPARTURES
from tests.identity.credentials import HOME, Credentials
from tests.identity.directory import Directory, Time
from tests.isolation.doors import Exported, Facets, Hidden, NotIn, Shown
from tests.isolation.model import Place
from tests.search.conftest import Desk, HashingEmbedder, running

T = TypeVar("T")
QUESTION = "canary status:any"
FACETS = ["privacy", "tag", "project"]


class Now(Time):
    """A clock that goes on."""

    def __call__(self) -> Any:
        return utc_now()


@dataclass
class ServiceDoor:
    """Implements ``doors.Door``."""

    database: Database
    desk: Desk
    credentials: Credentials
    departures: Consumer
    sessions: dict[Place, UUID] = field(default_factory=dict)

    def __post_init__(self) -> None:
        self.directory = self.credentials.directory
        log = self.directory.log
        self.standings = Standings(self.directory.revocations)
        self.history, self.arrows = History(self.database), Links(self.database)
        self.lifecycle, self.transfer = Lifecycle(self.database, log), Transfer(self.database, log)

    async def enter(self, place: Place) -> Principal:
        """As whom the gateway admits them now."""
        session, person, organisation = self.sessions[place], UUID(place.person), UUID(place.organisation)
        ask = partial(self.credentials.identity.session, session, person, organisation)
        standing = await self.standings.of((session, organisation, person), ask, (organisation, person))
        if standing is None:
            raise NotIn
        return Principal(
            organisation=standing.organisation,
            person=standing.person,
            teams=standing.teams,
            scopes=standing.scopes,
            session=standing.session,
            role=standing.role,
            network=HOME.network,
        )

    async def found(self, name: str) -> Place:
        return await self._opened(await self.directory.found(name))

    async def invite(self, owner: Place, name: str, role: str) -> Place:
        return await self._opened(await self.directory.join(UUID(owner.organisation), cast(Role, role), name))

    async def _opened(self, who: Principal) -> Place:
        place = Place(str(who.person), str(who.organisation))
        self.sessions[place] = (await self.credentials.open(who)).tokens.session_id
        return place

    async def join(self, owner: Place, person: str, role: str) -> Place:
        draft = InvitationDraft(role=cast(Role, role))
        made = await self.directory.invitations.create(await self.enter(owner), UUID(owner.organisation), draft)
        opened = await self.credentials.sessions.open(UUID(person), Wanted(invitation=made.token), HOME, by="test")
        place = Place(person, owner.organisation)
        self.sessions[place] = opened.tokens.session_id
        return place

    async def remove(self, actor: Place, person: str) -> str:
        who = await self.enter(actor)
        await self.directory.members.remove(who, who.organisation, UUID(person))
        found = self.directory.seen(
            "SELECT id FROM identity.departure WHERE organisation_id = %s AND person_id = %s AND settled_at IS NULL",
            who.organisation,
            UUID(person),
        )
        return str(found[0][0])

    async def settle(self, owner: Place, departure: str, heir: str | None) -> None:
        who = await self.enter(owner)
        decided = Settlement(action="transfer" if heir else "purge", to=UUID(heir) if heir else None)
        await self.directory.departures.settle(who, who.organisation, UUID(departure), decided)
        assert await self.departures.wait_for(await self.directory.log.head(), 20)

    async def set_role(self, owner: Place, person: str, role: str) -> None:
        who = await self.enter(owner)
        await self.directory.members.change(who, who.organisation, UUID(person), MemberPatch(role=cast(Role, role)))

    async def make_team(self, owner: Place, name: str) -> str:
        return str((await self.directory.teams.create(await self.enter(owner), TeamDraft(name=name))).id)

    async def drop_team(self, owner: Place, team: str) -> None:
        await self.directory.teams.delete(await self.enter(owner), UUID(team))

    async def put_in_team(self, owner: Place, team: str, person: str) -> None:
        await self.directory.teams.put(await self.enter(owner), UUID(team), UUID(person), TeamMemberDraft())

    async def take_from_team(self, actor: Place, team: str, person: str) -> None:
        await self.directory.teams.remove(await self.enter(actor), UUID(team), UUID(person))

    async def create(self, place: Place, draft: dict[str, Any]) -> str:
        made = await self.desk.memories.create(await self.enter(place), MemoryDraft.model_validate(draft))
        return str(made.memory.id)

    async def edit(self, place: Place, id: str, patch: dict[str, Any]) -> None:
        who = await self.enter(place)
        await _hiding(self.desk.memories.edit(who, UUID(id), MemoryPatch.model_validate(patch), None))

    async def delete(self, place: Place, id: str) -> None:
        await _hiding(self.desk.memories.delete(await self.enter(place), UUID(id)))

    async def restore(self, place: Place, id: str) -> None:
        await _hiding(self.desk.memories.restore(await self.enter(place), UUID(id), Restoration()))

    async def purge(self, place: Place, id: str) -> None:
        await _hiding(self.desk.memories.purge(await self.enter(place), UUID(id)))

    async def supersede(self, place: Place, id: str, by: str) -> None:
        await _hiding(self.lifecycle.supersede(await self.enter(place), UUID(id), UUID(by), None))

    async def reinstate(self, place: Place, id: str) -> None:
        await _hiding(self.lifecycle.reinstate(await self.enter(place), UUID(id), None))

    async def link(self, place: Place, source: str, target: str) -> None:
        draft = LinkDraft.model_validate({"target_kind": "memory", "target": target})
        await _hiding(self.arrows.add(await self.enter(place), UUID(source), draft))

    async def who_is_in(self, place: Place) -> set[str] | None:
        try:
            who = await self.enter(place)
        except NotIn:
            return None
        return {str(one.person_id) for one in await self.directory.members.page(who, who.organisation, 200)}

    async def get(self, place: Place, id: str) -> Shown | None:
        found = await _or_none(self.desk.memories.get(await self.enter(place), UUID(id)))
        return None if found is None else Shown(found.version, _text(found.superseded_by))

    async def listed(self, place: Place, *, deleted: bool = False) -> dict[str, str | None]:
        who, shown, after = await self.enter(place), dict[str, str | None](), None
        while found := await self.desk.memories.page(who, Filters(deleted=deleted), 5, after):
            shown |= {str(one.id): _text(one.superseded_by) for one in found}
            after = (found[-1].created_at, found[-1].id)
        return shown

    async def versions(self, place: Place, id: str) -> set[int] | None:
        found = await _or_none(self.history.versions(await self.enter(place), UUID(id), 200))
        return None if found is None else {one.version for one in found}

    async def links(self, place: Place, id: str) -> set[tuple[str, str, str]] | None:
        found = await _or_none(self.arrows.list(await self.enter(place), UUID(id), 200))
        if found is None:
            return None
        return {
            (one.direction, one.type.value, one.target if one.direction == "outgoing" else str(one.memory_id))
            for one in found
            if one.type != "near_duplicate"
        }

    async def similar(self, place: Place, id: str) -> set[str] | None:
        found = await _or_none(self.desk.service.similar(await self.enter(place), UUID(id), 50))
        return None if found is None else {str(hit.memory.id) for hit in found.items}

    async def search(self, place: Place, legs: list[str]) -> tuple[set[str], Facets]:
        who, cursor, shown = await self.enter(place), None, set[str]()
        facets: Facets = {}
        while True:
            asked = {"q": QUESTION, "legs": legs, "limit": 7, "cursor": cursor, "facets": FACETS}
            page = await self.desk.service.search(who, SearchRequest.model_validate(asked))
            shown |= {str(hit.memory.id) for hit in page.items}
            counted = {name: Counter({one.value: one.count for one in counts}) for name, counts in page.facets.items()}
            facets = facets or counted
            cursor = page.next
            if cursor is None:
                return shown, facets

    async def tags(self, place: Place) -> Counter[str]:
        return Counter({one.value: one.count for one in await self.desk.memories.tags(await self.enter(place), 200)})

    async def projects(self, place: Place) -> Counter[str]:
        found = await self.desk.memories.projects(await self.enter(place), 200)
        return Counter({one.value: one.count for one in found})

    async def exported(self, place: Place) -> Exported:
        records = await self.transfer.export(await self.enter(place))
        return {
            str(one.memory.id): (
                frozenset(version.version for version in one.versions),
                frozenset(link.target for link in one.links if link.type != "near_duplicate"),
            )
            async for one in records
        }

    async def settled(self) -> None:
        await self.desk.settled()


@asynccontextmanager
async def service_door(database: Database, owner_url: str, folder: Path) -> AsyncIterator[ServiceDoor]:
    """Memory, search and identity on one database, with everything running that reacts to events."""
    log = EventLog(database)
    credentials = Credentials(Directory(database, log, owner_url, Now()))
    apply = DepartureReactions(Departures(database, log)).settle
    departures = Consumer(log, MEMORY_DEPARTURES.consumer, MEMORY_DEPARTURES.types, apply)
    async with running(database, log, folder, HashingEmbedder(), deadline=20.0) as desk:
        task = asyncio.create_task(departures.run())
        try:
            yield ServiceDoor(database, desk, credentials, departures)
        finally:
            task.cancel()
            await asyncio.gather(task, return_exceptions=True)


async def _hiding(work: Awaitable[object]) -> None:
    try:
        await work
    except NotFound as problem:
        raise Hidden(problem.body()) from None


async def _or_none(work: Awaitable[T]) -> T | None:
    try:
        return await work
    except NotFound:
        return None


def _text(id: UUID | None) -> str | None:
    return None if id is None else str(id)
