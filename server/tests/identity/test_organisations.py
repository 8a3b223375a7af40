"""Organisations: founded, renamed, and deleted so that it can be undone for thirty days."""

from __future__ import annotations

import asyncio

import pytest

from devlore.problems import Conflict, Invalid, NotAllowed, NotFound, VersionMismatch
from devlore.types import OrganisationDraft, OrganisationPatch
from devlore_server.identity.founding import found
from devlore_server.identity.jobs import keep_erasing
from devlore_server.identity.organisations import MOST
from devlore_server.kit.auth import Principal
from devlore_server.kit.db import Database
from devlore_server.kit.ids import new_id

from .directory import Directory, Time, caller, with_scopes

RENAMED = OrganisationPatch(name="Acme Labs")


async def test_a_founder_owns_what_they_found_and_belongs_to_both(directory: Directory, member: Principal) -> None:
    made = await directory.organisations.create(member, OrganisationDraft(name="  Side project "))
    assert (made.name, made.role, made.delete_after, made.version) == ("Side project", "owner", None, 1)
    places = await directory.organisations.page(member, 10)
    assert [(one.name, one.role) for one in places] == [("Acme", "member"), ("Side project", "owner")]
    assert directory.trail(made.id) == ["organisation.created"]
    assert directory.trail(member.organisation) == []
    # Another organisation of theirs is not there as long as they are in this one.
    with pytest.raises(NotFound):
        await directory.organisations.get(member, made.id)
    there = caller(made.id, member.person, "owner")
    assert (await directory.organisations.get(there, made.id)).name == "Side project"


async def test_a_service_account_founds_nothing(directory: Directory, owner: Principal) -> None:
    account = await directory.join(owner.organisation, "admin", "CI", kind="service")
    with pytest.raises(NotAllowed):
        await directory.organisations.create(account, OrganisationDraft(name="Skynet"))
    assert directory.seen("SELECT name FROM identity.organisation") == [("Acme",)]


async def test_nobody_founds_without_end(directory: Directory, member: Principal) -> None:
    """Each organisation has limits of its own: whoever founded any number would have none."""
    for number in range(MOST - 1):
        await directory.organisations.create(member, OrganisationDraft(name=f"Number {number}"))
    with pytest.raises(Conflict, match=str(MOST)):
        await directory.organisations.create(member, OrganisationDraft(name="One more"))


async def test_the_places_of_a_person_come_in_pages_without_those_of_others(
    directory: Directory, member: Principal, stranger: Principal
) -> None:
    for number in range(4):
        await directory.organisations.create(member, OrganisationDraft(name=f"Number {number}"))
    first = await directory.organisations.page(member, 3)
    rest = await directory.organisations.page(member, 3, first[-1].id)
    assert [one.name for one in first + rest] == ["Acme", *(f"Number {number}" for number in range(4))]
    assert [one.name for one in await directory.organisations.page(stranger, 10)] == ["Globex"]


async def test_renaming_makes_a_version_once(directory: Directory, admin: Principal) -> None:
    organisation = admin.organisation
    renamed = await directory.organisations.edit(admin, organisation, RENAMED, frozenset({1}))
    assert (renamed.name, renamed.version) == ("Acme Labs", 2)
    with pytest.raises(VersionMismatch) as refused:
        await directory.organisations.edit(admin, organisation, OrganisationPatch(name="Late"), frozenset({1}))
    assert refused.value.extra == {"version": 2}
    for nothing in (RENAMED, OrganisationPatch()):
        assert await directory.organisations.edit(admin, organisation, nothing, None) == renamed
    with pytest.raises(Invalid):
        await directory.organisations.edit(admin, organisation, OrganisationPatch(name=None), None)
    assert directory.trail(organisation) == ["organisation.updated"]


