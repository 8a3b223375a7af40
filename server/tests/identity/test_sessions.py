"""Sessions: begun, told apart, listed, switched, stepped up, ended; and what they are good for at each moment."""

from __future__ import annotations

import asyncio
from datetime import timedelta
from uuid import UUID, uuid4

import pytest

from devlore.problems import Conflict, NotAllowed, NotFound, SignInFailed, Unauthenticated
from devlore.types import InvitationDraft, MemberPatch, StepUp
from devlore_server.identity.roles import scopes_of
from devlore_server.identity.service import NOTED
from devlore_server.identity.store import sessions
from devlore_server.kit.auth import Principal
from devlore_server.kit.credentials import digest

from .credentials import AWAY, HOME, PASSWORD, Credentials
from .directory import with_scopes

# What a session is good for


async def test_a_session_stands_for_its_person_as_they_are_now(credentials: Credentials, member: Principal) -> None:
    opened = await credentials.open(member)
    standing = await credentials.standing(opened.tokens, member.person)
    assert standing is not None
    assert (standing.organisation, standing.person) == (member.organisation, member.person)
    assert standing.role == "member" and standing.scopes == scopes_of("member")
    assert standing.session == str(opened.tokens.session_id) and standing.key is None
    assert standing.authenticated_at == credentials.directory.time()


async def test_a_session_follows_a_change_of_role_and_teams(
    credentials: Credentials, owner: Principal, member: Principal
) -> None:
    opened = await credentials.open(member)
    directory = credentials.directory
    await directory.members.change(owner, owner.organisation, member.person, MemberPatch(role="viewer"))
    standing = await credentials.standing(opened.tokens, member.person)
    assert standing is not None and standing.role == "viewer" and standing.scopes == scopes_of("viewer")


async def test_a_session_is_nobody_elses(credentials: Credentials, member: Principal, stranger: Principal) -> None:
    opened = await credentials.open(member)
    session = credentials.identity.session
    sid, person, organisation = opened.tokens.session_id, member.person, member.organisation
    assert await session(sid, person, organisation) is not None
    assert await session(sid, stranger.person, organisation) is None
    assert await session(sid, person, stranger.organisation) is None
    assert await session(uuid4(), person, organisation) is None


async def test_a_session_ends_with_the_membership_and_stays_ended(
    credentials: Credentials, owner: Principal, member: Principal
) -> None:
    browser, tokens = await credentials.open(member, cookie=True), (await credentials.open(member)).tokens
    directory = credentials.directory
    await directory.members.remove(owner, owner.organisation, member.person)
    assert browser.cookie is not None
    assert await credentials.identity.cookie(digest(browser.cookie)) is None
    assert await credentials.standing(tokens, member.person) is None
    await directory.join(owner.organisation, "member", "Mary", person=member.person)
    assert await credentials.standing(tokens, member.person) is None


async def test_a_session_ends_when_its_person_is_disabled_or_moves_to_a_new_epoch(
    credentials: Credentials, member: Principal, viewer: Principal
) -> None:
    one, two = (await credentials.open(member)).tokens, (await credentials.open(viewer)).tokens
    seen = credentials.directory.seen
    seen("UPDATE identity.person SET disabled_at = now() WHERE id = %s RETURNING 1", member.person)
    seen("UPDATE identity.person SET epoch = epoch + 1 WHERE id = %s RETURNING 1", viewer.person)
    assert await credentials.standing(one, member.person) is None
    assert await credentials.standing(two, viewer.person) is None


async def test_while_an_organisation_is_being_deleted_only_its_owners_come_in(
    credentials: Credentials, owner: Principal, admin: Principal
) -> None:
    tokens = {who: (await credentials.open(who)).tokens for who in (owner, admin)}
    await credentials.directory.organisations.delete(owner, owner.organisation)
    assert await credentials.standing(tokens[owner], owner.person) is not None
    assert await credentials.standing(tokens[admin], admin.person) is None
    with pytest.raises(NotAllowed):
        await credentials.open(admin)
    await credentials.directory.organisations.restore(owner, owner.organisation)
    assert await credentials.standing(tokens[admin], admin.person) is not None


async def test_a_session_that_nobody_uses_ends_after_a_month(credentials: Credentials, member: Principal) -> None:
    opened, time = await credentials.open(member, cookie=True), credentials.directory.time
    assert opened.cookie is not None
    time.forward(days=29)
    assert await credentials.identity.cookie(digest(opened.cookie)) is not None  # and is used by this
    time.forward(days=29)
    assert await credentials.identity.cookie(digest(opened.cookie)) is not None
    time.forward(days=31)
    assert await credentials.identity.cookie(digest(opened.cookie)) is None


