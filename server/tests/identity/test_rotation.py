"""``devlore-server rotate-keys`` beside a running server: nobody is signed out, and the new key takes over."""

from __future__ import annotations

import asyncio
import json
from base64 import urlsafe_b64decode
from typing import Any
from uuid import UUID

import httpx2
import pytest

from devlore_server.app import WrongTier
from devlore_server.app.ownership import rotated_keys
from devlore_server.identity.founding import found
from devlore_server.identity.signing import Signing
from devlore_server.kit.db import Database
from devlore_server.kit.ids import new_id
from devlore_server.settings import Settings

from .credentials import PASSWORD


def key_of(token: str) -> str:
    header = token.split(".")[0]
    return str(json.loads(urlsafe_b64decode(header + "=" * (-len(header) % 4)))["kid"])


async def test_rotating_signs_nobody_out(team_server: str, team_settings: Settings, database: Database) -> None:
    invitation = await found(database, new_id(), "Acme")
    async with httpx2.AsyncClient(base_url=team_server, timeout=30) as client:

        async def status(token: str) -> int:
            return (await client.get("/v1/identity", headers={"Authorization": f"Bearer {token}"})).status_code

        async def keys() -> set[str]:
            return {one["kid"] for one in (await client.get("/v1/identity/jwks")).json()["keys"]}

        ada = {"email": "ada@example.org", "name": "Ada King", "password": PASSWORD, "invitation": invitation}
        before: dict[str, Any] = (await client.post("/v1/identity/sign-up", json=ada)).json()
        old = key_of(before["access_token"])
        assert await status(before["access_token"]) == 200 and await keys() == {old}
        new = await rotated_keys(team_settings)
        assert await keys() == {old, new}
        assert await status(before["access_token"]) == 200
        # Another process of the identity role, which already knows the new key.
        person = UUID((await client.get("/v1/identity", headers=bearer(before))).json()["person"]["id"])
        other = Signing(database, team_settings.key(), issuer=team_server)
        token = await other.token(person, UUID(before["organisation_id"]), UUID(before["session_id"]))
        assert key_of(token) == new
        # The gateway asks for keys it does not know, at most once a second.
        async with asyncio.timeout(10):
            while await status(token) != 200:
                await asyncio.sleep(0.1)
        refreshed = await client.post("/v1/sessions/refresh", json={"refresh_token": before["refresh_token"]})
        assert await status(refreshed.json()["access_token"]) == 200


def bearer(tokens: dict[str, Any]) -> dict[str, str]:
    return {"Authorization": f"Bearer {tokens['access_token']}"}


async def test_an_instance_without_sign_in_has_no_keys_to_rotate(settings: Settings, server: str) -> None:
    async with httpx2.AsyncClient(base_url=server, timeout=30) as client:
        assert (await client.get("/v1/instance")).json()["tier"] == "individual"
    with pytest.raises(WrongTier):
        await rotated_keys(settings)
