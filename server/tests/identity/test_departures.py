"""Those who left: an owner decides once what becomes of their private memories."""

from __future__ import annotations

import asyncio

import pytest

from devlore.problems import Conflict, Invalid, NotAllowed, NotFound
from devlore.types import Departure, InvitationDraft, KeyCreated, KeyDraft, ServiceAccountDraft, Settlement
from devlore_server.kit.auth import Principal
from devlore_server.kit.credentials import read_api_key
from devlore_server.kit.ids import new_id

from .credentials import Credentials
from .directory import Directory, Time, with_scopes

PURGE = Settlement(action="purge")
TRANSFER = Settlement(action="transfer")


async def left(directory: Directory, by: Principal, person: Principal) -> Departure:
    await directory.members.remove(by, by.organisation, person.person)
    (found,) = [
        one for one in await directory.departures.page(by, by.organisation, True, 50) if one.person_id == person.person
    ]
    return found


async def test_a_departure_is_open_until_an_owner_settles_it(
    directory: Directory, owner: Principal, admin: Principal, member: Principal
) -> None:
    departure = await left(directory, admin, member)
    assert (departure.name, departure.requested_by, departure.action) == ("Mary", admin.person, None)
    with pytest.raises(NotAllowed):
        await directory.departures.settle(admin, admin.organisation, departure.id, PURGE)
    settled = await directory.departures.settle(
        owner, owner.organisation, departure.id, Settlement(action="transfer", to=admin.person)
    )
    assert (settled.action, settled.to, settled.settled_by) == ("transfer", admin.person, owner.person)
    assert await directory.departures.page(owner, owner.organisation, True, 10) == []
    assert await directory.departures.page(owner, owner.organisation, False, 10) == [settled]
    assert directory.events(owner.organisation)[-1] == (
        "identity.departure_settled",
        {
            "person": str(member.person),
            "action": "transfer",
            "to": str(admin.person),
            "settled_by": str(owner.person),
        },
    )
    audience = "SELECT audience FROM log.event WHERE type = 'identity.departure_settled'"
    assert directory.seen(audience) == [(owner.person,)]
    assert directory.trail(owner.organisation)[-1] == "departure.settled"


async def test_settled_once_it_stays_so(directory: Directory, owner: Principal, member: Principal) -> None:
    departure = await left(directory, owner, member)
    done = await asyncio.gather(
        *[
            directory.departures.settle(owner, owner.organisation, departure.id, how)
            for how in (PURGE, TRANSFER, PURGE)
        ],
        return_exceptions=True,
    )
    assert sorted(type(one).__name__ for one in done) == ["Conflict", "Conflict", "Departure"]
    assert len([one for one in directory.events(owner.organisation) if one[0] == "identity.departure_settled"]) == 1
    with pytest.raises(Conflict):
        await directory.departures.settle(owner, owner.organisation, departure.id, PURGE)


async def test_without_an_heir_the_owner_who_decides_is_it(
    directory: Directory, owner: Principal, member: Principal
) -> None:
    departure = await left(directory, owner, member)
    assert (await directory.departures.settle(owner, owner.organisation, departure.id, TRANSFER)).to == owner.person


async def test_an_heir_is_a_member(
    directory: Directory, owner: Principal, member: Principal, stranger: Principal
) -> None:
    departure = await left(directory, owner, member)
    answers = []
    for heir in (stranger.person, member.person, new_id()):
        with pytest.raises(Invalid) as problem:
            await directory.departures.settle(
                owner, owner.organisation, departure.id, Settlement(action="transfer", to=heir)
            )
        answers.append(problem.value.body())
    assert answers[1:] == answers[:-1]
    with pytest.raises(Invalid):
        await directory.departures.settle(
            owner, owner.organisation, departure.id, Settlement(action="purge", to=owner.person)
        )
    assert (await directory.departures.page(owner, owner.organisation, True, 10)) == [departure]


async def test_whoever_comes_back_in_time_finds_what_was_theirs(
    directory: Directory, owner: Principal, member: Principal
) -> None:
    departure = await left(directory, owner, member)
    invitation = await directory.invitations.create(owner, owner.organisation, InvitationDraft())
    await directory.invitations.accept(member, invitation.token)
    assert await directory.departures.page(owner, owner.organisation, None, 10) == []
    with pytest.raises(NotFound):
        await directory.departures.settle(owner, owner.organisation, departure.id, PURGE)
    assert directory.trail(owner.organisation)[-1] == "departure.withdrawn"
    again = await left(directory, owner, member)
    assert again.id != departure.id


