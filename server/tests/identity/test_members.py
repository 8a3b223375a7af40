"""Members: roles, the last owner, and what ends when somebody goes."""

from __future__ import annotations

import asyncio

import pytest

from devlore.problems import Conflict, Invalid, NotAllowed, NotFound
from devlore.types import MemberPatch, Role, TeamDraft, TeamMemberDraft
from devlore_server.kit.auth import Principal
from devlore_server.kit.db import system
from devlore_server.kit.ids import new_id

from .directory import Directory, Time, caller, with_scopes


async def roles(directory: Directory, who: Principal) -> dict[str, Role]:
    return {one.name: one.role for one in await directory.members.page(who, who.organisation, 50)}


async def change(directory: Directory, by: Principal, person: Principal, role: Role) -> None:
    await directory.members.change(by, by.organisation, person.person, MemberPatch(role=role))


async def test_a_role_changes_at_once_and_once(directory: Directory, admin: Principal, member: Principal) -> None:
    before = await directory.mark(member)
    await change(directory, admin, member, "admin")
    assert await directory.mark(member) != before
    assert await roles(directory, admin) == {"Owner of Acme": "owner", "Alan": "admin", "Mary": "admin"}
    await change(directory, admin, member, "admin")
    assert directory.trail(admin.organisation) == ["member.role_changed"]
    (context,) = directory.seen("SELECT context FROM audit.leaf WHERE action = 'member.role_changed'")
    assert (context[0]["from"], context[0]["to"]) == ("member", "admin")


async def test_only_owners_give_or_take_the_role_of_an_owner(
    directory: Directory, owner: Principal, admin: Principal, member: Principal
) -> None:
    for person, role in ((member, "owner"), (admin, "owner"), (owner, "admin")):
        with pytest.raises(NotAllowed):
            await change(directory, admin, person, role)  # type: ignore[arg-type]
    with pytest.raises(NotAllowed):
        await directory.members.remove(admin, admin.organisation, owner.person)
    await change(directory, owner, member, "owner")
    await change(directory, owner, member, "viewer")
    assert (await roles(directory, owner))["Mary"] == "viewer"


async def test_the_last_owner_stays(directory: Directory, owner: Principal, admin: Principal) -> None:
    for role in ("admin", "member", "viewer"):
        with pytest.raises(Conflict):
            await change(directory, owner, owner, role)
    with pytest.raises(Conflict):
        await directory.members.remove(owner, owner.organisation, owner.person)
    await change(directory, owner, admin, "owner")
    await change(directory, owner, owner, "member")
    assert await roles(directory, owner) == {"Owner of Acme": "member", "Alan": "owner"}


async def test_two_owners_who_step_down_at_once_leave_one(directory: Directory, owner: Principal) -> None:
    for number in range(5):
        second = await directory.join(owner.organisation, "owner", f"Second {number}")
        done = await asyncio.gather(
            change(directory, owner, owner, "admin"),
            directory.members.remove(second, second.organisation, second.person),
            return_exceptions=True,
        )
        assert sorted(type(one).__name__ for one in done) == ["Conflict", "NoneType"]
        left = [name for name, role in (await roles(directory, owner)).items() if role == "owner"]
        assert len(left) == 1
        if left != ["Owner of Acme"]:
            await directory.members.change(second, second.organisation, owner.person, MemberPatch(role="owner"))
            await directory.members.remove(second, second.organisation, second.person)


async def test_two_owners_who_remove_each_other_leave_one(directory: Directory, owner: Principal) -> None:
    second = await directory.join(owner.organisation, "owner", "Second")
    done = await asyncio.gather(
        directory.members.remove(owner, owner.organisation, second.person),
        directory.members.remove(second, owner.organisation, owner.person),
        return_exceptions=True,
    )
    assert sorted(type(one).__name__ for one in done) == ["NoneType", "NotAllowed"]
    assert len(directory.seen("SELECT 1 FROM identity.membership WHERE role = 'owner'")) == 1


async def test_members_and_viewers_change_nobody_and_may_leave(
    directory: Directory, owner: Principal, member: Principal, viewer: Principal
) -> None:
    for who in (member, viewer):
        with pytest.raises(NotAllowed):
            await change(directory, who, who, "admin")
        for person in (owner.person, viewer.person if who is member else member.person, new_id()):
            with pytest.raises(NotAllowed):
                await directory.members.remove(who, who.organisation, person)
    with pytest.raises(NotAllowed):
        await directory.members.remove(with_scopes(member, "memories:read"), member.organisation, member.person)
    for who in (member, viewer):
        await directory.members.remove(who, who.organisation, who.person)
    assert await roles(directory, owner) == {"Owner of Acme": "owner"}
    contexts = directory.seen("SELECT context->>'left' FROM audit.leaf WHERE action = 'member.removed'")
    assert contexts == [("true",), ("true",)]


async def test_an_api_key_does_what_its_scopes_say_and_no_more(
    directory: Directory, admin: Principal, member: Principal
) -> None:
    with pytest.raises(NotAllowed):
        await change(directory, with_scopes(admin, "people:read", "identity:write"), member, "viewer")
    await change(directory, with_scopes(admin, "organisation:write"), member, "viewer")
    # A key made before its person was demoted says more than its person may.
    with pytest.raises(NotAllowed):
        await change(directory, with_scopes(member, "organisation:write"), admin, "viewer")
    assert (await roles(directory, admin))["Mary"] == "viewer"


