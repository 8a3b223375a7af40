"""The page where devices are let in, in a real browser: it shows whose device it is before there is anything to approve
(RFC 8628 §5.4)."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import httpx2
import pytest

from devlore_server.gateway.individual import ORGANISATION
from devlore_server.identity.founding import found
from devlore_server.kit.db import Database
from devlore_server.settings import Settings
from tests.identity.browser import PROGRAM, Page, browsing
from tests.people import PASSWORD

pytestmark = [
    pytest.mark.skipif(PROGRAM is None, reason="needs Chromium to look at the page"),
    pytest.mark.timeout(120),
]
PICTURES = os.environ.get("PICTURES")
"""A folder to leave pictures in, for whoever wants to look."""
FAR = {"X-Forwarded-For": "198.51.100.9"}


@pytest.fixture
def team_settings(settings: Settings) -> Settings:
    """An instance that believes whoever is on this machine where requests come from."""
    return settings.model_copy(update={"tier": "team", "rate_limit": 0, "trusted_proxies": ["127.0.0.1/32"]})


@pytest.fixture
async def http(team_server: str, database: Database) -> Any:
    """Whoever is not signed in, once Ada owns the instance."""
    async with httpx2.AsyncClient(base_url=team_server, timeout=30, trust_env=False) as client:
        token = await found(database, ORGANISATION, "Acme")
        ada = {"email": "ada@example.com", "name": "Ada", "password": PASSWORD, "invitation": token}
        assert (await client.post("/v1/identity/sign-up", json=ada)).status_code == 201
        yield client


async def begun(http: httpx2.AsyncClient, **headers: str) -> dict[str, str]:
    answer = await http.post("/v1/sessions/device", headers=headers)
    assert answer.status_code == 200, answer.text
    return dict(answer.json())


async def sign_in(page: Page, grant: dict[str, str]) -> None:
    """Follow the link a device shows, and sign in on the way."""
    await page.go(grant["verification_uri_complete"])
    await page.until("location.pathname === '/signin' && document.readyState === 'complete'")
    await page.run(
        "document.querySelector('#password-form [name=email]').value = 'ada@example.com';"
        f"document.querySelector('#password-form [name=password]').value = '{PASSWORD}';"
        "document.querySelector('#password-form [type=submit]').click()"
    )
    await page.until("location.pathname === '/device' && document.getElementById('who').textContent.includes('Ada')")


async def press(page: Page, form: str, value: str = "") -> None:
    which = f"[value={value}]" if value else "[type=submit]"
    await page.run(f"document.querySelector('#{form} button{which}').click()")


async def shown(page: Page, id: str) -> str:
    return str(await page.run(f"document.getElementById('{id}').innerText"))


async def take_picture(page: Page, name: str) -> None:
    if PICTURES:
        await page.picture(Path(PICTURES) / f"{name}.png")


async def poll(http: httpx2.AsyncClient, grant: dict[str, str]) -> httpx2.Response:
    return await http.post("/v1/sessions/device/token", json={"device_code": grant["device_code"]})


async def test_ones_own_device_is_recognised_and_let_in(http: httpx2.AsyncClient) -> None:
    grant = await begun(http, **{"User-Agent": "devlore/0.1.0 (ada-laptop)"})
    async with browsing() as page:
        await sign_in(page, grant)
        assert await page.run("document.getElementById('code').value") == grant["user_code"]
        assert await page.run("document.getElementById('settle-form').hidden"), "nothing to approve yet"
        await press(page, "device-form")
        await page.until("!document.getElementById('settle-form').hidden")
        await take_picture(page, "near")
        assert await shown(page, "asks") == "A device asks to work as Ada, in Acme"
        assert await shown(page, "device-code") == grant["user_code"]
        assert await shown(page, "device-agent") == "devlore/0.1.0 (ada-laptop)"
        assert await shown(page, "device-network") == "127.0.0.0/24 (your network)"
        assert (await shown(page, "device-time")).endswith("just now")
        assert "memories:write" in await shown(page, "device-scopes")
        assert "another network" not in await shown(page, "device-warning")
        await press(page, "settle-form", "approve")
        await page.until("document.getElementById('status').textContent.startsWith('Approved')")
    assert (await poll(http, grant)).status_code == 200


async def test_a_strangers_device_is_told_apart_and_refused(http: httpx2.AsyncClient) -> None:
    grant = await begun(http, **FAR, **{"User-Agent": "<b>Ada's laptop</b>"})
    async with browsing() as page:
        await sign_in(page, grant)
        await press(page, "device-form")
        await page.until("!document.getElementById('settle-form').hidden")
        await take_picture(page, "far")
        assert await shown(page, "device-agent") == "<b>Ada's laptop</b>", "text, not markup"
        assert await shown(page, "device-network") == "198.51.100.0/24 (not your network)"
        assert (await shown(page, "device-warning")).startswith("This device is in another network than you are.")
        await press(page, "settle-form", "deny")
        await page.until("document.getElementById('status').textContent === 'Refused.'")
    assert (await poll(http, grant)).json()["code"] == "access-denied"


async def test_a_code_nobody_waits_with_shows_nothing(http: httpx2.AsyncClient) -> None:
    grant = await begun(http)
    async with browsing() as page:
        await sign_in(page, grant)
        await page.run("document.getElementById('code').value = 'BBBB-BBBB'")
        await press(page, "device-form")
        await page.until("document.getElementById('status').dataset.kind === 'error'")
        assert await shown(page, "status") == "No device waits with this code."
        assert await page.run("document.getElementById('settle-form').hidden")
