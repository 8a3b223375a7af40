"""Invitations: once, for a while, to one organisation and role, and to one address if there is one."""

from __future__ import annotations

import asyncio
from hashlib import sha256

import pytest

from devlore.problems import Conflict, Invalid, NotAllowed, NotFound, Problem
from devlore.types import InvitationCreated, InvitationDraft, MemberPatch, Role, TeamDraft
from devlore_server.kit.auth import Principal
from devlore_server.kit.ids import new_id

from .directory import Directory, Time, caller, with_scopes


async def invited(directory: Directory, by: Principal, **draft: object) -> InvitationCreated:
    return await directory.invitations.create(by, by.organisation, InvitationDraft.model_validate(draft))


async def guest(directory: Directory, name: str = "Grace") -> Principal:
    """Somebody with an account and a place elsewhere."""
    person = await directory.person(name)
    return caller(new_id(), person, "viewer")


async def address(directory: Directory, who: Principal) -> str:
    ((email,),) = directory.seen("SELECT email FROM identity.person WHERE id = %s", who.person)
    return str(email)


async def refused(directory: Directory, who: Principal, token: str) -> dict[str, object]:
    with pytest.raises(Problem) as problem:
        await directory.invitations.accept(who, token)
    return problem.value.body()


async def test_an_invitation_makes_a_member_with_its_role_and_teams(directory: Directory, admin: Principal) -> None:
    team = await directory.teams.create(admin, TeamDraft(name="Platform"))
    other_team = await directory.teams.create(admin, TeamDraft(name="Web"))
    made = await invited(directory, admin, role="viewer", teams=[team.id, other_team.id])
    assert made.link == f"https://devlore.test/invitation#{made.token}"
    assert (made.state, made.created_by) == ("pending", admin.person)
    assert (made.expires_at - made.created_at).days == 7
    await directory.teams.delete(admin, other_team.id)
    grace = await guest(directory)
    before = await directory.revocations.mark(admin.organisation, grace.person)
    joined = await directory.invitations.accept(grace, made.token)
    assert (joined.organisation_id, joined.organisation_name, joined.role) == (admin.organisation, "Acme", "viewer")
    assert await directory.revocations.mark(admin.organisation, grace.person) != before
    seen = await directory.members.page(admin, admin.organisation, 10)
    assert [(one.role, one.invited_by) for one in seen if one.person_id == grace.person] == [("viewer", admin.person)]
    assert [one.person_id for one in await directory.teams.members(admin, team.id, 10)] == [grace.person]
    (listed,) = await directory.invitations.page(admin, admin.organisation, 10)
    assert (listed.state, listed.accepted_by) == ("accepted", grace.person)
    assert directory.trail(admin.organisation)[-2:] == ["invitation.accepted", "member.added"]


async def test_the_secret_is_kept_as_a_digest_only(directory: Directory, admin: Principal) -> None:
    made = await invited(directory, admin)
    assert len(made.token) == 43, "256 bits"
    ((digest,),) = directory.seen("SELECT digest FROM identity.invitation")
    assert digest == sha256(made.token.encode()).digest()
    rows = directory.seen("SELECT i::text FROM identity.invitation i UNION ALL SELECT l::text FROM audit.leaf l")
    assert not [row for row in rows if made.token in str(row)]


async def test_of_those_who_take_one_link_at_once_one_becomes_a_member(directory: Directory, admin: Principal) -> None:
    made = await invited(directory, admin, role="admin")
    guests = [await guest(directory, f"Guest {number}") for number in range(8)]
    answers = await asyncio.gather(
        *[directory.invitations.accept(one, made.token) for one in guests], return_exceptions=True
    )
    won = [one for one in answers if not isinstance(one, BaseException)]
    assert len(won) == 1
    assert {type(one) for one in answers if isinstance(one, BaseException)} == {NotFound}
    assert len(await directory.members.page(admin, admin.organisation, 50)) == 3, "the owner, the admin, the winner"
    assert directory.trail(admin.organisation).count("member.added") == 1


