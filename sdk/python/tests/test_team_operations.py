"""Every operation of a team instance by both clients, against a real one."""

from __future__ import annotations

import asyncio
import time
import uuid
from collections.abc import AsyncIterator
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from sdk.python.tests.either import KINDS, done, every, opened
from sdk.python.tests.teams import PASSWORD, Joined, TeamServer

import devlore
from devlore import problems
from devlore.types import AuditLeaf, Invitation, KeyView, Member, Organisation, Person, SessionView, Team, TeamMember


@pytest.fixture(params=KINDS)
async def client(request: pytest.FixtureRequest, team: TeamServer) -> AsyncIterator[Any]:
    """The owner's client, in a session of its own."""
    async with opened(request.param, team.url) as client:
        # Otherwise where the owner worked last, in whichever test.
        place = team.organisation
        tokens = await done(client.sessions.sign_in(team.owner.email, PASSWORD, organisation=place))
        await done(client.adopt(tokens))
        yield client


@pytest.fixture
def mary(team: TeamServer) -> Joined:
    return team.join()


def kind_of(client: Any) -> str:
    return KINDS[isinstance(client, devlore.AsyncClient)]


def fresh_name() -> str:
    return f"team {uuid.uuid4().hex[:8]}"


async def test_nobody_is_told_to_sign_in(team: TeamServer) -> None:
    for kind in KINDS:
        async with opened(kind, team.url) as stranger:
            with pytest.raises(problems.Unauthenticated):
                await done(stranger.memories.list())
            assert (await done(stranger.instance()))["tier"] == "team"


async def test_who_one_is(client: Any, team: TeamServer) -> None:
    me = await done(client.identity())
    assert (me.person.email, me.role, me.organisation.name) == (team.owner.email, "owner", "Acme")
    assert {"audit:read", "organisation:delete"} <= set(me.scopes)
    assert [one.organisation_id for one in me.organisations if str(one.organisation_id) == team.organisation]


async def test_a_profile_is_changed(team: TeamServer, mary: Joined) -> None:
    with team.signed_in(mary) as hers:
        changed = hers.identity.update(name="Mary Shelley")
        assert isinstance(changed, Person)
        assert hers.identity().person.name == changed.name == "Mary Shelley"


@pytest.mark.parametrize("kind", KINDS)
async def test_a_password_is_changed_and_other_sessions_end(team: TeamServer, kind: str) -> None:
    person, new = team.join(), "seven green boats at noon"
    with team.signed_in(person) as other:
        async with opened(kind, team.url) as client:
            await done(client.adopt(await done(client.sessions.sign_in(person.email, PASSWORD))))
            with pytest.raises(problems.SignInFailed):
                await done(client.identity.change_password(new, old="wrong"))
            await done(client.identity.change_password(new, old=PASSWORD))
            assert (await done(client.identity())).person.email == person.email
            assert (await done(client.sessions.sign_in(person.email, new))).access_token
        with pytest.raises(problems.Unauthenticated):
            other.identity()


async def test_sessions_are_listed_and_ended(team: TeamServer, client: Any) -> None:
    person = team.join()
    async with opened(kind_of(client), team.url) as mine:
        await done(mine.adopt(person.tokens))
        others = [await done(mine.sessions.sign_in(person.email, PASSWORD)) for _ in range(3)]
        found = await every(mine.sessions.all(limit=2))
        assert all(isinstance(one, SessionView) for one in found)
        assert [one.current for one in found] == [False, False, False, True]
        await done(mine.sessions.revoke(others[0].session_id))
        assert len((await done(mine.sessions.list())).items) == 3
        await done(mine.sessions.revoke_others())
        assert [one.id for one in (await done(mine.sessions.list())).items] == [person.tokens.session_id]
        await done(mine.sessions.revoke())
        with pytest.raises(problems.Unauthenticated):
            await done(mine.identity())


async def test_tokens_are_renewed(team: TeamServer, client: Any, mary: Joined) -> None:
    assert mary.tokens.refresh_token is not None
    renewed = await done(client.sessions.refresh(mary.tokens.refresh_token))
    assert renewed.session_id == mary.tokens.session_id
    assert renewed.refresh_token != mary.tokens.refresh_token
    with pytest.raises(problems.Unauthenticated):
        await done(client.sessions.refresh("x" * 43))


