"""``devlore.AsyncClient``: every operation of a Devlore server as an awaited, typed method."""

from __future__ import annotations

from collections.abc import Mapping
from types import TracebackType
from typing import Self

import httpx2

from devlore.bindings import AsyncNamespace, async_each, async_lines, awaited
from devlore.calls import Retry
from devlore.operations import history, integration, memories
from devlore.operations import search as searching
from devlore.transport import AsyncTransport, address, http_options


class AsyncMemories(AsyncNamespace):
    """Write, read, change and list memories, and what surrounds them."""

    create = awaited(memories.create)
    get = awaited(memories.get)
    list = awaited(memories.list_memories)
    all = async_each(memories.list_memories)
    update = awaited(memories.update)
    delete = awaited(memories.delete)
    restore = awaited(memories.restore)
    supersede = awaited(memories.supersede)
    invalidate = awaited(memories.invalidate)
    reinstate = awaited(memories.reinstate)
    bulk = awaited(memories.bulk)
    tags = awaited(memories.tags)
    all_tags = async_each(memories.tags)
    projects = awaited(memories.projects)
    all_projects = async_each(memories.projects)
    versions = awaited(history.versions)
    all_versions = async_each(history.versions)
    version = awaited(history.version)
    diff = awaited(history.diff)
    links = awaited(history.links)
    all_links = async_each(history.links)
    link = awaited(history.link)
    add_link = awaited(history.add_link)
    unlink = awaited(history.unlink)
    export = async_lines(history.export)
    import_records = awaited(history.import_records)
    search = awaited(searching.search)
    similar = awaited(searching.similar)


class AsyncSearch(AsyncNamespace):
    """Find memories (``await client.search("…")``), and look after the indexes."""

    __call__ = awaited(searching.search)
    all = async_each(searching.search)
    request = awaited(searching.request)
    similar = awaited(searching.similar)
    status = awaited(searching.status)
    check = awaited(searching.check)
    rebuild = awaited(searching.rebuild)
    cancel_rebuild = awaited(searching.cancel_rebuild)


class AsyncConnections(AsyncNamespace):
    """Configure sources of memories and read them."""

    create = awaited(integration.connect)
    list = awaited(integration.connections)
    all = async_each(integration.connections)
    get = awaited(integration.connection)
    update = awaited(integration.change_connection)
    delete = awaited(integration.disconnect)
    sync = awaited(integration.sync)
    syncs = awaited(integration.syncs_of)
    all_syncs = async_each(integration.syncs_of)


class AsyncSyncs(AsyncNamespace):
    """Follow and stop syncs."""

    get = awaited(integration.get_sync)
    cancel = awaited(integration.cancel_sync)


class AsyncInstance(AsyncNamespace):
    """The server itself: ``await client.instance()``, ``await client.instance.ready()``."""

    __call__ = awaited(integration.instance)
    ready = awaited(integration.ready)


class AsyncClient:
    """An awaiting client for one event loop; use as an async context manager or ``aclose()`` it.

    ``base_url`` defaults to ``DEVLORE_URL``, then to this machine's Devlore. ``timeout`` is seconds without
    progress on one attempt. ``http`` brings an own ``httpx2.AsyncClient`` (proxies, certificates).
    """

    def __init__(
        self,
        base_url: str | None = None,
        *,
        timeout: float = 30.0,
        retry: Retry | None = None,
        headers: Mapping[str, str] | None = None,
        http: httpx2.AsyncClient | None = None,
    ) -> None:
        self.base_url = address(base_url)
        self._http = http or httpx2.AsyncClient(**http_options(self.base_url, timeout, headers))
        transport = AsyncTransport(self.base_url, self._http, retry or Retry())
        self.memories = AsyncMemories(transport)
        self.search = AsyncSearch(transport)
        self.connections = AsyncConnections(transport)
        self.syncs = AsyncSyncs(transport)
        self.instance = AsyncInstance(transport)

    async def aclose(self) -> None:
        """Close the connections."""
        await self._http.aclose()

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self.aclose()
