"""A person's own context: what is theirs wherever they work, and what only they themselves may do."""

from __future__ import annotations

from dataclasses import dataclass
from uuid import UUID

from devlore.problems import NotAllowed
from devlore_server.kit.auth import SERVER, Principal
from devlore_server.kit.db import system

NOT_BY_KEY = "Only somebody who signed in may do this, an API key may not."


@dataclass(frozen=True, slots=True)
class Origin:
    """Where a request comes from: the program as it names itself, and its /24 or /48."""

    user_agent: str | None = None
    network: str | None = None


def alone(person: UUID) -> Principal:
    """For transactions about a person outside any organisation: row-level security shows what is theirs alone."""
    return system(SERVER.organisation, person)


def session_of(who: Principal) -> UUID:
    """The session the caller is in; raises ``NotAllowed`` for an API key, which must not make or end credentials."""
    if who.session is None:
        raise NotAllowed(NOT_BY_KEY)
    return UUID(who.session)