async def test_of_two_who_rename_the_same_version_one_does(directory: Directory, admin: Principal) -> None:
    names = ["This", "That"]
    edits = [
        directory.organisations.edit(admin, admin.organisation, OrganisationPatch(name=name), frozenset({1}))
        for name in names
    ]
    done = await asyncio.gather(*edits, return_exceptions=True)
    assert sorted(type(one).__name__ for one in done) == ["Organisation", "VersionMismatch"]


async def test_who_may_rename_and_delete(
    directory: Directory, owner: Principal, admin: Principal, member: Principal, viewer: Principal
) -> None:
    organisation = owner.organisation
    for one in (member, viewer, with_scopes(admin, "organisation:read")):
        with pytest.raises(NotAllowed):
            await directory.organisations.edit(one, organisation, RENAMED, None)
    for one in (admin, member, viewer):
        for change in (directory.organisations.delete, directory.organisations.restore):
            with pytest.raises(NotAllowed):
                await change(one, organisation)
    assert directory.trail(organisation) == []


async def test_a_role_that_was_taken_away_is_gone_whatever_the_credential_still_says(
    directory: Directory, owner: Principal
) -> None:
    second = await directory.join(owner.organisation, "owner", "Second")
    with_old_rights = second
    await directory.members.remove(owner, owner.organisation, second.person)
    with pytest.raises(NotAllowed):
        await directory.organisations.edit(with_old_rights, owner.organisation, RENAMED, None)
    with pytest.raises(NotAllowed):
        await directory.organisations.delete(with_old_rights, owner.organisation)


async def test_another_organisation_is_as_absent_as_one_that_never_was(
    directory: Directory, owner: Principal, stranger: Principal
) -> None:
    for id in (owner.organisation, new_id()):
        for attempt in (
            directory.organisations.get(stranger, id),
            directory.organisations.edit(stranger, id, RENAMED, None),
            directory.organisations.delete(stranger, id),
            directory.organisations.restore(stranger, id),
        ):
            with pytest.raises(NotFound) as absent:
                await attempt
            assert absent.value.body() == NotFound().body()
    assert directory.seen("SELECT name FROM identity.organisation ORDER BY 1") == [("Acme",), ("Globex",)]


async def test_a_deletion_is_final_after_thirty_days_and_not_before(
    directory: Directory, owner: Principal, member: Principal, stranger: Principal, time: Time
) -> None:
    asked_at = time.now
    ending = await directory.organisations.delete(owner, owner.organisation)
    assert ending.delete_after is not None
    assert (ending.delete_after - asked_at).days == 30
    time.forward(days=10)
    assert await directory.organisations.delete(owner, owner.organisation) == ending, "the first time counts"
    time.forward(days=19, hours=23)
    assert await directory.organisations.erase_due() == 0
    time.forward(hours=1)
    assert await directory.organisations.erase_due() == 1
    assert await directory.organisations.erase_due() == 0
    with pytest.raises(NotFound):
        await directory.organisations.get(owner, owner.organisation)
    assert [one.name for one in await directory.organisations.page(stranger, 10)] == ["Globex"]
    assert await directory.organisations.page(member, 10) == []
    assert directory.events(owner.organisation) == [("identity.organisation_erased", {})]
    assert directory.trail(owner.organisation) == ["organisation.deleted", "organisation.erased"]


async def test_what_hangs_on_an_erased_organisation_goes_with_it_and_humans_stay(
    directory: Directory, owner: Principal, stranger: Principal, time: Time
) -> None:
    account = await directory.join(owner.organisation, "member", "CI", kind="service")
    other_account = await directory.join(stranger.organisation, "member", "Their CI", kind="service")
    leaver = await directory.join(owner.organisation, "member", "Leaver")
    await directory.members.remove(owner, owner.organisation, leaver.person)
    await directory.organisations.delete(owner, owner.organisation)
    time.forward(days=31)
    assert await directory.organisations.erase_due() == 1
    people = {id for (id,) in directory.seen("SELECT id FROM identity.person")}
    assert people == {owner.person, stranger.person, other_account.person, leaver.person}
    assert account.person not in people
    for table in ("organisation", "membership", "departure", "invitation", "team", "team_member"):
        query = f"SELECT count(*) FROM identity.{table} WHERE organisation_id = %s"
        assert directory.seen(query, owner.organisation) == [(0,)], table
    pseudonyms = "SELECT count(*) FROM audit.pseudonym WHERE organisation_id = %s"
    assert directory.seen(pseudonyms, owner.organisation) == [(0,)]
    assert directory.seen(pseudonyms, stranger.organisation) != [(1,)]