async def test_a_settled_departure_stays_when_somebody_comes_back(
    directory: Directory, owner: Principal, member: Principal
) -> None:
    settled = await directory.departures.settle(
        owner, owner.organisation, (await left(directory, owner, member)).id, PURGE
    )
    invitation = await directory.invitations.create(owner, owner.organisation, InvitationDraft())
    await directory.invitations.accept(member, invitation.token)
    assert await directory.departures.page(owner, owner.organisation, None, 10) == [settled]


async def test_a_key_without_the_scope_settles_nothing(
    directory: Directory, owner: Principal, member: Principal
) -> None:
    departure = await left(directory, owner, member)
    with pytest.raises(NotAllowed):
        await directory.departures.settle(
            with_scopes(owner, "organisation:read"), owner.organisation, departure.id, PURGE
        )


async def test_another_organisations_departures_are_not_there(
    directory: Directory, owner: Principal, member: Principal, stranger: Principal
) -> None:
    departure = await left(directory, owner, member)
    for organisation, id in (
        (owner.organisation, departure.id),
        (stranger.organisation, departure.id),
        (stranger.organisation, new_id()),
    ):
        with pytest.raises(NotFound) as absent:
            await directory.departures.settle(stranger, organisation, id, PURGE)
        assert absent.value.body() == NotFound().body()
    assert await directory.departures.page(stranger, stranger.organisation, None, 10) == []


async def test_pages_of_departures(directory: Directory, owner: Principal, time: Time) -> None:
    made = []
    for number in range(5):
        leaver = await directory.join(owner.organisation, "member", f"Leaver {number}")
        made.append((await left(directory, owner, leaver)).id)
    first = await directory.departures.page(owner, owner.organisation, None, 3)
    rest = await directory.departures.page(owner, owner.organisation, None, 3, first[-1].id)
    assert [one.id for one in first + rest] == made[::-1]


async def test_keys_of_service_accounts_outlive_who_made_them_and_are_named(
    directory: Directory, credentials: Credentials, owner: Principal, admin: Principal
) -> None:
    robot = await directory.people.create(admin, ServiceAccountDraft(name="CI", role="member"))
    known, revoked, short = [await key(credentials, admin, person=robot.id) for _ in range(3)]
    others = await key(credentials, owner, person=robot.id)
    own = await key(credentials, admin)
    await credentials.keys.revoke(owner, revoked.id)
    credentials.directory.seen(
        "UPDATE identity.api_key SET expires_at = now() - interval '1 s' WHERE id = %s RETURNING id", short.id
    )
    departure = await left(directory, owner, admin)
    assert departure.keys == [known.id], "not the owner's, not the leaver's own, none that no longer holds"
    assert await holds(credentials, known) and await holds(credentials, others)
    assert not await holds(credentials, own), "their own went with them"
    assert directory.trail(owner.organisation, "key.left_behind") == ["key.left_behind"]
    settled = await directory.departures.settle(owner, owner.organisation, departure.id, PURGE)
    assert settled.keys == [known.id], "settling their memories replaces no key"
    await credentials.keys.revoke(owner, known.id)
    (after,) = await directory.departures.page(owner, owner.organisation, None, 10)
    assert after.keys == [] and not await holds(credentials, known)
    assert await holds(credentials, others)


async def test_keys_are_named_in_the_organisation_they_are_of(
    directory: Directory, credentials: Credentials, owner: Principal, stranger: Principal
) -> None:
    """Somebody of two organisations who leaves one."""
    mary = await directory.join(owner.organisation, "admin", "Mary")
    there = await directory.join(stranger.organisation, "admin", "Mary", person=mary.person)
    robot = await directory.people.create(there, ServiceAccountDraft(name="CI", role="member"))
    elsewhere = await key(credentials, there, person=robot.id)
    assert (await left(directory, owner, mary)).keys == []
    assert (await left(directory, stranger, there)).keys == [elsewhere.id]


async def key(credentials: Credentials, who: Principal, **draft: object) -> KeyCreated:
    return await credentials.keys.create(who, KeyDraft.model_validate({"name": "script", **draft}))


async def holds(credentials: Credentials, made: KeyCreated) -> bool:
    read = read_api_key(made.key)
    assert read is not None
    return await credentials.identity.key(read.key_id, read.digest, None) is not None
