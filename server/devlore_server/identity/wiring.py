"""Owns how the parts of the identity service fit together, so that the composition root and tests make the same one."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from dataclasses import dataclass

from devlore_server.identity import jobs
from devlore_server.identity.api import directory_router
from devlore_server.identity.api.devices import router as device_routes
from devlore_server.identity.api.internal import internal_router
from devlore_server.identity.api.keys import router as key_routes
from devlore_server.identity.api.pages import router as pages
from devlore_server.identity.api.proofs import router as proof_routes
from devlore_server.identity.api.sessions import router as session_routes
from devlore_server.identity.challenges import Challenges
from devlore_server.identity.departures import Departures
from devlore_server.identity.devices import Devices
from devlore_server.identity.hashing import Hashing
from devlore_server.identity.invitations import Invitations
from devlore_server.identity.keys import Keys
from devlore_server.identity.members import Members
from devlore_server.identity.organisations import Organisations
from devlore_server.identity.passkeys import Passkeys
from devlore_server.identity.passwords import Passwords
from devlore_server.identity.people import People
from devlore_server.identity.refreshing import Refreshing
from devlore_server.identity.service import IdentityService
from devlore_server.identity.sessions import Sessions
from devlore_server.identity.signing import Signing
from devlore_server.identity.signing_in import SigningIn
from devlore_server.identity.signing_up import SigningUp
from devlore_server.identity.teams import Teams
from devlore_server.kit.db import Database
from devlore_server.kit.http import Router
from devlore_server.kit.limit import Limiter
from devlore_server.kit.log import EventLog
from devlore_server.kit.paging import Paging
from devlore_server.kit.revocation import Revocations


@dataclass(frozen=True, slots=True)
class Identities:
    """The service behind ``ports.Identity``, its faces, and what it does by the clock."""

    service: IdentityService
    router: Router
    internal: Router
    organisations: Organisations

    def tasks(self) -> dict[str, Callable[[], Awaitable[None]]]:
        """What to run until the end, by name."""
        return {
            "identity.organisations": lambda: jobs.keep_erasing(self.organisations),
            "identity.credentials": lambda: jobs.keep_forgetting(self.service),
        }


def assemble(
    *,
    database: Database,
    log: EventLog,
    limiter: Limiter,
    revocations: Revocations,
    paging: Paging,
    secret: bytes,
    public_url: str,
    anybody: bool,
) -> Identities:
    """The identity service of one process; ``anybody`` may sign up, or only those who were invited."""
    signing = Signing(database, secret, issuer=public_url)
    service = IdentityService(database, signing)
    organisations = Organisations(database, log)
    invitations = Invitations(database, revocations, public_url)
    passwords = Passwords(database, Hashing(), revocations)
    passkeys = Passkeys(database, Challenges(secret), public_url=public_url)
    sessions = Sessions(database, signing, invitations, revocations)
    signing_up = SigningUp(database, invitations, passwords, sessions, anybody=anybody)
    router = Router()
    for routes in (
        directory_router(
            organisations,
            Members(database, log, revocations),
            Departures(database, log),
            invitations,
            Teams(database, revocations),
            People(database, log, revocations),
            paging,
        ),
        session_routes(
            SigningIn(database, passwords, passkeys, sessions),
            Refreshing(database, signing, revocations, secret),
            sessions,
            passkeys,
            paging,
        ),
        device_routes(Devices(database, sessions, limiter, public_url=public_url)),
        proof_routes(signing_up, passwords, passkeys, service),
        key_routes(Keys(database, revocations), paging),
        pages(),
    ):
        router.include_router(routes)
    return Identities(service, router, internal_router(service), organisations)
