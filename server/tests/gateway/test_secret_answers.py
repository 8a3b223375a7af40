"""Idempotency keys never become a store of secrets: neither of what signs in, nor of what was handed out."""

from __future__ import annotations

from typing import Any

import psycopg

from tests.gateway.gate import PASSWORD, Gate, bearer


def kept(owner_url: str) -> list[tuple[Any, ...]]:
    with psycopg.connect(owner_url) as connection:
        return connection.execute("SELECT status, headers, body FROM gateway.idempotency").fetchall()


async def test_a_new_key_is_told_once(gate: Gate, owner_url: str) -> None:
    owner = await gate.owner()
    async with gate.client(**bearer(owner["access_token"]), **{"Idempotency-Key": "k-1"}) as client:
        first = await client.post("/v1/keys", json={"name": "script"})
        again = await client.post("/v1/keys", json={"name": "script"})
        assert (first.status_code, again.status_code, again.json()["code"]) == (201, 409, "conflict")
        assert again.json()["original_status"] == 201
        assert len((await client.get("/v1/keys")).json()["items"]) == 1
    assert kept(owner_url) == [(201, [], None)]


async def test_an_invitation_is_told_once(gate: Gate, owner_url: str) -> None:
    owner = await gate.owner()
    path = f"/v1/organisations/{owner['organisation_id']}/invitations"
    async with gate.client(**bearer(owner["access_token"]), **{"Idempotency-Key": "i-1"}) as client:
        token = (await client.post(path, json={"role": "member"})).json()["token"]
        assert (await client.post(path, json={"role": "member"})).status_code == 409
    assert token not in str(kept(owner_url))


async def test_nothing_is_kept_of_a_password(gate: Gate, owner_url: str) -> None:
    owner = await gate.owner()
    body = {"old": PASSWORD, "new": "another lamp crosses wednesday"}
    async with gate.client(**bearer(owner["access_token"]), **{"Idempotency-Key": "p-1"}) as client:
        changed = await client.post("/v1/identity/password", json=body)
        assert changed.status_code == 204, changed.text
        stepped = await client.post("/v1/sessions/step-up", json={"password": body["new"]})
        assert stepped.status_code == 204, stepped.text
    assert kept(owner_url) == [], "not even a digest, which could be guessed at"


async def test_everything_else_is_kept_as_before(gate: Gate, owner_url: str) -> None:
    owner = await gate.owner()
    async with gate.client(**bearer(owner["access_token"]), **{"Idempotency-Key": "t-1"}) as client:
        first = await client.post("/v1/teams", json={"name": "Birds"})
        again = await client.post("/v1/teams", json={"name": "Birds"})
    assert (again.status_code, again.json()) == (201, first.json())
    assert [row[0] for row in kept(owner_url)] == [201]
