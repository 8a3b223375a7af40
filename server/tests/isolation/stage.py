"""A whole team instance inside the test process, so that what it logs, counts and caches can be looked at as well."""

from __future__ import annotations

import asyncio
import shutil
import tempfile
import time
from collections.abc import AsyncIterator, Iterator
from contextlib import AsyncExitStack, asynccontextmanager, contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import httpx2
import psycopg
from psycopg import sql
from pydantic import SecretStr
from starlette.types import ASGIApp

from devlore_server.app import application
from devlore_server.app.ownership import first_owner
from devlore_server.kit import migrate
from devlore_server.kit.ids import new_id
from devlore_server.settings import Settings
from tests.conftest import named
from tests.people import PASSWORD
from tests.search.conftest import EmbeddingServer

URL = "http://localhost:7700"
SECRET = "a secret of an instance that lives inside a test"


@dataclass
class Caller:
    """Somebody at the door: a client with a credential, or none."""

    name: str
    client: httpx2.AsyncClient
    id: str = ""
    organisation: str = ""
    email: str = ""
    token: str = ""
    refresh: str = ""
    since: float = 0.0

    async def get(self, path: str, **options: Any) -> httpx2.Response:
        return await self.client.get(path, **options)

    async def post(self, path: str, **options: Any) -> httpx2.Response:
        return await self.client.post(path, **options)

    async def made(self, path: str, body: Any, **options: Any) -> dict[str, Any]:
        """What a POST that must succeed made."""
        answer = await self.client.post(path, json=body, **options)
        assert answer.is_success, f"{self.name} POST {path}: {answer.status_code} {answer.text}"
        return dict(answer.json()) if answer.content else {}

    async def done(self, method: str, path: str, **options: Any) -> httpx2.Response:
        """A request that must succeed."""
        answer = await self.client.request(method, path, **options)
        assert answer.is_success, f"{self.name} {method} {path}: {answer.status_code} {answer.text}"
        return answer

    def take(self, tokens: dict[str, Any]) -> None:
        """Go on with these tokens."""
        self.organisation, self.token, self.refresh = (
            tokens[name] for name in ("organisation_id", "access_token", "refresh_token")
        )
        self.client.headers["Authorization"] = f"Bearer {self.token}"
        self.since = time.monotonic()

    async def hold(self) -> bool:
        """Whether they are still signed in; with a new token when the old one is about to run out."""
        if self.refresh and time.monotonic() - self.since > 240:
            answer = await self.client.post("/v1/sessions/refresh", json={"refresh_token": self.refresh})
            if not answer.is_success:
                return False
            self.take(answer.json())
        return (await self.client.get("/v1/identity")).status_code == 200


