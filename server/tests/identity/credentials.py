"""The services that know who somebody is, on the directory's database and clock, and ways to get at what they do."""

from __future__ import annotations

from dataclasses import dataclass, replace
from uuid import UUID

from fastapi import FastAPI
from joserfc.jwk import OKPKey

from devlore.types import SignIn, SignUp, Tokens
from devlore_server.identity.api.devices import router as device_routes
from devlore_server.identity.api.keys import router as key_routes
from devlore_server.identity.api.pages import router as pages
from devlore_server.identity.api.proofs import router as proof_routes
from devlore_server.identity.api.sessions import router as session_routes
from devlore_server.identity.challenges import Challenges
from devlore_server.identity.devices import Devices
from devlore_server.identity.hashing import Hashing
from devlore_server.identity.keys import Keys
from devlore_server.identity.oneself import Origin
from devlore_server.identity.passkeys import Passkeys
from devlore_server.identity.passwords import Passwords
from devlore_server.identity.refreshing import Refreshing
from devlore_server.identity.roles import scopes_of
from devlore_server.identity.service import IdentityService
from devlore_server.identity.sessions import Opened, Sessions, Wanted
from devlore_server.identity.signing import Signing
from devlore_server.identity.signing_in import SigningIn
from devlore_server.identity.signing_up import SigningUp
from devlore_server.identity.store import passwords
from devlore_server.kit.auth import Principal
from devlore_server.kit.http import install
from devlore_server.kit.limit import LocalLimiter
from devlore_server.kit.paging import Paging
from devlore_server.kit.tokens import Claims, public_keys, verify
from devlore_server.ports import Standing

from .directory import Directory

SECRET = b"the secret of the tests' instance"
URL = "https://devlore.test"
PASSWORD = "violet lamp crosses tuesday"
HOME = Origin("tests/1.0", "192.0.2.0/24")
AWAY = Origin("tests/1.0", "198.51.100.0/24")


@dataclass
class Credentials:
    """Everything of the service that has to do with proofs and sessions."""

    directory: Directory

    def __post_init__(self) -> None:
        database, revocations, clock = self.directory.database, self.directory.revocations, self.directory.time
        self.hashing = Hashing()
        self.signing = Signing(database, SECRET, issuer=URL, clock=clock)
        self.identity = IdentityService(database, self.signing, clock)
        self.passwords = Passwords(database, self.hashing, revocations, clock)
        self.passkeys = Passkeys(database, Challenges(SECRET, clock), public_url=URL, clock=clock)
        self.sessions = Sessions(database, self.signing, self.directory.invitations, revocations, clock)
        self.refreshing = Refreshing(database, self.signing, revocations, SECRET, clock)
        self.signing_in = SigningIn(database, self.passwords, self.passkeys, self.sessions)
        self.keys = Keys(database, revocations, clock)
        self.devices = Devices(database, self.sessions, LocalLimiter(), public_url=URL, clock=clock)

    def signing_up(self, *, anybody: bool = False) -> SigningUp:
        invitations, clock = self.directory.invitations, self.directory.time
        return SigningUp(
            self.directory.database, invitations, self.passwords, self.sessions, anybody=anybody, clock=clock
        )

    def app(self, *, anybody: bool = False) -> FastAPI:
        """Every route of theirs, with problems rendered as the server renders them."""
        app, paging = FastAPI(), Paging(b"a secret of the tests")
        install(app)
        for routes in (
            session_routes(self.signing_in, self.refreshing, self.sessions, self.passkeys, paging),
            device_routes(self.devices),
            proof_routes(self.signing_up(anybody=anybody), self.passwords, self.passkeys, self.identity),
            key_routes(self.keys, paging),
            pages(),
        ):
            app.include_router(routes)
        return app

    async def set_password(self, who: Principal, password: str = PASSWORD) -> str:
        """Give somebody a password past every rule; their address."""
        stored = await self.passwords.prepare(PASSWORD, about=[])
        if password != PASSWORD:
            stored = replace(stored, hash=await self.hashing.hash(password), long=len(password) >= 15)
        async with self.directory.database.transaction(who) as connection:
            await passwords.put(connection, who.person, stored, at=self.directory.time())
        ((email,),) = self.directory.seen("SELECT email FROM identity.person WHERE id = %s", who.person)
        assert isinstance(email, str)
        return email

    async def open(self, who: Principal, *, cookie: bool = False, origin: Origin = HOME) -> Opened:
        """A session of somebody, without a proof."""
        return await self.sessions.open(who.person, Wanted(who.organisation, None, cookie), origin, by="test")

    async def sign_in(self, email: str, password: str = PASSWORD, origin: Origin = HOME, **more: object) -> Opened:
        """By password."""
        asked = SignIn.model_validate({"email": email, "password": password, **more})
        return await self.signing_in.with_password(asked, origin)

    async def sign_up(self, *, anybody: bool = False, **asked: object) -> Opened:
        return await self.signing_up(anybody=anybody).sign_up(SignUp.model_validate(asked), HOME)

    async def claims(self, tokens: Tokens) -> Claims:
        """What an access token says, verified with the published keys."""
        assert tokens.access_token is not None
        keys: dict[str, OKPKey] = public_keys(await self.identity.keyset())
        return verify(tokens.access_token, keys, issuer=URL, now=self.directory.time())

    async def standing(self, tokens: Tokens, person: UUID) -> Standing | None:
        """What a session is good for."""
        return await self.identity.session(tokens.session_id, person, tokens.organisation_id)

    async def caller(self, opened: Opened, person: UUID, *, fresh: bool = True) -> Principal:
        """As whom the gateway admits requests of a session."""
        standing = await self.standing(opened.tokens, person)
        assert standing is not None
        return Principal(
            organisation=standing.organisation,
            person=person,
            teams=standing.teams,
            scopes=scopes_of(standing.role),  # type: ignore[arg-type]
            session=standing.session,
            role=standing.role,
            network=HOME.network,
            fresh=fresh,
        )

    def leaves(self, who: Principal, action: str) -> list[str]:
        """The results of an action in the trail of somebody's organisation, oldest first."""
        found = self.directory.seen(
            "SELECT result FROM audit.leaf WHERE organisation_id = %s AND action = %s ORDER BY occurred_at, id",
            who.organisation,
            action,
        )
        return [str(result) for (result,) in found]
