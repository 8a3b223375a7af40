"""The whole team gateway around the real identity service, in this process, and people who come to it."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from datetime import timedelta
from typing import Any
from uuid import UUID

import httpx2
from fastapi import FastAPI, Request

from devlore.problems import NotAllowed, Unavailable
from devlore_server.gateway.guards import SignIn, guard
from devlore_server.gateway.individual import ORGANISATION
from devlore_server.gateway.limits import Quotas
from devlore_server.identity.founding import found
from devlore_server.identity.wiring import assemble
from devlore_server.kit.cache import LocalCache
from devlore_server.kit.db import Database
from devlore_server.kit.http import Router, Who, caller_of, install, requires
from devlore_server.kit.ids import new_id
from devlore_server.kit.limit import LocalLimiter
from devlore_server.kit.log import EventLog
from devlore_server.kit.paging import Paging
from devlore_server.kit.revocation import Revocations
from devlore_server.kit.telemetry import health, metrics_route
from devlore_server.ports import Identity, Standing

ORIGIN = "https://lore.example"
PASSWORD = "violet lamp crosses tuesday"
SECRET = b"the secret of the gate's instance"


@dataclass
class Counted:
    """The identity service, what it was asked, unreachable while ``away``, and proofs ``older`` than they are."""

    inner: Identity
    asked: list[str] = field(default_factory=list)
    away: bool = False
    older: timedelta = timedelta(0)

    def _note(self, what: str) -> None:
        if self.away:
            raise Unavailable("The identity service does not answer.", retry_after=1)
        self.asked.append(what)

    def _aged(self, found: Standing | None) -> Standing | None:
        return found and replace(found, authenticated_at=found.authenticated_at - self.older)

    async def session(self, sid: UUID, person: UUID, organisation: UUID) -> Standing | None:
        self._note("session")
        return self._aged(await self.inner.session(sid, person, organisation))

    async def cookie(self, digest: bytes) -> Standing | None:
        self._note("cookie")
        return self._aged(await self.inner.cookie(digest))

    async def key(self, key_id: str, digest: bytes, network: str | None) -> Standing | None:
        self._note("key")
        return self._aged(await self.inner.key(key_id, digest, network))

    async def familiar(self, network: str, *, email: str | None = None, person: UUID | None = None) -> bool:
        self._note("familiar")
        return await self.inner.familiar(network, email=email, person=person)

    async def keyset(self) -> dict[str, Any]:
        self._note("keyset")
        return await self.inner.keyset()


class Gate:
    """An application that says who asks, behind the gateway; ``options`` are those of ``SignIn``."""

    def __init__(self, database: Database, log: EventLog, quotas: Quotas | None = None, **options: Any) -> None:
        self.database = database
        self.revocations = Revocations(LocalCache())
        self.identities = assemble(
            database=database,
            log=log,
            limiter=LocalLimiter(),
            revocations=self.revocations,
            paging=Paging(SECRET),
            secret=SECRET,
            public_url=ORIGIN,
            anybody=False,
        )
        self.identity = Counted(self.identities.service)
        app = FastAPI(redirect_slashes=False)
        install(app)
        app.include_router(self.identities.router)
        app.include_router(_echo())
        app.include_router(metrics_route())
        health(app, {"database": database.ping})
        sign_in = SignIn(self.identity, self.revocations, ORIGIN, **options)
        # Nothing comes back to an account, however long a test takes.
        limiter = LocalLimiter(clock=lambda: 0)
        guard(app, database=database, secret=SECRET, limiter=limiter, quotas=quotas, sign_in=sign_in)
        self.app = app

    def client(self, address: str = "203.0.113.7", **headers: str) -> httpx2.AsyncClient:
        """Somebody who asks from ``address``."""
        transport = httpx2.ASGITransport(self.app, client=(address, 5000))
        return httpx2.AsyncClient(transport=transport, base_url=ORIGIN, headers=headers)

    async def owner(self) -> dict[str, Any]:
        """The tokens of the first owner, just signed up, with their address under ``email``."""
        token = await found(self.database, ORGANISATION, "Acme")
        email = f"ada-{new_id().hex}@example.com"
        draft = {"email": email, "name": "Ada", "password": PASSWORD, "invitation": token}
        async with self.client() as client:
            answer = await client.post("/v1/identity/sign-up", json=draft)
        assert answer.status_code == 201, answer.text
        return dict(answer.json()) | {"email": email}


def bearer(credential: str) -> dict[str, str]:
    return {"Authorization": f"Bearer {credential}"}


def _echo() -> Router:
    router = Router()

    @router.get("/v1/me")
    async def me(request: Request, who: Who) -> dict[str, Any]:
        return {
            "organisation": str(who.organisation),
            "person": str(who.person),
            "role": who.role,
            "session": who.session,
            "key": who.key,
            "network": who.network,
            "fresh": who.fresh,
            "scopes": sorted(who.scopes),
        }

    @router.get("/v1/network")
    async def network(request: Request) -> str | None:
        return caller_of(request.scope).network

    @router.post("/v1/me", dependencies=[requires("memories:write", fresh=True)])
    async def change() -> str:
        return "changed"

    @router.get("/v1/refused")
    async def refused(who: Who) -> None:
        raise NotAllowed

    return router
