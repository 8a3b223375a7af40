"""Every kind of credential, of real people in a real database, becomes the Principal it stands for, or nobody."""

from __future__ import annotations

import asyncio
from datetime import timedelta
from typing import Any

import httpx2
import psycopg
import pytest
from joserfc.jwk import OKPKey

from devlore.problems import Unauthenticated
from devlore_server.gateway import standings
from devlore_server.gateway.authenticate import FRESH, Keyring
from devlore_server.gateway.individual import ORGANISATION
from devlore_server.identity.signing import Signing
from devlore_server.kit.clock import utc_now
from devlore_server.kit.credentials import COOKIE, new_api_key, new_secret
from devlore_server.kit.ids import new_id
from devlore_server.kit.tokens import UnknownKey, issue
from tests.gateway.gate import ORIGIN, PASSWORD, SECRET, Counted, Gate, bearer


async def me(gate: Gate, **headers: str) -> httpx2.Response:
    async with gate.client(**headers) as client:
        return await client.get("/v1/me")


async def browser(gate: Gate, owner: dict[str, Any]) -> str:
    """The cookie of a browser the owner signed in with."""
    asked = {"email": owner["email"], "password": PASSWORD, "cookie": True}
    async with gate.client(Origin=ORIGIN) as client:
        answer = await client.post("/v1/sessions", json=asked)
    assert answer.status_code == 201, answer.text
    return str(answer.headers["set-cookie"].split(";")[0])


async def api_key(gate: Gate, owner: dict[str, Any], **draft: Any) -> dict[str, Any]:
    async with gate.client(**bearer(owner["access_token"])) as client:
        answer = await client.post("/v1/keys", json={"name": "script"} | draft)
    assert answer.status_code == 201, answer.text
    return dict(answer.json())


async def test_a_token_is_its_person_in_their_organisation(gate: Gate) -> None:
    owner = await gate.owner()
    answer = await me(gate, **bearer(owner["access_token"]))
    said = answer.json()
    assert (said["organisation"], said["session"]) == (str(ORGANISATION), owner["session_id"])
    assert (said["role"], said["key"], said["network"], said["fresh"]) == ("owner", None, "203.0.113.0/24", True)
    assert {"organisation:delete", "memories:write"} <= set(said["scopes"])
    assert "internal" not in said["scopes"]


async def test_a_cookie_is_its_person_too(gate: Gate) -> None:
    owner = await gate.owner()
    said = (await me(gate, Cookie=await browser(gate, owner))).json()
    assert said["person"] == (await me(gate, **bearer(owner["access_token"]))).json()["person"]
    assert said["session"] != owner["session_id"]


async def test_a_key_does_no_more_than_it_may_and_proves_nobody(gate: Gate) -> None:
    key = await api_key(gate, await gate.owner(), scopes=["memories:read"])
    said = (await me(gate, **bearer(key["key"]))).json()
    assert (said["scopes"], said["session"], said["key"], said["fresh"]) == (["memories:read"], None, key["id"], False)


async def test_nobody_is_a_visitor(gate: Gate) -> None:
    async with gate.client("2001:db8:1:2::3") as client:
        assert (await client.get("/v1/me")).status_code == 401
        assert (await client.get("/v1/network")).json() == "2001:db8:1::/48"


@pytest.mark.parametrize("kind", ["token", "key", "cookie"])
async def test_what_does_not_hold_is_refused(gate: Gate, kind: str) -> None:
    await gate.owner()
    stranger = Signing(gate.database, b"another instance's secret, as long", issuer=ORIGIN)
    given = {
        "token": bearer(await stranger.token(new_id(), new_id(), new_id())),
        "key": bearer(new_api_key()),
        "cookie": {"Cookie": f"{COOKIE}={new_secret()}"},
    }
    answer = await me(gate, **given[kind])
    assert (answer.status_code, answer.json()["code"]) == (401, "unauthenticated")
    async with gate.client(**given[kind]) as client:
        # A browser whose session ran out must still reach the page that signs it in.
        assert (await client.get("/v1/network")).status_code == (200 if kind == "cookie" else 401)


async def test_a_token_of_another_session_person_or_organisation_is_refused(gate: Gate) -> None:
    owner = await gate.owner()
    said = (await me(gate, **bearer(owner["access_token"]))).json()
    signing = Signing(gate.database, SECRET, issuer=ORIGIN)
    own = [said["person"], said["organisation"], said["session"]]
    assert (await me(gate, **bearer(await signing.token(*own)))).status_code == 200
    for changed in range(3):
        forged: list[Any] = [*own[:changed], str(new_id()), *own[changed + 1 :]]
        assert (await me(gate, **bearer(await signing.token(*forged)))).status_code == 401


async def test_a_token_is_refused_when_it_has_run_out_or_is_for_another_instance(gate: Gate) -> None:
    said = (await me(gate, **bearer((await gate.owner())["access_token"]))).json()
    own = (said["person"], said["organisation"], said["session"])
    late = Signing(gate.database, SECRET, issuer=ORIGIN, clock=lambda: utc_now() - timedelta(minutes=11))
    other = Signing(gate.database, SECRET, issuer="https://other.example")
    for signing in (late, other):
        assert (await me(gate, **bearer(await signing.token(*own)))).status_code == 401


