"""Leaves of refusals: where they go, that nobody can flood the trail, and that they never change the answer."""

from __future__ import annotations

from uuid import UUID, uuid4

import psycopg
import pytest

from devlore_server.kit.audit import INSTANCE, Leaf, refusal
from devlore_server.kit.auth import Principal
from devlore_server.kit.db import Database
from devlore_server.kit.telemetry.metrics import REGISTRY
from tests.kit.audited import leaves, pseudonyms, rehash

FAILED = Leaf("session.started", [("email", "ada@example.org")], "failed", {"reason": "password"})


def network() -> str:
    """One that nobody has asked from in this run."""
    return f"2001:db8:{uuid4().hex[:4]}::/48"


def not_stored(why: str) -> float:
    return REGISTRY.get_sample_value("devlore_audit_refusals_not_stored_total", {"why": why}) or 0.0


async def test_a_callers_refusal_is_theirs_in_their_organisation(
    database: Database, who: Principal, owner_url: str
) -> None:
    await refusal(database, who, Leaf("access.refused", result="refused", context={"scope": "audit:read"}))
    (row,) = leaves(owner_url)
    assert (row["organisation_id"], row["actor_type"], row["result"]) == (who.organisation, "person", "refused")
    assert pseudonyms(owner_url)[str(row["actor_id"])] == str(who.person)
    assert (row["context"], rehash(row)) == ({"scope": "audit:read"}, row["hash"])


async def test_nobodys_goes_to_the_instance(database: Database, owner_url: str) -> None:
    where = network()
    await refusal(database, None, FAILED, network=where)
    (row,) = leaves(owner_url)
    assert (row["organisation_id"], row["actor_type"], row["actor_id"]) == (INSTANCE, "nobody", None)
    assert pseudonyms(owner_url)[row["context"]["network"]["id"]] == where
    assert "ada@example.org" not in str(row)


async def test_nobodys_about_a_member_goes_to_their_organisations(database: Database, owner_url: str) -> None:
    both = [UUID(int=11), UUID(int=12)]
    await refusal(database, None, FAILED, network=network(), organisations=both)
    stored = leaves(owner_url)
    assert [row["organisation_id"] for row in stored] == both
    assert stored[0]["targets"][0]["id"] != stored[1]["targets"][0]["id"]


async def test_nobody_can_flood_the_trail(database: Database, owner_url: str) -> None:
    where, before = network(), not_stored("limited")
    for _ in range(40):
        await refusal(database, None, FAILED, network=where)
    stored = len(leaves(owner_url))
    assert 30 <= stored < 40
    assert not_stored("limited") - before == 40 - stored
    await refusal(database, None, FAILED, network=network())
    assert len(leaves(owner_url)) == stored + 1


async def test_a_callers_own_refusals_are_all_kept(database: Database, who: Principal, owner_url: str) -> None:
    for _ in range(40):
        await refusal(database, who, Leaf("access.refused", result="refused"))
    assert len(leaves(owner_url)) == 40


@pytest.mark.parametrize("broken", ["REVOKE INSERT ON audit.leaf FROM devlore_app", "DROP SCHEMA audit CASCADE"])
async def test_a_store_that_refuses_does_not_change_the_answer(
    database: Database, who: Principal, owner_url: str, broken: str
) -> None:
    with psycopg.connect(owner_url) as connection:
        connection.execute(broken)  # type: ignore[call-overload]
    before = not_stored("away")
    await refusal(database, who, FAILED)
    await refusal(database, None, FAILED, network=network())
    assert not_stored("away") - before == 2


async def test_nor_does_a_database_that_is_away(database: Database, who: Principal) -> None:
    before = not_stored("away")
    await database.close()
    await refusal(database, who, FAILED)
    assert not_stored("away") - before == 1
