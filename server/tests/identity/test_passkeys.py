"""Passkeys, with an authenticator in software: added, signed in with, counted, removed, and every false answer."""

from __future__ import annotations

import json
from typing import Any
from uuid import uuid4

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from devlore.problems import Conflict, Invalid, NotAllowed, NotFound, SignInFailed
from devlore.types import PasskeyDraft, PasskeySignIn, PasskeyView, PasswordChange, StepUp
from devlore_server.identity.challenges import PATIENCE
from devlore_server.identity.passkeys import MOST
from devlore_server.identity.sessions import Opened
from devlore_server.kit.auth import Principal

from .authenticator import Algorithm, Authenticator, b64, unb64
from .credentials import HOME, PASSWORD, Credentials
from .directory import with_scopes


async def add(credentials: Credentials, who: Principal, device: Authenticator, **wrong: Any) -> PasskeyView:
    options = (await credentials.passkeys.registration(who)).public_key
    draft = PasskeyDraft(name="Laptop", credential=device.create(options, **wrong))
    return await credentials.passkeys.add(who, draft)


async def sign_in(credentials: Credentials, device: Authenticator, **wrong: Any) -> Opened:
    answer = device.get(credentials.passkeys.assertion().public_key, **wrong)
    return await credentials.signing_in.with_passkey(PasskeySignIn(credential=answer), HOME)


@pytest.fixture
async def mary(credentials: Credentials, member: Principal) -> Principal:
    """A member in a session."""
    return await credentials.caller(await credentials.open(member), member.person)


# Adding and using


@pytest.mark.parametrize("algorithm", ["es256", "ed25519", "rs256"])
async def test_a_passkey_is_added_and_signs_in(credentials: Credentials, mary: Principal, algorithm: Algorithm) -> None:
    device = Authenticator(algorithm)
    added = await add(credentials, mary, device)
    assert added.name == "Laptop" and added.last_used_at is None
    opened = await sign_in(credentials, device)
    assert (await credentials.claims(opened.tokens)).person == mary.person
    (listed,) = await credentials.passkeys.mine(mary)
    assert listed.id == added.id and listed.last_used_at == credentials.directory.time()
    assert credentials.leaves(mary, "passkey.added") == ["ok"]


async def test_the_options_ask_for_what_we_need(credentials: Credentials, mary: Principal) -> None:
    device = Authenticator()
    await add(credentials, mary, device)
    create = (await credentials.passkeys.registration(mary)).public_key
    assert create["rp"] == {"id": "devlore.test", "name": "Devlore"}
    assert unb64(create["user"]["id"]) == mary.person.bytes
    assert create["authenticatorSelection"]["userVerification"] == "required"
    assert create["authenticatorSelection"]["residentKey"] == "required"
    assert [unb64(one["id"]) for one in create["excludeCredentials"]] == [device.credential_id]
    assert {one["alg"] for one in create["pubKeyCredParams"]} == {-8, -7, -257}
    get = credentials.passkeys.assertion().public_key
    assert get["userVerification"] == "required" and not get.get("allowCredentials")


async def test_somebody_has_several(credentials: Credentials, mary: Principal) -> None:
    devices = [Authenticator(), Authenticator("ed25519", backed_up=True)]
    for device in devices:
        await add(credentials, mary, device)
    for device in devices:
        await sign_in(credentials, device)
    assert [one.backed_up for one in await credentials.passkeys.mine(mary)] == [False, True]


async def test_an_authenticator_that_does_not_count_is_taken(credentials: Credentials, mary: Principal) -> None:
    device = Authenticator(counts=False)
    await add(credentials, mary, device)
    for _ in range(3):
        await sign_in(credentials, device)


async def test_signing_in_by_passkey_needs_no_address_and_tells_none(credentials: Credentials) -> None:
    assert credentials.directory.seen("SELECT count(*) FROM identity.challenge") == [(0,)]
    options = [credentials.passkeys.assertion().public_key for _ in range(50)]
    assert len({one["challenge"] for one in options}) == 50
    assert credentials.directory.seen("SELECT count(*) FROM identity.challenge") == [(0,)]


# False answers


@pytest.mark.parametrize(
    "wrong",
    [
        {"origin": "https://devlore.test.attacker.example"},
        {"origin": "http://devlore.test"},
        {"origin": "https://devlore.test:8443"},
        {"party": "attacker.example"},
        {"type": "webauthn.create"},
        {"type": "payment.get"},
        {"signature": bytes(70)},
        {"signature": b"\x30\x06\x02\x01\x00\x02\x01\x00"},
        {"challenge": b64(bytes(40))},
        {"challenge": ""},
        {"challenge": b64(b"x" * 1_000)},
    ],
    ids=str,
)
async def test_a_false_answer_signs_nobody_in(credentials: Credentials, mary: Principal, wrong: dict[str, Any]) -> None:
    device = Authenticator()
    await add(credentials, mary, device)
    with pytest.raises(SignInFailed):
        await sign_in(credentials, device, **wrong)
    await sign_in(credentials, device)
    assert sorted(credentials.leaves(mary, "session.started")) == ["failed", "ok", "ok"]


