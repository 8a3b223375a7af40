"""API keys: what they look like, what they are good for, whose they are, and from where they are used."""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta
from uuid import uuid4

import pytest

from devlore.problems import Conflict, Invalid, NotAllowed, NotFound
from devlore.types import KeyCreated, KeyDraft, MemberPatch, ServiceAccountDraft
from devlore_server.identity.keys import MOST
from devlore_server.identity.roles import scopes_of
from devlore_server.identity.service import NOTED
from devlore_server.identity.store.keys import NETWORKS
from devlore_server.kit.auth import Principal
from devlore_server.kit.credentials import API_KEY, digest, new_api_key, read_api_key
from devlore_server.ports import Standing

from .credentials import AWAY, HOME, Credentials
from .directory import with_scopes


async def make(credentials: Credentials, who: Principal, **draft: object) -> KeyCreated:
    return await credentials.keys.create(
        replace(who, network=HOME.network), KeyDraft.model_validate({"name": "script", **draft})
    )


async def standing(credentials: Credentials, key: str, network: str | None = HOME.network) -> Standing | None:
    read = read_api_key(key)
    assert read is not None
    return await credentials.identity.key(read.key_id, read.digest, network)


# The format


def test_keys_are_recognised_and_differ() -> None:
    keys = {new_api_key() for _ in range(1_000)}
    assert len(keys) == 1_000
    assert all(API_KEY.fullmatch(key) and read_api_key(key) for key in keys)


def test_a_mistyped_key_is_told_without_a_look_up() -> None:
    key = new_api_key()
    wrong = [key[:place] + ("A" if key[place] != "A" else "B") + key[place + 1 :] for place in range(4, len(key))]
    assert [one for one in wrong if read_api_key(one) is not None] == []
    swapped = [key[:p] + key[p + 1] + key[p] + key[p + 2 :] for p in range(4, len(key) - 1) if key[p] != key[p + 1]]
    assert [one for one in swapped if read_api_key(one) is not None] == []


@pytest.mark.parametrize(
    "text",
    ["", "dvl_", "dvl__", new_api_key() + "x", new_api_key()[:-1], "x" + new_api_key()],
    # Keys are new in each process; pytest-xdist wants the same names in all.
    ids=["nothing", "prefix", "empty", "longer", "shorter", "shifted"],
)
def test_what_is_no_key_is_none(text: str) -> None:
    assert read_api_key(text) is None


def test_the_id_says_nothing_of_the_secret() -> None:
    key = new_api_key()
    read = read_api_key(key)
    assert read is not None and read.key_id == key.split("_")[1] and read.digest == digest(key)


# What a key is good for


async def test_a_key_does_what_its_person_may(credentials: Credentials, member: Principal) -> None:
    made = await make(credentials, member)
    found = await standing(credentials, made.key)
    assert found is not None
    assert (found.person, found.organisation, found.role) == (member.person, member.organisation, "member")
    assert found.scopes == scopes_of("member") and found.session is None and found.key == str(made.id)


async def test_a_key_with_scopes_does_only_those(credentials: Credentials, member: Principal) -> None:
    made = await make(credentials, member, scopes=["search:read", "memories:read", "search:read"])
    found = await standing(credentials, made.key)
    assert made.scopes == ["memories:read", "search:read"]
    assert found is not None and found.scopes == {"memories:read", "search:read"}


async def test_a_key_never_does_more_than_its_person_may_now(
    credentials: Credentials, owner: Principal, admin: Principal
) -> None:
    made = await make(credentials, admin, scopes=["memories:write", "audit:read", "memories:read"])
    await credentials.directory.members.change(owner, owner.organisation, admin.person, MemberPatch(role="viewer"))
    found = await standing(credentials, made.key)
    assert found is not None and found.scopes == {"memories:read"}


async def test_a_key_is_not_made_with_more_than_its_maker_has(credentials: Credentials, member: Principal) -> None:
    with pytest.raises(Invalid) as refused:
        await make(credentials, member, scopes=["memories:read", "audit:read"])
    assert refused.value.extra["errors"][0]["pointer"] == "/scopes/1"


