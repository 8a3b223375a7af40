"""Signing up: by invitation, or where anybody may; what is made, and what is refused without leaving a trace."""

from __future__ import annotations

import asyncio
from uuid import uuid4

import pytest

from devlore.problems import Conflict, Invalid, NotAllowed, NotFound
from devlore.types import InvitationDraft, TeamDraft
from devlore_server.identity.founding import found
from devlore_server.kit.auth import Principal
from devlore_server.kit.ids import new_id

from .credentials import PASSWORD, Credentials

ADA = {"email": "ada@example.org", "name": "Ada King", "password": PASSWORD}


async def invite(credentials: Credentials, who: Principal, **draft: object) -> str:
    made = await credentials.directory.invitations.create(who, who.organisation, InvitationDraft.model_validate(draft))
    return made.token


def people(credentials: Credentials) -> int:
    ((count,),) = credentials.directory.seen("SELECT count(*) FROM identity.person")
    return int(count)


async def test_an_invited_person_is_in_at_once(credentials: Credentials, owner: Principal) -> None:
    team = await credentials.directory.teams.create(owner, TeamDraft(name="Core"))
    token = await invite(credentials, owner, role="admin", teams=[str(team.id)])
    opened = await credentials.sign_up(invitation=token, **ADA)
    person = (await credentials.claims(opened.tokens)).person
    standing = await credentials.standing(opened.tokens, person)
    assert standing is not None and standing.organisation == owner.organisation
    assert standing.role == "admin" and standing.teams == {team.id}
    trail = credentials.directory.trail(owner.organisation)
    assert {"person.created", "invitation.accepted", "member.added", "session.started"} <= set(trail)
    assert (await credentials.sign_in("ada@example.org")).tokens.organisation_id == owner.organisation


async def test_an_invitation_signs_up_one_person(credentials: Credentials, owner: Principal) -> None:
    token = await invite(credentials, owner)
    answers = await asyncio.gather(
        *(credentials.sign_up(invitation=token, **ADA | {"email": f"{n}@example.org"}) for n in range(6)),
        return_exceptions=True,
    )
    assert sorted(type(one).__name__ for one in answers) == ["NotFound"] * 5 + ["Opened"]
    assert people(credentials) == 2  # the owner, and one


async def test_of_two_who_take_the_same_address_at_once_one_gets_it(credentials: Credentials, owner: Principal) -> None:
    tokens = [await invite(credentials, owner) for _ in range(4)]
    answers = await asyncio.gather(
        *(credentials.sign_up(invitation=token, **ADA) for token in tokens), return_exceptions=True
    )
    assert sorted(type(one).__name__ for one in answers) == ["Conflict"] * 3 + ["Opened"]


async def test_without_an_invitation_nobody_signs_up_here(credentials: Credentials) -> None:
    with pytest.raises(NotAllowed):
        await credentials.sign_up(**ADA)
    assert people(credentials) == 0


async def test_where_anybody_may_they_found_an_organisation(credentials: Credentials) -> None:
    opened = await credentials.sign_up(anybody=True, **ADA)
    person = (await credentials.claims(opened.tokens)).person
    standing = await credentials.standing(opened.tokens, person)
    assert standing is not None and standing.role == "owner"
    assert credentials.directory.seen("SELECT name, created_by FROM identity.organisation") == [("Ada King", person)]
    trail = credentials.directory.trail(opened.tokens.organisation_id)
    assert trail == ["organisation.created", "person.created", "session.started"]


@pytest.mark.parametrize("anybody", [False, True])
async def test_a_bad_invitation_is_refused_also_where_anybody_may(credentials: Credentials, anybody: bool) -> None:
    with pytest.raises(NotFound):
        await credentials.sign_up(anybody=anybody, invitation="never-was-one", **ADA)
    assert people(credentials) == 0


async def test_an_invitation_for_an_address_is_for_that_address(credentials: Credentials, owner: Principal) -> None:
    token = await invite(credentials, owner, email="grace@example.org")
    with pytest.raises(NotAllowed):
        await credentials.sign_up(invitation=token, **ADA)
    assert people(credentials) == 1
    opened = await credentials.sign_up(invitation=token, **ADA | {"email": "Grace@Example.org"})
    assert opened.tokens.organisation_id == owner.organisation


async def test_a_weak_password_spends_no_invitation(credentials: Credentials, owner: Principal) -> None:
    token = await invite(credentials, owner)
    for password in ("short", "password1234567", "ada@example.org1", "AdaKingAdaKing!!"):
        with pytest.raises(Invalid) as refused:
            await credentials.sign_up(invitation=token, **ADA | {"password": password})
        assert refused.value.extra["errors"][0]["pointer"] == "/password"
    assert await credentials.sign_up(invitation=token, **ADA)


async def test_an_address_that_is_taken_changes_nothing(credentials: Credentials, owner: Principal) -> None:
    await credentials.sign_up(invitation=await invite(credentials, owner), **ADA)
    token = await invite(credentials, owner)
    with pytest.raises(Conflict):
        await credentials.sign_up(invitation=token, **ADA | {"password": "tangled otter hums at noon", "name": "Eve"})
    await credentials.sign_in("ada@example.org")
    assert (await credentials.directory.invitations.pending(token)).offer.role == "member"


async def test_a_disabled_persons_address_stays_taken(credentials: Credentials, owner: Principal) -> None:
    await credentials.sign_up(invitation=await invite(credentials, owner), **ADA)
    credentials.directory.seen("UPDATE identity.person SET disabled_at = now() RETURNING 1")
    with pytest.raises(Conflict):
        await credentials.sign_up(anybody=True, **ADA)


async def test_the_first_owner_becomes_the_one_person_there_was(credentials: Credentials) -> None:
    """An individual instance that became a team's: its memories are this person's."""
    organisation, person = new_id(), uuid4()
    token = await found(credentials.directory.database, organisation, "Acme", person=person)
    assert token is not None
    opened = await credentials.sign_up(invitation=token, **ADA)
    assert (await credentials.claims(opened.tokens)).person == person
    assert opened.tokens.organisation_id == organisation


async def test_nobody_takes_over_a_person_who_has_an_address(credentials: Credentials, owner: Principal) -> None:
    organisation = new_id()
    token = await found(credentials.directory.database, organisation, "Globex", person=owner.person)
    assert token is not None
    before = credentials.directory.seen("SELECT name, email FROM identity.person")
    with pytest.raises(Conflict):
        await credentials.sign_up(invitation=token, **ADA)
    assert credentials.directory.seen("SELECT name, email FROM identity.person") == before
