"""Refresh tokens: exchanged once, the same successor within the grace, and the end of the session after it."""

from __future__ import annotations

import asyncio

import pytest

from devlore.problems import Unauthenticated
from devlore.types import Tokens
from devlore_server.identity.refreshing import GRACE, Refreshing
from devlore_server.kit.auth import Principal
from devlore_server.kit.credentials import digest

from .credentials import AWAY, HOME, SECRET, Credentials


async def first(credentials: Credentials, who: Principal) -> Tokens:
    return (await credentials.open(who)).tokens


async def refresh(credentials: Credentials, tokens: Tokens) -> Tokens:
    assert tokens.refresh_token is not None
    return await credentials.refreshing.refresh(tokens.refresh_token, HOME)


async def test_a_refresh_gives_new_tokens_of_the_same_session(credentials: Credentials, member: Principal) -> None:
    before = await first(credentials, member)
    after = await refresh(credentials, before)
    assert after.session_id == before.session_id and after.refresh_token != before.refresh_token
    claims = await credentials.claims(after)
    assert (claims.person, claims.session) == (member.person, before.session_id)


async def test_a_line_of_refreshes_goes_on(credentials: Credentials, member: Principal) -> None:
    tokens = await first(credentials, member)
    seen = {tokens.refresh_token}
    for _ in range(20):
        credentials.directory.time.forward(minutes=10)
        tokens = await refresh(credentials, tokens)
        assert tokens.refresh_token not in seen
        seen.add(tokens.refresh_token)
    assert await credentials.standing(tokens, member.person) is not None


async def test_thirty_two_at_once_get_the_same_successor_and_nobody_is_logged_out(
    credentials: Credentials, member: Principal
) -> None:
    before = await first(credentials, member)
    answers = await asyncio.gather(*(refresh(credentials, before) for _ in range(32)))
    assert len({one.refresh_token for one in answers}) == 1
    assert all([await credentials.claims(one) for one in answers])
    # and each of the 32 goes on with what it got
    again = await asyncio.gather(*(refresh(credentials, one) for one in answers))
    assert len({one.refresh_token for one in again}) == 1
    assert await credentials.standing(again[0], member.person) is not None
    assert credentials.leaves(member, "session.token_reused") == []


async def test_two_processes_derive_the_same_successor(credentials: Credentials, member: Principal) -> None:
    before = await first(credentials, member)
    directory = credentials.directory
    other = Refreshing(directory.database, credentials.signing, directory.revocations, SECRET, directory.time)
    assert before.refresh_token is not None
    one, two = await asyncio.gather(
        refresh(credentials, before), other.refresh(before.refresh_token, HOME), return_exceptions=False
    )
    assert one.refresh_token == two.refresh_token


async def test_a_lost_answer_can_be_asked_for_again_within_the_grace(
    credentials: Credentials, member: Principal
) -> None:
    before = await first(credentials, member)
    lost = await refresh(credentials, before)
    credentials.directory.time.now += GRACE
    assert (await refresh(credentials, before)).refresh_token == lost.refresh_token


async def test_whoever_is_late_within_the_grace_gets_where_the_line_is_now(
    credentials: Credentials, member: Principal
) -> None:
    """The successor of their token was exchanged, too: it would end the session the next time."""
    before = await first(credentials, member)
    now = await refresh(credentials, await refresh(credentials, before))
    late = await refresh(credentials, before)
    assert late.refresh_token == now.refresh_token
    credentials.directory.time.forward(minutes=10)
    assert (await refresh(credentials, late)).session_id == before.session_id


async def test_reuse_after_the_grace_ends_the_session_for_both(credentials: Credentials, member: Principal) -> None:
    stolen = await first(credentials, member)
    going_on = await refresh(credentials, stolen)
    other = await first(credentials, member)
    mark = await credentials.directory.mark(member)
    credentials.directory.time.now += GRACE
    credentials.directory.time.forward(milliseconds=1)
    with pytest.raises(Unauthenticated, match="was used before"):
        await refresh(credentials, stolen)
    assert await credentials.standing(going_on, member.person) is None
    with pytest.raises(Unauthenticated):
        await refresh(credentials, going_on)
    assert credentials.leaves(member, "session.token_reused") == ["refused"]
    assert await credentials.directory.mark(member) != mark
    # the person's other sessions are another family
    assert (await refresh(credentials, other)).session_id == other.session_id


