"""How long a key is held and kept: a lease that whoever lives renews, and a day."""

from __future__ import annotations

import asyncio
from datetime import timedelta
from typing import LiteralString

import psycopg
import pytest
from starlette.requests import Request
from starlette.responses import JSONResponse, Response

from devlore_server.kit.auth import Principal
from devlore_server.kit.db import Database
from tests.gateway.passing import passes
from tests.gateway.test_idempotency import Service, client_of, guarded, post


def moved(owner_url: str, column: LiteralString, by: timedelta) -> None:
    """Let a moment of every claim come earlier, as if so much time had passed."""
    with psycopg.connect(owner_url, autocommit=True) as owner:
        owner.execute(f"UPDATE gateway.idempotency SET {column} = {column} - %s", (by,))


def held(owner_url: str) -> bool:
    """Whether the one claim there is has not run out."""
    with psycopg.connect(owner_url, autocommit=True) as owner:
        found = owner.execute("SELECT leased_until > clock_timestamp() FROM gateway.idempotency").fetchall()
    return found == [(True,)]


async def test_a_death_does_not_hold_the_key_for_ever(database: Database, who: Principal, owner_url: str) -> None:
    """Cancelling is as near as one process gets to dying between the claim and the answer."""
    begun = asyncio.Event()

    async def hang_first(_request: Request) -> Response:
        if service.runs == 1:
            begun.set()
            await asyncio.Event().wait()
        return JSONResponse({"run": service.runs})

    service = Service(hang_first)
    async with client_of(guarded(service, database, who, lease=60)) as client:
        dying = asyncio.create_task(post(client, "k"))
        await asyncio.wait_for(begun.wait(), 30)
        dying.cancel()
        with pytest.raises(asyncio.CancelledError):
            await dying
        assert (await post(client, "k")).status_code == 409
        assert (await post(client, "k", b'{"other": 1}')).status_code == 422
        moved(owner_url, "leased_until", timedelta(days=1))
        await passes(30)  # whoever lives has renewed it by then
        assert (await post(client, "k", b'{"other": 1}')).status_code == 422
        assert not held(owner_url)
        assert (await post(client, "k")).json() == {"run": 2}
        assert (await post(client, "k")).json() == {"run": 2}


async def test_a_long_request_keeps_its_claim(database: Database, who: Principal, owner_url: str) -> None:
    begun, done = asyncio.Event(), asyncio.Event()

    async def long(_request: Request) -> Response:
        begun.set()
        await done.wait()
        return JSONResponse({})

    service = Service(long)
    async with client_of(guarded(service, database, who, lease=60)) as client:
        first = asyncio.create_task(post(client, "k"))
        await asyncio.wait_for(begun.wait(), 30)
        for _ in range(3):
            moved(owner_url, "leased_until", timedelta(days=1))
            assert not held(owner_url)
            await passes(20)
            async with asyncio.timeout(30):
                while not held(owner_url):
                    await asyncio.sleep(0.01)
            assert (await post(client, "k")).status_code == 409
        done.set()
        assert (await first).status_code == 200
    assert service.runs == 1


async def test_after_a_day_a_key_is_free(database: Database, who: Principal, owner_url: str) -> None:
    service = Service()
    async with client_of(guarded(service, database, who)) as client:
        await post(client, "k")
        moved(owner_url, "expires_at", timedelta(hours=23))
        assert (await post(client, "k")).headers["idempotency-replayed"] == "true"
        moved(owner_url, "expires_at", timedelta(hours=1))
        assert (await post(client, "k", b'{"other": 1}')).status_code == 201
    assert service.runs == 2
