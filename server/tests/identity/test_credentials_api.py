"""Credentials over HTTP: what goes over the wire, where a cookie is set, and which callers each route is for."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator
from dataclasses import replace
from typing import Any

import httpx2
import pytest

from devlore_server.kit.auth import Principal, Visitor
from devlore_server.kit.credentials import COOKIE, digest
from devlore_server.kit.http import admit

from .authenticator import Authenticator
from .credentials import HOME, PASSWORD, Credentials

Client = httpx2.AsyncClient
ATTRIBUTES = {"Path=/", "Secure", "HttpOnly", "SameSite=Lax"}


class Door:
    """The routes behind a gateway that admits everybody as ``caller``."""

    def __init__(self, credentials: Credentials, *, anybody: bool = False) -> None:
        app = credentials.app(anybody=anybody)
        self.caller: Principal | Visitor = Visitor(HOME.network)

        async def admitting(scope: Any, receive: Any, send: Any) -> None:
            admit(scope, self.caller)
            await app(scope, receive, send)

        transport = httpx2.ASGITransport(app=admitting, raise_app_exceptions=True)
        self.client = Client(transport=transport, base_url="https://devlore.test", headers={"User-Agent": "tests/1.0"})

    async def enter(self, credentials: Credentials, who: Principal, *, fresh: bool = True) -> Principal:
        """From now on in a session of somebody."""
        self.caller = await credentials.caller(await credentials.open(who), who.person, fresh=fresh)
        return self.caller


@pytest.fixture
async def door(credentials: Credentials) -> AsyncIterator[Door]:
    made = Door(credentials)
    yield made
    await made.client.aclose()


@pytest.fixture
def client(door: Door) -> Client:
    return door.client


def code(answer: httpx2.Response) -> tuple[int, str]:
    return answer.status_code, answer.json()["code"]


async def test_signing_in_answers_with_tokens(client: Client, credentials: Credentials, member: Principal) -> None:
    email = await credentials.set_password(member)
    answer = await client.post("/v1/sessions", json={"email": email, "password": PASSWORD})
    assert answer.status_code == 201 and "set-cookie" not in answer.headers
    said = answer.json()
    assert said["token_type"] == "Bearer" and said["expires_in"] == 600
    assert said["access_token"].count(".") == 2 and len(said["refresh_token"]) == 43
    assert said["organisation_id"] == str(member.organisation)
    refreshed = await client.post("/v1/sessions/refresh", json={"refresh_token": said["refresh_token"]})
    assert refreshed.status_code == 200 and refreshed.json()["session_id"] == said["session_id"]


async def test_a_browser_gets_a_cookie_no_script_can_read_and_no_token(
    client: Client, credentials: Credentials, member: Principal
) -> None:
    email = await credentials.set_password(member)
    answer = await client.post("/v1/sessions", json={"email": email, "password": PASSWORD, "cookie": True})
    name_and_value, *attributes = answer.headers["set-cookie"].split("; ")
    name, _, secret = name_and_value.partition("=")
    assert name == COOKIE == "__Host-devlore"
    assert set(attributes) >= ATTRIBUTES and not any(one.startswith("Domain") for one in attributes)
    assert answer.json()["access_token"] is None and answer.json()["refresh_token"] is None
    assert secret not in answer.text
    assert await credentials.identity.cookie(digest(secret)) is not None


async def test_signing_out_makes_the_browser_forget(door: Door, credentials: Credentials, member: Principal) -> None:
    await door.enter(credentials, member)
    answer = await door.client.delete("/v1/sessions/current")
    assert answer.status_code == 204
    assert answer.headers["set-cookie"].startswith(f"{COOKIE}=; Max-Age=0") and "Secure" in answer.headers["set-cookie"]
    other = await credentials.open(member)
    await door.enter(credentials, member)
    answer = await door.client.delete(f"/v1/sessions/{other.tokens.session_id}")
    assert answer.status_code == 204 and "set-cookie" not in answer.headers


async def test_failures_have_their_own_codes(client: Client, credentials: Credentials, member: Principal) -> None:
    email = await credentials.set_password(member)
    wrong = await client.post("/v1/sessions", json={"email": email, "password": "tangled otter hums at noon"})
    assert code(wrong) == (401, "sign-in-failed")
    assert code(await client.post("/v1/sessions/refresh", json={"refresh_token": "x"})) == (401, "unauthenticated")
    assert code(await client.post("/v1/sessions/passkey", json={"credential": {}})) == (401, "sign-in-failed")
    gone = await client.post("/v1/sessions/device/token", json={"device_code": "x"})
    assert code(gone) == (400, "expired-token") and gone.json()["error"] == "expired_token"
    assert code(await client.post("/v1/sessions", json={"email": "no address", "password": "x"})) == (422, "invalid")


@pytest.mark.parametrize("content_type", ["text/plain", "application/x-www-form-urlencoded", "multipart/form-data"])
async def test_another_sites_page_cannot_sign_anybody_in(
    client: Client, credentials: Credentials, member: Principal, content_type: str
) -> None:
    """A form may post these without asking; for JSON a browser asks first, and nobody allows it."""
    email = await credentials.set_password(member)
    body = json.dumps({"email": email, "password": PASSWORD, "cookie": True})
    answer = await client.post("/v1/sessions", content=body, headers={"Content-Type": content_type})
    assert answer.status_code == 415 and "set-cookie" not in answer.headers


async def test_a_password_is_never_said_back(client: Client) -> None:
    for body in ({"email": 7, "password": PASSWORD}, {"email": "a@b.c", "password": [PASSWORD]}):
        answer = await client.post("/v1/sessions", json=body)
        assert answer.status_code == 422 and PASSWORD not in answer.text


async def test_a_passkey_from_end_to_end(door: Door, credentials: Credentials, member: Principal) -> None:
    visitor, device = door.caller, Authenticator()
    await door.enter(credentials, member)
    options = (await door.client.post("/v1/identity/passkeys/options")).json()["public_key"]
    draft = {"name": "Laptop", "credential": device.create(options)}
    added = await door.client.post("/v1/identity/passkeys", json=draft)
    assert added.status_code == 201
    listed = (await door.client.get("/v1/identity/passkeys")).json()
    assert [one["id"] for one in listed["items"]] == [added.json()["id"]] and listed["next"] is None
    door.caller = visitor
    options = (await door.client.post("/v1/sessions/passkey/options")).json()["public_key"]
    answer = await door.client.post("/v1/sessions/passkey", json={"credential": device.get(options), "cookie": True})
    assert answer.status_code == 201 and COOKIE in answer.headers["set-cookie"]


async def test_a_device_from_end_to_end(door: Door, credentials: Credentials, member: Principal) -> None:
    visitor = door.caller
    grant = (await door.client.post("/v1/sessions/device")).json()
    asked = {"device_code": grant["device_code"]}
    waiting = await door.client.post("/v1/sessions/device/token", json=asked)
    assert code(waiting) == (400, "authorization-pending") and waiting.json()["interval"] == 5
    assert code(await door.client.post("/v1/sessions/device/token", json=asked)) == (400, "slow-down")
    await door.enter(credentials, member)
    approved = await door.client.post("/v1/sessions/device/approve", json={"user_code": grant["user_code"]})
    assert approved.status_code == 204
    door.caller = visitor
    answer = await door.client.post("/v1/sessions/device/token", json=asked)
    assert answer.status_code == 200 and answer.json()["access_token"]


async def test_keys_from_end_to_end(door: Door, credentials: Credentials, member: Principal) -> None:
    await door.enter(credentials, member)
    made = await door.client.post("/v1/keys", json={"name": "backup", "scopes": ["memories:read"]})
    assert made.status_code == 201 and made.json()["key"].startswith(f"dvl_{made.json()['key_id']}_")
    listed = (await door.client.get("/v1/keys")).json()["items"]
    assert [one["id"] for one in listed] == [made.json()["id"]] and "key" not in listed[0]
    assert (await door.client.delete(f"/v1/keys/{made.json()['id']}")).status_code == 204
    assert (await door.client.get("/v1/keys")).json()["items"][0]["revoked_at"] is not None


async def test_lists_go_on_page_by_page(door: Door, credentials: Credentials, member: Principal) -> None:
    for number in range(3):
        await credentials.open(member)
        await door.enter(credentials, member)
        await door.client.post("/v1/keys", json={"name": str(number)})
    for path in ("/v1/sessions", "/v1/keys"):
        whole = (await door.client.get(path)).json()["items"]
        seen: list[Any] = []
        cursor: str | None = None
        for _ in range(20):
            page = (await door.client.get(path, params={"limit": 2} | ({"cursor": cursor} if cursor else {}))).json()
            seen += page["items"]
            if (cursor := page["next"]) is None:
                break
        assert seen == whole and len(seen) >= 3


async def test_a_cursor_is_its_owners(
    door: Door, credentials: Credentials, member: Principal, owner: Principal
) -> None:
    await credentials.open(member)
    await door.enter(credentials, member)
    cursor = (await door.client.get("/v1/sessions", params={"limit": 1})).json()["next"]
    await door.enter(credentials, owner)
    answer = await door.client.get("/v1/sessions", params={"limit": 1, "cursor": cursor})
    assert code(answer) == (400, "bad-cursor")


FRESH = [
    ("POST", "/v1/keys", {"name": "x"}),
    ("POST", "/v1/identity/passkeys/options", None),
    ("POST", "/v1/identity/passkeys", {"name": "x", "credential": {}}),
    ("DELETE", "/v1/identity/passkeys/0199c1a2-7f3e-7c41-9d52-1f2a6be0c311", None),
]


@pytest.mark.parametrize(("method", "path", "body"), FRESH)
async def test_credentials_are_made_and_removed_by_a_fresh_session_only(
    door: Door, credentials: Credentials, member: Principal, method: str, path: str, body: Any
) -> None:
    await door.enter(credentials, member, fresh=False)
    assert code(await door.client.request(method, path, json=body)) == (403, "step-up-required")
    await door.enter(credentials, member)
    answer = await door.client.request(method, path, json=body)
    assert answer.status_code != 403


OWN = [
    ("GET", "/v1/sessions"),
    ("DELETE", "/v1/sessions"),
    ("DELETE", "/v1/sessions/current"),
    ("POST", "/v1/sessions/switch"),
    ("POST", "/v1/sessions/step-up"),
    ("POST", "/v1/sessions/device/approve"),
    ("POST", "/v1/identity/password"),
    ("POST", "/v1/identity/passkeys/options"),
    ("GET", "/v1/identity/passkeys"),
    ("POST", "/v1/identity/passkeys"),
    ("GET", "/v1/keys"),
    ("POST", "/v1/keys"),
]


@pytest.mark.parametrize(("method", "path"), OWN)
async def test_visitors_and_keys_without_the_scope_are_turned_away(
    door: Door, member: Principal, method: str, path: str
) -> None:
    assert code(await door.client.request(method, path, json={}))[0] in (401, 422)
    door.caller = replace(member, scopes=frozenset({"memories:read"}), session=None)
    assert code(await door.client.request(method, path, json={}))[0] in (403, 422)


async def test_the_keyset_is_public_and_may_be_kept_for_a_moment(client: Client) -> None:
    answer = await client.get("/v1/identity/jwks")
    assert answer.status_code == 200 and len(answer.json()["keys"]) == 1
    assert answer.headers["cache-control"] == "public, max-age=60"
    assert "d" not in answer.json()["keys"][0]


async def test_signing_up_over_http(credentials: Credentials) -> None:
    ada = {"email": "ada@example.org", "name": "Ada King", "password": PASSWORD}
    closed, open_ = Door(credentials), Door(credentials, anybody=True)
    assert code(await closed.client.post("/v1/identity/sign-up", json=ada)) == (403, "not-allowed")
    made = await open_.client.post("/v1/identity/sign-up", json=ada | {"cookie": True})
    assert made.status_code == 201 and COOKIE in made.headers["set-cookie"]
    assert code(await open_.client.post("/v1/identity/sign-up", json=ada)) == (409, "conflict")
    for door in (closed, open_):
        await door.client.aclose()
