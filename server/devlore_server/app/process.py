"""One process: its database, caches, log and jobs, before any service; started in order and ended in reverse."""

from __future__ import annotations

import asyncio
import fcntl
import os
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass, field

import structlog

from devlore.events import Event
from devlore_server.gateway.hosts import ensure_loopback
from devlore_server.identity.instance import settle_tier
from devlore_server.kit import cache, heap, limit
from devlore_server.kit.db import Database
from devlore_server.kit.draining import Drain
from devlore_server.kit.embedded import EmbeddedPostgres
from devlore_server.kit.line import Line
from devlore_server.kit.log import Consumer, EventLog, RedisHint
from devlore_server.kit.migrate import app_url, migrate
from devlore_server.kit.paging import Paging
from devlore_server.kit.revocation import Revocations
from devlore_server.kit.supervise import Supervisor
from devlore_server.kit.telemetry import Resource
from devlore_server.settings import BadSettings, Role, Settings
from devlore_server.subscriptions import Subscription

log = structlog.get_logger("devlore.app")


class AlreadyRunning(Exception):
    """Another process runs this role on the same home."""


@dataclass(slots=True)
class Process:
    """What the roles of one process share; resources are entered on `stack` and end with it, last first."""

    settings: Settings
    secret: bytes
    stack: AsyncExitStack
    supervisor: Supervisor
    database: Database
    log: EventLog
    cache: cache.Cache
    limiter: limit.Limiter
    revocations: Revocations
    paging: Paging
    resources: dict[str, Resource] = field(default_factory=dict)
    jobs: dict[str, Callable[[], Awaitable[None]]] = field(default_factory=dict)

    @property
    def signs_in(self) -> bool:
        """Whether people sign in; without, everybody is the one person of the individual tier."""
        return self.settings.tier == "team"

    def runs(self, role: Role) -> bool:
        return role in self.settings.roles

    def address(self, role: Role) -> str:
        """Where a role that runs elsewhere answers. Raises BadSettings when nobody said."""
        url: str | None = getattr(self.settings, f"{role}_url")
        if url is None:
            raise BadSettings(f"This process does not run {role}: set DEVLORE_{role.upper()}_URL to where it runs.")
        return url

    def tail(self, subscription: Subscription, apply: Callable[[list[Event]], Awaitable[None]]) -> None:
        """Have `apply` react to the events of a subscription."""
        consumer = Consumer(self.log, subscription.consumer, subscription.types, apply)
        self.jobs[subscription.consumer] = consumer.run


def ensure_guarded(settings: Settings) -> None:
    """Raise NotLoopback when the process would listen where others reach it, with nobody to keep them out."""
    if settings.tier == "individual":
        ensure_loopback(
            settings.host,
            "the individual tier has no sign-in, so it answers this machine only. "
            "Use 127.0.0.1, ::1 or localhost (DEVLORE_HOST).",
        )
    elif "gateway" not in settings.roles and not settings.internal_networks:
        ensure_loopback(
            settings.host,
            "a service trusts what its gateway signs, so it answers this machine only, or the networks of the other "
            "processes: name them in DEVLORE_INTERNAL_NETWORKS.",
        )


async def started(settings: Settings, stack: AsyncExitStack, drain: Drain) -> Process:
    """Everything below the services, running; entered on `stack`."""
    settings.home.mkdir(parents=True, exist_ok=True, mode=0o700)
    claim_home(settings, stack)
    postgres, superuser_url = await _postgres(settings, stack)
    await migrate(superuser_url)
    database = Database(app_url(superuser_url), max_size=settings.database_connections)
    await database.open()
    stack.push_async_callback(database.close)
    await settle_tier(database, settings.tier)
    redis = cache.connect(settings.redis_url.get_secret_value()) if settings.redis_url else None
    line = None
    if redis is not None:
        line = Line(redis)
        stack.push_async_callback(redis.aclose)
        stack.callback(line.close)
    supervisor = Supervisor()
    secret = settings.key()
    own_limiter = limit.LocalLimiter()
    shared = cache.RedisCache(line) if line else cache.LocalCache()
    process = Process(
        settings=settings,
        secret=secret,
        stack=stack,
        supervisor=supervisor,
        database=database,
        log=EventLog(database, RedisHint(redis) if redis else None),
        cache=shared,
        limiter=limit.FallbackLimiter(limit.RedisLimiter(line), own_limiter) if line else own_limiter,
        revocations=Revocations(shared),
        paging=Paging(secret),
    )
    process.jobs["heap"] = heap.keep_trimmed
    process.resources["draining"] = Resource(drain.ping)
    process.resources["postgres"] = Resource(database.ping)
    process.resources["jobs"] = Resource(supervisor.ping, critical=False)
    if redis is not None:
        process.resources["redis"] = Resource(shared.ping, critical=False)
        process.jobs["log.hint"] = process.log.listen
    if postgres is not None:
        process.jobs["postgres"] = lambda: _keep_alive(postgres)
    return process


@asynccontextmanager
async def reachable(settings: Settings) -> AsyncIterator[str]:
    """The superuser's URL of the database of `settings`; an embedded one that did not run is stopped afterwards."""
    if settings.database_url is not None:
        yield settings.database_url.get_secret_value()
        return
    settings.home.mkdir(parents=True, exist_ok=True, mode=0o700)
    postgres = EmbeddedPostgres(settings.home)
    found_running = postgres.pid() is not None
    url = await asyncio.to_thread(postgres.start)
    try:
        yield url
    finally:
        if not found_running:
            await asyncio.to_thread(postgres.stop)


async def prepared(settings: Settings) -> list[str]:
    """Bring the database of `settings` up to date and leave it as it was found; the names of what was applied."""
    async with reachable(settings) as url:
        return await migrate(url)


def claim_home(settings: Settings, stack: AsyncExitStack) -> None:
    """One process per role and home: two would fight over the full-text index and the embedded PostgreSQL."""
    for role in settings.roles:
        file = stack.enter_context((settings.home / f"{role}.lock").open("a+"))
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            file.seek(0)
            raise AlreadyRunning(f"Process {file.read() or '?'} already runs {role} on {settings.home}.") from None
        file.truncate(0)
        file.write(str(os.getpid()))
        file.flush()


async def _postgres(settings: Settings, stack: AsyncExitStack) -> tuple[EmbeddedPostgres | None, str]:
    """The superuser's URL, and the embedded server when this process is the one that looks after it."""
    if settings.database_url is not None:
        return None, settings.database_url.get_secret_value()
    postgres = EmbeddedPostgres(settings.home)
    url = await asyncio.to_thread(postgres.start)
    # The process of the memory role owns it, also after a crash that left it running.
    if "memory" not in settings.roles:
        return None, url
    stack.push_async_callback(asyncio.to_thread, postgres.stop)
    return postgres, url


async def _keep_alive(postgres: EmbeddedPostgres) -> None:
    """Start the embedded PostgreSQL again when it was killed."""
    while True:
        await asyncio.sleep(0.5)
        if postgres.pid() is None:
            log.warning("postgres_gone")
            await asyncio.to_thread(postgres.start)
            log.info("postgres_back")