@pytest.mark.parametrize("lacks", ["verifies", "present"])
async def test_the_user_must_be_there_and_verified(credentials: Credentials, mary: Principal, lacks: str) -> None:
    device = Authenticator()
    await add(credentials, mary, device)
    setattr(device, lacks, False)
    with pytest.raises(SignInFailed):
        await sign_in(credentials, device)
    with pytest.raises(Invalid):
        await add(credentials, mary, Authenticator(**{lacks: False}))


async def test_a_count_that_did_not_grow_is_a_copy(credentials: Credentials, mary: Principal) -> None:
    device = Authenticator(uses=7)
    await add(credentials, mary, device)
    await sign_in(credentials, device, step=3)
    for step in (0, -1):
        with pytest.raises(SignInFailed):
            await sign_in(credentials, device, step=step)
    await sign_in(credentials, device, step=5)


async def test_an_answer_is_taken_once(credentials: Credentials, mary: Principal) -> None:
    device = Authenticator(counts=False)
    await add(credentials, mary, device)
    answer = device.get(credentials.passkeys.assertion().public_key)
    await credentials.signing_in.with_passkey(PasskeySignIn(credential=answer), HOME)
    with pytest.raises(SignInFailed):
        await credentials.signing_in.with_passkey(PasskeySignIn(credential=answer), HOME)


async def test_a_challenge_is_answered_in_five_minutes(credentials: Credentials, mary: Principal) -> None:
    device = Authenticator()
    await add(credentials, mary, device)
    options = credentials.passkeys.assertion().public_key
    credentials.directory.time.now += PATIENCE
    with pytest.raises(SignInFailed):
        await credentials.signing_in.with_passkey(PasskeySignIn(credential=device.get(options)), HOME)


async def test_a_challenge_to_add_is_no_challenge_to_sign_in_and_the_other_way_round(
    credentials: Credentials, mary: Principal
) -> None:
    device, other = Authenticator(), Authenticator()
    await add(credentials, mary, device)
    to_add = (await credentials.passkeys.registration(mary)).public_key
    with pytest.raises(SignInFailed):
        await sign_in(credentials, device, challenge=to_add["challenge"])
    to_sign_in = credentials.passkeys.assertion().public_key
    with pytest.raises(Invalid):
        await add(credentials, mary, other, challenge=to_sign_in["challenge"])


async def test_nobody_adds_by_a_challenge_of_somebody_else(
    credentials: Credentials, mary: Principal, viewer: Principal
) -> None:
    theirs = (await credentials.passkeys.registration(viewer)).public_key
    with pytest.raises(Invalid):
        await add(credentials, mary, Authenticator(), challenge=theirs["challenge"])


async def test_an_unknown_authenticator_signs_nobody_in(credentials: Credentials, mary: Principal) -> None:
    device = Authenticator()
    with pytest.raises(SignInFailed):
        await sign_in(credentials, device)


async def test_another_key_under_a_known_credential_signs_nobody_in(credentials: Credentials, mary: Principal) -> None:
    device = Authenticator()
    await add(credentials, mary, device)
    with pytest.raises(SignInFailed):
        await sign_in(credentials, Authenticator(credential_id=device.credential_id, uses=50))


@pytest.mark.parametrize(
    "wrong",
    [
        {"origin": "https://attacker.example"},
        {"party": "attacker.example"},
        {"type": "webauthn.get"},
        {"attestation": {"fmt": "none", "attStmt": {}, "authData": b""}},
        {"attestation": {"fmt": "packed", "attStmt": {"alg": -7, "sig": b"x"}, "authData": bytes(37)}},
        {"attestation": {"fmt": "tpm", "attStmt": {}, "authData": bytes(37)}},
        {"attestation": []},
        {"attestation": "none"},
    ],
    ids=str,
)
async def test_a_false_answer_adds_nothing(credentials: Credentials, mary: Principal, wrong: dict[str, Any]) -> None:
    with pytest.raises(Invalid):
        await add(credentials, mary, Authenticator(), **wrong)
    assert await credentials.passkeys.mine(mary) == []


async def test_only_algorithms_that_were_asked_for_are_added(credentials: Credentials, mary: Principal) -> None:
    with pytest.raises(Invalid):
        await add(credentials, mary, Authenticator("es512"))


json_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(max_size=40) | st.binary(max_size=40).map(b64),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=10), inner, max_size=3),
    max_leaves=6,
)


