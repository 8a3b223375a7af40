"""Monthly partitions: ahead of time, on demand, once, whoever comes first."""

from __future__ import annotations

import asyncio
from datetime import UTC, datetime, timedelta, timezone

import psycopg
import pytest

from devlore_server.kit.audit import Leaf, append, ensure_ahead, keep_ahead
from devlore_server.kit.auth import Principal
from devlore_server.kit.db import Database, row
from tests.kit.audited import leaves


def partitions(owner_url: str) -> list[str]:
    with psycopg.connect(owner_url) as connection:
        found = connection.execute(
            "SELECT c.relname FROM pg_inherits i JOIN pg_class c ON c.oid = i.inhrelid"
            " WHERE i.inhparent = 'audit.leaf'::regclass ORDER BY 1"
        ).fetchall()
    return [name for (name,) in found]


async def put(database: Database, who: Principal, at: datetime) -> None:
    async with database.transaction(who) as connection:
        await append(connection, who, Leaf("team.created"), at=at)


async def test_this_month_and_the_next_three_are_made_ahead(database: Database, owner_url: str) -> None:
    now = datetime(2031, 11, 30, 23, 59, tzinfo=UTC)
    assert await ensure_ahead(database, now) == 4
    assert partitions(owner_url) == ["leaf_2031_11", "leaf_2031_12", "leaf_2032_01", "leaf_2032_02"]
    assert await ensure_ahead(database, now) == 0
    assert await ensure_ahead(database, now + timedelta(minutes=1)) == 1


async def test_the_job_makes_them_and_goes_on(database: Database, owner_url: str) -> None:
    now = datetime(2031, 1, 1, tzinfo=UTC)

    def clock() -> datetime:
        nonlocal now
        now += timedelta(days=31)
        return now

    job = asyncio.create_task(keep_ahead(database, every=0.01, clock=clock))
    for _ in range(500):
        if len(partitions(owner_url)) >= 6:
            break
        await asyncio.sleep(0.02)
    job.cancel()
    assert {"leaf_2031_02", "leaf_2031_07"} <= set(partitions(owner_url))


async def test_the_job_outlives_a_database_that_refuses(database: Database, owner_url: str) -> None:
    with psycopg.connect(owner_url) as connection:
        connection.execute("REVOKE EXECUTE ON FUNCTION audit.ensure_month FROM devlore_app")
    job = asyncio.create_task(keep_ahead(database, every=0.01, clock=lambda: datetime(2031, 1, 1, tzinfo=UTC)))
    await asyncio.sleep(0.2)
    assert (job.done(), partitions(owner_url)) == (False, [])
    with psycopg.connect(owner_url) as connection:
        connection.execute("GRANT EXECUTE ON FUNCTION audit.ensure_month TO devlore_app")
    for _ in range(500):
        if len(partitions(owner_url)) == 4:
            break
        await asyncio.sleep(0.02)
    job.cancel()
    assert len(partitions(owner_url)) == 4


async def test_a_leaf_makes_the_month_it_needs(database: Database, who: Principal, owner_url: str) -> None:
    for at in (datetime(2031, 5, 31, 23, 59, 59, 999999, tzinfo=UTC), datetime(2031, 6, 1, tzinfo=UTC)):
        await put(database, who, at)
    assert partitions(owner_url) == ["leaf_2031_05", "leaf_2031_06"]
    with psycopg.connect(owner_url) as connection:
        found = connection.execute("SELECT tableoid::regclass::text FROM audit.leaf ORDER BY occurred_at").fetchall()
    assert found == [("audit.leaf_2031_05",), ("audit.leaf_2031_06",)]


async def test_months_are_those_of_utc_wherever_the_writer_is(
    database: Database, who: Principal, owner_url: str
) -> None:
    await put(database, who, datetime(2031, 6, 1, 1, tzinfo=timezone(timedelta(hours=2))))
    async with database.transaction(who) as connection:
        await connection.execute("SET LOCAL timezone = 'Pacific/Kiritimati'")
        await append(connection, who, Leaf("team.created"), at=datetime(2031, 7, 31, 23, tzinfo=UTC))
    assert partitions(owner_url) == ["leaf_2031_05", "leaf_2031_07"]
    assert len(leaves(owner_url)) == 2


async def test_many_who_need_a_new_month_at_once_make_it_once(
    database: Database, who: Principal, other: Principal, stranger: Principal, owner_url: str
) -> None:
    at = datetime(2032, 1, 1, tzinfo=UTC)
    callers = [who, other, stranger] * 10
    await asyncio.gather(*(put(database, one, at) for one in callers), ensure_ahead(database, at))
    assert len(leaves(owner_url)) == 30
    assert partitions(owner_url) == ["leaf_2032_01", "leaf_2032_02", "leaf_2032_03", "leaf_2032_04"]


async def test_a_new_month_does_not_wait_for_a_writer_of_the_old(
    database: Database, who: Principal, owner_url: str
) -> None:
    await put(database, who, datetime(2031, 5, 1, tzinfo=UTC))
    async with asyncio.timeout(20), database.transaction(who) as slow:
        await append(slow, who, Leaf("team.created"), at=datetime(2031, 5, 1, tzinfo=UTC))
        await ensure_ahead(database, datetime(2032, 5, 1, tzinfo=UTC))
        await put(database, who, datetime(2032, 5, 1, tzinfo=UTC))
    assert len(leaves(owner_url)) == 3


async def test_who_waited_for_a_month_that_was_rolled_back_makes_it_themselves(
    database: Database, who: Principal, owner_url: str
) -> None:
    at = datetime(2031, 5, 1, tzinfo=UTC)
    with pytest.raises(RuntimeError, match="on purpose"):
        async with database.transaction(who) as first:
            await append(first, who, Leaf("team.created"), at=at)
            waiting = asyncio.create_task(put(database, who, at))
            await asyncio.sleep(0.1)
            assert not waiting.done()
            raise RuntimeError("on purpose")
    await waiting
    assert (len(leaves(owner_url)), partitions(owner_url)) == (1, ["leaf_2031_05"])


async def test_a_month_that_was_dropped_is_made_again(database: Database, who: Principal, owner_url: str) -> None:
    at = datetime(2031, 5, 1, tzinfo=UTC)
    await put(database, who, at)
    await put(database, who, at)
    with psycopg.connect(owner_url) as connection:
        connection.execute("DROP TABLE audit.leaf_2031_05")
    await put(database, who, at)
    assert len(leaves(owner_url)) == 1


async def test_without_a_partition_and_the_right_to_make_one_nothing_is_written(
    database: Database, who: Principal, owner_url: str
) -> None:
    at = datetime(2031, 5, 1, tzinfo=UTC)
    with psycopg.connect(owner_url) as connection:
        connection.execute("REVOKE EXECUTE ON FUNCTION audit.ensure_month FROM devlore_app")
    with pytest.raises(psycopg.errors.InsufficientPrivilege):
        await put(database, who, at)
    assert partitions(owner_url) == []


@pytest.mark.parametrize("moment", ["1969-12-31T23:59:59Z", "2200-01-01T00:00:00Z", "infinity", None])
async def test_there_are_months_within_reason_only(database: Database, owner_url: str, moment: str | None) -> None:
    with pytest.raises(psycopg.errors.InvalidParameterValue):
        async with database.transaction(None) as connection:
            await row(connection, "SELECT audit.ensure_month(%s)", (moment,))
    assert partitions(owner_url) == []
