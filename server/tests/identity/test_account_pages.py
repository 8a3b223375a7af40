"""The pages of an invitation and of one's account, in a real browser: who is joining what, and what was just said."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import httpx2
import pytest

from devlore_server.gateway.individual import ORGANISATION
from devlore_server.identity.founding import found
from devlore_server.kit.db import Database
from tests.identity.browser import PROGRAM, Page, browsing
from tests.people import PASSWORD

pytestmark = [
    pytest.mark.skipif(PROGRAM is None, reason="needs Chromium to look at the pages"),
    pytest.mark.timeout(180),
]
PICTURES = os.environ.get("PICTURES")
"""A folder to leave pictures in, for whoever wants to look."""


@pytest.fixture
async def ada(team_server: str, database: Database) -> Any:
    """The owner of the instance, as a client that is signed in."""
    async with httpx2.AsyncClient(base_url=team_server, timeout=30, trust_env=False) as client:
        token = await found(database, ORGANISATION, "Acme")
        ada = {"email": "ada@example.com", "name": "Ada", "password": PASSWORD, "invitation": token}
        tokens = (await client.post("/v1/identity/sign-up", json=ada)).json()
        client.headers["Authorization"] = f"Bearer {tokens['access_token']}"
        yield client


async def invitation(ada: httpx2.AsyncClient, **fields: str) -> str:
    """The link of a new invitation."""
    made = await ada.post(f"/v1/organisations/{ORGANISATION}/invitations", json={"role": "member", **fields})
    assert made.status_code == 201, made.text
    return str(made.json()["link"])


async def filled(page: Page, form: str, **values: str) -> None:
    """Enter values into a form, and send it."""
    for name, value in values.items():
        await page.run(f"document.querySelector('#{form} [name={name}]').value = '{value}'")
    await page.run(f"document.getElementById('{form}').requestSubmit()")


async def bob_joins(page: Page, link: str) -> None:
    """Open an invitation as somebody new, and accept it."""
    await page.go(link)
    await page.until("document.getElementById('new')?.hidden === false")
    await filled(page, "sign-up-form", name="Bob", email="bob@example.com", password=PASSWORD)
    await page.until("location.pathname === '/account' && document.querySelector('#sessions li') !== null")


def text(id: str) -> str:
    return f"document.getElementById('{id}')?.textContent"


async def pictured(page: Page, name: str) -> None:
    if PICTURES:
        await page.picture(Path(PICTURES) / f"{name}.png")


async def test_whoever_opens_the_bare_address_arrives_where_they_sign_in(team_server: str) -> None:
    async with browsing() as page:
        await page.go(team_server)
        await page.until("location.pathname === '/signin' && document.querySelector('[name=password]') !== null")
        assert await page.run("location.search") == "?next=%2Faccount"


async def test_an_invitation_says_who_invites_where_and_as_what(ada: httpx2.AsyncClient) -> None:
    link = await invitation(ada, role="admin")
    async with browsing() as page:
        await page.go(link)
        assert await page.until(text("invited")) == "Ada invites you to Acme, as an admin."
        assert await page.run("location.hash") == ""


async def test_an_invitation_that_was_used_says_what_to_do(ada: httpx2.AsyncClient) -> None:
    link = await invitation(ada)
    async with browsing() as page:
        await bob_joins(page, link)
        await page.go(link)
        said = await page.until(text("status"))
        assert "not valid" in said and said.endswith("Ask whoever sent it for another.")
        assert await page.run("document.querySelector('h1').textContent") == "This invitation does not work"
        await page.go(link.partition("#")[0])
        assert (await page.until(text("status"))).endswith("Ask whoever sent it for another.")
        await pictured(page, "invitation-used")


async def test_somebody_who_is_signed_in_sees_as_whom_and_may_be_somebody_else(ada: httpx2.AsyncClient) -> None:
    first, second = await invitation(ada), await invitation(ada, email="carol@example.com")
    async with browsing() as page:
        await bob_joins(page, first)
        await page.go(second)
        assert await page.until(text("me")) == "Bob · bob@example.com"
        await pictured(page, "invitation-signed-in")
        await page.run("document.getElementById('accept-button').click()")
        assert "somebody else" in await page.until(text("status"))
        await page.run("document.getElementById('not-me').click()")
        # The invitation is still there, and nobody is signed in.
        await page.until("document.getElementById('new')?.hidden === false")
        assert await page.run("document.getElementById('email').value") == "carol@example.com"
        assert (await page.run("fetch('/v1/identity').then((answer) => answer.status)")) == 401


async def test_an_account_shows_what_there_is_and_offers_only_what_makes_sense(ada: httpx2.AsyncClient) -> None:
    async with browsing() as page:
        await bob_joins(page, await invitation(ada))
        session = await page.run("document.querySelector('#sessions li').textContent")
        assert session.startswith("This one: Chrome on Linux, last used ") and "Mozilla" not in session
        assert await page.run("document.querySelectorAll('#sessions button').length") == 0
        assert await page.run("document.getElementById('revoke-others').hidden")
        assert await page.run("document.getElementById('switch-form').hidden")
        assert await page.run(text("passkeys")) == await page.run(text("keys")) == "None yet."
        assert await page.run(text("login-command")) == f"devlore login --url {await page.run('location.origin')}"
        await pictured(page, "account")
        signed_in = {"email": "bob@example.com", "password": PASSWORD}
        assert (await ada.post("/v1/sessions", json=signed_in)).status_code == 201
        await page.run("location.reload()")
        await page.until("document.querySelectorAll('#sessions button').length === 1")
        await page.run("document.getElementById('revoke-others').click()")
        await page.until("document.querySelectorAll('#sessions li').length === 1")


async def test_what_is_said_is_in_sight_at_the_end_of_the_page(ada: httpx2.AsyncClient) -> None:
    async with browsing() as page:
        await bob_joins(page, await invitation(ada))
        await filled(page, "change-form", old="not this one at all", new="another good passphrase")
        await page.run("scrollTo(0, document.body.scrollHeight)")
        await page.until(text("status"))
        place = "document.getElementById('status').getBoundingClientRect()"
        assert await page.run("scrollY > 100")
        assert await page.run(f"{place}.top >= 0 && {place}.bottom <= innerHeight")
        await pictured(page, "account-said")


async def test_a_server_that_is_away_is_said_in_words(ada: httpx2.AsyncClient) -> None:
    async with browsing() as page:
        await page.go(f"{ada.base_url}/signin")
        await page.until("document.getElementById('password-form') !== null && document.readyState === 'complete'")
        await page.run("window.fetch = () => Promise.reject(new TypeError('Failed to fetch'))")
        await filled(page, "password-form", email="ada@example.com", password="whatever")
        assert await page.until(text("status")) == "The server does not answer. Try again in a moment."
