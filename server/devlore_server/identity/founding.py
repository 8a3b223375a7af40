"""How an instance gets its first organisation: founded by nobody, and an invitation for whoever shall own it."""

from __future__ import annotations

from uuid import UUID

from devlore_server.identity.invitations import FIRST_DAYS, write
from devlore_server.identity.roles import ROLES
from devlore_server.identity.store import invitations, members, organisations
from devlore_server.identity.store.invitations import Offer
from devlore_server.kit import audit
from devlore_server.kit.audit import Leaf
from devlore_server.kit.clock import Clock, utc_now
from devlore_server.kit.db import Database, system


async def found(
    database: Database,
    organisation: UUID,
    name: str,
    *,
    person: UUID | None = None,
    email: str | None = None,
    clock: Clock = utc_now,
) -> str | None:
    """The secret of an invitation to own ``organisation``, which is made unless it exists; None when it has an owner.

    ``person``: who its taker becomes, so that the memories of a former individual instance are theirs. Each call
    withdraws the invitation of the one before.
    """
    who, at = system(organisation), clock()
    async with database.transaction(who) as connection:
        if not await organisations.lock(connection, organisation):
            await organisations.insert(connection, organisation, name, None, at=at)
            await audit.append(connection, who, Leaf("organisation.created", [("organisation", organisation)]), at=at)
        if await members.owners(connection, organisation):
            return None
        await invitations.revoke_of(connection, organisation, None, list(ROLES), at=at)
        token, _ = await write(connection, who, Offer("owner", email, person, [], None), days=FIRST_DAYS, at=at)
    return token