@pytest.mark.parametrize("kind", KINDS)
async def test_a_session_whose_token_was_refused_goes_on(team: TeamServer, mary: Joined, kind: str) -> None:
    """The whole way against the real server: refused, renewed, repeated."""
    spoilt = mary.tokens.model_copy(update={"access_token": "not.a.token"})
    async with opened(kind, team.url) as hers:
        await done(hers.adopt(spoilt))
        assert (await done(hers.identity())).person.email == mary.email


async def test_a_device_is_signed_in_by_somebody_elsewhere(client: Any, team: TeamServer) -> None:
    grant = await done(client.sessions.begin_device())
    assert grant.verification_uri_complete == f"{grant.verification_uri}#{grant.user_code}"
    with pytest.raises(problems.DevicePending) as pending:
        await done(client.sessions.poll_device(grant.device_code))
    assert (type(pending.value), pending.value.extra["interval"]) == (problems.DevicePending, 5)
    with pytest.raises(problems.SlowDown) as hasty:
        await done(client.sessions.poll_device(grant.device_code))
    assert hasty.value.extra["interval"] == 10
    shown = await done(client.sessions.look_at_device(grant.user_code))
    assert (shown.near, "memories:write" in shown.scopes) == (True, True)
    await done(client.sessions.settle_device(grant.user_code))
    tokens = await done(client.sessions.poll_device(grant.device_code))
    async with opened(kind_of(client), team.url) as device:
        await done(device.adopt(tokens))
        assert (await done(device.identity())).person.email == team.owner.email
    with pytest.raises(problems.DeviceExpired):
        await done(client.sessions.poll_device(grant.device_code))


async def test_a_device_is_refused(client: Any) -> None:
    grant = await done(client.sessions.begin_device())
    await done(client.sessions.settle_device(grant.user_code.lower(), approve=False))
    with pytest.raises(problems.DeviceRefused):
        await done(client.sessions.poll_device(grant.device_code))
    with pytest.raises(problems.NotFound):
        await done(client.sessions.settle_device("BCDF-GHJK"))


async def test_passkeys_need_an_authenticator(client: Any) -> None:
    assert (await done(client.identity.passkeys())).items == []
    assert "challenge" in (await done(client.identity.passkey_options())).public_key
    assert "challenge" in (await done(client.sessions.passkey_options())).public_key
    credential = {"id": "AAAA", "rawId": "AAAA", "type": "public-key", "response": {}, "clientExtensionResults": {}}
    with pytest.raises(problems.Problem):
        await done(client.identity.add_passkey("laptop", credential))
    with pytest.raises(problems.SignInFailed):
        await done(client.sessions.sign_in_with_passkey(credential))
    with pytest.raises(problems.NotFound):
        await done(client.identity.remove_passkey(uuid.uuid4()))


async def test_the_keys_that_tokens_are_signed_with(client: Any) -> None:
    found = await done(client.identity.keyset())
    assert {one.alg for one in found.keys} == {"Ed25519"}


async def test_a_proof_again(client: Any) -> None:
    await done(client.sessions.step_up(password=PASSWORD))
    with pytest.raises(problems.SignInFailed):
        await done(client.sessions.step_up(password="wrong"))


async def test_an_organisation_from_founding_to_deletion(client: Any) -> None:
    made = await done(client.organisations.create("Umbrella"))
    assert isinstance(made, Organisation) and (made.role, made.delete_after) == ("owner", None)
    with pytest.raises(problems.NotFound):
        await done(client.organisations.get(made.id))
    await done(client.adopt(await done(client.sessions.switch(made.id))))
    assert (await done(client.organisations.get(made.id))).name == "Umbrella"
    renamed = await done(client.organisations.update(made.id, version=made.version, name="Parasol"))
    with pytest.raises(problems.VersionMismatch):
        await done(client.organisations.update(made.id, version=made.version, name="Umbrella"))
    assert {one.name for one in await every(client.organisations.all(limit=1))} >= {"Acme", renamed.name}
    ending = await done(client.organisations.delete(made.id))
    assert ending.delete_after is not None and ending.delete_after > datetime.now(UTC) + timedelta(days=29)
    assert (await done(client.organisations.restore(made.id))).delete_after is None
    await done(client.organisations.delete(made.id))


