"""Passwords: which are refused, how they are kept, what a sign-in with one gives away, and changing them."""

from __future__ import annotations

import asyncio
from dataclasses import replace

import pytest
from argon2 import PasswordHasher, Type, extract_parameters

from devlore.problems import Invalid, NotAllowed, SecondFactorRequired, SignInFailed, StepUpRequired, Unavailable
from devlore.types import PasswordChange
from devlore_server.identity.hashing import Hashing
from devlore_server.identity.passwords import FAILS_AFTER
from devlore_server.identity.store import passkeys, passwords
from devlore_server.identity.store.passkeys import NewPasskey
from devlore_server.identity.strength import LONG, SHORT, weakness
from devlore_server.kit.audit import INSTANCE
from devlore_server.kit.auth import Principal
from devlore_server.kit.ids import new_id

from .credentials import PASSWORD, Credentials
from .directory import with_scopes

ANOTHER = "tangled otter hums at noon"

# Which are refused


@pytest.mark.parametrize(
    "password",
    [
        "password1234567",
        "PasswordPassword",
        "P@ssw0rd!P@ssw0rd!",
        "qwertyuiopasdfgh",
        "1q2w3e4r5t6y7u8i",
        "aaaaaaaaaaaaaaaaaaaa",
        "abababababababab",
        "abcdefghijklmnop",
        "123456789012345",
        "098765432109876543",
        "letmeinletmein123",
        "iloveyouforever!",
        "Summer2024Summer2024",
        "correct horse battery staple",
        "CorrectHorseBatteryStaple",
        "thequickbrownfox",
        "Welcome to Devlore 2026",
        "               ",
        "!!!!!!!!!!!!!!!!",
        "ada.lovelace1815",
        "AdaLovelaceAdaLovelace",
        "admin admin admin 1",
        "Ｐａｓｓｗｏｒｄ１２３４５６７",
    ],
)
def test_what_is_guessed_first_is_refused(password: str) -> None:
    assert len(password) >= LONG
    assert weakness(password, least=LONG, about=["Ada Lovelace", "ada.lovelace@example.org"]) is not None


@pytest.mark.parametrize(
    "password",
    [
        PASSWORD,
        ANOTHER,
        "purple monkey dishwasher 9",
        "xK9#mP2qLw8!vT4z",
        "gözlüklü şemsiye kapı",
        "我喜欢在下雨天喝热茶看书听音乐",
        "Die Katze tanzt auf dem Dach",
        "83920174650293847561",
        "no capitals no digits no signs",
    ],
)
def test_what_nobody_guesses_is_taken_whatever_it_is_composed_of(password: str) -> None:
    assert weakness(password, least=LONG, about=["Ada Lovelace", "ada.lovelace@example.org"]) is None


@pytest.mark.parametrize(("least", "password"), [(LONG, "xK9#mP2qLw8!vT"), (SHORT, "xK9#mP2")])
def test_what_is_too_short_is_refused(least: int, password: str) -> None:
    assert len(password) == least - 1
    assert "at least" in (weakness(password, least=least) or "")
    assert weakness(password + "4z", least=least) is None


@pytest.mark.parametrize("password", ["Summer24", "passw0rd!", "qwerty12", "Dragon99", "iloveyou", "12345678"])
def test_the_blocklist_is_for_short_ones_too(password: str) -> None:
    assert weakness(password, least=SHORT) is not None


# How they are kept


async def test_hashes_are_argon2id_of_the_agreed_cost() -> None:
    kept = extract_parameters(await Hashing().hash(PASSWORD))
    assert (kept.type, kept.time_cost, kept.memory_cost, kept.parallelism) == (Type.ID, 2, 19 * 1024, 1)


async def test_a_hash_matches_its_password_only() -> None:
    hashing = Hashing()
    one, two = await hashing.hash(PASSWORD), await hashing.hash(PASSWORD)
    assert one != two
    assert await hashing.matches(one, PASSWORD) and await hashing.matches(two, PASSWORD)
    assert not await hashing.matches(one, PASSWORD + " ")
    assert not await hashing.matches("damaged", PASSWORD)


async def test_nothing_stored_matches_nothing_not_even_the_empty_password() -> None:
    hashing = Hashing()
    assert not await hashing.matches(None, "") and not await hashing.matches(None, PASSWORD)


async def test_a_flood_is_sent_away_instead_of_taking_the_memory() -> None:
    hashing = Hashing(at_once=1, patience=0.05)
    answers = await asyncio.gather(*(hashing.hash(PASSWORD) for _ in range(60)), return_exceptions=True)
    refused = [one for one in answers if isinstance(one, Unavailable)]
    assert refused and any(isinstance(one, str) for one in answers)
    assert all(isinstance(one, str | Unavailable) for one in answers)