async def test_no_session_outlives_ninety_days(credentials: Credentials, member: Principal) -> None:
    opened, time = await credentials.open(member, cookie=True), credentials.directory.time
    assert opened.cookie is not None
    for _ in range(4):
        time.forward(days=22)
        assert await credentials.identity.cookie(digest(opened.cookie)) is not None
    time.forward(days=3)
    assert await credentials.identity.cookie(digest(opened.cookie)) is None


async def test_the_secret_of_a_cookie_is_kept_as_a_digest_only(credentials: Credentials, member: Principal) -> None:
    opened = await credentials.open(member, cookie=True)
    assert opened.cookie is not None and opened.tokens.access_token is None and opened.tokens.refresh_token is None
    ((kept,),) = credentials.directory.seen("SELECT cookie FROM identity.session")
    assert kept == digest(opened.cookie)
    ((row,),) = credentials.directory.seen("SELECT s::text FROM identity.session s")
    assert opened.cookie not in row
    assert await credentials.identity.cookie(digest(opened.cookie + "x")) is None


async def test_use_of_a_cookie_is_noted_once_a_minute(credentials: Credentials, member: Principal) -> None:
    opened, time = await credentials.open(member, cookie=True), credentials.directory.time
    assert opened.cookie is not None
    time.now += NOTED - timedelta(seconds=1)
    await credentials.identity.cookie(digest(opened.cookie))
    begun = time() - NOTED + timedelta(seconds=1)
    assert credentials.directory.seen("SELECT last_seen_at FROM identity.session") == [(begun,)]
    time.forward(seconds=1)
    await credentials.identity.cookie(digest(opened.cookie))
    assert credentials.directory.seen("SELECT last_seen_at FROM identity.session") == [(time(),)]


# Signing in


async def test_signing_in_with_a_password_opens_a_session_and_is_audited(
    credentials: Credentials, member: Principal
) -> None:
    email = await credentials.set_password(member)
    opened = await credentials.sign_in(email)
    assert (await credentials.claims(opened.tokens)).person == member.person
    assert credentials.leaves(member, "session.started") == ["ok"]


async def test_without_an_organisation_it_is_the_one_used_last(
    credentials: Credentials, member: Principal, stranger: Principal
) -> None:
    email = await credentials.set_password(member)
    elsewhere = await credentials.directory.join(stranger.organisation, "viewer", "Mary", person=member.person)
    assert (await credentials.sign_in(email)).tokens.organisation_id == member.organisation
    credentials.directory.time.forward(minutes=1)
    await credentials.sign_in(email, organisation=elsewhere.organisation)
    credentials.directory.time.forward(minutes=1)
    assert (await credentials.sign_in(email)).tokens.organisation_id == elsewhere.organisation


async def test_an_organisation_of_others_and_one_that_is_not_are_the_same(
    credentials: Credentials, member: Principal, stranger: Principal
) -> None:
    email = await credentials.set_password(member)
    said = []
    for organisation in (stranger.organisation, uuid4()):
        with pytest.raises(NotAllowed) as refused:
            await credentials.sign_in(email, organisation=organisation)
        said.append(refused.value.body())
    assert said[0] == said[1]


async def test_who_belongs_nowhere_is_told_so_only_after_the_proof(credentials: Credentials, owner: Principal) -> None:
    leaver = await credentials.directory.join(owner.organisation, "member", "Lea")
    email = await credentials.set_password(leaver)
    await credentials.directory.members.remove(owner, owner.organisation, leaver.person)
    with pytest.raises(SignInFailed):
        await credentials.sign_in(email, "not the password at all")
    with pytest.raises(NotAllowed, match="invitation"):
        await credentials.sign_in(email)


async def test_an_invitation_is_accepted_on_the_way_in(
    credentials: Credentials, owner: Principal, stranger: Principal
) -> None:
    leaver = await credentials.directory.join(owner.organisation, "member", "Lea")
    email = await credentials.set_password(leaver)
    await credentials.directory.members.remove(owner, owner.organisation, leaver.person)
    invitations = credentials.directory.invitations
    made = await invitations.create(stranger, stranger.organisation, InvitationDraft(role="viewer"))
    opened = await credentials.sign_in(email, invitation=made.token)
    assert opened.tokens.organisation_id == stranger.organisation
    standing = await credentials.standing(opened.tokens, leaver.person)
    assert standing is not None and standing.role == "viewer"
    with pytest.raises(NotFound):
        await credentials.sign_in(email, invitation=made.token)


async def test_a_person_removed_while_they_sign_in_gets_no_session(
    credentials: Credentials, owner: Principal, member: Principal
) -> None:
    """The membership is looked at in the transaction that writes the session."""
    directory = credentials.directory
    async with directory.database.transaction(member) as connection:
        directory.seen("DELETE FROM identity.membership WHERE person_id = %s RETURNING 1", member.person)
        with pytest.raises(NotAllowed):
            await credentials.sessions.begin(
                connection, member, HOME, cookie=False, authenticated_at=directory.time(), by="test"
            )
    assert directory.seen("SELECT count(*) FROM identity.session") == [(0,)]