async def test_invitations(client: Any, team: TeamServer) -> None:
    bound = await done(client.invitations.create(team.organisation, role="viewer", email="New@Example.org", days=2))
    assert (bound.role, bound.email) == ("viewer", "new@example.org")
    assert bound.link.endswith(f"/invitation#{bound.token}")
    seen = await done(client.invitations.look(bound.token))
    assert (seen.organisation_name, seen.invited_by, seen.role) == ("Acme", "Olga Owner", "viewer")
    with pytest.raises(problems.NotAllowed):
        await done(client.identity.sign_up("else@example.org", "Else", PASSWORD, invitation=bound.token))
    await done(client.invitations.withdraw(team.organisation, bound.id))
    with pytest.raises(problems.NotFound):
        await done(client.invitations.look(bound.token))
    listed = await every(client.invitations.all(team.organisation, limit=1))
    assert isinstance(listed[0], Invitation) and (listed[0].id, listed[0].state) == (bound.id, "revoked")


async def test_a_member_of_one_organisation_is_invited_to_another(client: Any, team: TeamServer, mary: Joined) -> None:
    other = await done(client.organisations.create("Beta"))
    await done(client.adopt(await done(client.sessions.switch(other.id))))
    invitation = await done(client.invitations.create(other.id, role="admin"))
    async with opened(kind_of(client), team.url) as hers:
        await done(hers.adopt(mary.tokens))
        joined = await done(hers.invitations.accept(invitation.token))
        assert (joined.organisation_id, joined.organisation_name, joined.role) == (other.id, "Beta", "admin")
        await done(hers.adopt(await done(hers.sessions.switch(other.id))))
        assert (await done(hers.identity())).role == "admin"


async def test_members_change_roles_and_go(client: Any, team: TeamServer, mary: Joined) -> None:
    whole = await every(client.organisations.all_members(team.organisation, limit=2))
    (found,) = [one for one in whole if one.email == mary.email]
    assert isinstance(found, Member) and found.role == "member"
    changed = await done(client.organisations.change_member(team.organisation, found.person_id, role="admin"))
    assert changed.role == "admin"
    await done(client.organisations.remove_member(team.organisation, found.person_id))
    (left,) = [
        one
        for one in await every(client.organisations.all_departures(team.organisation, pending=True, limit=1))
        if one.person_id == found.person_id
    ]
    settled = await done(client.organisations.settle(team.organisation, left.id, "purge"))
    assert (settled.action, settled.to) == ("purge", None)
    with pytest.raises(problems.Conflict):
        await done(client.organisations.settle(team.organisation, left.id, "transfer"))
    closed = await done(client.organisations.departures(team.organisation, pending=False, limit=200))
    assert left.id in {one.id for one in closed.items}


async def test_memories_of_somebody_who_left_are_handed_over(client: Any, team: TeamServer, mary: Joined) -> None:
    with team.signed_in(mary) as hers:
        person = hers.identity().person.id
        kept = hers.memories.create(title="Mine alone")
    await done(client.organisations.remove_member(team.organisation, person))
    departures = await every(client.organisations.all_departures(team.organisation, pending=True))
    (left,) = [one for one in departures if one.person_id == person]
    me = (await done(client.identity())).person.id
    assert (await done(client.organisations.settle(team.organisation, left.id, "transfer", to=me))).to == me
    deadline = time.monotonic() + 30
    while True:
        try:
            assert (await done(client.memories.get(kept.id))).created_by == me
            break
        except problems.NotFound:
            assert time.monotonic() < deadline, "the memory never came"
            await asyncio.sleep(0.05)


async def test_teams_and_who_is_in_them(client: Any, team: TeamServer, mary: Joined) -> None:
    name = fresh_name()
    made = await done(client.teams.create(name))
    assert isinstance(made, Team) and made.members == 0
    with pytest.raises(problems.Conflict):
        await done(client.teams.create(name.upper()))
    renamed = await done(client.teams.update(made.id, version=made.version, name=f"{name} 2"))
    assert (await done(client.teams.get(made.id))) == renamed
    assert renamed in await every(client.teams.all(limit=1))
    with team.signed_in(mary) as hers:
        person = hers.identity().person.id
        added = await done(client.teams.put_member(made.id, person, role="maintainer"))
        assert isinstance(added, TeamMember) and added.role == "maintainer"
        assert hers.identity().teams == [made.id]
        assert await every(client.teams.all_members(made.id)) == [added]
        shared = hers.memories.create(title="Ours", privacy="team", team_id=made.id)
        assert [one.id for one in hers.memories.all(team=str(made.id))] == [shared.id]
        await done(client.teams.remove_member(made.id, person))
        assert hers.identity().teams == []
    await done(client.teams.delete(made.id))
    with pytest.raises(problems.NotFound):
        await done(client.teams.get(made.id))