async def test_a_key_dies_with_the_membership_and_does_not_come_back(
    credentials: Credentials, owner: Principal, member: Principal
) -> None:
    made = await make(credentials, member)
    await credentials.directory.members.remove(owner, owner.organisation, member.person)
    assert await standing(credentials, made.key) is None
    await credentials.directory.join(owner.organisation, "member", "Mary", person=member.person)
    assert await standing(credentials, made.key) is None


async def test_a_key_dies_with_its_person(credentials: Credentials, member: Principal) -> None:
    made = await make(credentials, member)
    credentials.directory.seen(
        "UPDATE identity.person SET disabled_at = now() WHERE id = %s RETURNING 1", member.person
    )
    assert await standing(credentials, made.key) is None


async def test_a_key_expires(credentials: Credentials, member: Principal) -> None:
    time = credentials.directory.time
    made = await make(credentials, member, expires_at=time() + timedelta(days=1))
    time.forward(hours=23, minutes=59)
    assert await standing(credentials, made.key) is not None
    time.forward(minutes=1)
    assert await standing(credentials, made.key) is None


async def test_a_key_is_not_made_to_expire_in_the_past(credentials: Credentials, member: Principal) -> None:
    with pytest.raises(Invalid):
        await make(credentials, member, expires_at=credentials.directory.time())


async def test_a_revoked_key_is_refused_at_once(credentials: Credentials, member: Principal) -> None:
    made = await make(credentials, member)
    mark = await credentials.directory.mark(member)
    await credentials.keys.revoke(member, made.id)
    assert await standing(credentials, made.key) is None
    assert await credentials.directory.mark(member) != mark
    await credentials.keys.revoke(member, made.id)
    assert credentials.directory.trail(member.organisation, "key.revoked") == ["key.revoked"]


async def test_another_secret_under_the_same_id_is_refused(credentials: Credentials, member: Principal) -> None:
    made = await make(credentials, member)
    assert await credentials.identity.key(made.key_id, digest("another"), None) is None
    assert await credentials.identity.key("A" * 12, digest(made.key), None) is None


async def test_only_the_digest_is_kept(credentials: Credentials, member: Principal) -> None:
    made = await make(credentials, member)
    ((row,),) = credentials.directory.seen("SELECT k::text FROM identity.api_key k")
    assert made.key not in row and made.key.split("_")[2] not in row
    (listed,) = await credentials.keys.page(member, None, 10)
    assert made.key not in listed.model_dump_json()


# Use


async def test_use_is_noted_at_most_once_a_minute(credentials: Credentials, member: Principal) -> None:
    made, time = await make(credentials, member), credentials.directory.time
    begun = time()
    await standing(credentials, made.key)
    time.now += NOTED - timedelta(seconds=1)
    await standing(credentials, made.key)
    (listed,) = await credentials.keys.page(member, None, 10)
    assert listed.last_used_at == begun
    time.forward(seconds=1)
    await standing(credentials, made.key)
    (listed,) = await credentials.keys.page(member, None, 10)
    assert listed.last_used_at == time()


async def test_use_from_a_new_network_is_audited_once(credentials: Credentials, member: Principal) -> None:
    made = await make(credentials, member)
    for network in (HOME.network, AWAY.network, AWAY.network, None, HOME.network):
        await standing(credentials, made.key, network)
    assert credentials.leaves(member, "key.used_from_new_network") == ["ok"]
    (listed,) = await credentials.keys.page(member, None, 10)
    assert listed.networks == [HOME.network, AWAY.network]


async def test_the_latest_networks_are_remembered(credentials: Credentials, member: Principal) -> None:
    made = await make(credentials, member)
    networks = [f"10.0.{one}.0/24" for one in range(NETWORKS + 5)]
    for network in networks:
        await standing(credentials, made.key, network)
    (listed,) = await credentials.keys.page(member, None, 10)
    assert listed.networks == networks[-NETWORKS:]


# Whose keys


async def test_keys_are_listed_newest_first_and_page_by_page(
    credentials: Credentials, member: Principal, viewer: Principal
) -> None:
    mine = [await make(credentials, member, name=str(number)) for number in range(5)]
    await make(credentials, viewer)
    first = await credentials.keys.page(member, None, 2)
    rest = await credentials.keys.page(member, None, 10, first[-1].id)
    assert [one.id for one in [*first, *rest]] == [one.id for one in reversed(mine)]


