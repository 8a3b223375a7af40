"""Access tokens and the keys they are signed with: rotation, encryption at rest, and what a JWKS may hold."""

from __future__ import annotations

import asyncio
from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import uuid4

import pytest
from joserfc.jwk import OKPKey

from devlore.problems import Unauthenticated
from devlore_server.identity.signing import OUTLIVES, REMEMBERED, Signing
from devlore_server.kit.audit import INSTANCE
from devlore_server.kit.auth import Principal
from devlore_server.kit.tokens import (
    LIFETIME,
    LONGEST,
    SKEW,
    Claims,
    UnknownKey,
    issue,
    key_document,
    public_keys,
    verify,
)

from .credentials import SECRET, URL, Credentials

NOW = datetime(2026, 6, 1, 12, tzinfo=UTC)
KEY = OKPKey.generate_key("Ed25519")
KEYS = public_keys(key_document({"the-key-of-the-tests": KEY}))
CLAIMS = Claims(uuid4(), uuid4(), uuid4(), uuid4(), NOW, NOW + timedelta(seconds=LIFETIME))


def issued(claims: Claims = CLAIMS) -> str:
    return issue(claims, KEY, "the-key-of-the-tests", issuer=URL)


# The format


def test_what_is_issued_says_the_same_when_verified() -> None:
    assert verify(issued(), KEYS, issuer=URL, now=NOW) == CLAIMS


def test_a_token_leaves_room_in_its_limit() -> None:
    assert len(issued()) < LONGEST / 3


@pytest.mark.parametrize("seconds", [-SKEW, 0, LIFETIME - 1])
def test_a_token_holds_from_a_little_before_its_issue_until_it_expires(seconds: int) -> None:
    assert verify(issued(), KEYS, issuer=URL, now=NOW + timedelta(seconds=seconds)) == CLAIMS


@pytest.mark.parametrize("seconds", [-SKEW - 1, LIFETIME, LIFETIME + 1])
def test_before_and_after_it_does_not(seconds: int) -> None:
    with pytest.raises(Unauthenticated):
        verify(issued(), KEYS, issuer=URL, now=NOW + timedelta(seconds=seconds))


def test_a_token_of_another_instance_is_refused() -> None:
    with pytest.raises(Unauthenticated):
        verify(issued(), KEYS, issuer="https://other.test", now=NOW)


def test_an_unknown_key_is_told_from_other_failures() -> None:
    with pytest.raises(UnknownKey):
        verify(issued(), {}, issuer=URL, now=NOW)


def test_a_document_of_keys_holds_no_private_part() -> None:
    (member,) = key_document({"the-key-of-the-tests": KEY})["keys"]
    assert set(member) == {"kty", "crv", "x", "kid", "alg", "use"}


@pytest.mark.parametrize(
    "change",
    [
        {"kty": "oct", "k": "c2VjcmV0"},
        {"kty": "RSA"},
        {"crv": "Ed448"},
        {"crv": "X25519"},
        {"kid": None},
        {"kid": ""},
        {"kid": "../../etc/passwd"},
        {"kid": 7},
        {"d": "c2VjcmV0"},
        {"x": "AAAA"},
        {"x": "not base64!"},
    ],
    ids=str,
)
def test_only_public_ed25519_keys_are_read(change: dict[str, Any]) -> None:
    (member,) = key_document({"the-key-of-the-tests": KEY})["keys"]
    with pytest.raises(ValueError):
        public_keys({"keys": [member | change]})


# The keys


async def test_a_token_of_the_service_verifies_with_its_published_keys(
    credentials: Credentials, owner: Principal
) -> None:
    opened = await credentials.open(owner)
    claims = await credentials.claims(opened.tokens)
    assert (claims.person, claims.organisation) == (owner.person, owner.organisation)
    assert claims.session == opened.tokens.session_id
    assert claims.expires_at - claims.issued_at == timedelta(minutes=10)


