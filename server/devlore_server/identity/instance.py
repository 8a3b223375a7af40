"""What kind of instance a database is: one that needs no sign-in must never be served where many sign in."""

from __future__ import annotations

from uuid import UUID

from devlore_server.identity.store import instance
from devlore_server.kit import audit
from devlore_server.kit.audit import Leaf
from devlore_server.kit.db import Database, system


class WrongTier(Exception):
    """The database belongs to an instance of another tier."""


_SAID = {
    "individual": "This database holds one person's memories and has no sign-in. To serve it as a team: stop the"
    " server, run `devlore-server upgrade-tier team`, and open the link it prints.",
    "team": "This database belongs to a team: serving it without sign-in would open it to everybody. Set"
    " DEVLORE_TIER=team.",
}


async def settle_tier(database: Database, tier: str) -> None:
    """Make ``tier`` the tier of a new database; raises ``WrongTier`` when it has another one."""
    async with database.transaction(None) as connection:
        found = await instance.remember(connection, tier)
    if found != tier:
        raise WrongTier(_SAID[found])


async def upgrade_tier(database: Database, organisation: UUID) -> bool:
    """Make it a team's database, in which ``organisation`` is the first; whether it was none."""
    who = system(organisation)
    async with database.transaction(who) as connection:
        changed = await instance.change(connection, "team")
        if changed:
            await audit.append(connection, who, Leaf("instance.tier_changed", context={"tier": "team"}))
    return changed
