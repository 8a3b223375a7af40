"""Leaves of what was refused: they have no transaction of a change, and nobody may fill the trail with them."""

from __future__ import annotations

from collections.abc import Sequence
from uuid import UUID

import psycopg
import structlog
from prometheus_client import Counter

from devlore.problems import Unavailable
from devlore_server.kit.audit.leaf import Leaf
from devlore_server.kit.audit.writing import NotAudited, store
from devlore_server.kit.auth import NIL, Principal
from devlore_server.kit.clock import utc_now
from devlore_server.kit.db import Database
from devlore_server.kit.limit import Demand, LocalLimiter, Policy
from devlore_server.kit.telemetry.metrics import REGISTRY

INSTANCE = UUID(int=2**128 - 1)
"""The organisation of what concerns none: refusals of nobody knows whom. No member of any can read it."""

_PER_NETWORK = Policy("audit-network", 30)
_OF_NOBODY = Policy("audit-nobody", 600)
_limiter = LocalLimiter(most=10_000)
_NOT_STORED = Counter(
    "devlore_audit_refusals_not_stored_total",
    "Refusals without a leaf of their own: too many from one network or in all (limited), or the store was away.",
    ["why"],
    registry=REGISTRY,
)
_said = structlog.get_logger("devlore.audit")


async def refusal(
    database: Database,
    who: Principal | None,
    leaf: Leaf,
    *,
    network: str | None = None,
    organisations: Sequence[UUID] = (),
) -> None:
    """Store the leaf of a refused or failed attempt, in a transaction of its own; a store that is away raises nothing.

    ``who`` is the caller where there is one: the leaf is theirs, in their organisation. Without, the actor is
    ``nobody`` at ``network``, and the leaf goes to each of ``organisations`` the attempt was about (those of the person
    somebody failed to sign in as), or to ``INSTANCE`` when there is none. Of nobody, at most 30 a minute are stored for
    each network and 600 in all, by this process; the others are counted in a metric.
    """
    if who is None and not await _room(network):
        _NOT_STORED.labels("limited").inc()
        return
    as_whom = [who] if who is not None else [_nobody(one, network) for one in organisations or (INSTANCE,)]
    for one in as_whom:
        try:
            async with database.transaction(one) as connection:
                await store(connection, one, (leaf,), utc_now(), "nobody" if who is None else None)
        except (psycopg.Error, Unavailable, NotAudited) as error:
            # What is refused stays refused; that nobody could note it down must not turn into another answer.
            _NOT_STORED.labels("away").inc()
            _said.error("refusal_not_audited", action=leaf.action, error=type(error).__name__)


async def _room(network: str | None) -> bool:
    demands = [Demand("audit:nobody", _OF_NOBODY), Demand(f"audit:{network}", _PER_NETWORK)]
    return all(verdict.allowed for verdict in await _limiter.take(demands))


def _nobody(organisation: UUID, network: str | None) -> Principal:
    return Principal(organisation=organisation, person=NIL, network=network)