@pytest.mark.parametrize(
    ("older", "status"), [(FRESH - timedelta(minutes=1), 200), (FRESH + timedelta(seconds=1), 403)]
)
async def test_an_old_proof_is_not_fresh(gate: Gate, older: timedelta, status: int) -> None:
    owner = await gate.owner()
    gate.identity.older = older
    async with gate.client(**bearer(owner["access_token"])) as client:
        answer = await client.post("/v1/me")
    assert answer.status_code == status
    if status == 403:
        assert answer.json()["code"] == "step-up-required"


async def test_identity_is_asked_once_for_many_requests(gate: Gate, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(standings, "KEPT", 3_600.0)  # however long the five take
    owner = await gate.owner()
    gate.identity.asked.clear()
    for _ in range(5):
        assert (await me(gate, **bearer(owner["access_token"]))).status_code == 200
    assert gate.identity.asked == ["keyset", "session"]


@pytest.mark.parametrize("path", ["/v1/sessions/current", "/v1/sessions"])
async def test_what_ends_a_session_holds_for_the_next_request(gate: Gate, path: str) -> None:
    owner = await gate.owner()
    asked = {"email": owner["email"], "password": PASSWORD}
    async with gate.client() as client:
        second = (await client.post("/v1/sessions", json=asked)).json()
    assert (await me(gate, **bearer(second["access_token"]))).status_code == 200
    ended = second if path.endswith("current") else owner
    async with gate.client(**bearer(second["access_token"])) as client:
        assert (await client.delete(path)).status_code == 204
    assert (await me(gate, **bearer(ended["access_token"]))).status_code == 401


async def test_a_revoked_key_is_refused_at_once(gate: Gate) -> None:
    owner = await gate.owner()
    key = await api_key(gate, owner)
    for _ in range(3):
        assert (await me(gate, **bearer(key["key"]))).status_code == 200
    async with gate.client(**bearer(owner["access_token"])) as client:
        assert (await client.delete(f"/v1/keys/{key['id']}")).status_code == 204
    assert (await me(gate, **bearer(key["key"]))).status_code == 401


async def test_while_identity_is_away_nobody_new_comes_in(gate: Gate) -> None:
    owner = await gate.owner()
    gate.identity.away = True
    answer = await me(gate, **bearer(owner["access_token"]))
    assert (answer.status_code, answer.headers["retry-after"]) == (503, "1")
    async with gate.client() as client:
        assert (await client.get("/v1/network")).status_code == 200, "visitors need nobody"


class Clock:
    def __init__(self) -> None:
        self.now = 0.0

    def __call__(self) -> float:
        return self.now

    async def sleep(self, seconds: float) -> None:
        await asyncio.sleep(0)
        self.now += seconds


async def test_keys_are_read_again_for_a_new_one_but_not_for_each_request(gate: Gate) -> None:
    said = (await me(gate, **bearer((await gate.owner())["access_token"]))).json()
    own = (said["person"], said["organisation"], said["session"])
    counted, clock = Counted(gate.identities.service), Clock()
    keyring = Keyring(counted, clock=clock, sleep=clock.sleep)
    signing = Signing(gate.database, SECRET, issuer=ORIGIN)
    await keyring.claims(await signing.token(*own), ORIGIN, utc_now)
    await signing.rotate()
    token = await signing.token(*own)
    claims = await asyncio.gather(*(keyring.claims(token, ORIGIN, utc_now) for _ in range(20)))
    assert {str(one.person) for one in claims} == {own[0]}, "a key made a moment ago is good"
    assert (counted.asked, clock.now) == (["keyset"] * 2, 1.0), "all who wait share one reading"
    unknown = issue(claims[0], OKPKey.generate_key("Ed25519"), "f" * 24, issuer=ORIGIN)
    refused = await asyncio.gather(
        *(keyring.claims(unknown, ORIGIN, utc_now) for _ in range(20)), return_exceptions=True
    )
    assert {type(one) for one in refused} == {UnknownKey}
    assert (counted.asked, clock.now) == (["keyset"] * 3, 2.0), "anybody can name a key that does not exist"
    clock.now += 301
    await asyncio.gather(*(keyring.claims(token, ORIGIN, utc_now) for _ in range(20)))
    assert counted.asked == ["keyset"] * 4, "retired keys are forgotten"


async def test_a_token_that_is_known_still_runs_out_and_goes_with_its_key(gate: Gate, owner_url: str) -> None:
    said = (await me(gate, **bearer((await gate.owner())["access_token"]))).json()
    own = (said["person"], said["organisation"], said["session"])
    signing, clock = Signing(gate.database, SECRET, issuer=ORIGIN), Clock()
    keyring = Keyring(gate.identity, clock=clock, sleep=clock.sleep)
    token = await signing.token(*own)
    first = await keyring.claims(token, ORIGIN, utc_now)
    assert await keyring.claims(token, ORIGIN, utc_now) is first, "known again"
    with pytest.raises(Unauthenticated):
        await keyring.claims(token, ORIGIN, lambda: first.expires_at)
    with pytest.raises(Unauthenticated):
        await keyring.claims(token[:-1], ORIGIN, utc_now)
    clock.now += 301
    with psycopg.connect(owner_url) as connection:
        connection.execute("DELETE FROM identity.signing_key")
    with pytest.raises(UnknownKey):
        await keyring.claims(token, ORIGIN, utc_now)
