"""A whole team instance inside the test process, so that what it logs, counts and caches can be looked at as well."""

from __future__ import annotations

import asyncio
import io
import logging
import shutil
import sys
import tempfile
import time
from collections.abc import AsyncIterator, Iterator
from contextlib import AsyncExitStack, asynccontextmanager, contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import httpx2
import psycopg
import redis
import structlog
from psycopg import sql
from pydantic import SecretStr
from starlette.types import ASGIApp

from devlore_server.app import application
from devlore_server.app.ownership import first_owner
from devlore_server.kit import migrate
from devlore_server.kit.ids import new_id
from devlore_server.kit.telemetry.logs import configure_logs
from devlore_server.settings import Settings
from tests.conftest import named
from tests.people import PASSWORD

URL = "http://localhost:7700"
SECRET = "a secret of an instance that lives inside a test"
RENEWED_AFTER = 240.0
"""Seconds; a token lasts ten minutes."""


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

    def __post_init__(self) -> None:
        self.client.event_hooks = {"request": [self._renewing], "response": []}

    async def _renewing(self, request: httpx2.Request) -> None:
        """A new token before the old one runs out, however long a test takes."""
        if not self.refresh or time.monotonic() - self.since < RENEWED_AFTER:
            return
        self.since = time.monotonic()
        asked = self.client.build_request("POST", "/v1/sessions/refresh", json={"refresh_token": self.refresh})
        # With a token that has run out it would be refused for that.
        asked.headers.pop("Authorization", None)
        answer = await self.client.send(asked)
        if answer.is_success:
            self.take(answer.json())
            request.headers["Authorization"] = self.client.headers["Authorization"]

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

    async def is_in(self) -> bool:
        """Whether their credential holds."""
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

    async def seated(self, one: Caller) -> Caller:
        """Somebody of an instance that this one is a copy of, with the same credential."""
        kept = {name: value for name, value in one.client.headers.items() if name == "authorization"}
        found = await self.caller(one.name, kept)
        found.id, found.organisation, found.email = one.id, one.organisation, one.email
        found.token, found.refresh, found.since = one.token, one.refresh, one.since
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

    async def consumed(self, consumer: str, events: str = "identity.%") -> None:
        """Wait until a consumer has applied every event there is of those whose types are like this."""
        behind = (
            "SELECT count(*) FROM log.event e LEFT JOIN log.consumer c ON c.name = %s"
            " WHERE e.type LIKE %s AND (c.name IS NULL OR (e.xid, e.seq) > (c.xid, c.seq))"
        )
        async with asyncio.timeout(20):
            while self.rows(behind, consumer, events) != [(0,)]:
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
async def raised(owner_url: str, redis_url: str, embedder: str) -> AsyncIterator[Stage]:
    """The instance running, with an empty Redis; whoever signs up uninvited has an organisation of their own."""
    with redis.Redis.from_url(redis_url) as client:
        client.flushall()
    home = Path(tempfile.mkdtemp(prefix="dvl-stage-", dir="/tmp"))
    settings = Settings(
        home=home,
        database_url=SecretStr(owner_url),
        redis_url=SecretStr(redis_url),
        secret=SecretStr(SECRET),
        tier="team",
        public_url=URL,
        sign_up="open",
        rate_limit=1_000_000,
        embedder=embedder,
        search_deadline_ms=20_000,
        log_level="debug",
        log_format="json",
    )
    try:
        async with AsyncExitStack() as stack:
            # A copy of an instance has its owner.
            link = await first_owner(settings, "Acme") or ""
            app = await stack.enter_async_context(application(settings))
            clients = await stack.enter_async_context(AsyncExitStack())
            yield Stage(app, owner_url, redis_url, link.partition("#")[2], clients)
            await asyncio.sleep(0)
    finally:
        shutil.rmtree(home, ignore_errors=True)


@contextmanager
def logged_to(text: io.StringIO) -> Iterator[None]:
    """All that the server logs meanwhile, down to the least, the way it does when it is served."""
    kept = sys.stderr, logging.getLogger().handlers[:], structlog.get_config()
    sys.stderr = text
    try:
        configure_logs("json", "debug")
    finally:
        sys.stderr = kept[0]
    try:
        yield
    finally:
        logging.getLogger().handlers[:] = kept[1]
        structlog.configure(**kept[2])