async def test_a_service_account_becomes_no_owner(directory: Directory, owner: Principal) -> None:
    account = await directory.join(owner.organisation, "member", "CI", kind="service")
    with pytest.raises(Invalid):
        await change(directory, owner, account, "owner")


async def test_whoever_is_removed_loses_everything_at_once(
    directory: Directory, admin: Principal, member: Principal
) -> None:
    team = await directory.teams.create(admin, TeamDraft(name="Platform"))
    await directory.teams.put(admin, team.id, member.person, TeamMemberDraft())
    await _give_credentials(directory, member)
    before = await directory.mark(member)
    await directory.members.remove(admin, admin.organisation, member.person)
    assert await directory.mark(member) != before
    for table in ("membership", "team_member", "session", "api_key"):
        query = f"SELECT count(*) FROM identity.{table} WHERE person_id = %s"
        assert directory.seen(query, member.person) == [(0,)], table
    assert directory.seen("SELECT kind FROM identity.person WHERE id = %s", member.person) == [("human",)]
    with pytest.raises(NotFound):
        await directory.members.remove(admin, admin.organisation, member.person)
    assert directory.trail(admin.organisation, "member.removed") == ["member.removed"]
    assert directory.events(admin.organisation) == [("identity.member_removed", {})]


async def test_being_removed_here_ends_nothing_elsewhere(
    directory: Directory, admin: Principal, member: Principal, stranger: Principal
) -> None:
    there = await directory.join(stranger.organisation, "member", "Mary", person=member.person)
    await _give_credentials(directory, member)
    await _give_credentials(directory, there)
    await directory.members.remove(admin, admin.organisation, member.person)
    assert directory.seen("SELECT organisation_id FROM identity.session") == [(stranger.organisation,)]
    assert directory.seen("SELECT organisation_id FROM identity.api_key") == [(stranger.organisation,)]
    assert (await roles(directory, stranger))["Mary"] == "member"
    assert await directory.mark(there) == b""


async def test_members_come_in_pages_longest_there_first(
    directory: Directory, owner: Principal, stranger: Principal, time: Time
) -> None:
    expected = [owner.person]
    for number in range(5):
        time.forward(seconds=number % 2)
        expected.append((await directory.join(owner.organisation, "viewer", f"Number {number}")).person)
    found = await directory.members.page(owner, owner.organisation, 4)
    last = found[-1]
    found += await directory.members.page(owner, owner.organisation, 4, (last.joined_at, last.person_id))
    assert [one.person_id for one in found] == expected


async def test_another_organisations_members_are_as_absent_as_made_up_ones(
    directory: Directory, owner: Principal, member: Principal, stranger: Principal
) -> None:
    for organisation in (owner.organisation, new_id()):
        for attempt in (
            directory.members.page(stranger, organisation, 10),
            directory.members.change(stranger, organisation, member.person, MemberPatch(role="viewer")),
            directory.members.remove(stranger, organisation, member.person),
            directory.members.remove(stranger, organisation, stranger.person),
        ):
            with pytest.raises(NotFound):
                await attempt
    for person in (member.person, new_id()):
        for attempt in (
            directory.members.change(stranger, stranger.organisation, person, MemberPatch(role="viewer")),
            directory.members.remove(stranger, stranger.organisation, person),
        ):
            with pytest.raises(NotFound) as absent:
                await attempt
            assert absent.value.body() == NotFound().body()
    assert await roles(directory, owner) == {"Owner of Acme": "owner", "Mary": "member"}


async def test_row_level_security_alone_hides_other_organisations_people(
    directory: Directory, owner: Principal, member: Principal, stranger: Principal
) -> None:
    everything = "SELECT count(*) FROM identity."
    for who, people, memberships in (
        (stranger, 1, 1),
        (owner, 2, 2),
        (system(owner.organisation), 2, 2),
        (caller(new_id(), member.person, "owner"), 1, 1),
        (None, 0, 0),
    ):
        async with directory.database.transaction(who) as connection:
            seen = []
            for table in ("person", "membership"):
                cursor = await connection.execute((everything + table).encode())
                seen.append((await cursor.fetchone() or [None])[0])
        assert seen == [people, memberships], who


async def _give_credentials(directory: Directory, who: Principal) -> None:
    """A session and an API key, as rows."""
    async with directory.database.transaction(who) as connection:
        await connection.execute(
            "INSERT INTO identity.session (organisation_id, id, person_id, epoch, created_at, authenticated_at,"
            " last_seen_at, expires_at) VALUES (%s, %s, %s, 1, now(), now(), now(), now() + interval '1 day')",
            (who.organisation, new_id(), who.person),
        )
        await connection.execute(
            "INSERT INTO identity.api_key"
            " (organisation_id, id, person_id, key_id, digest, name, created_by, created_at)"
            " VALUES (%s, %s, %s, 'abc', sha256('x'), 'k', %s, now())",
            (who.organisation, new_id(), who.person, who.person),
        )
