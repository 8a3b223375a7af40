"""Teams: names, members, and maintainers who look after their own."""

from __future__ import annotations

import asyncio

import pytest

from devlore.problems import Conflict, Invalid, NotAllowed, NotFound, VersionMismatch
from devlore.types import Team, TeamDraft, TeamMemberDraft, TeamPatch
from devlore_server.kit.auth import Principal
from devlore_server.kit.ids import new_id

from .directory import Directory, with_scopes

MEMBER, MAINTAINER = TeamMemberDraft(), TeamMemberDraft(role="maintainer")


@pytest.fixture
async def platform(directory: Directory, admin: Principal) -> Team:
    return await directory.teams.create(admin, TeamDraft(name="Platform"))


async def test_making_renaming_and_dissolving(
    directory: Directory, admin: Principal, viewer: Principal, platform: Team
) -> None:
    assert (platform.members, platform.version) == (0, 1)
    renamed = await directory.teams.edit(admin, platform.id, TeamPatch(name="Ground"), frozenset({1}))
    assert (renamed.name, renamed.version) == ("Ground", 2)
    with pytest.raises(VersionMismatch):
        await directory.teams.edit(admin, platform.id, TeamPatch(name="Late"), frozenset({1}))
    with pytest.raises(Invalid):
        await directory.teams.edit(admin, platform.id, TeamPatch(name=None), None)
    assert await directory.teams.edit(admin, platform.id, TeamPatch(name="Ground"), None) == renamed
    await directory.teams.put(admin, platform.id, viewer.person, MEMBER)
    before = await directory.mark(viewer)
    await directory.teams.delete(admin, platform.id)
    assert await directory.mark(viewer) != before
    with pytest.raises(NotFound):
        await directory.teams.get(viewer, platform.id)
    assert directory.seen("SELECT count(*) FROM identity.team_member") == [(0,)]
    assert directory.trail(admin.organisation) == [
        "team.created",
        "team.updated",
        "team.member_added",
        "team.deleted",
    ]


async def test_names_differ_within_an_organisation_only(
    directory: Directory, admin: Principal, stranger: Principal, platform: Team
) -> None:
    with pytest.raises(Conflict):
        await directory.teams.create(admin, TeamDraft(name="PLATFORM"))
    web = await directory.teams.create(admin, TeamDraft(name="Web"))
    with pytest.raises(Conflict):
        await directory.teams.edit(admin, web.id, TeamPatch(name="platform"), None)
    assert (await directory.teams.create(stranger, TeamDraft(name="Platform"))).id != platform.id
    done = await asyncio.gather(
        *[directory.teams.create(admin, TeamDraft(name="Twice")) for _ in range(4)], return_exceptions=True
    )
    assert sorted(type(one).__name__ for one in done) == ["Conflict"] * 3 + ["Team"]


async def test_who_may_make_and_dissolve_teams(
    directory: Directory, admin: Principal, member: Principal, viewer: Principal, platform: Team
) -> None:
    await directory.teams.put(admin, platform.id, member.person, MAINTAINER)
    for who in (member, viewer, with_scopes(admin, "people:read", "identity:write")):
        for attempt in (
            directory.teams.create(who, TeamDraft(name="Mine")),
            directory.teams.edit(who, platform.id, TeamPatch(name="Mine"), None),
            directory.teams.delete(who, platform.id),
        ):
            with pytest.raises(NotAllowed):
                await attempt
    assert [one.name for one in await directory.teams.page(viewer, 10)] == ["Platform"]


async def test_a_maintainer_looks_after_their_own_team_only(
    directory: Directory, admin: Principal, member: Principal, viewer: Principal, platform: Team
) -> None:
    web = await directory.teams.create(admin, TeamDraft(name="Web"))
    await directory.teams.put(admin, platform.id, member.person, MAINTAINER)
    put = await directory.teams.put(member, platform.id, viewer.person, MEMBER)
    assert (put.person_id, put.name, put.role) == (viewer.person, "Vera", "member")
    for who, team in ((member, web.id), (viewer, platform.id), (viewer, web.id)):
        with pytest.raises(NotAllowed):
            await directory.teams.put(who, team, viewer.person, MAINTAINER)
    with pytest.raises(NotAllowed):
        await directory.teams.put(with_scopes(member, "people:read"), platform.id, viewer.person, MAINTAINER)
    with pytest.raises(NotAllowed):
        await directory.teams.remove(viewer, platform.id, member.person)
    await directory.teams.remove(member, platform.id, viewer.person)
    await directory.teams.remove(member, platform.id, member.person)
    with pytest.raises(NotAllowed):
        await directory.teams.put(member, platform.id, viewer.person, MEMBER)
    assert await directory.teams.members(viewer, platform.id, 10) == []


