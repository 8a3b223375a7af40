"""Networks somebody signed in from are known as theirs for a while, and as nobody else's."""

from __future__ import annotations

from uuid import uuid4

import httpx2
import pytest
from fastapi import FastAPI

from devlore.problems import SignInFailed
from devlore_server.identity.api.internal import internal_router
from devlore_server.identity.client import IdentityClient
from devlore_server.kit.auth import Principal
from devlore_server.kit.http import SignedCallers

from .credentials import AWAY, HOME, PASSWORD, SECRET, Credentials

NEAR, FAR = str(HOME.network), str(AWAY.network)


async def test_a_network_becomes_familiar_by_signing_in_there(credentials: Credentials, member: Principal) -> None:
    email, familiar = await credentials.set_password(member), credentials.identity.familiar
    assert not await familiar(NEAR, email=email)
    with pytest.raises(SignInFailed):
        await credentials.sign_in(email, "not this one, no", AWAY)
    await credentials.sign_in(email, PASSWORD, HOME)
    assert await familiar(NEAR, email=email) and await familiar(NEAR, person=member.person)
    assert not await familiar(FAR, email=email), "trying is not enough"


async def test_it_is_familiar_to_one_person(credentials: Credentials, member: Principal, admin: Principal) -> None:
    email, other = await credentials.set_password(member), await credentials.set_password(admin)
    await credentials.sign_in(email)
    familiar = credentials.identity.familiar
    assert not await familiar(NEAR, email=other) and not await familiar(NEAR, person=admin.person)
    assert not await familiar(NEAR) and not await familiar(NEAR, email="nobody@example.com", person=uuid4())
    counted = "SELECT count(*) FROM identity.familiar_network"
    async with credentials.directory.database.transaction(admin) as connection:
        assert await (await connection.execute(counted)).fetchone() == (0,), "row-level security"
    assert credentials.directory.seen(counted) == [(1,)]


async def test_a_session_without_a_proof_makes_nothing_familiar(credentials: Credentials, member: Principal) -> None:
    await credentials.open(member, origin=AWAY)
    assert not await credentials.identity.familiar(FAR, person=member.person)


async def test_a_network_is_forgotten_after_a_while(credentials: Credentials, member: Principal) -> None:
    email, time = await credentials.set_password(member), credentials.directory.time
    await credentials.sign_in(email)
    time.forward(days=90, minutes=-1)
    assert await credentials.identity.familiar(NEAR, email=email)
    await credentials.sign_in(email, PASSWORD, AWAY)
    time.forward(minutes=1)
    assert not await credentials.identity.familiar(NEAR, email=email)
    time.forward(minutes=1)
    await credentials.identity.forget_expired()
    assert credentials.directory.seen("SELECT network FROM identity.familiar_network") == [(FAR,)]


async def test_a_gateway_elsewhere_is_told_the_same(credentials: Credentials, member: Principal) -> None:
    email = await credentials.set_password(member)
    await credentials.sign_in(email)
    app = FastAPI()
    app.include_router(internal_router(credentials.identity))
    transport = httpx2.ASGITransport(SignedCallers(app, secret=SECRET))
    async with IdentityClient("http://identity", SECRET, transport=transport) as client:
        assert await client.familiar(NEAR, email=email) is True
        assert await client.familiar(NEAR, person=member.person) is True
        assert await client.familiar(FAR, email=email) is False
