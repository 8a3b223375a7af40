"""The device flow (RFC 8628): codes, polling, approval, refusal, and guessing."""

from __future__ import annotations

import asyncio
from dataclasses import replace
from datetime import timedelta

import pytest

from devlore.problems import (
    DeviceExpired,
    DevicePending,
    DeviceRefused,
    NotAllowed,
    NotFound,
    Problem,
    RateLimited,
    SlowDown,
)
from devlore.types import DeviceApproval, DeviceGrant
from devlore_server.identity.devices import ALPHABET, GUESSES, INTERVAL, PATIENCE
from devlore_server.identity.oneself import Origin
from devlore_server.identity.sessions import Opened
from devlore_server.kit.auth import Principal

from .credentials import AWAY, HOME, URL, Credentials
from .directory import with_scopes


@pytest.fixture
async def mary(credentials: Credentials, member: Principal) -> Principal:
    """A member in a session."""
    return await credentials.caller(await credentials.open(member), member.person)


async def poll(credentials: Credentials, grant: DeviceGrant) -> Opened:
    return await credentials.devices.poll(grant.device_code, AWAY)


async def settle(credentials: Credentials, who: Principal, code: str, *, approve: bool = True) -> None:
    await credentials.devices.settle(who, DeviceApproval(user_code=code, approve=approve))


async def problem(credentials: Credentials, grant: DeviceGrant) -> Problem:
    with pytest.raises(Problem) as raised:
        await poll(credentials, grant)
    return raised.value


async def test_a_device_signs_in_once_it_is_approved(credentials: Credentials, mary: Principal) -> None:
    grant = await credentials.devices.start(AWAY)
    assert isinstance(await problem(credentials, grant), DevicePending)
    await settle(credentials, mary, grant.user_code)
    opened = await poll(credentials, grant)
    claims = await credentials.claims(opened.tokens)
    assert (claims.person, claims.organisation) == (mary.person, mary.organisation)
    assert opened.tokens.refresh_token is not None and opened.cookie is None
    assert credentials.leaves(mary, "device.approved") == ["ok"]
    newest, _ = await credentials.sessions.page(mary, 10)
    assert newest.id == opened.tokens.session_id and newest.network == AWAY.network


async def test_a_code_opens_one_session(credentials: Credentials, mary: Principal) -> None:
    grant = await credentials.devices.start(AWAY)
    await settle(credentials, mary, grant.user_code)
    answers = await asyncio.gather(*(poll(credentials, grant) for _ in range(8)), return_exceptions=True)
    assert sorted(type(one).__name__ for one in answers) == ["DeviceExpired"] * 7 + ["Opened"]


async def test_the_grant_is_as_the_rfc_says(credentials: Credentials) -> None:
    grant = await credentials.devices.start(AWAY)
    assert grant.verification_uri == f"{URL}/device"
    assert grant.verification_uri_complete == f"{URL}/device#{grant.user_code}"
    assert (grant.expires_in, grant.interval) == (600, 5)
    assert len(grant.device_code) >= 43


async def test_codes_have_no_vowels_and_no_look_alikes(credentials: Credentials) -> None:
    grants = [await credentials.devices.start(AWAY) for _ in range(30)]
    codes = [one.user_code for one in grants]
    assert len(set(codes)) == 30
    assert all(len(one) == 9 and one[4] == "-" and set(one.replace("-", "")) <= set(ALPHABET) for one in codes)
    assert not set(ALPHABET) & set("AEIOU0125Y")


@pytest.mark.parametrize(
    "spelled", [str.lower, lambda code: code.replace("-", ""), lambda code: f" {code[:4]} {code[5:]} "]
)
async def test_a_code_is_recognised_however_it_is_typed(
    credentials: Credentials, mary: Principal, spelled: object
) -> None:
    assert callable(spelled)
    grant = await credentials.devices.start(AWAY)
    await settle(credentials, mary, spelled(grant.user_code))
    assert (await poll(credentials, grant)).tokens.organisation_id == mary.organisation