async def test_reuse_by_many_at_once_ends_it_once(credentials: Credentials, member: Principal) -> None:
    stolen = await first(credentials, member)
    await refresh(credentials, stolen)
    credentials.directory.time.forward(minutes=1)
    answers = await asyncio.gather(*(refresh(credentials, stolen) for _ in range(8)), return_exceptions=True)
    assert all(isinstance(one, Unauthenticated) for one in answers)
    ((ended,),) = credentials.directory.seen("SELECT count(*) FROM identity.session WHERE revoked_at IS NOT NULL")
    assert ended == 1


@pytest.mark.parametrize("token", ["x", "A" * 43, "\ud800" * 4, "'; DROP TABLE identity.refresh; --"])
async def test_what_never_was_a_token_is_refused(credentials: Credentials, token: str) -> None:
    with pytest.raises(Unauthenticated):
        await credentials.refreshing.refresh(token, HOME)


async def test_an_access_token_is_no_refresh_token(credentials: Credentials, member: Principal) -> None:
    tokens = await first(credentials, member)
    assert tokens.access_token is not None
    with pytest.raises(Unauthenticated):
        await credentials.refreshing.refresh(tokens.access_token, HOME)


async def test_a_browser_session_has_nothing_to_refresh_with(credentials: Credentials, member: Principal) -> None:
    opened = await credentials.open(member, cookie=True)
    assert opened.cookie is not None
    with pytest.raises(Unauthenticated):
        await credentials.refreshing.refresh(opened.cookie, HOME)


async def test_an_ended_session_is_not_refreshed(credentials: Credentials, owner: Principal, member: Principal) -> None:
    revoked, removed = await first(credentials, owner), await first(credentials, member)
    who = await credentials.caller(await credentials.open(owner), owner.person)
    await credentials.sessions.revoke(who, revoked.session_id)
    await credentials.directory.members.remove(owner, owner.organisation, member.person)
    for tokens in (revoked, removed):
        with pytest.raises(Unauthenticated):
            await refresh(credentials, tokens)


async def test_a_session_nobody_refreshed_for_a_month_is_over(credentials: Credentials, member: Principal) -> None:
    tokens = await first(credentials, member)
    credentials.directory.time.forward(days=29)
    tokens = await refresh(credentials, tokens)
    credentials.directory.time.forward(days=31)
    with pytest.raises(Unauthenticated):
        await refresh(credentials, tokens)


async def test_a_refresh_notes_when_and_from_where(credentials: Credentials, member: Principal) -> None:
    tokens = await first(credentials, member)
    credentials.directory.time.forward(minutes=9)
    assert tokens.refresh_token is not None
    await credentials.refreshing.refresh(tokens.refresh_token, AWAY)
    noted = credentials.directory.seen("SELECT last_seen_at, network FROM identity.session")
    assert noted == [(credentials.directory.time(), AWAY.network)]


async def test_neither_a_token_nor_its_successor_is_stored(credentials: Credentials, member: Principal) -> None:
    before = await first(credentials, member)
    after = await refresh(credentials, before)
    kept = {bytes(one) for (one,) in credentials.directory.seen("SELECT digest FROM identity.refresh")}
    assert before.refresh_token is not None and after.refresh_token is not None
    assert kept == {digest(before.refresh_token), digest(after.refresh_token)}


async def test_under_row_level_security_a_family_is_its_persons_alone(
    credentials: Credentials, member: Principal, viewer: Principal, stranger: Principal
) -> None:
    await first(credentials, member)
    for who, expected in ((member, 1), (viewer, 0), (stranger, 0)):
        async with credentials.directory.database.transaction(who) as connection:
            cursor = await connection.execute(
                "SELECT (SELECT count(*) FROM identity.session), (SELECT count(*) FROM identity.refresh)"
            )
            assert await cursor.fetchone() == (expected, expected)
