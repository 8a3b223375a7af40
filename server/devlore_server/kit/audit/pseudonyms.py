"""Pseudonyms: a random id in place of a person, e-mail or network, resolved by a table whose rows may be erased."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from datetime import UTC, datetime
from typing import LiteralString
from uuid import UUID

from devlore_server.kit.audit.leaf import Personal
from devlore_server.kit.auth import Principal
from devlore_server.kit.db import Connection, row

_PREPARE: LiteralString = "SELECT created, ids FROM audit.prepare(%s, %s, %s)"
_KEPT = 10_000

_known: dict[tuple[UUID, Personal], UUID] = {}
"""What this process has seen. Only a hint: the statement that stores a leaf checks that its pseudonyms still exist."""
_months: set[tuple[int, int]] = set()
"""Months this process has seen a partition for. Only a hint, too."""


def recall(who: Principal, at: datetime, named: Iterable[Personal]) -> dict[Personal, UUID] | None:
    """The pseudonyms of ``named`` when nothing has to be asked for, else None."""
    found = {one: _known.get((who.organisation, one)) for one in named}
    if _month(at) not in _months or None in found.values():
        return None
    return {one: id for one, id in found.items() if id is not None}


async def prepare(
    connection: Connection, who: Principal, at: datetime, named: Sequence[Personal]
) -> dict[Personal, UUID]:
    """The pseudonyms of ``named``, made where there are none yet, and the month's partition if there is none."""
    # In one order for everybody, so that two transactions that meet here wait for each other instead of deadlocking.
    ordered = sorted(set(named), key=lambda one: (one.kind, one.value))
    found = await row(connection, _PREPARE, (at, [one.kind for one in ordered], [one.value for one in ordered]))
    assert found is not None
    if len(_known) > _KEPT:
        _known.clear()
    answer = dict(zip(ordered, found["ids"], strict=True))
    _known.update({(who.organisation, one): id for one, id in answer.items()})
    if not found["created"]:
        # One that this very transaction made may still be rolled back; the next to ask will find it.
        _months.add(_month(at))
    return answer


async def erase(connection: Connection, who: Principal, *named: Personal) -> int:
    """Forget whom the pseudonyms of ``named`` stand for, in the organisation of ``who``; how many there were.

    Leaves keep their hash and no longer resolve; whoever comes back gets a new pseudonym.
    """
    done = await connection.execute(
        "DELETE FROM audit.pseudonym p USING unnest(%s::text[], %s::text[]) AS gone(kind, value)"
        " WHERE p.organisation_id = %s AND p.kind = gone.kind AND p.value = gone.value",
        ([one.kind for one in named], [one.value for one in named], who.organisation),
    )
    return done.rowcount


async def erase_all(connection: Connection, who: Principal) -> int:
    """Forget whom every pseudonym of an organisation stands for; how many there were."""
    done = await connection.execute("DELETE FROM audit.pseudonym WHERE organisation_id = %s", (who.organisation,))
    return done.rowcount


def _month(at: datetime) -> tuple[int, int]:
    moment = at.astimezone(UTC)
    return moment.year, moment.month