async def test_a_deletion_can_be_undone_by_an_owner(directory: Directory, owner: Principal, time: Time) -> None:
    with pytest.raises(Conflict):
        await directory.organisations.restore(owner, owner.organisation)
    await directory.organisations.delete(owner, owner.organisation)
    time.forward(days=29)
    kept = await directory.organisations.restore(owner, owner.organisation)
    assert (kept.delete_after, kept.version) == (None, 3)
    time.forward(days=30)
    assert await directory.organisations.erase_due() == 0
    assert directory.trail(owner.organisation) == ["organisation.deleted", "organisation.restored"]


async def test_undoing_at_the_last_moment_either_holds_or_comes_too_late(
    directory: Directory, owner: Principal, time: Time
) -> None:
    await directory.organisations.delete(owner, owner.organisation)
    time.forward(days=31)
    erased, restored = await asyncio.gather(
        directory.organisations.erase_due(),
        directory.organisations.restore(owner, owner.organisation),
        return_exceptions=True,
    )
    left = directory.seen("SELECT delete_after FROM identity.organisation")
    if isinstance(restored, NotFound | NotAllowed):
        assert (erased, left) == (1, [])
    else:
        assert (erased, left) == (0, [(None,)])


async def test_the_job_erases_by_the_clock(directory: Directory, owner: Principal, time: Time) -> None:
    await directory.organisations.delete(owner, owner.organisation)
    time.forward(days=31)
    job = asyncio.create_task(keep_erasing(directory.organisations, every=0.01))
    async with asyncio.timeout(20):
        while directory.seen("SELECT 1 FROM identity.organisation"):
            await asyncio.sleep(0.01)
    job.cancel()
    with pytest.raises(asyncio.CancelledError):
        await job


# The first organisation of an instance


async def test_an_instance_starts_with_an_invitation_to_own_it(
    directory: Directory, database: Database, time: Time
) -> None:
    organisation = new_id()
    lost = await found(database, organisation, "Acme", clock=time)
    token = await found(database, organisation, "Another name", clock=time)
    assert lost is not None and token is not None
    with pytest.raises(NotFound):
        await directory.invitations.look(lost)
    offered = await directory.invitations.look(token)
    assert (offered.organisation_name, offered.role, offered.invited_by) == ("Acme", "owner", None)
    person = await directory.person("Ada")
    elsewhere = caller(new_id(), person, "viewer")
    assert (await directory.invitations.accept(elsewhere, token)).role == "owner"
    assert await found(database, organisation, "Acme", clock=time) is None
    assert directory.trail(organisation)[:3] == ["organisation.created", "invitation.created", "invitation.created"]


async def test_an_invitation_that_claims_a_person_is_for_nobody_else(
    directory: Directory, database: Database, time: Time
) -> None:
    organisation, of_old = new_id(), new_id()
    token = await found(database, organisation, "Mine", person=of_old, clock=time)
    assert token is not None
    assert (await directory.invitations.pending(token)).offer.person == of_old
    somebody = await directory.person("Somebody")
    with pytest.raises(NotAllowed):
        await directory.invitations.accept(caller(new_id(), somebody, "viewer"), token)
    await directory.person("Me", id=of_old)
    joined = await directory.invitations.accept(caller(new_id(), of_old, "viewer"), token)
    assert (joined.organisation_id, joined.role) == (organisation, "owner")