async def test_asking_too_often_makes_the_device_wait_longer_each_time(
    credentials: Credentials, mary: Principal
) -> None:
    grant, time = await credentials.devices.start(AWAY), credentials.directory.time
    first = await problem(credentials, grant)
    assert type(first) is DevicePending and first.extra == {"error": "authorization_pending", "interval": INTERVAL}
    time.forward(seconds=INTERVAL - 1)
    second = await problem(credentials, grant)
    assert type(second) is SlowDown and second.extra == {"error": "slow_down", "interval": 2 * INTERVAL}
    time.forward(seconds=2 * INTERVAL - 1)
    third = await problem(credentials, grant)
    assert type(third) is SlowDown and third.extra["interval"] == 3 * INTERVAL
    time.forward(seconds=3 * INTERVAL)
    assert type(await problem(credentials, grant)) is DevicePending
    await settle(credentials, mary, grant.user_code)
    assert await poll(credentials, grant)  # an approved device is not held back


async def test_a_refused_device_is_told_so_once(credentials: Credentials, mary: Principal) -> None:
    grant = await credentials.devices.start(AWAY)
    await settle(credentials, mary, grant.user_code, approve=False)
    refused = await problem(credentials, grant)
    assert isinstance(refused, DeviceRefused) and refused.extra == {"error": "access_denied"}
    assert isinstance(await problem(credentials, grant), DeviceExpired)
    assert credentials.leaves(mary, "device.denied") == ["ok"]


async def test_a_code_is_good_for_ten_minutes(credentials: Credentials, mary: Principal) -> None:
    waiting, approved = await credentials.devices.start(AWAY), await credentials.devices.start(AWAY)
    await settle(credentials, mary, approved.user_code)
    credentials.directory.time.now += PATIENCE
    for grant in (waiting, approved):
        expired = await problem(credentials, grant)
        assert isinstance(expired, DeviceExpired) and expired.extra == {"error": "expired_token"}
    with pytest.raises(NotFound):
        await settle(credentials, mary, waiting.user_code)


async def test_a_settled_code_is_settled(credentials: Credentials, mary: Principal, owner: Principal) -> None:
    grant = await credentials.devices.start(AWAY)
    await settle(credentials, mary, grant.user_code)
    other = await credentials.caller(await credentials.open(owner), owner.person)
    for who, approve in ((other, True), (mary, False)):
        with pytest.raises(NotFound):
            await settle(credentials, who, grant.user_code, approve=approve)
    assert (await credentials.claims((await poll(credentials, grant)).tokens)).person == mary.person


async def test_what_never_was_a_device_code_is_expired(credentials: Credentials) -> None:
    for code in ("x", "A" * 43, "'; --"):
        with pytest.raises(DeviceExpired):
            await credentials.devices.poll(code, AWAY)


async def test_codes_cannot_be_guessed(credentials: Credentials, mary: Principal, stranger: Principal) -> None:
    grant = await credentials.devices.start(AWAY)
    for _ in range(GUESSES.quota):
        with pytest.raises(NotFound):
            await settle(credentials, mary, "BBBB-BBBB")
    with pytest.raises(RateLimited):
        await settle(credentials, mary, grant.user_code)
    with pytest.raises(RateLimited):  # nor with the guesses of another organisation
        await settle(credentials, replace(mary, organisation=stranger.organisation), grant.user_code)
    assert credentials.leaves(mary, "device.approved") == ["failed"] * GUESSES.quota


