"""An organisation with people in it, the services that change it, and what the audit trail says of that."""

from __future__ import annotations

from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from typing import LiteralString
from uuid import UUID

import psycopg
from fastapi import FastAPI
from psycopg.rows import TupleRow
from starlette.types import ASGIApp, Receive, Scope, Send

from devlore.types import PersonKind, Role
from devlore_server.identity.api import directory_router
from devlore_server.identity.departures import Departures
from devlore_server.identity.invitations import Invitations
from devlore_server.identity.members import Members
from devlore_server.identity.organisations import Organisations
from devlore_server.identity.people import People
from devlore_server.identity.roles import scopes_of
from devlore_server.identity.store import members, organisations, people
from devlore_server.identity.teams import Teams
from devlore_server.kit.auth import Principal
from devlore_server.kit.cache import LocalCache
from devlore_server.kit.db import Database, system
from devlore_server.kit.http import admit, install
from devlore_server.kit.ids import new_id
from devlore_server.kit.log import EventLog
from devlore_server.kit.paging import Paging
from devlore_server.kit.revocation import Revocations

PUBLIC_URL = "https://devlore.test/"


class Time:
    """A clock that stands still until it is moved."""

    def __init__(self) -> None:
        self.now = datetime.now(UTC)

    def __call__(self) -> datetime:
        return self.now

    def forward(self, **by: float) -> None:
        self.now += timedelta(**by)


@dataclass
class Directory:
    """The services on one database, and a way to put people into it without them."""

    database: Database
    log: EventLog
    owner_url: str
    time: Time

    def __post_init__(self) -> None:
        self.revocations = Revocations(LocalCache())
        self.organisations = Organisations(self.database, self.log, self.time)
        self.members = Members(self.database, self.log, self.revocations, self.time)
        self.departures = Departures(self.database, self.log, self.time)
        self.invitations = Invitations(self.database, self.revocations, PUBLIC_URL, self.time)
        self.teams = Teams(self.database, self.revocations, self.time)
        self.people = People(self.database, self.log, self.revocations, self.time)

    def app(self) -> FastAPI:
        """Every route of theirs, with problems rendered as the server renders them."""
        app = FastAPI()
        install(app)
        parts = self.organisations, self.members, self.departures, self.invitations, self.teams, self.people
        app.include_router(directory_router(*parts, Paging(b"a secret of the tests")))
        return app

    async def found(self, name: str = "Acme") -> Principal:
        """A new organisation's owner."""
        organisation = new_id()
        async with self.database.transaction(system(organisation)) as connection:
            await organisations.insert(connection, organisation, name, None, at=self.time())
        return await self.join(organisation, "owner", f"Owner of {name}")

    async def person(self, name: str, kind: PersonKind = "human", id: UUID | None = None) -> UUID:
        """Somebody who belongs nowhere; a human has an address."""
        id = id or new_id()
        email = None if kind == "service" else f"{name.lower().replace(' ', '.')}.{id.hex[-6:]}@example.org"
        async with self.database.transaction(system(new_id(), id)) as connection:
            await people.insert(connection, id, kind, name, email, at=self.time())
        return id

    async def join(
        self, organisation: UUID, role: Role, name: str, *, person: UUID | None = None, kind: PersonKind = "human"
    ) -> Principal:
        """Make somebody a member; as whom they ask from then on."""
        person = person or await self.person(name, kind)
        async with self.database.transaction(system(organisation, person)) as connection:
            assert await members.insert(connection, organisation, person, role, None, at=self.time())
        return caller(organisation, person, role)

    def seen(self, query: LiteralString, *values: object) -> list[TupleRow]:
        """What the database holds, past row-level security."""
        with psycopg.connect(self.owner_url, autocommit=True) as connection:
            return connection.execute(query, values).fetchall()

    def trail(self, organisation: UUID, action: str | None = None) -> list[str]:
        """The actions of an organisation's audit trail, oldest first."""
        found = self.seen(
            "SELECT action FROM audit.leaf WHERE organisation_id = %s AND result = 'ok' ORDER BY occurred_at, id",
            organisation,
        )
        return [one for (one,) in found if action in (None, one)]

    async def mark(self, who: Principal) -> bytes:
        """What changes whenever somebody's rights did."""
        return await self.revocations.mark(who.organisation, who.person)

    def events(self, organisation: UUID) -> list[tuple[str, dict[str, object]]]:
        """Type and data of an organisation's events, in order."""
        query: LiteralString = "SELECT type, data FROM log.event WHERE organisation_id = %s ORDER BY xid, seq"
        return [(type, data) for type, data in self.seen(query, organisation)]


def caller(organisation: UUID, person: UUID, role: Role) -> Principal:
    """As whom a member with this role asks, signed in just now."""
    return Principal(organisation=organisation, person=person, scopes=scopes_of(role), role=role, session=str(new_id()))


def with_scopes(who: Principal, *scopes: str) -> Principal:
    """The same person by an API key that may do only this."""
    return replace(who, scopes=frozenset(scopes), session=None, key=str(new_id()), fresh=False)


def admitting(app: ASGIApp, principal: Principal | None) -> ASGIApp:
    """``app`` behind a gateway that admits everybody as ``principal``, or nobody."""

    async def call(scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "http" and principal is not None:
            admit(scope, principal)
        await app(scope, receive, send)

    return call
