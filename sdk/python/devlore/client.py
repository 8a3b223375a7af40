"""``devlore.Client``: every operation of a Devlore server as a blocking, typed method."""

from __future__ import annotations

from collections.abc import Mapping
from types import TracebackType
from typing import Self

import httpx2

from devlore.bindings import Namespace, each, lines, once
from devlore.calls import Retry
from devlore.operations import history, integration, memories
from devlore.operations import search as searching
from devlore.transport import Transport, address, http_options


class Memories(Namespace):
    """Write, read, change and list memories, and what surrounds them."""

    create = once(memories.create)
    get = once(memories.get)
    list = once(memories.list_memories)
    all = each(memories.list_memories)
    update = once(memories.update)
    delete = once(memories.delete)
    restore = once(memories.restore)
    supersede = once(memories.supersede)
    invalidate = once(memories.invalidate)
    reinstate = once(memories.reinstate)
    bulk = once(memories.bulk)
    tags = once(memories.tags)
    all_tags = each(memories.tags)
    projects = once(memories.projects)
    all_projects = each(memories.projects)
    versions = once(history.versions)
    all_versions = each(history.versions)
    version = once(history.version)
    diff = once(history.diff)
    links = once(history.links)
    all_links = each(history.links)
    link = once(history.link)
    add_link = once(history.add_link)
    unlink = once(history.unlink)
    export = lines(history.export)
    import_records = once(history.import_records)
    search = once(searching.search)
    similar = once(searching.similar)


class Search(Namespace):
    """Find memories (``client.search("…")``), and look after the indexes."""

    __call__ = once(searching.search)
    all = each(searching.search)
    request = once(searching.request)
    similar = once(searching.similar)
    status = once(searching.status)
    check = once(searching.check)
    rebuild = once(searching.rebuild)
    cancel_rebuild = once(searching.cancel_rebuild)


class Connections(Namespace):
    """Configure sources of memories and read them."""

    create = once(integration.connect)
    list = once(integration.connections)
    all = each(integration.connections)
    get = once(integration.connection)
    update = once(integration.change_connection)
    delete = once(integration.disconnect)
    sync = once(integration.sync)
    syncs = once(integration.syncs_of)
    all_syncs = each(integration.syncs_of)


class Syncs(Namespace):
    """Follow and stop syncs."""

    get = once(integration.get_sync)
    cancel = once(integration.cancel_sync)


class Instance(Namespace):
    """The server itself: ``client.instance()``, ``client.instance.ready()``."""

    __call__ = once(integration.instance)
    ready = once(integration.ready)


class Client:
    """A blocking client. Safe to share between threads; use as a context manager or ``close()`` it.

    ``base_url`` defaults to ``DEVLORE_URL``, then to this machine's Devlore. ``timeout`` is seconds without
    progress on one attempt. ``http`` brings an own ``httpx2.Client`` (proxies, certificates).
    """

    def __init__(
        self,
        base_url: str | None = None,
        *,
        timeout: float = 30.0,
        retry: Retry | None = None,
        headers: Mapping[str, str] | None = None,
        http: httpx2.Client | None = None,
    ) -> None:
        self.base_url = address(base_url)
        self._http = http or httpx2.Client(**http_options(self.base_url, timeout, headers))
        transport = Transport(self.base_url, self._http, retry or Retry())
        self.memories = Memories(transport)
        self.search = Search(transport)
        self.connections = Connections(transport)
        self.syncs = Syncs(transport)
        self.instance = Instance(transport)

    def close(self) -> None:
        """Close the connections."""
        self._http.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()
