"""The services of a process, each given what it asks of the others: the object, or its client in another process."""

from __future__ import annotations

from dataclasses import dataclass, field

from fastapi import APIRouter

from devlore_server.app.process import Process
from devlore_server.gateway.jobs import keep_forgetting
from devlore_server.identity.api.audit import router as audit_router
from devlore_server.identity.audit import AuditTrail
from devlore_server.identity.wiring import assemble as assemble_identity
from devlore_server.integration import api as integration_api
from devlore_server.integration.departures import Disconnections
from devlore_server.integration.jobs import SyncJobs
from devlore_server.integration.reactions import IntegrationReactions
from devlore_server.integration.service import IntegrationService
from devlore_server.kit import audit
from devlore_server.kit.telemetry import Resource
from devlore_server.memory import api as memory_api
from devlore_server.memory.client import MemoriesClient
from devlore_server.memory.departures import Departures
from devlore_server.memory.history import History
from devlore_server.memory.lifecycle import Lifecycle
from devlore_server.memory.links import Links
from devlore_server.memory.reactions import DepartureReactions, MemoryReactions
from devlore_server.memory.secrets.screen import Screen
from devlore_server.memory.service import MemoryService
from devlore_server.memory.transfer import Transfer
from devlore_server.ports import Identity, Indexing, Memories
from devlore_server.search import api as search_api
from devlore_server.search import wiring
from devlore_server.search.client import IndexingClient
from devlore_server.search.embedders import open_embedder
from devlore_server.subscriptions import INTEGRATION_DEPARTURES, MEMORY_DEPARTURES, MEMORY_NEAR_DUPLICATES


@dataclass(slots=True)
class Services:
    """The faces of the services this process runs, and who tells its gateway what a credential is good for."""

    routers: list[APIRouter] = field(default_factory=list)
    internal: list[APIRouter] = field(default_factory=list)
    identity: Identity | None = None


async def serve(process: Process) -> Services:
    """Make the services of this process."""
    services = Services()
    if process.runs("identity") or process.runs("worker"):
        _identity(process, services)
    if any(process.runs(role) for role in ("memory", "search", "integration", "worker")):
        await _memories(process, services)
    if process.runs("worker"):
        process.jobs["gateway.idempotency"] = lambda: keep_forgetting(process.database)
        process.jobs["audit.partitions"] = lambda: audit.keep_ahead(process.database)
    return services


def _identity(process: Process, services: Services) -> None:
    if process.runs("identity"):
        services.routers.append(audit_router(AuditTrail(process.database), process.paging))
    # Without sign-in there is nobody to know and nothing to erase.
    if not process.signs_in:
        return
    settings = process.settings
    identities = assemble_identity(
        database=process.database,
        log=process.log,
        limiter=process.limiter,
        revocations=process.revocations,
        paging=process.paging,
        secret=process.secret,
        public_url=settings.origin,
        anybody=settings.sign_up == "open",
    )
    if process.runs("identity"):
        services.identity = identities.service
        services.routers.append(identities.router)
        services.internal.append(identities.internal)
    if process.runs("worker"):
        process.jobs |= identities.tasks()


async def _memories(process: Process, services: Services) -> None:
    """The services around memories, which ask each other."""
    own = _own_memories(process) if process.runs("memory") else None
    memories: Memories = own or _memories_elsewhere(process)
    if process.runs("search"):
        indexing = await _search(process, services, memories)
    elif own is not None:
        indexing = _search_elsewhere(process)
    if own is not None:
        _memory(process, services, own, indexing)
    if process.runs("integration") or process.runs("worker"):
        _integration(process, services, memories)


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


def _own_memories(process: Process) -> MemoryService:
    return MemoryService(process.database, process.log, screen=Screen(process.database, process.secret))


def _memory(process: Process, services: Services, service: MemoryService, indexing: Indexing) -> None:
    database, events, screen = process.database, process.log, service.screen
    links = Links(database, screen=screen)
    services.routers.append(
        memory_api.router(
            service,
            History(database),
            links,
            Lifecycle(database, events, screen=screen),
            Transfer(database, events, screen=screen),
            process.paging,
            indexing,
        )
    )
    services.internal.append(memory_api.internal_router(service))
    process.tail(MEMORY_NEAR_DUPLICATES, MemoryReactions(links).note_near_duplicates)
    process.tail(MEMORY_DEPARTURES, DepartureReactions(Departures(database, events)).settle)


def _integration(process: Process, services: Services, memories: Memories) -> None:
    # Connectors read this machine's files only where the machine is the caller's own.
    service = IntegrationService(process.database, memories, local=not process.signs_in)
    if process.runs("integration"):
        services.routers.append(integration_api.router(service, process.paging))
        reactions = IntegrationReactions(Disconnections(process.database, memories))
        process.tail(INTEGRATION_DEPARTURES, reactions.disconnect)
    if process.runs("worker"):
        # Where the gateway runs along, everything does; elsewhere a sync may be another worker's.
        process.jobs["integration.syncs"] = SyncJobs(service, alone=process.runs("gateway")).run
