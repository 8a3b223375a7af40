"""The memory service's HTTP face, split by what is asked; parse, one service call, answer."""

from __future__ import annotations

from devlore_server.kit.http import Router
from devlore_server.kit.paging import Paging
from devlore_server.memory.api.bulk import router as bulk_routes
from devlore_server.memory.api.history import router as history_routes
from devlore_server.memory.api.internal import internal_router
from devlore_server.memory.api.lifecycle import router as lifecycle_routes
from devlore_server.memory.api.links import router as link_routes
from devlore_server.memory.api.listing import router as listing_routes
from devlore_server.memory.api.memories import router as memory_routes
from devlore_server.memory.api.policies import router as policy_routes
from devlore_server.memory.api.transfer import router as transfer_routes
from devlore_server.memory.history import History
from devlore_server.memory.lifecycle import Lifecycle
from devlore_server.memory.links import Links
from devlore_server.memory.service import MemoryService
from devlore_server.memory.transfer import Transfer
from devlore_server.ports import Indexing

__all__ = ["internal_router", "router"]


def router(
    service: MemoryService,
    history: History,
    links: Links,
    lifecycle: Lifecycle,
    transfer: Transfer,
    paging: Paging,
    indexing: Indexing | None = None,
) -> Router:
    """Every public route of the service; ``indexing`` answers ``?wait=indexed``."""
    routes = Router()
    # Fixed paths first: /v1/memories/export must not be read as /v1/memories/{id}.
    routes.include_router(transfer_routes(transfer, indexing))
    routes.include_router(bulk_routes(service, indexing))
    routes.include_router(listing_routes(service, paging))
    routes.include_router(memory_routes(service, indexing))
    routes.include_router(history_routes(history, paging))
    routes.include_router(link_routes(links, paging))
    routes.include_router(lifecycle_routes(lifecycle, indexing))
    routes.include_router(policy_routes(service))
    return routes