async def test_a_turn_is_given_back_when_whoever_waited_for_it_went_away() -> None:
    hashing = Hashing(at_once=1)
    for _ in range(5):
        asked = asyncio.create_task(hashing.hash(PASSWORD))
        await asyncio.sleep(0)
        asked.cancel()
        await asyncio.gather(asked, return_exceptions=True)
    assert await asyncio.wait_for(hashing.hash(PASSWORD), 10)


# Signing in


async def test_a_wrong_password_an_unknown_address_and_no_password_are_one_answer(
    credentials: Credentials, member: Principal, viewer: Principal
) -> None:
    email = await credentials.set_password(member)
    ((without,),) = credentials.directory.seen("SELECT email FROM identity.person WHERE id = %s", viewer.person)
    said = []
    for address in (email, "nobody@example.org", without):
        with pytest.raises(SignInFailed) as refused:
            await credentials.sign_in(address, ANOTHER)
        said.append(refused.value.body())
    assert said[0] == said[1] == said[2]


async def test_no_failure_is_answered_before_any_other_could_be(credentials: Credentials, member: Principal) -> None:
    email = await credentials.set_password(member)
    for address in (email, "nobody@example.org"):
        begun = asyncio.get_running_loop().time()
        with pytest.raises(SignInFailed):
            await credentials.sign_in(address, ANOTHER)
        assert asyncio.get_running_loop().time() - begun >= FAILS_AFTER


async def test_a_failure_is_audited_where_its_person_belongs(
    credentials: Credentials, member: Principal, stranger: Principal
) -> None:
    elsewhere = await credentials.directory.join(stranger.organisation, "viewer", "Mary", person=member.person)
    email = await credentials.set_password(member)
    with pytest.raises(SignInFailed):
        await credentials.sign_in(email, ANOTHER)
    assert credentials.leaves(member, "session.started") == ["failed"]
    assert credentials.leaves(elsewhere, "session.started") == ["failed"]


async def test_a_failure_of_nobody_is_audited_where_no_organisation_reads(
    credentials: Credentials, owner: Principal
) -> None:
    with pytest.raises(SignInFailed):
        await credentials.sign_in("nobody@example.org", ANOTHER)
    nobody = replace(owner, organisation=INSTANCE)
    assert credentials.leaves(nobody, "session.started") == ["failed"]
    assert credentials.leaves(owner, "session.started") == []
    ((leaf,),) = credentials.directory.seen("SELECT l::text FROM audit.leaf l")
    assert "nobody@example.org" not in leaf and ANOTHER not in leaf


async def test_the_address_is_the_same_in_capitals(credentials: Credentials, member: Principal) -> None:
    email = await credentials.set_password(member)
    assert (await credentials.sign_in(f" {email.upper()} ")).tokens.organisation_id == member.organisation


async def test_a_service_account_and_a_disabled_person_cannot_sign_in(
    credentials: Credentials, member: Principal
) -> None:
    email = await credentials.set_password(member)
    credentials.directory.seen(
        "UPDATE identity.person SET disabled_at = now() WHERE id = %s RETURNING 1", member.person
    )
    with pytest.raises(SignInFailed):
        await credentials.sign_in(email)


async def test_a_short_password_is_not_enough_alone(credentials: Credentials, member: Principal) -> None:
    email = await credentials.set_password(member, "xK9#mP2q")
    with pytest.raises(SecondFactorRequired):
        await credentials.sign_in(email, "xK9#mP2q")
    with pytest.raises(SignInFailed):
        await credentials.sign_in(email, "xK9#mP2r")
    assert credentials.leaves(member, "session.started") == ["refused", "failed"]


async def test_a_hash_of_other_parameters_is_renewed_by_the_next_sign_in(
    credentials: Credentials, member: Principal
) -> None:
    email = await credentials.set_password(member)
    weaker = PasswordHasher(time_cost=1, memory_cost=8 * 1024, parallelism=1, type=Type.ID).hash(PASSWORD)
    credentials.directory.seen("UPDATE identity.password SET hash = %s RETURNING 1", weaker)
    await credentials.sign_in(email)
    ((kept,),) = credentials.directory.seen("SELECT hash FROM identity.password")
    assert kept != weaker and not Hashing().outdated(kept)
    await credentials.sign_in(email)


# Changing it