async def test_the_role_in_a_team_changes_once(
    directory: Directory, admin: Principal, member: Principal, platform: Team
) -> None:
    for draft in (MEMBER, MEMBER, MAINTAINER, MAINTAINER):
        before = await directory.mark(member)
        assert (await directory.teams.put(admin, platform.id, member.person, draft)).role == draft.role
        assert await directory.mark(member) != before
    assert (await directory.teams.get(admin, platform.id)).members == 1
    assert directory.trail(admin.organisation)[1:] == ["team.member_added", "team.member_role_changed"]


async def test_everybody_may_leave(directory: Directory, admin: Principal, viewer: Principal, platform: Team) -> None:
    await directory.teams.put(admin, platform.id, viewer.person, MEMBER)
    before = await directory.mark(viewer)
    await directory.teams.remove(viewer, platform.id, viewer.person)
    assert await directory.mark(viewer) != before
    with pytest.raises(NotFound):
        await directory.teams.remove(viewer, platform.id, viewer.person)
    assert directory.trail(admin.organisation)[-1] == "team.member_removed"


async def test_only_members_of_the_organisation_get_into_its_teams(
    directory: Directory, admin: Principal, stranger: Principal, platform: Team
) -> None:
    gone = await directory.join(admin.organisation, "member", "Gone")
    await directory.members.remove(admin, admin.organisation, gone.person)
    for person in (stranger.person, gone.person, new_id()):
        for attempt in (
            directory.teams.put(admin, platform.id, person, MEMBER),
            directory.teams.remove(admin, platform.id, person),
        ):
            with pytest.raises(NotFound) as absent:
                await attempt
            assert absent.value.body() == NotFound().body()


async def test_another_organisations_team_is_as_absent_as_a_made_up_one(
    directory: Directory, stranger: Principal, platform: Team
) -> None:
    for id in (platform.id, new_id()):
        for attempt in (
            directory.teams.get(stranger, id),
            directory.teams.edit(stranger, id, TeamPatch(name="Mine"), None),
            directory.teams.delete(stranger, id),
            directory.teams.members(stranger, id, 10),
            directory.teams.put(stranger, id, stranger.person, MEMBER),
            directory.teams.remove(stranger, id, stranger.person),
        ):
            with pytest.raises(NotFound) as absent:
                await attempt
            assert absent.value.body() == NotFound().body()
    assert await directory.teams.page(stranger, 10) == []


async def test_teams_and_their_members_come_in_pages(directory: Directory, admin: Principal, platform: Team) -> None:
    for name in ("web", "Apps", "mobile", "Zoo"):
        await directory.teams.create(admin, TeamDraft(name=name))
    first = await directory.teams.page(admin, 2)
    rest = await directory.teams.page(admin, 10, (first[-1].name, first[-1].id))
    assert [one.name for one in first + rest] == ["Apps", "mobile", "Platform", "web", "Zoo"]
    people = []
    for number in range(5):
        people.append((await directory.join(admin.organisation, "viewer", f"Number {number}")).person)
        await directory.teams.put(admin, platform.id, people[-1], MEMBER)
    found = await directory.teams.members(admin, platform.id, 3)
    found += await directory.teams.members(admin, platform.id, 3, found[-1].person_id)
    assert [one.person_id for one in found] == sorted(people)


async def test_a_member_who_is_removed_while_being_taken_in_is_in_no_team(
    directory: Directory, admin: Principal, platform: Team
) -> None:
    for number in range(5):
        leaver = await directory.join(admin.organisation, "member", f"Leaver {number}")
        await asyncio.gather(
            directory.members.remove(admin, admin.organisation, leaver.person),
            directory.teams.put(admin, platform.id, leaver.person, MEMBER),
            return_exceptions=True,
        )
    assert await directory.teams.members(admin, platform.id, 10) == []
    assert directory.seen("SELECT count(*) FROM identity.team_member") == [(0,)]
