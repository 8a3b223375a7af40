"""People of a team instance, as HTTP clients: the first owner, those they invite, and their memories."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from typing import Any, Self

import httpx2

from devlore_server.kit.ids import new_id

PASSWORD = "violet lamp crosses tuesday"


class Person(httpx2.Client):
    """Somebody signed in; `tokens` are those of their session, `id` and `organisation` who and where they are."""

    def __init__(self, url: str, tokens: dict[str, Any]) -> None:
        super().__init__(base_url=url, timeout=30, trust_env=False)
        self.url = url
        self.use(tokens)
        me = self.get("/v1/identity").json()
        self.id, self.email = me["person"]["id"], me["person"]["email"]

    def use(self, tokens: dict[str, Any]) -> None:
        """Go on in the session of these tokens."""
        self.tokens = tokens
        self.organisation = tokens["organisation_id"]
        self.headers["Authorization"] = f"Bearer {tokens['access_token']}"

    @classmethod
    def signing_up(cls, url: str, invitation: str | None = None, name: str = "Ada") -> Self:
        """A new person, by an invitation."""
        draft = {"email": f"{name.lower()}-{new_id().hex}@example.com", "name": name, "password": PASSWORD}
        answer = httpx2.post(url + "/v1/identity/sign-up", json=draft | {"invitation": invitation}, timeout=30)
        assert answer.status_code == 201, answer.text
        return cls(url, answer.json())

    def again(self) -> Person:
        """The same person in a session of its own."""
        asked = {"email": self.email, "password": PASSWORD, "organisation": self.organisation}
        answer = httpx2.post(self.url + "/v1/sessions", json=asked, timeout=30)
        assert answer.status_code == 201, answer.text
        return Person(self.url, answer.json())

    def invite(self, role: str = "member", name: str = "Bo") -> Person:
        """Somebody new in this person's organisation."""
        answer = self.post(f"/v1/organisations/{self.organisation}/invitations", json={"role": role})
        assert answer.status_code == 201, answer.text
        return Person.signing_up(self.url, answer.json()["token"], name)

    def remember(self, title: str, privacy: str, **draft: Any) -> dict[str, Any]:
        """A new memory that search knows."""
        body = {"title": title, "privacy": privacy} | draft
        answer = self.post("/v1/memories", json=body, params={"wait": "indexed"})
        assert answer.status_code == 201, answer.text
        return dict(answer.json())

    def sees(self, memory: dict[str, Any]) -> dict[str, bool]:
        """Through which of the three ways this person finds a memory."""
        for _ in range(6):  # a request waits ten seconds at most for what was written
            found = self.get("/v1/search", params={"q": memory["title"], "wait": "indexed", "limit": 50})
            assert found.status_code == 200, found.text
            if found.headers["devlore-indexed"] == "true":
                break
        listed = self.get("/v1/memories", params={"limit": 100})
        return {
            "get": self.get(f"/v1/memories/{memory['id']}").status_code == 200,
            "list": memory["id"] in {item["id"] for item in listed.json()["items"]},
            "search": memory["id"] in {hit["memory"]["id"] for hit in found.json()["items"]},
        }

    def team_of(self, *people: Person) -> str:
        """A team of these people, made by this one."""
        answer = self.post("/v1/teams", json={"name": f"Team {new_id().hex}"})
        assert answer.status_code == 201, answer.text
        id = str(answer.json()["id"])
        for person in people:
            put = self.put(f"/v1/teams/{id}/members/{person.id}", json={"role": "member"})
            assert put.status_code in (200, 201), put.text
        return id


def first_owner(settings: dict[str, str]) -> str | None:
    """The secret of the link that `devlore-server first-owner` prints; None when it says that there is an owner."""
    return secret_of(command("first-owner", "--organisation", "Acme", **settings))


def secret_of(said: str) -> str | None:
    found = re.search(r"/invitation#([\w-]+)", said)
    return found[1] if found else None


def command(*arguments: str, **settings: str) -> str:
    """What `devlore-server` prints; fails when it fails."""
    kept = {k: v for k, v in os.environ.items() if not k.startswith("DEVLORE_")}
    chosen = {f"DEVLORE_{k.upper()}": v for k, v in settings.items()}
    done = subprocess.run(
        [sys.executable, "-m", "devlore_server", *arguments],
        env=kept | chosen,
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    return done.stdout