async def test_one_person_with_two_links_at_once_takes_one(directory: Directory, admin: Principal) -> None:
    tokens = [(await invited(directory, admin, role=role)).token for role in ("viewer", "member")]
    grace = await guest(directory)
    answers = await asyncio.gather(
        *[directory.invitations.accept(grace, token) for token in tokens], return_exceptions=True
    )
    assert sorted(type(one).__name__ for one in answers) == ["Conflict", "Membership"]
    states = [one.state for one in await directory.invitations.page(admin, admin.organisation, 10)]
    assert sorted(states) == ["accepted", "pending"], "what could not be taken is not spent"


async def test_a_key_takes_no_invitation(directory: Directory, admin: Principal) -> None:
    made = await invited(directory, admin)
    grace = await guest(directory)
    with pytest.raises(NotAllowed):
        await directory.invitations.accept(with_scopes(grace, "memories:read"), made.token)
    assert (await directory.invitations.accept(grace, made.token)).organisation_id == admin.organisation


async def test_used_withdrawn_expired_and_made_up_are_the_same_answer(
    directory: Directory, admin: Principal, time: Time
) -> None:
    used, gone, late = [await invited(directory, admin, days=days) for days in (2, 2, 1)]
    await directory.invitations.accept(await guest(directory, "First"), used.token)
    await directory.invitations.revoke(admin, admin.organisation, gone.id)
    time.forward(days=1)
    grace = await guest(directory)
    answers = [await refused(directory, grace, token) for token in (used.token, gone.token, late.token, "x" * 43)]
    assert [one["status"] for one in answers] == [404] * 4
    assert answers[1:] == answers[:-1]
    for token in (used.token, gone.token, late.token, "x" * 43):
        for look in (directory.invitations.look, directory.invitations.pending):
            with pytest.raises(NotFound) as absent:
                await look(token)
            assert absent.value.body() == answers[0]
    states = [one.state for one in await directory.invitations.page(admin, admin.organisation, 10)]
    assert states == ["expired", "revoked", "accepted"], "newest first"


async def test_an_invitation_is_good_until_the_moment_it_expires(
    directory: Directory, admin: Principal, time: Time
) -> None:
    made = await invited(directory, admin, days=1)
    time.forward(hours=23, minutes=59)
    assert (await directory.invitations.look(made.token)).expires_at == made.expires_at
    assert (await directory.invitations.accept(await guest(directory), made.token)).role == "member"


async def test_an_invitation_for_an_address_is_for_its_person_only(directory: Directory, admin: Principal) -> None:
    grace, eve = await guest(directory), await guest(directory, "Eve")
    made = await invited(directory, admin, email=(await address(directory, grace)).upper())
    answer = await refused(directory, eve, made.token)
    assert answer["status"] == 403
    assert await address(directory, grace) not in str(answer)
    assert (await directory.invitations.look(made.token)).email == await address(directory, grace)
    assert (await directory.invitations.accept(grace, made.token)).role == "member", "a wrong try spends nothing"
    assert directory.trail(admin.organisation).count("member.added") == 1


async def test_a_member_and_a_service_account_take_no_invitation(
    directory: Directory, admin: Principal, member: Principal, stranger: Principal
) -> None:
    made = await invited(directory, admin, role="admin")
    assert (await refused(directory, member, made.token))["status"] == 409
    account = await directory.join(stranger.organisation, "admin", "Their CI", kind="service")
    assert (await refused(directory, account, made.token))["status"] == 403
    assert (await directory.invitations.look(made.token)).invited_by == "Alan", "it is still good"
    roles = {one.person_id: one.role for one in await directory.members.page(admin, admin.organisation, 10)}
    assert roles[member.person] == "member"


@pytest.mark.parametrize("role", ["viewer", "member", "admin", "owner"])
async def test_who_may_invite_whom(
    directory: Directory, owner: Principal, admin: Principal, member: Principal, viewer: Principal, role: Role
) -> None:
    for one in (member, viewer, with_scopes(owner, "organisation:read", "people:read")):
        with pytest.raises(NotAllowed):
            await invited(directory, one, role=role)
    assert (await invited(directory, owner, role=role)).role == role
    if role == "owner":
        with pytest.raises(NotAllowed):
            await invited(directory, admin, role=role)
    else:
        assert (await invited(directory, admin, role=role)).role == role


