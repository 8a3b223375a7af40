"""The composition root: settings and roles become one ASGI application. The only module that knows everybody."""

from __future__ import annotations

import asyncio
import fcntl
import os
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass, field

import structlog
from fastapi import APIRouter, FastAPI
from starlette.types import ASGIApp

from devlore.events import Event
from devlore_server import __version__, openapi
from devlore_server.gateway import instance
from devlore_server.gateway.guards import LARGER_BODIES, guard
from devlore_server.gateway.hosts import ensure_loopback
from devlore_server.gateway.jobs import keep_forgetting
from devlore_server.gateway.limits import Quotas
from devlore_server.gateway.proxy import Proxy
from devlore_server.gateway.reactions import StoredAnswers
from devlore_server.integration import api as integration_api
from devlore_server.integration.jobs import SyncJobs
from devlore_server.integration.service import IntegrationService
from devlore_server.kit import cache, heap, limit
from devlore_server.kit.db import Database
from devlore_server.kit.embedded import EmbeddedPostgres
from devlore_server.kit.http import BodyLimit, CatchAll, RequestId, SignedCallers
from devlore_server.kit.log import Consumer, EventLog, RedisHint
from devlore_server.kit.migrate import app_url, migrate
from devlore_server.kit.paging import Paging
from devlore_server.kit.supervise import Supervisor
from devlore_server.kit.telemetry import Measured, Resource, Tracing, configure_tracing, health, metrics_route
from devlore_server.memory import api as memory_api
from devlore_server.memory.client import MemoriesClient
from devlore_server.memory.history import History
from devlore_server.memory.lifecycle import Lifecycle
from devlore_server.memory.links import Links
from devlore_server.memory.reactions import MemoryReactions
from devlore_server.memory.service import MemoryService
from devlore_server.memory.transfer import Transfer
from devlore_server.ports import Indexing, Memories
from devlore_server.search import api as search_api
from devlore_server.search import wiring
from devlore_server.search.client import IndexingClient
from devlore_server.search.embedders import open_embedder
from devlore_server.settings import ROLES, BadSettings, Role, Settings
from devlore_server.subscriptions import GATEWAY_ANSWERS, MEMORY_NEAR_DUPLICATES, Subscription

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
    paging: Paging
    resources: dict[str, Resource] = field(default_factory=dict)
    jobs: dict[str, Callable[[], Awaitable[None]]] = field(default_factory=dict)

    def runs(self, role: Role) -> bool:
        return role in self.settings.roles

    def address(self, role: Role) -> str:
        """Where a role that runs elsewhere answers. Raises BadSettings when nobody said."""
        url: str | None = getattr(self.settings, f"{role}_url")
        if url is None:
            raise BadSettings(f"This process does not run {role}: set DEVLORE_{role.upper()}_URL to where it runs.")
        return url


@asynccontextmanager
async def application(settings: Settings) -> AsyncIterator[ASGIApp]:
    """The application of `settings.roles` with everything behind it running; all of it stops on leaving.

    Raises BadSettings, AlreadyRunning, NotLoopback, or what PostgreSQL says when it cannot be reached or migrated.
    """
    ensure_loopback(settings.host)
    async with AsyncExitStack() as stack:
        process = await _start(settings, stack)
        app = _face(process, await _services(process))
        # Entered last, so that jobs end before what they use is closed.
        await stack.enter_async_context(process.supervisor)
        for name, run in process.jobs.items():
            process.supervisor.start(name, run)
        log.info("started", roles=",".join(settings.roles), home=str(settings.home))
        yield app


async def prepared(settings: Settings) -> list[str]:
    """Bring the database of `settings` up to date and leave it as it was found; the names of what was applied."""
    async with AsyncExitStack() as stack:
        settings.home.mkdir(parents=True, exist_ok=True, mode=0o700)
        found_running = settings.database_url is None and EmbeddedPostgres(settings.home).pid() is not None
        postgres, url = await _postgres(settings, stack)
        applied = await migrate(url)
        if postgres is None or found_running:
            stack.pop_all()
    return applied


async def _start(settings: Settings, stack: AsyncExitStack) -> Process:
    settings.home.mkdir(parents=True, exist_ok=True, mode=0o700)
    _claim_home(settings, stack)
    postgres, superuser_url = await _postgres(settings, stack)
    await migrate(superuser_url)
    database = Database(app_url(superuser_url), max_size=settings.database_connections)
    await database.open()
    stack.push_async_callback(database.close)
    redis = cache.connect(settings.redis_url.get_secret_value()) if settings.redis_url else None
    if redis is not None:
        stack.push_async_callback(redis.aclose)
    supervisor = Supervisor()
    secret = settings.key()
    own_limiter = limit.LocalLimiter()
    process = Process(
        settings=settings,
        secret=secret,
        stack=stack,
        supervisor=supervisor,
        database=database,
        log=EventLog(database, RedisHint(redis) if redis else None),
        cache=cache.RedisCache(redis) if redis else cache.LocalCache(),
        limiter=limit.FallbackLimiter(limit.RedisLimiter(redis), own_limiter) if redis else own_limiter,
        paging=Paging(secret),
    )
    process.jobs["heap"] = heap.keep_trimmed
    process.resources["postgres"] = Resource(database.ping)
    process.resources["jobs"] = Resource(supervisor.ping, critical=False)
    if redis is not None:
        process.resources["redis"] = Resource(process.cache.ping, critical=False)
        process.jobs["log.hint"] = process.log.listen
    if postgres is not None:
        process.jobs["postgres"] = lambda: _keep_alive(postgres)
    return process