async def test_an_admin_looks_after_the_keys_of_a_service_account(
    credentials: Credentials, admin: Principal, owner: Principal
) -> None:
    account = await credentials.directory.people.create(admin, ServiceAccountDraft(name="CI", role="viewer"))
    made = await make(credentials, admin, person=account.id)
    found = await standing(credentials, made.key)
    assert found is not None and found.person == account.id and found.scopes == scopes_of("viewer")
    assert [one.id for one in await credentials.keys.page(owner, account.id, 10)] == [made.id]
    assert await credentials.keys.page(owner, None, 10) == []
    listed = credentials.directory.trail(owner.organisation, "key.listed")
    assert listed == ["key.listed"]  # looking at one's own is no event
    await credentials.keys.revoke(owner, made.id)
    assert await standing(credentials, made.key) is None


async def test_a_service_accounts_key_has_no_more_than_the_account(credentials: Credentials, admin: Principal) -> None:
    account = await credentials.directory.people.create(admin, ServiceAccountDraft(name="CI", role="viewer"))
    with pytest.raises(Invalid):
        await make(credentials, admin, person=account.id, scopes=["memories:write"])


async def test_nobody_makes_or_reads_keys_of_another_human(
    credentials: Credentials, owner: Principal, member: Principal, stranger: Principal
) -> None:
    for person in (member.person, stranger.person, uuid4()):
        with pytest.raises(NotFound):
            await make(credentials, owner, person=person)
        with pytest.raises(NotFound):
            await credentials.keys.page(owner, person, 10)


async def test_without_the_right_it_does_not_matter_whether_the_account_exists(
    credentials: Credentials, admin: Principal, member: Principal
) -> None:
    account = await credentials.directory.people.create(admin, ServiceAccountDraft(name="CI"))
    said = []
    for person in (account.id, uuid4()):
        with pytest.raises(NotAllowed) as refused:
            await make(credentials, member, person=person)
        said.append(refused.value.body())
    assert said[0] == said[1]


async def test_ending_somebody_elses_key_is_like_ending_one_that_never_was(
    credentials: Credentials, owner: Principal, member: Principal, stranger: Principal
) -> None:
    theirs = await make(credentials, member)
    for who in (owner, stranger):
        said = []
        for id in (theirs.id, uuid4()):
            with pytest.raises(NotFound) as refused:
                await credentials.keys.revoke(who, id)
            said.append(refused.value.body())
        assert said[0] == said[1]
    assert await standing(credentials, theirs.key) is not None


async def test_a_member_cannot_end_a_service_accounts_key(
    credentials: Credentials, admin: Principal, member: Principal
) -> None:
    account = await credentials.directory.people.create(admin, ServiceAccountDraft(name="CI"))
    made = await make(credentials, admin, person=account.id)
    with pytest.raises(NotFound):
        await credentials.keys.revoke(member, made.id)


async def test_a_key_makes_no_key(credentials: Credentials, admin: Principal) -> None:
    with pytest.raises(NotAllowed):
        await make(credentials, with_scopes(admin, "identity:write", "organisation:write"))


async def test_there_is_an_end_to_the_number_of_keys(credentials: Credentials, member: Principal) -> None:
    made = [await make(credentials, member) for _ in range(MOST)]
    with pytest.raises(Conflict):
        await make(credentials, member)
    await credentials.keys.revoke(member, made[0].id)
    await make(credentials, member)


async def test_making_a_key_is_audited_without_the_key(credentials: Credentials, member: Principal) -> None:
    made = await make(credentials, member, scopes=["memories:read"])
    ((leaf,),) = credentials.directory.seen("SELECT l::text FROM audit.leaf l WHERE action = 'key.created'")
    assert str(made.id) in leaf and "memories:read" in leaf
    assert made.key not in leaf and made.key_id not in leaf


async def test_under_row_level_security_a_key_is_its_persons_in_its_organisation(
    credentials: Credentials, member: Principal, owner: Principal, stranger: Principal
) -> None:
    await make(credentials, member)
    elsewhere = await credentials.directory.join(stranger.organisation, "viewer", "Mary", person=member.person)
    for who, expected in ((member, 1), (owner, 0), (stranger, 0), (elsewhere, 0)):
        async with credentials.directory.database.transaction(who) as connection:
            cursor = await connection.execute("SELECT count(*) FROM identity.api_key")
            assert await cursor.fetchone() == (expected,)