async def test_a_service_account_and_its_key(client: Any, team: TeamServer) -> None:
    robot = await done(client.people.create_service("CI", role="viewer"))
    assert (robot.kind, robot.email) == ("service", None)
    assert (await done(client.people.get(robot.id))) == robot
    assert robot in await every(client.people.all(limit=2))
    made = await done(client.keys.create("pipeline", scopes=["memories:read", "identity:read"], person=robot.id))
    with devlore.Client(team.url, key=made.key) as its:
        assert its.identity().person.id == robot.id
        with pytest.raises(problems.NotAllowed):
            its.memories.create(title="No")
    await done(client.people.delete_service(robot.id))
    with devlore.Client(team.url, key=made.key) as its, pytest.raises(problems.Unauthenticated):
        its.memories.list()


async def test_a_key_of_ones_own(client: Any, team: TeamServer) -> None:
    expires_at = datetime.now(UTC).replace(microsecond=0) + timedelta(days=3)
    made = await done(client.keys.create("backup", expires_at=expires_at))
    assert made.key.startswith(f"dvl_{made.key_id}_") and made.expires_at == expires_at and made.scopes is None
    async with opened(kind_of(client), team.url, key=made.key) as its:
        assert (await done(its.identity())).person.email == team.owner.email
    found = await every(client.keys.all(limit=1))
    assert all(isinstance(one, KeyView) for one in found)
    assert made.id in {one.id for one in found}
    await done(client.keys.revoke(made.id))
    async with opened(kind_of(client), team.url, key=made.key) as its:
        with pytest.raises(problems.Unauthenticated):
            await done(its.identity())
    with pytest.raises(problems.NotFound):
        await done(client.keys.revoke(uuid.uuid4()))


async def test_a_session_that_is_not_fresh_must_prove_itself(team: TeamServer, client: Any) -> None:
    """An API key is never fresh, and cannot become so."""
    made = await done(client.keys.create("stale"))
    async with opened(kind_of(client), team.url, key=made.key) as its:
        with pytest.raises(problems.StepUpRequired):
            await done(its.keys.create("more"))
        with pytest.raises(problems.NotAllowed):
            await done(its.sessions.step_up(password=PASSWORD))


async def test_the_audit_trail(client: Any) -> None:
    here = (await done(client.audit.follow())).next
    made = await done(client.teams.create(fresh_name()))
    leaves: list[AuditLeaf] = []
    deadline = time.monotonic() + 30
    # Not before every transaction has ended that began earlier, those of the server's own jobs included.
    while not leaves and time.monotonic() < deadline:
        followed = await done(client.audit.follow(cursor=here))
        leaves += [one for one in followed.items if str(made.id) in {target.id for target in one.targets}]
        assert followed.next is not None
        here = followed.next
        await asyncio.sleep(0.02)
    assert [leaf.action for leaf in leaves] == ["team.created"] and isinstance(leaves[0], AuditLeaf)
    newest = await done(client.audit.list(action="team.*", target=str(made.id), result=["ok"]))
    assert [leaf.id for leaf in newest.items] == [leaves[0].id]
    me = (await done(client.identity())).person.id
    since = leaves[0].occurred_at
    by_me = await every(client.audit.all(actor=me, after=since, before=since + timedelta(hours=1), limit=1))
    assert leaves[0].id in {leaf.id for leaf in by_me}
    with pytest.raises(problems.Invalid):
        await done(client.audit.list(action="no.such"))


async def test_the_policy_on_secrets(client: Any) -> None:
    """In an organisation of its own: the policy is everybody's."""
    made = await done(client.organisations.create("Careful"))
    await done(client.adopt(await done(client.sessions.switch(made.id))))
    assert (await done(client.policies.secrets())).action == "redact"
    assert (await done(client.policies.set_secrets("block"))).action == "block"
    token = "AK" + "IA" + "Q3EGNV7XHZ2PLM4K"
    with pytest.raises(problems.HoldsSecret) as refused:
        await done(client.memories.create(title="Key", body=f"token {token}"))
    assert token not in str(refused.value.body())
    stored = await done(client.memories.create(title="Key", body=f"token {token}", allow_secrets=True))
    assert token in stored.body
