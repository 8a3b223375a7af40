"""Appending leaves: in the writer's transaction, as one statement; a write whose leaf cannot be stored fails."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any, LiteralString
from uuid import UUID

from structlog.contextvars import get_contextvars

from devlore_server.kit.audit import pseudonyms
from devlore_server.kit.audit.leaf import ActorType, Leaf, Personal, Pseudonyms, documents, hashed
from devlore_server.kit.auth import NIL, Principal
from devlore_server.kit.clock import utc_now
from devlore_server.kit.db import Connection, row

# Stores all; nothing when a pseudonym was erased meanwhile or the month has no partition.
_APPEND: LiteralString = """
    SELECT CASE WHEN audit.ready(%(moment)s, %(pseudonyms)s) THEN audit.append(%(leaves)s::json) END AS stored"""


class NotAudited(RuntimeError):
    """A leaf could not be stored; the transaction must not be committed."""


@dataclass(frozen=True, slots=True)
class Trail:
    """Leaves as SQL's ``audit.append`` takes them, and what ``audit.ready`` has to be asked before."""

    leaves: str
    moment: datetime
    pseudonyms: list[UUID]

    def parameters(self) -> dict[str, Any]:
        return {"leaves": self.leaves, "moment": self.moment, "pseudonyms": self.pseudonyms}


async def append(connection: Connection, who: Principal, *leaves: Leaf, at: datetime | None = None) -> None:
    """Store leaves of what ``who`` does, in the caller's transaction, as one statement (a few when they are new).

    The connection's context must be the organisation of ``who``; without a person the actor is the system. Raises
    ``NotAudited``, or what PostgreSQL says, when they cannot be stored: let it pass, so that what they are about is
    rolled back.
    """
    if leaves:
        await store(connection, who, leaves, at or utc_now())


async def store(
    connection: Connection, who: Principal, leaves: Sequence[Leaf], at: datetime, actor: ActorType | None = None
) -> None:
    """``append``, which says who acts: ``nobody`` is who has not signed in."""
    for made in (trail(who, leaves, at, actor), None):
        found = await row(
            connection, _APPEND, (made or await new_trail(connection, who, leaves, at, actor)).parameters()
        )
        if found is not None and found["stored"]:
            return
    raise NotAudited(f"{len(leaves)} leaves, the first of {leaves[0].action}")


def trail(who: Principal, leaves: Sequence[Leaf], at: datetime, actor: ActorType | None = None) -> Trail | None:
    """Leaves for a statement that stores them with what they are about; None when ``new_trail`` has to be asked."""
    known = pseudonyms.recall(who, at, _named(who, leaves))
    return None if known is None else _trail(who, leaves, at, actor, known)


async def new_trail(
    connection: Connection, who: Principal, leaves: Sequence[Leaf], at: datetime, actor: ActorType | None = None
) -> Trail:
    """``trail``, with what is missing for it made in the caller's transaction: pseudonyms, the month's partition."""
    known = await pseudonyms.prepare(connection, who, at, _named(who, leaves))
    return _trail(who, leaves, at, actor, known)


def _named(who: Principal, leaves: Sequence[Leaf]) -> list[Personal]:
    named = dict.fromkeys(one for leaf in leaves for one in leaf.personal())
    if who.person != NIL:
        named[Personal("person", str(who.person))] = None
    if who.network is not None:
        named[Personal("network", who.network)] = None
    return list(named)


def _trail(who: Principal, leaves: Sequence[Leaf], at: datetime, actor: ActorType | None, known: Pseudonyms) -> Trail:
    acting = actor or ("system" if who.person == NIL else "person")
    made = documents(
        leaves,
        organisation=who.organisation,
        at=at,
        actor={"type": acting, "id": str(known[Personal("person", str(who.person))]) if acting == "person" else None},
        about=_about(who, known),
        pseudonyms=known,
    )
    return Trail(f"[{b','.join(map(hashed, made)).decode()}]", at, list(known.values()))


def _about(who: Principal, known: Pseudonyms) -> dict[str, Any]:
    """What every leaf of a request says of it: its id, the session or key it came with, and its network."""
    about: dict[str, Any] = {}
    if (request := get_contextvars().get("request_id")) is not None:
        about["request"] = str(request)
    if who.session is not None:
        about["session"] = who.session
    if who.key is not None:
        about["key"] = who.key
    if who.network is not None:
        about["network"] = {"type": "network", "id": str(known[Personal("network", who.network)])}
    return about
