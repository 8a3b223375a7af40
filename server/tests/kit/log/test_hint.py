"""Hints over Redis wake other processes, and nothing depends on them."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import pytest
from redis.asyncio import Redis

from devlore_server.kit.auth import Principal
from devlore_server.kit.db import Database
from devlore_server.kit.log import Consumer, EventLog, RedisHint, event_log
from devlore_server.kit.log import consumer as consuming
from tests.kit.log.tailing import CREATED, Seen, event, everything, running, write


@asynccontextmanager
async def linked(database_url: str, redis_url: str) -> AsyncIterator[EventLog]:
    """The log as another process has it, listening to Redis."""
    async with Redis.from_url(redis_url) as redis:
        database = Database(database_url)
        await database.open()
        log = EventLog(database, RedisHint(redis, channel_of(database_url)))
        listening = asyncio.create_task(log.listen())
        yield log
        listening.cancel()
        await asyncio.wait([listening])
        await database.close()


def channel_of(database_url: str) -> str:
    """A channel of this test's own: servers of other tests listen on the usual one."""
    return f"devlore:log:{database_url}"


async def subscribers(redis_url: str, database_url: str, count: int) -> None:
    async with Redis.from_url(redis_url) as redis, asyncio.timeout(20):
        while (await redis.pubsub_numsub(channel_of(database_url)))[0][1] != count:
            await asyncio.sleep(0.01)


async def listeners(redis: Redis) -> set[str]:
    """The connections that have subscribed to something."""
    return {client["id"] for client in await redis.client_list(_type="pubsub")}


async def test_a_hint_over_redis_wakes_another_process(
    database_url: str, redis_url: str, who: Principal, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(consuming, "POLL_SECONDS", 60)
    monkeypatch.setattr(event_log, "_PUBLISH_SECONDS", 60)  # or a hint may be given up
    seen = Seen()
    async with linked(database_url, redis_url) as here, linked(database_url, redis_url) as there:
        await subscribers(redis_url, database_url, 2)
        async with running(Consumer(there, "any", CREATED, seen.apply)) as consumer:
            assert await consumer.wait_for(await here.head(), 20)
            for count in range(1, 4):
                await write(here, who, event(who))
                await seen.upto(count)


@pytest.mark.usefixtures("quick")
async def test_a_dropped_redis_connection_is_made_again(
    database_url: str, redis_url: str, who: Principal, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(consuming, "POLL_SECONDS", 60)
    seen = Seen()
    async with linked(database_url, redis_url) as log:
        await subscribers(redis_url, database_url, 1)
        async with Redis.from_url(redis_url) as redis:
            dropped = await listeners(redis)
            await redis.client_kill_filter(_type="pubsub", skipme=False)
            async with asyncio.timeout(20):
                while not (there := await listeners(redis)) or there & dropped:
                    await asyncio.sleep(0.01)
        await subscribers(redis_url, database_url, 1)
        async with running(Consumer(log, "any", CREATED, seen.apply)):
            await write(log, who, event(who))
            await seen.upto(1)


async def test_writing_does_not_fail_when_redis_is_away(database_url: str, who: Principal) -> None:
    async with linked(database_url, "redis://127.0.0.1:1/0") as log:
        await write(log, who, event(who))
        await write(log, who, event(who))
        assert len(await everything(log)) == 2
