"""How an instance gets its first owner, and how one person's instance becomes a team's."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager

from devlore_server.app.process import claim_home, reachable
from devlore_server.gateway.individual import ORGANISATION, PERSON
from devlore_server.identity.founding import found
from devlore_server.identity.instance import settle_tier, upgrade_tier
from devlore_server.identity.invitations import link
from devlore_server.identity.signing import Signing
from devlore_server.kit.db import Database
from devlore_server.kit.migrate import app_url, migrate
from devlore_server.settings import ROLES, Settings


async def first_owner(settings: Settings, organisation: str, email: str | None = None) -> str | None:
    """The link of an invitation to own the instance's first organisation; None when it has an owner.

    The first organisation and its first owner have the ids of the individual tier's, so that whatever the one person
    of a former individual instance remembered is theirs. Each call withdraws the link of the one before. Raises
    WrongTier on an individual instance.
    """
    async with _database(settings) as database:
        await settle_tier(database, "team")
        return await _invitation(database, settings, organisation, email)


async def upgraded(settings: Settings, organisation: str, email: str | None = None) -> str | None:
    """Make an individual instance a team's; the link by which its one person signs in from now on.

    Nothing is moved: the memories are of the same organisation and person as before. Done again it does nothing but
    give another link, or None when the link has been used. Raises AlreadyRunning while it is served.
    """
    async with AsyncExitStack() as stack:
        # A process that serves it without sign-in would go on doing so.
        settings.home.mkdir(parents=True, exist_ok=True, mode=0o700)
        claim_home(settings.model_copy(update={"roles": ROLES}), stack)
        database = await stack.enter_async_context(_database(settings))
        await upgrade_tier(database, ORGANISATION)
        return await _invitation(database, settings, organisation, email)


async def rotated_keys(settings: Settings) -> str:
    """Make the key that access tokens are signed with from now on; its id. Raises WrongTier where nobody signs in."""
    async with _database(settings) as database:
        await settle_tier(database, "team")
        return await Signing(database, settings.key(), issuer=settings.origin).rotate()


async def _invitation(database: Database, settings: Settings, organisation: str, email: str | None) -> str | None:
    token = await found(database, ORGANISATION, organisation, person=PERSON, email=email)
    return None if token is None else link(settings.origin, token)


@asynccontextmanager
async def _database(settings: Settings) -> AsyncIterator[Database]:
    async with reachable(settings) as url:
        await migrate(url)
        database = Database(app_url(url), max_size=2)
        await database.open()
        try:
            yield database
        finally:
            await database.close()