@dataclass
class Stage:
    """The instance, its database as the superuser sees it, and everybody who came in."""

    app: ASGIApp
    owner_url: str
    redis_url: str
    first: str
    stack: AsyncExitStack
    callers: list[Caller] = field(default_factory=list)

    async def caller(self, name: str, headers: dict[str, str] | None = None) -> Caller:
        transport = httpx2.ASGITransport(app=self.app, raise_app_exceptions=False)
        client = httpx2.AsyncClient(transport=transport, base_url=URL, headers=headers, timeout=60)
        await self.stack.enter_async_context(client)
        found = Caller(name, client)
        self.callers.append(found)
        return found

    async def sign_up(self, name: str, invitation: str | None = None) -> Caller:
        """A new person: by an invitation, or the owner of an organisation of their own."""
        asker = await self.caller(name)
        asked = {"email": f"{name}@example.com".lower(), "name": name, "password": PASSWORD, "invitation": invitation}
        tokens = await asker.made("/v1/identity/sign-up", asked)
        return await self.as_of(asker, tokens)

    async def as_of(self, asker: Caller, tokens: dict[str, Any]) -> Caller:
        """Go on in the session of these tokens."""
        asker.take(tokens)
        me = (await asker.done("GET", "/v1/identity")).json()
        asker.id, asker.email = me["person"]["id"], me["person"]["email"]
        return asker

    async def invite(self, by: Caller, name: str, role: str = "member") -> Caller:
        """Somebody new in the organisation of `by`."""
        made = await by.made(f"/v1/organisations/{by.organisation}/invitations", {"role": role})
        return await self.sign_up(name, made["token"])

    async def invite_known(self, by: Caller, person: Caller, role: str = "member") -> Caller:
        """A second session of somebody who is here already, in the organisation of `by`."""
        made = await by.made(f"/v1/organisations/{by.organisation}/invitations", {"role": role})
        asker = await self.caller(f"{person.name}@{by.name}")
        asked = {"email": person.email, "password": PASSWORD, "invitation": made["token"]}
        return await self.as_of(asker, await asker.made("/v1/sessions", asked))

    def rows(self, query: str, *parameters: Any) -> list[tuple[Any, ...]]:
        """What the superuser reads, past every policy."""
        with psycopg.connect(self.owner_url, autocommit=True) as connection:
            cursor = connection.execute(query, parameters)
            return list(cursor.fetchall()) if cursor.description else []

    async def consumed(self, consumer: str) -> None:
        """Wait until a consumer has applied every event there is."""
        behind = (
            "SELECT count(*) FROM log.event e LEFT JOIN log.consumer c ON c.name = %s"
            " WHERE e.type LIKE 'identity.%%' AND (c.name IS NULL OR (e.xid, e.seq) > (c.xid, c.seq))"
        )
        async with asyncio.timeout(20):
            while self.rows(behind, consumer) != [(0,)]:
                await asyncio.sleep(0.02)

    async def settled(self, asker: Caller) -> None:
        """Wait until every index has what is committed."""
        for _ in range(20):
            answer = await asker.get("/v1/search", params={"q": "x", "wait": "indexed", "limit": 1})
            if answer.headers.get("devlore-indexed") == "true":
                return
        raise AssertionError("the indexes do not catch up")


@contextmanager
def scratch_database(postgres: str, template: str) -> Iterator[str]:
    """The superuser's URL of a database of one's own."""
    name = f"isolation_{new_id().hex}"
    create = sql.SQL("CREATE DATABASE {} TEMPLATE {} STRATEGY file_copy")
    with psycopg.connect(postgres, autocommit=True) as connection:
        connection.execute(create.format(sql.Identifier(name), sql.Identifier(template)))
    # A copy has the template's tables, but not the rights on the database itself.
    with psycopg.connect(named(postgres, name), autocommit=True) as connection:
        connection.execute((migrate.MIGRATIONS / "roles.sql").read_text())
    try:
        yield named(postgres, name)
    finally:
        with psycopg.connect(postgres, autocommit=True) as connection:
            connection.execute(sql.SQL("DROP DATABASE IF EXISTS {} WITH (FORCE)").format(sql.Identifier(name)))


@asynccontextmanager
async def raised(owner_url: str, redis_url: str, **more: Any) -> AsyncIterator[Stage]:
    """The instance running; whoever signs up without an invitation has an organisation of their own."""
    home = Path(tempfile.mkdtemp(prefix="dvl-stage-", dir="/tmp"))
    embedding = EmbeddingServer()
    embedding.start()
    chosen: dict[str, Any] = {
        "tier": "team",
        "public_url": URL,
        "sign_up": "open",
        "rate_limit": 1_000_000,
        "embedder": embedding.spec,
        "search_deadline_ms": 20_000,
        "log_level": "debug",
        "log_format": "json",
    } | more
    settings = Settings(
        home=home,
        database_url=SecretStr(owner_url),
        redis_url=SecretStr(redis_url),
        secret=SecretStr(SECRET),
        **chosen,
    )
    try:
        async with AsyncExitStack() as stack:
            token = await first_owner(settings, "Acme")
            assert token is not None
            app = await stack.enter_async_context(application(settings))
            clients = await stack.enter_async_context(AsyncExitStack())
            yield Stage(app, owner_url, redis_url, token.partition("#")[2], clients)
            await asyncio.sleep(0)
    finally:
        embedding.stop()
        shutil.rmtree(home, ignore_errors=True)