async def test_a_team_that_is_not_this_organisations_is_pointed_at(
    directory: Directory, admin: Principal, stranger: Principal
) -> None:
    mine = await directory.teams.create(admin, TeamDraft(name="Platform"))
    theirs = await directory.teams.create(stranger, TeamDraft(name="Platform"))
    answers = []
    for id in (theirs.id, new_id()):
        with pytest.raises(Invalid) as problem:
            await invited(directory, admin, teams=[mine.id, id])
        answers.append(problem.value.body())
    assert answers[0] == answers[1]
    assert answers[0]["errors"][0]["pointer"] == "/teams/1"


async def test_who_was_removed_or_demoted_leaves_no_way_back(
    directory: Directory, owner: Principal, admin: Principal
) -> None:
    second = await directory.join(owner.organisation, "owner", "Second")
    of_admin = await invited(directory, admin, role="admin")
    as_owner, as_admin = [await invited(directory, second, role=role) for role in ("owner", "admin")]
    await directory.members.change(owner, owner.organisation, second.person, MemberPatch(role="admin"))
    grace = await guest(directory)
    assert (await refused(directory, grace, as_owner.token))["status"] == 404
    assert (await directory.invitations.look(as_admin.token)).role == "admin", "what an admin may offer stays"
    await directory.members.remove(owner, owner.organisation, admin.person)
    assert (await refused(directory, grace, of_admin.token))["status"] == 404
    await directory.members.change(owner, owner.organisation, second.person, MemberPatch(role="member"))
    assert (await refused(directory, grace, as_admin.token))["status"] == 404
    assert directory.trail(owner.organisation).count("invitation.revoked") == 3


async def test_nobody_joins_an_organisation_that_waits_for_its_deletion(directory: Directory, owner: Principal) -> None:
    made = await invited(directory, owner)
    await directory.organisations.delete(owner, owner.organisation)
    with pytest.raises(Conflict):
        await invited(directory, owner)
    grace = await guest(directory)
    assert (await refused(directory, grace, made.token))["status"] == 404
    await directory.organisations.restore(owner, owner.organisation)
    assert (await directory.invitations.accept(grace, made.token)).role == "member"


async def test_withdrawing(directory: Directory, admin: Principal, member: Principal) -> None:
    made, used = await invited(directory, admin), await invited(directory, admin)
    with pytest.raises(NotAllowed):
        await directory.invitations.revoke(member, admin.organisation, made.id)
    for _ in range(2):
        await directory.invitations.revoke(admin, admin.organisation, made.id)
    await directory.invitations.accept(await guest(directory), used.token)
    with pytest.raises(Conflict):
        await directory.invitations.revoke(admin, admin.organisation, used.id)
    with pytest.raises(NotFound):
        await directory.invitations.revoke(admin, admin.organisation, new_id())
    assert directory.trail(admin.organisation).count("invitation.revoked") == 1


async def test_another_organisations_invitations_are_not_there(
    directory: Directory, admin: Principal, stranger: Principal
) -> None:
    made = await invited(directory, admin)
    for organisation in (admin.organisation, new_id()):
        for attempt in (
            directory.invitations.page(stranger, organisation, 10),
            directory.invitations.create(stranger, organisation, InvitationDraft()),
            directory.invitations.revoke(stranger, organisation, made.id),
        ):
            with pytest.raises(NotFound):
                await attempt
    with pytest.raises(NotFound):
        await directory.invitations.revoke(stranger, stranger.organisation, made.id)
    assert await directory.invitations.page(stranger, stranger.organisation, 10) == []
    assert (await directory.invitations.look(made.token)).role == "member"


async def test_pages_of_invitations(directory: Directory, admin: Principal) -> None:
    made = [(await invited(directory, admin)).id for _ in range(5)]
    first = await directory.invitations.page(admin, admin.organisation, 3)
    rest = await directory.invitations.page(admin, admin.organisation, 3, first[-1].id)
    assert [one.id for one in first + rest] == made[::-1]