async def test_a_change_ends_every_other_session_everywhere(
    credentials: Credentials, member: Principal, stranger: Principal
) -> None:
    elsewhere = await credentials.directory.join(stranger.organisation, "viewer", "Mary", person=member.person)
    email = await credentials.set_password(member)
    kept, *ended = [await credentials.open(who) for who in (member, member, elsewhere)]
    who = await credentials.caller(kept, member.person)
    await credentials.passwords.change(who, PasswordChange(old=PASSWORD, new=ANOTHER))
    assert await credentials.standing(kept.tokens, member.person) is not None
    assert [await credentials.standing(one.tokens, member.person) for one in ended] == [None, None]
    assert b"" not in (await credentials.directory.mark(member), await credentials.directory.mark(elsewhere))
    with pytest.raises(SignInFailed):
        await credentials.sign_in(email, PASSWORD)
    await credentials.sign_in(email, ANOTHER)
    assert credentials.leaves(member, "password.changed") == ["ok"]


async def test_a_wrong_old_password_changes_nothing_and_is_audited(credentials: Credentials, member: Principal) -> None:
    email = await credentials.set_password(member)
    who = await credentials.caller(await credentials.open(member), member.person)
    for old in (ANOTHER, "", None):
        with pytest.raises(SignInFailed):
            await credentials.passwords.change(who, PasswordChange.model_construct(old=old, new=ANOTHER))
    await credentials.sign_in(email)
    assert credentials.leaves(member, "password.changed") == ["failed"] * 3


@pytest.mark.parametrize("new", ["xK9#mP2q", "password1234567", "Mary.Mary.Mary.Mary", "xK9#mP2qLw8!vT"])
async def test_a_weak_new_one_is_refused(credentials: Credentials, member: Principal, new: str) -> None:
    await credentials.set_password(member)
    who = await credentials.caller(await credentials.open(member), member.person)
    with pytest.raises(Invalid) as refused:
        await credentials.passwords.change(who, PasswordChange(old=PASSWORD, new=new))
    assert refused.value.extra["errors"][0]["pointer"] == "/new"
    assert new not in str(refused.value.body())


async def test_a_short_one_is_taken_beside_a_passkey(credentials: Credentials, member: Principal) -> None:
    await credentials.set_password(member)
    async with credentials.directory.database.transaction(member) as connection:
        new = NewPasskey(new_id(), b"credential", b"key", 0, False, "laptop")
        assert await passkeys.insert(connection, member.person, new, at=credentials.directory.time())
    who = await credentials.caller(await credentials.open(member), member.person)
    await credentials.passwords.change(who, PasswordChange(old=PASSWORD, new="xK9#mP2q"))
    async with credentials.directory.database.transaction(member) as connection:
        stored = await passwords.find(connection, member.person)
    assert stored is not None and not stored.long


async def test_whoever_has_none_needs_a_fresh_session_to_choose_one(
    credentials: Credentials, member: Principal
) -> None:
    opened = await credentials.open(member)
    with pytest.raises(StepUpRequired):
        await credentials.passwords.change(
            await credentials.caller(opened, member.person, fresh=False), PasswordChange(new=ANOTHER)
        )
    await credentials.passwords.change(await credentials.caller(opened, member.person), PasswordChange(new=ANOTHER))


async def test_an_api_key_changes_no_password(credentials: Credentials, member: Principal) -> None:
    await credentials.set_password(member)
    with pytest.raises(NotAllowed):
        await credentials.passwords.change(
            with_scopes(member, "identity:write"), PasswordChange(old=PASSWORD, new=ANOTHER)
        )


async def test_of_two_changes_at_once_with_the_same_old_one_one_wins(
    credentials: Credentials, member: Principal
) -> None:
    email = await credentials.set_password(member)
    callers = [await credentials.caller(await credentials.open(member), member.person) for _ in range(2)]
    chosen = [ANOTHER, "seven green ladders under snow"]
    outcomes = await asyncio.gather(
        *(
            credentials.passwords.change(who, PasswordChange(old=PASSWORD, new=new))
            for who, new in zip(callers, chosen, strict=True)
        ),
        return_exceptions=True,
    )
    assert sorted(type(one).__name__ for one in outcomes) == ["NoneType", "SignInFailed"]
    await credentials.sign_in(email, chosen[outcomes.index(None)])


async def test_under_row_level_security_a_hash_is_seen_by_its_person_only(
    credentials: Credentials, owner: Principal, member: Principal
) -> None:
    await credentials.set_password(member)
    for who, expected in ((member, 1), (owner, 0)):
        async with credentials.directory.database.transaction(who) as connection:
            cursor = await connection.execute("SELECT count(*) FROM identity.password")
            assert await cursor.fetchone() == (expected,)