# Listing and ending


async def test_ones_sessions_are_listed_wherever_they_are_and_nobody_elses(
    credentials: Credentials, member: Principal, viewer: Principal, stranger: Principal
) -> None:
    elsewhere = await credentials.directory.join(stranger.organisation, "viewer", "Mary", person=member.person)
    mine = [await credentials.open(member), await credentials.open(elsewhere, origin=AWAY)]
    await credentials.open(viewer)
    who = await credentials.caller(mine[0], member.person)
    found = await credentials.sessions.page(who, 10)
    assert [one.id for one in found] == [one.tokens.session_id for one in reversed(mine)]
    assert [one.current for one in found] == [False, True]
    assert [one.organisation_id for one in found] == [stranger.organisation, member.organisation]
    assert [one.network for one in found] == [AWAY.network, HOME.network] and found[0].user_agent == "tests/1.0"


async def test_the_list_goes_on_behind_a_session(credentials: Credentials, member: Principal) -> None:
    opened = [await credentials.open(member) for _ in range(5)]
    who = await credentials.caller(opened[0], member.person)
    first = await credentials.sessions.page(who, 2)
    rest = await credentials.sessions.page(who, 10, first[-1].id)
    assert [one.id for one in [*first, *rest]] == [one.tokens.session_id for one in reversed(opened)]


async def test_ending_a_session_leaves_the_others(credentials: Credentials, member: Principal) -> None:
    kept, ended = await credentials.open(member), await credentials.open(member)
    who = await credentials.caller(kept, member.person)
    before = await credentials.directory.mark(who)
    await credentials.sessions.revoke(who, ended.tokens.session_id)
    assert await credentials.standing(ended.tokens, member.person) is None
    assert await credentials.standing(kept.tokens, member.person) is not None
    assert await credentials.directory.mark(who) != before
    assert len(await credentials.sessions.page(who, 10)) == 1
    with pytest.raises(NotFound):
        await credentials.sessions.revoke(who, ended.tokens.session_id)
    assert credentials.leaves(member, "session.revoked") == ["ok"]


async def test_a_session_of_another_organisation_can_be_ended_from_here(
    credentials: Credentials, member: Principal, stranger: Principal
) -> None:
    elsewhere = await credentials.directory.join(stranger.organisation, "viewer", "Mary", person=member.person)
    here, there = await credentials.open(member), await credentials.open(elsewhere)
    who = await credentials.caller(here, member.person)
    await credentials.sessions.revoke(who, there.tokens.session_id)
    assert await credentials.standing(there.tokens, member.person) is None
    assert await credentials.directory.mark(elsewhere) != b""


async def test_nobody_ends_a_session_of_somebody_else(
    credentials: Credentials, owner: Principal, member: Principal
) -> None:
    theirs = await credentials.open(member)
    who = await credentials.caller(await credentials.open(owner), owner.person)
    said = []
    for id in (theirs.tokens.session_id, uuid4()):
        with pytest.raises(NotFound) as refused:
            await credentials.sessions.revoke(who, id)
        said.append(refused.value.body())
    assert said[0] == said[1]
    assert await credentials.standing(theirs.tokens, member.person) is not None


async def test_all_others_can_be_ended_at_once(credentials: Credentials, member: Principal, viewer: Principal) -> None:
    kept, *ended = [await credentials.open(member) for _ in range(4)]
    other = await credentials.open(viewer)
    await credentials.sessions.revoke_others(await credentials.caller(kept, member.person))
    assert [await credentials.standing(one.tokens, member.person) for one in ended] == [None] * 3
    assert await credentials.standing(kept.tokens, member.person) is not None
    assert await credentials.standing(other.tokens, viewer.person) is not None
    assert credentials.leaves(member, "session.revoked") == ["ok"] * 3


async def test_an_api_key_neither_sees_nor_ends_sessions(credentials: Credentials, member: Principal) -> None:
    opened = await credentials.open(member)
    key = with_scopes(member, "identity:read", "identity:write")
    for attempt in (
        credentials.sessions.page(key, 10),
        credentials.sessions.revoke(key, opened.tokens.session_id),
        credentials.sessions.revoke_others(key),
        credentials.sessions.switch(key, member.organisation, HOME),
        credentials.signing_in.step_up(key, StepUp(password=PASSWORD)),
    ):
        with pytest.raises(NotAllowed):
            await attempt
    assert await credentials.standing(opened.tokens, member.person) is not None


# Switching and stepping up