@settings(
    max_examples=60,
    deadline=None,
    suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow],
)
@given(data=st.data())
async def test_no_answer_however_mangled_is_more_than_refused(
    credentials: Credentials, mary: Principal, data: st.DataObject
) -> None:
    device = Authenticator()
    if data.draw(st.booleans()):
        answer = device.create((await credentials.passkeys.registration(mary)).public_key)
    else:
        answer = device.get(credentials.passkeys.assertion().public_key)
    place: Any = answer["response"] if data.draw(st.booleans()) else answer
    place[data.draw(st.sampled_from(sorted(place)))] = data.draw(json_values)
    with pytest.raises(SignInFailed):
        await credentials.signing_in.with_passkey(PasskeySignIn(credential=answer), HOME)
    if json.loads(json.dumps(answer)) != device.create((await credentials.passkeys.registration(mary)).public_key):
        try:
            await credentials.passkeys.add(mary, PasskeyDraft(name="x", credential=answer))
        except (Invalid, Conflict):
            pass


# Whose they are


async def test_a_passkey_belongs_to_one_person(credentials: Credentials, mary: Principal, viewer: Principal) -> None:
    device = Authenticator()
    await add(credentials, mary, device)
    with pytest.raises(Conflict):
        await add(credentials, viewer, device)
    assert (await credentials.claims((await sign_in(credentials, device)).tokens)).person == mary.person


async def test_there_is_an_end_to_their_number(credentials: Credentials, mary: Principal) -> None:
    for _ in range(MOST):
        await add(credentials, mary, Authenticator("ed25519"))
    with pytest.raises(Conflict):
        await add(credentials, mary, Authenticator("ed25519"))


async def test_a_removed_passkey_signs_nobody_in(credentials: Credentials, mary: Principal) -> None:
    await credentials.set_password(mary)
    device = Authenticator()
    added = await add(credentials, mary, device)
    await credentials.passkeys.remove(mary, added.id)
    with pytest.raises(SignInFailed):
        await sign_in(credentials, device)
    with pytest.raises(NotFound):
        await credentials.passkeys.remove(mary, added.id)
    assert credentials.leaves(mary, "passkey.removed") == ["ok"]


async def test_the_last_proof_is_not_removed(credentials: Credentials, mary: Principal) -> None:
    one, two = [await add(credentials, mary, Authenticator()) for _ in range(2)]
    await credentials.passkeys.remove(mary, one.id)
    with pytest.raises(Conflict):
        await credentials.passkeys.remove(mary, two.id)
    await credentials.set_password(mary, "xK9#mP2q")
    with pytest.raises(Conflict):  # too short to be the only proof
        await credentials.passkeys.remove(mary, two.id)
    await credentials.passwords.change(mary, PasswordChange(old="xK9#mP2q", new=PASSWORD))
    await credentials.passkeys.remove(mary, two.id)


async def test_nobody_removes_a_passkey_of_somebody_else(
    credentials: Credentials, mary: Principal, owner: Principal
) -> None:
    added = await add(credentials, mary, Authenticator())
    for id in (added.id, uuid4()):
        with pytest.raises(NotFound):
            await credentials.passkeys.remove(owner, id)
    assert len(await credentials.passkeys.mine(mary)) == 1 and await credentials.passkeys.mine(owner) == []


async def test_an_api_key_has_nothing_to_do_with_passkeys(credentials: Credentials, mary: Principal) -> None:
    key = with_scopes(mary, "identity:read", "identity:write")
    for attempt in (
        credentials.passkeys.registration(key),
        credentials.passkeys.mine(key),
        credentials.passkeys.remove(key, uuid4()),
        credentials.passkeys.add(key, PasskeyDraft(name="x", credential={})),
    ):
        with pytest.raises(NotAllowed):
            await attempt


# Stepping up


async def test_a_passkey_steps_up_its_own_person_only(
    credentials: Credentials, mary: Principal, viewer: Principal
) -> None:
    device = Authenticator()
    await add(credentials, mary, device)
    credentials.directory.time.forward(hours=1)
    vera = await credentials.caller(await credentials.open(viewer), viewer.person)
    answer = device.get(credentials.passkeys.assertion().public_key)
    with pytest.raises(SignInFailed):
        await credentials.signing_in.step_up(vera, StepUp(credential=answer))
    answer = device.get(credentials.passkeys.assertion().public_key)
    await credentials.signing_in.step_up(mary, StepUp(credential=answer))
    assert credentials.leaves(mary, "session.stepped_up") == ["failed", "ok"]


async def test_stepping_up_takes_one_proof(credentials: Credentials, mary: Principal) -> None:
    for proof in (StepUp(), StepUp(password=PASSWORD, credential={})):
        with pytest.raises(Invalid):
            await credentials.signing_in.step_up(mary, proof)


async def test_spent_challenges_are_forgotten(credentials: Credentials, mary: Principal) -> None:
    device = Authenticator()
    await add(credentials, mary, device)
    await sign_in(credentials, device)
    assert credentials.directory.seen("SELECT count(*) FROM identity.challenge") == [(2,)]
    credentials.directory.time.now += PATIENCE
    credentials.directory.time.forward(seconds=1)
    assert await credentials.identity.forget_expired() == 2
