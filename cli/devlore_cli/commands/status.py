"""`devlore status`."""

from __future__ import annotations

from typing import Any

import click

from devlore.transport import is_loopback
from devlore.types import Connection, IndexStatus, Sync
from devlore_cli import instance
from devlore_cli.dates import duration
from devlore_cli.output import quantity
from devlore_cli.session import Session, command

_COLOURS = {"ready": "green", "catching-up": "yellow", "rebuilding": "yellow", "unavailable": "red"}


@click.command()
@command
def status(session: Session) -> None:
    """Show the server, its memories, how far every index is, and what is being synced."""
    server = session.client.instance()
    found: dict[str, Any] = {"url": session.client.base_url, **server, "memories": _memories(session)}
    found["search"] = session.client.search.status()
    found["syncs"] = [run for _, run in _running(session)]
    if is_loopback(session.client.base_url):
        where = instance.place()
        if (known := instance.running(where)) is not None and known.url == session.client.base_url:
            disk = instance.size_of(where.home)
            found |= {"home": str(where.home), "pid": known.pid, "disk_bytes": disk}
    session.one(found, lambda all_of_it: _shown(session, all_of_it))


def _memories(session: Session) -> int:
    """How many memories the caller can see, whatever their standing."""
    page = session.client.search("", limit=1, status="any", facets="kind")
    return sum(count.count for count in page.facets.get("kind", []))


def _running(session: Session) -> list[tuple[Connection, Sync]]:
    found = []
    for connection in session.client.connections.all():
        latest = session.client.connections.syncs(connection.id, limit=1).items
        found += [(connection, run) for run in latest if run.state in ("queued", "running")]
    return found


def _shown(session: Session, found: dict[str, Any]) -> None:
    out = session.out
    roles = ", ".join(found.get("roles") or [])
    rows = [("server", f"{found['url']} · version {found.get('version')} · {found.get('tier')}"), ("roles", roles)]
    rows.append(("memories", f"{found['memories']:,}"))
    rows += [(index.name, _index(session, index)) for index in found["search"].indexes]
    rows.append(("embedder", found["search"].embedder))
    if (rebuild := found["search"].rebuild) and rebuild.get("state") != "done":
        rows.append(("rebuild", _rebuild(rebuild)))
    rows += [("sync", f"{run.state}: {run.done:,} of {run.total or '?'} · {run.id}") for run in found["syncs"]]
    if "home" in found:
        rows += [("data", found["home"]), ("disk", size(found["disk_bytes"])), ("process", str(found["pid"]))]
    widest = max(len(name) for name, _ in rows)
    for name, value in rows:
        if value:
            out.line(f"{out.style(name.rjust(widest), 'dim')}  {value}")


def _rebuild(rebuild: dict[str, Any]) -> str:
    total = rebuild.get("total")
    parts = [str(rebuild.get("state", "running")), f"{rebuild.get('done') or 0:,} of {'?' if total is None else total}"]
    return " · ".join([*parts, *filter(None, [rebuild.get("error")])])


def _index(session: Session, index: IndexStatus) -> str:
    parts = [session.out.style(index.state, _COLOURS[index.state]), quantity(index.documents, "document")]
    if index.lag:
        parts.append(f"{index.lag:,} behind")
    if index.parked:
        parts.append(session.out.style(f"{index.parked:,} parked", "red"))
    if index.lag and index.rate:
        parts.append(f"{index.rate:,.0f}/s")
    if index.eta_seconds:
        parts.append(f"{duration(index.eta_seconds)} left")
    parts += [detail for detail in (index.model, index.detail) if detail]
    return " · ".join(parts)


def size(count: float) -> str:
    """Bytes in the largest unit that leaves a number above one."""
    for unit in ("B", "kB", "MB", "GB"):
        if count < 1_000 or unit == "GB":
            return f"{count:.0f} {unit}" if count >= 10 or unit == "B" else f"{count:.1f} {unit}"
        count /= 1_000
    return f"{count:.0f} GB"