@pytest.mark.parametrize("cookie", [False, True])
async def test_switching_makes_a_session_there_in_the_place_of_this_one(
    credentials: Credentials, member: Principal, stranger: Principal, cookie: bool
) -> None:
    elsewhere = await credentials.directory.join(stranger.organisation, "viewer", "Mary", person=member.person)
    opened = await credentials.open(member, cookie=cookie)
    proved_at = credentials.directory.time()
    credentials.directory.time.forward(hours=1)
    who = await credentials.caller(opened, member.person)
    there = await credentials.sessions.switch(who, elsewhere.organisation, HOME)
    assert (there.cookie is not None) == cookie
    assert await credentials.standing(opened.tokens, member.person) is None
    standing = await credentials.standing(there.tokens, member.person)
    assert standing is not None and standing.organisation == stranger.organisation and standing.role == "viewer"
    assert standing.authenticated_at == proved_at  # switching proves nothing
    assert credentials.leaves(member, "session.switched") == ["ok"]
    assert credentials.leaves(elsewhere, "session.started") == ["ok"]


async def test_a_session_that_is_ended_meanwhile_does_not_switch(
    credentials: Credentials, member: Principal, stranger: Principal
) -> None:
    """Whoever ends all other sessions ends those that are about to move to another organisation, too."""
    elsewhere = await credentials.directory.join(stranger.organisation, "viewer", "Mary", person=member.person)
    kept = await credentials.caller(await credentials.open(member), member.person)
    thief = await credentials.caller(await credentials.open(member), member.person)
    async with credentials.directory.database.transaction(kept) as connection:
        assert kept.session is not None
        at = credentials.directory.time()
        ended = await sessions.revoke_others(connection, kept.person, UUID(kept.session), at=at)
        switching = asyncio.create_task(credentials.sessions.switch(thief, elsewhere.organisation, HOME))
        await asyncio.sleep(0.3)
        assert not switching.done()
    assert [str(id) for _, id in ended] == [thief.session]
    with pytest.raises(Unauthenticated):
        await switching
    assert [str(one.id) for one in await credentials.sessions.page(kept, 10)] == [kept.session]


async def test_switching_to_where_one_does_not_belong_changes_nothing(
    credentials: Credentials, member: Principal, stranger: Principal
) -> None:
    opened = await credentials.open(member)
    who = await credentials.caller(opened, member.person)
    for organisation in (stranger.organisation, uuid4()):
        with pytest.raises(NotAllowed):
            await credentials.sessions.switch(who, organisation, HOME)
    assert await credentials.standing(opened.tokens, member.person) is not None


async def test_stepping_up_makes_the_session_fresh(credentials: Credentials, member: Principal) -> None:
    await credentials.set_password(member)
    opened = await credentials.open(member)
    other = await credentials.open(member)
    credentials.directory.time.forward(hours=1)
    who = await credentials.caller(opened, member.person, fresh=False)
    await credentials.signing_in.step_up(who, StepUp(password=PASSWORD))
    standing = await credentials.standing(opened.tokens, member.person)
    untouched = await credentials.standing(other.tokens, member.person)
    assert standing is not None and standing.authenticated_at == credentials.directory.time()
    assert untouched is not None and untouched.authenticated_at < standing.authenticated_at
    assert await credentials.directory.mark(who) != b""
    assert credentials.leaves(member, "session.stepped_up") == ["ok"]


async def test_a_wrong_password_does_not_step_up_and_is_audited(credentials: Credentials, member: Principal) -> None:
    await credentials.set_password(member)
    opened = await credentials.open(member)
    credentials.directory.time.forward(hours=1)
    who = await credentials.caller(opened, member.person, fresh=False)
    with pytest.raises(SignInFailed):
        await credentials.signing_in.step_up(who, StepUp(password="not the password at all"))
    standing = await credentials.standing(opened.tokens, member.person)
    assert standing is not None and standing.authenticated_at < credentials.directory.time()
    assert credentials.leaves(member, "session.stepped_up") == ["failed"]


# Upkeep


async def test_long_ended_sessions_are_forgotten_with_their_tokens(credentials: Credentials, member: Principal) -> None:
    await asyncio.gather(*(credentials.open(member) for _ in range(3)))
    credentials.directory.time.forward(days=59)
    kept = await credentials.open(member)
    assert await credentials.identity.forget_expired() == 0
    credentials.directory.time.forward(days=2)
    assert await credentials.identity.forget_expired() == 3
    assert credentials.directory.seen("SELECT id FROM identity.session") == [(kept.tokens.session_id,)]
    assert credentials.directory.seen("SELECT count(*) FROM identity.refresh") == [(1,)]


async def test_conflicts_are_not_swallowed(credentials: Credentials, owner: Principal, member: Principal) -> None:
    email = await credentials.set_password(member)
    made = await credentials.directory.invitations.create(owner, owner.organisation, InvitationDraft())
    with pytest.raises(Conflict):
        await credentials.sign_in(email, invitation=made.token)