async def test_who_asks_is_shown_to_whoever_may_approve(credentials: Credentials, mary: Principal) -> None:
    grant = await credentials.devices.start(AWAY)
    for spelled in (grant.user_code, grant.user_code.lower().replace("-", " ")):
        shown = await credentials.devices.look(mary, spelled)
        assert (shown.user_agent, shown.network, shown.near) == (AWAY.user_agent, AWAY.network, False)
        assert (shown.created_at, shown.expires_at) == (credentials.directory.time(), shown.created_at + PATIENCE)
        assert set(shown.scopes) == mary.scopes
    assert (await credentials.devices.look(replace(mary, network=AWAY.network), grant.user_code)).near
    assert isinstance(await problem(credentials, grant), DevicePending), "looking lets nobody in"
    unknown = await credentials.devices.start(Origin())
    shown = await credentials.devices.look(mary, unknown.user_code)
    assert (shown.user_agent, shown.network, shown.near) == (None, None, False), "two unknown places are not the same"


async def test_what_no_longer_waits_is_not_shown(credentials: Credentials, mary: Principal) -> None:
    settled, late = await credentials.devices.start(AWAY), await credentials.devices.start(AWAY)
    await settle(credentials, mary, settled.user_code)
    with pytest.raises(NotFound):
        await credentials.devices.look(mary, settled.user_code)
    credentials.directory.time.now += PATIENCE
    with pytest.raises(NotFound):
        await credentials.devices.look(mary, late.user_code)
    with pytest.raises(NotAllowed):
        await credentials.devices.look(with_scopes(mary, "identity:write"), late.user_code)


async def test_looking_is_guessing_but_a_right_code_costs_nothing(credentials: Credentials, mary: Principal) -> None:
    for _ in range(GUESSES.quota + 1):
        grant = await credentials.devices.start(AWAY)
        await credentials.devices.look(mary, grant.user_code)
        await settle(credentials, mary, grant.user_code)
    for _ in range(GUESSES.quota):
        with pytest.raises(NotFound):
            await credentials.devices.look(mary, "BBBB-BBBB")
    waiting = await credentials.devices.start(AWAY)
    with pytest.raises(RateLimited):
        await credentials.devices.look(mary, waiting.user_code)
    with pytest.raises(RateLimited):
        await settle(credentials, mary, waiting.user_code)
    assert credentials.leaves(mary, "device.looked_at") == ["failed"] * GUESSES.quota


async def test_an_api_key_approves_nothing(credentials: Credentials, mary: Principal) -> None:
    grant = await credentials.devices.start(AWAY)
    with pytest.raises(NotAllowed):
        await settle(credentials, with_scopes(mary, "identity:write"), grant.user_code)
    assert isinstance(await problem(credentials, grant), DevicePending)


async def test_a_device_is_as_fresh_as_whoever_approved_it(credentials: Credentials, mary: Principal) -> None:
    proved_at = credentials.directory.time()
    credentials.directory.time.forward(hours=3)
    grant = await credentials.devices.start(AWAY)
    await settle(credentials, mary, grant.user_code)
    standing = await credentials.standing((await poll(credentials, grant)).tokens, mary.person)
    assert standing is not None and standing.authenticated_at == proved_at


async def test_a_person_removed_meanwhile_lets_no_device_in(
    credentials: Credentials, owner: Principal, mary: Principal
) -> None:
    grant = await credentials.devices.start(AWAY)
    await settle(credentials, mary, grant.user_code)
    await credentials.directory.members.remove(owner, owner.organisation, mary.person)
    with pytest.raises(NotAllowed):
        await poll(credentials, grant)


async def test_neither_code_is_kept(credentials: Credentials) -> None:
    grant = await credentials.devices.start(HOME)
    ((row,),) = credentials.directory.seen("SELECT d::text FROM identity.device d")
    assert grant.device_code not in row and grant.user_code not in row
    assert grant.user_code.replace("-", "") not in row


async def test_old_codes_are_forgotten(credentials: Credentials) -> None:
    await credentials.devices.start(AWAY)
    credentials.directory.time.now += PATIENCE + timedelta(hours=1, seconds=1)
    assert await credentials.identity.forget_expired() == 1
    assert credentials.directory.seen("SELECT count(*) FROM identity.device") == [(0,)]