async def test_two_processes_that_start_at_once_make_one_key(credentials: Credentials) -> None:
    database, clock = credentials.directory.database, credentials.directory.time
    processes = [Signing(database, SECRET, issuer=URL, clock=clock) for _ in range(8)]
    await asyncio.gather(*(one.token(uuid4(), uuid4(), uuid4()) for one in processes))
    assert credentials.directory.seen("SELECT count(*) FROM identity.signing_key") == [(1,)]


async def test_after_a_rotation_the_old_key_verifies_until_its_tokens_have_expired(
    credentials: Credentials, owner: Principal
) -> None:
    before = (await credentials.open(owner)).tokens
    new = await credentials.signing.rotate()
    assert (await credentials.claims(before)).session == before.session_id
    after = (await credentials.open(owner)).tokens
    keyset = await credentials.identity.keyset()
    assert keyset["keys"][0]["kid"] == new and len(keyset["keys"]) == 2
    assert (await credentials.claims(after)).session == after.session_id
    credentials.directory.time.now += OUTLIVES
    assert [key["kid"] for key in (await credentials.identity.keyset())["keys"]] == [new]
    assert timedelta(seconds=LIFETIME) + REMEMBERED < OUTLIVES


async def test_a_rotation_reaches_other_processes_within_half_a_minute(credentials: Credentials) -> None:
    time = credentials.directory.time
    other = Signing(credentials.directory.database, SECRET, issuer=URL, clock=time)
    await other.token(uuid4(), uuid4(), uuid4())
    new = await credentials.signing.rotate()
    keys = public_keys(await credentials.identity.keyset())
    late = await other.token(uuid4(), uuid4(), uuid4())
    assert verify(late, keys, issuer=URL, now=time())  # still the old key, which still verifies
    time.now += REMEMBERED
    with pytest.raises(UnknownKey):
        verify(
            await other.token(uuid4(), uuid4(), uuid4()),
            {kid: key for kid, key in keys.items() if kid != new},
            issuer=URL,
            now=time(),
        )


async def test_a_rotation_is_audited_where_no_organisation_reads(credentials: Credentials, owner: Principal) -> None:
    await credentials.signing.rotate()
    assert credentials.directory.trail(INSTANCE) == ["signing_key.rotated"]
    assert "signing_key.rotated" not in credentials.directory.trail(owner.organisation)


async def test_private_parts_are_encrypted_and_bound_to_their_id(credentials: Credentials) -> None:
    first, second = await credentials.signing.rotate(), await credentials.signing.rotate()
    seen = credentials.directory.seen
    rows = seen("SELECT kid, public, private, sealed_by FROM identity.signing_key")
    assert len({row[3] for row in rows}) == 1
    for _, public, private, _ in rows:
        assert len(private) == 60 and public not in private
    # The newer row now holds the older's secret: decryption must notice.
    seen(
        "UPDATE identity.signing_key SET private = (SELECT private FROM identity.signing_key WHERE kid = %s)"
        " WHERE kid = %s RETURNING 1",
        first,
        second,
    )
    with pytest.raises(RuntimeError, match="was changed"):
        await credentials.signing.token(uuid4(), uuid4(), uuid4())


async def test_under_another_secret_a_new_key_is_made_and_the_old_one_still_verifies(
    credentials: Credentials, owner: Principal
) -> None:
    before = (await credentials.open(owner)).tokens
    clock = credentials.directory.time
    other = Signing(credentials.directory.database, b"another secret of the instance", issuer=URL, clock=clock)
    token = await other.token(uuid4(), uuid4(), uuid4())
    keys = public_keys(await other.keyset())
    assert len(keys) == 2
    assert verify(token, keys, issuer=URL, now=clock())
    assert before.access_token is not None and verify(before.access_token, keys, issuer=URL, now=clock())


async def test_retired_keys_are_forgotten(credentials: Credentials) -> None:
    await credentials.signing.rotate()
    new = await credentials.signing.rotate()
    credentials.directory.time.forward(days=2)
    assert await credentials.identity.forget_expired() == 1
    assert credentials.directory.seen("SELECT kid FROM identity.signing_key") == [(new,)]
