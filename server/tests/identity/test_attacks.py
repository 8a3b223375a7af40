"""The whole corpus of bad tokens, against the verification alone and against the server; a good one beside each."""

from __future__ import annotations

import time
from dataclasses import replace
from datetime import UTC, datetime
from typing import Any
from uuid import UUID, uuid4

import httpx2
import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from joserfc.jwk import OKPKey

from devlore.problems import Unauthenticated
from devlore_server.identity.founding import found
from devlore_server.identity.signing import Signing
from devlore_server.kit.db import Database
from devlore_server.kit.ids import new_id
from devlore_server.kit.tokens import Keys, UnknownKey, verify
from devlore_server.settings import Settings

from .attacks import Attack, corpus
from .credentials import PASSWORD
from .forging import Target

CORPUS = [pytest.param(attack, id=name) for name, attack in corpus()]
NOW = datetime(2026, 6, 1, 12, tzinfo=UTC)


@pytest.fixture(scope="module")
def target() -> Target:
    key = Ed25519PrivateKey.generate()
    at = int(NOW.timestamp())
    return Target(key, "k" * 24, "https://devlore.test", at, uuid4(), uuid4(), uuid4())


@pytest.fixture(scope="module")
def keys(target: Target) -> Keys:
    return {target.key_id: OKPKey.import_key(target.key.public_key())}


def test_the_corpus_is_large() -> None:
    assert len(CORPUS) >= 150


def test_the_control_is_accepted(target: Target, keys: Keys) -> None:
    claims = verify(target.control(), keys, issuer=target.issuer, now=NOW)
    assert (claims.person, claims.organisation, claims.session) == (target.person, target.organisation, target.session)


@pytest.mark.parametrize("attack", CORPUS)
def test_every_attack_is_refused(attack: Attack, target: Target, keys: Keys) -> None:
    token = attack(target)
    assert token != target.control()
    with pytest.raises(Unauthenticated):
        verify(token, keys, issuer=target.issuer, now=NOW)


def test_only_a_well_formed_token_makes_anybody_look_for_new_keys(target: Target, keys: Keys) -> None:
    """Whoever is asked for a key on every unknown id is asked for many: only these may."""
    asked = []
    for name, attack in corpus():
        try:
            verify(attack(target), keys, issuer=target.issuer, now=NOW)
        except UnknownKey:
            asked.append(name)
        except Unauthenticated:
            pass
    assert asked == ["kid_unknown"]


async def test_every_attack_is_refused_by_the_server(
    team_server: str, team_settings: Settings, database: Database
) -> None:
    invitation = await found(database, new_id(), "Acme")
    async with httpx2.AsyncClient(base_url=team_server, timeout=30) as client:
        ada = {"email": "ada@example.org", "name": "Ada King", "password": PASSWORD, "invitation": invitation}
        tokens = (await client.post("/v1/identity/sign-up", json=ada)).json()
        me = (await client.get("/v1/identity", headers=bearer(tokens["access_token"]))).json()
        target = await real_target(team_server, team_settings, database, me, tokens)
        let_in = []
        for name, attack in corpus():
            # Of this moment: what is from the future must not have become good meanwhile.
            token = attack(replace(target, now=int(time.time())))
            answer = await client.get("/v1/identity", headers=bearer(token))
            if (answer.status_code, answer.json()["code"]) != (401, "unauthenticated"):
                let_in.append((name, answer.status_code))
        assert let_in == []
        assert (await client.get("/v1/identity", headers=bearer(target.control()))).json()["person"] == me["person"]


async def real_target(url: str, settings: Settings, database: Database, me: Any, tokens: Any) -> Target:
    """The running server's own key, and a session of somebody's there."""
    key, stored = await Signing(database, settings.key(), issuer=url)._current()
    private = key.private_key
    assert isinstance(private, Ed25519PrivateKey)
    ids = (me["person"]["id"], me["organisation"]["id"], tokens["session_id"])
    return Target(private, stored.kid, url, int(time.time()), *map(UUID, ids))


def bearer(token: str) -> dict[bytes, bytes]:
    return {b"Authorization": b"Bearer " + token.encode("utf-8", "surrogatepass")}
