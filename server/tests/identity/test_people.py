"""People of an organisation, service accounts, and one's own profile."""

from __future__ import annotations

import pytest

from devlore.problems import Conflict, Invalid, NotAllowed, NotFound
from devlore.types import OrganisationDraft, ProfilePatch, ServiceAccountDraft
from devlore_server.kit.auth import Principal
from devlore_server.kit.ids import new_id

from .directory import Directory, caller, with_scopes

DRAFT = ServiceAccountDraft(name="CI", role="admin")


async def test_a_service_account_is_a_member_without_an_address(directory: Directory, admin: Principal) -> None:
    made = await directory.people.create(admin, DRAFT)
    assert (made.kind, made.name, made.email, made.role) == ("service", "CI", None, "admin")
    assert await directory.people.get(admin, made.id) == made
    assert directory.trail(admin.organisation) == ["person.created"]


async def test_who_makes_and_removes_service_accounts(
    directory: Directory, admin: Principal, member: Principal, viewer: Principal
) -> None:
    made = await directory.people.create(admin, DRAFT)
    for who in (member, viewer, with_scopes(admin, "people:read")):
        with pytest.raises(NotAllowed):
            await directory.people.create(who, DRAFT)
        with pytest.raises(NotAllowed):
            await directory.people.remove(who, made.id)
    assert len(await directory.people.page(viewer, 10)) == 5


async def test_removing_a_service_account_erases_it_and_leaves_a_departure(
    directory: Directory, admin: Principal
) -> None:
    made = await directory.people.create(admin, DRAFT)
    account = caller(admin.organisation, made.id, "admin")
    before = await directory.mark(account)
    await directory.people.remove(admin, made.id)
    assert await directory.mark(account) != before
    assert directory.seen("SELECT 1 FROM identity.person WHERE id = %s", made.id) == []
    (departure,) = await directory.departures.page(admin, admin.organisation, True, 10)
    assert (departure.person_id, departure.name) == (made.id, "CI")
    with pytest.raises(NotFound):
        await directory.people.get(admin, made.id)
    with pytest.raises(NotFound):
        await directory.people.remove(admin, made.id)


async def test_a_human_is_nobodys_to_delete(directory: Directory, owner: Principal, member: Principal) -> None:
    with pytest.raises(Conflict):
        await directory.people.remove(owner, member.person)
    assert (await directory.people.get(owner, member.person)).name == "Mary"


async def test_row_level_security_alone_keeps_humans_and_other_organisations_accounts(
    directory: Directory, owner: Principal, member: Principal, stranger: Principal
) -> None:
    theirs = await directory.people.create(stranger, DRAFT)
    mine = await directory.people.create(owner, DRAFT)
    async with directory.database.transaction(owner) as connection:
        await connection.execute("UPDATE identity.person SET name = 'taken over'")
        await connection.execute("DELETE FROM identity.person WHERE id <> %s", (owner.person,))
    left = {id: name for id, name in directory.seen("SELECT id, name FROM identity.person")}  # noqa: C416
    assert left.keys() == {owner.person, member.person, stranger.person, theirs.id}
    assert mine.id not in left
    assert [id for id, name in left.items() if name == "taken over"] == [owner.person]


async def test_people_of_other_organisations_are_as_absent_as_made_up_ones(
    directory: Directory, owner: Principal, member: Principal, stranger: Principal
) -> None:
    account = await directory.people.create(owner, DRAFT)
    for id in (member.person, account.id, new_id()):
        for attempt in (directory.people.get(stranger, id), directory.people.remove(stranger, id)):
            with pytest.raises(NotFound) as absent:
                await attempt
            assert absent.value.body() == NotFound().body()
    assert [one.id for one in await directory.people.page(stranger, 10)] == [stranger.person]


async def test_people_come_in_pages(directory: Directory, owner: Principal) -> None:
    made = {(await directory.people.create(owner, ServiceAccountDraft(name=f"CI {n}"))).id for n in range(4)}
    found = await directory.people.page(owner, 3)
    found += await directory.people.page(owner, 3, found[-1].id)
    assert [one.id for one in found] == sorted({owner.person} | made)


async def test_who_am_i(directory: Directory, member: Principal, stranger: Principal) -> None:
    elsewhere = await directory.organisations.create(member, OrganisationDraft(name="Aside"))
    me = await directory.people.whoami(member)
    assert (me.person.id, me.person.name, me.role) == (member.person, "Mary", "member")
    assert (me.organisation.id, me.organisation.role) == (member.organisation, "member")
    assert me.scopes == sorted(member.scopes)
    assert [(one.organisation_name, one.role) for one in me.organisations] == [("Acme", "member"), ("Aside", "owner")]
    there = await directory.people.whoami(caller(elsewhere.id, member.person, "owner"))
    assert (there.organisation.name, there.role, there.organisations) == ("Aside", "owner", me.organisations)
    by_key = await directory.people.whoami(with_scopes(member, "identity:read"))
    assert by_key.scopes == ["identity:read"]


async def test_a_profile_is_its_persons_in_every_organisation(
    directory: Directory, owner: Principal, member: Principal, stranger: Principal
) -> None:
    await directory.join(stranger.organisation, "viewer", "Mary", person=member.person)
    edited = await directory.people.edit_own(member, ProfilePatch(name="Mary Kenneth"))
    assert edited.name == "Mary Kenneth"
    assert (await directory.people.get(stranger, member.person)).name == "Mary Kenneth"
    assert await directory.people.edit_own(member, ProfilePatch(name="Mary Kenneth")) == edited
    assert await directory.people.edit_own(member, ProfilePatch()) == edited
    with pytest.raises(Invalid):
        await directory.people.edit_own(member, ProfilePatch(name=None))
    assert directory.trail(member.organisation) == ["person.updated"]
    assert directory.trail(stranger.organisation) == []