def _claim_home(settings: Settings, stack: AsyncExitStack) -> None:
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


@dataclass(slots=True)
class Services:
    """The faces of the services this process runs, and the addresses of those it does not."""

    routers: list[APIRouter] = field(default_factory=list)
    internal: list[APIRouter] = field(default_factory=list)


async def _services(process: Process) -> Services:
    """Make the services of this process, and give each what it asks of the others: the object, or its client."""
    services = Services()
    if process.settings.roles == ("gateway",):
        return services
    own = MemoryService(process.database, process.log) if process.runs("memory") else None
    memories: Memories = own or _memories_elsewhere(process)
    indexing = await _search(process, services, memories) if process.runs("search") else _search_elsewhere(process)
    if own is not None:
        _memory(process, services, own, indexing)
    if process.runs("integration"):
        _integration(process, services, memories)
    return services


def _memories_elsewhere(process: Process) -> Memories:
    client = MemoriesClient(process.address("memory"), process.secret)
    process.stack.push_async_callback(client.close)
    return client


def _search_elsewhere(process: Process) -> Indexing:
    client = IndexingClient(process.address("search"), process.secret)
    process.stack.push_async_callback(client.close)
    return client


async def _search(process: Process, services: Services, memories: Memories) -> Indexing:
    settings = process.settings
    key = settings.embedder_key.get_secret_value() if settings.embedder_key else None
    search = wiring.assemble(
        database=process.database,
        memories=memories,
        log=process.log,
        paging=process.paging,
        folder=settings.home / "search",
        make_embedder=lambda setting: open_embedder(setting, key),
        embedder=settings.embedder,
        deadline=settings.search_deadline_ms / 1_000,
    )
    await search.open()
    process.stack.push_async_callback(search.close)
    process.jobs |= search.tasks()
    process.resources["search"] = Resource(search.service.ping, critical=False)
    services.routers.append(search_api.router(search.service))
    services.internal.append(search_api.internal_router(search.service))
    return search.service


def _memory(process: Process, services: Services, service: MemoryService, indexing: Indexing | None) -> None:
    database, events = process.database, process.log
    links = Links(database)
    services.routers.append(
        memory_api.router(
            service,
            History(database),
            links,
            Lifecycle(database, events),
            Transfer(database, events),
            process.paging,
            indexing,
        )
    )
    services.internal.append(memory_api.internal_router(service))
    _tail(process, MEMORY_NEAR_DUPLICATES, MemoryReactions(links).note_near_duplicates)


def _integration(process: Process, services: Services, memories: Memories) -> None:
    # Connectors read this machine's files only where the machine is the caller's own.
    service = IntegrationService(process.database, memories, local=process.settings.tier == "individual")
    services.routers.append(integration_api.router(service, process.paging))
    process.jobs["integration.syncs"] = SyncJobs(service).run


def _tail(process: Process, subscription: Subscription, apply: Callable[[list[Event]], Awaitable[None]]) -> None:
    consumer = Consumer(process.log, subscription.consumer, subscription.types, apply)
    process.jobs[subscription.consumer] = consumer.run


def _face(process: Process, services: Services) -> FastAPI:
    """One FastAPI application: the routes of this process, with the gateway or the check of its signature around."""
    app = openapi.bare(services.routers)
    if process.runs("gateway"):
        _add_gateway(app, process)
    else:
        _add_signature_check(app, process, services)
    return app


def _add_gateway(app: FastAPI, process: Process) -> None:
    settings = process.settings
    app.include_router(instance.router(__version__, settings.tier, settings.roles))
    proxy = _proxy(process)
    _add_operations(app, process)
    # The same document in every topology, whoever answers.
    app.openapi = openapi.document  # type: ignore[method-assign]
    if proxy is not None:
        app.mount("", proxy)  # behind every route of our own
    quotas = Quotas.per_minute(settings.rate_limit) if settings.rate_limit else None
    guard(app, database=process.database, limiter=process.limiter, quotas=quotas, tracing=_tracing(process))
    process.jobs["gateway.idempotency"] = lambda: keep_forgetting(process.database)
    _tail(process, GATEWAY_ANSWERS, StoredAnswers(process.database).erase)


def _add_signature_check(app: FastAPI, process: Process, services: Services) -> None:
    """From the inside out; the gateway that stands before this process has checked the rest."""
    for router in services.internal:
        app.include_router(router)
    _add_operations(app, process)
    app.add_middleware(SignedCallers, secret=process.secret)
    app.add_middleware(BodyLimit, larger=LARGER_BODIES)
    app.add_middleware(CatchAll)
    app.add_middleware(Measured)
    if (tracing := _tracing(process)) is not None:
        app.add_middleware(tracing.around)
    app.add_middleware(RequestId)


def _add_operations(app: FastAPI, process: Process) -> None:
    app.include_router(metrics_route())
    health(app, process.resources)


def _tracing(process: Process) -> Tracing | None:
    tracing = configure_tracing("+".join(process.settings.roles))
    if tracing is not None:
        process.stack.callback(tracing.close)
    return tracing


def _proxy(process: Process) -> Proxy | None:
    """The way to the roles that run elsewhere, if any do."""
    elsewhere: Mapping[str, str] = {
        role: process.address(role) for role in ROLES if role != "gateway" and not process.runs(role)
    }
    if not elsewhere:
        return None
    proxy = Proxy(elsewhere, process.secret)
    process.stack.push_async_callback(proxy.close)
    process.resources["services"] = Resource(proxy.ping, critical=False)
    return proxy
