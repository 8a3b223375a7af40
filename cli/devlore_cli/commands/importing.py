"""`devlore import`."""

from __future__ import annotations

import re
import sys
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import click

from devlore.types import BULK_LIMIT, BulkItem, BulkResult
from devlore_cli import naming, sources
from devlore_cli.failures import EXIT_FAILURE, Failure, place, rule
from devlore_cli.output import quantity
from devlore_cli.progress import Progress
from devlore_cli.session import Session, command, sharing
from devlore_cli.sources import Bad, Draft, Item, Record

_BATCH_BYTES = 16_000_000
_COUNTS = ("created", "updated", "unchanged")


@dataclass
class Tally:
    """What became of the items so far."""

    created: int = 0
    updated: int = 0
    unchanged: int = 0
    records: int = 0
    failures: list[dict[str, str]] = field(default_factory=list)

    @property
    def done(self) -> int:
        return self.created + self.updated + self.unchanged + len(self.failures)


@click.command("import")
@click.argument("path", metavar="FILE.jsonl|DIR|-", type=click.Path(exists=True, allow_dash=True, path_type=Path))
@click.option("--project", "-p", help="Project of what names none.")
@click.option("--tag", "-t", "tags", multiple=True, help="Tag to add to loose items.")
@click.option("--privacy", type=click.Choice(["private", "team", "public"]), help="Who sees what does not say it.")
@click.option(
    "--team", shell_complete=naming.complete_team, help="Team that sees what does not say who; by name or id."
)
@command
def import_(
    session: Session, path: Path, project: str | None, tags: tuple[str, ...], privacy: str | None, team: str | None
) -> None:
    """Bring in memories; what cannot be read is reported with its place, and the rest goes in.

    \b
    An export of Devlore comes back without loss: ids, versions, times and links.
    Loose JSONL has one {"title": …, "body": …, "kind": …, "tags": […]} a line.
    A folder has one Markdown file per memory, with or without front matter; a single one goes in too.
    """
    tally = Tally()
    seen_by = sharing(session, privacy, team)
    extra = {"project": project, "tags": list(tags), "sharing": seen_by}
    with Progress(session.err, f"import {path.name or path}") as progress:
        try:
            with _items(path, extra) as (items, total):
                for batch in _batches(items):
                    _send(session, batch, tally)
                    progress.update(tally.done, total)
        finally:
            progress.clear()
            _report(session, tally)
    if seen_by and tally.records:
        exported = quantity(tally.records, "memory", "memories")
        session.note(f"An export says itself who sees its {exported}. To change that afterwards: devlore edit")
    if tally.failures:
        rest = "; the rest was" if tally.done > len(tally.failures) else ""
        raise Failure(f"{quantity(len(tally.failures), 'item')} could not be imported{rest}.", code=EXIT_FAILURE)


@contextmanager
def _items(path: Path, extra: dict[str, Any]) -> Iterator[tuple[Iterator[Item], int | None]]:
    if str(path) == "-":
        yield sources.lines(sys.stdin.buffer, "stdin", extra), None
    elif path.is_dir():
        files = sources.documents_below(path)
        yield sources.folder(path, files, extra), len(files)
    elif sources.is_document(path):
        yield sources.folder(path.parent, [path], extra), 1
    else:
        with path.open("rb") as file:
            # A pipe, as of <(…), can be read only once.
            total = sum(1 for line in file if line.strip()) if file.seekable() else None
            if total is not None:
                file.seek(0)
            yield sources.lines(file, path.name, extra), total


def _batches(items: Iterable[Item]) -> Iterator[list[Item]]:
    """Runs of one kind (records, drafts, unreadable), short enough for one request."""
    batch: list[Item] = []
    size = 0
    for item in items:
        full = len(batch) >= BULK_LIMIT or size + item.size > _BATCH_BYTES
        if batch and (full or type(item) is not type(batch[0])):
            yield batch
            batch, size = [], 0
        batch.append(item)
        size += item.size
    if batch:
        yield batch


def _send(session: Session, batch: list[Item], tally: Tally) -> None:
    if isinstance(batch[0], Bad):
        tally.failures += [{"place": item.place, "reason": item.reason} for item in batch if isinstance(item, Bad)]
        return
    if isinstance(batch[0], Record):
        tally.records += len(batch)
        result = session.client.memories.import_records([item.value for item in batch if isinstance(item, Record)])
    else:
        result = session.client.memories.bulk([item.value for item in batch if isinstance(item, Draft)])
    _count(result, batch, tally)


def _count(result: BulkResult, batch: list[Item], tally: Tally) -> None:
    for name in _COUNTS:
        setattr(tally, name, getattr(tally, name) + getattr(result, name))
    refused = [item for item in result.items if item.result == "refused"]
    tally.failures += [{"place": batch[item.index].place, "reason": _reason(item)} for item in refused]


def _reason(item: BulkItem) -> str:
    if item.problem is None:
        return "refused"
    if item.problem.errors:
        return "; ".join(f"{_field(error)}: {rule(error)}" for error in item.problem.errors)
    return item.problem.detail or item.problem.title


def _field(error: dict[str, Any]) -> str:
    """The field of an error without the item's position in the request, which is not the one in the file."""
    return re.sub(r"^items\.\d+\.", "", place(error))


def _report(session: Session, tally: Tally) -> None:
    if session.as_json:
        counts = {name: getattr(tally, name) for name in _COUNTS}
        session.json(counts | {"failed": len(tally.failures), "failures": tally.failures})
        return
    for failure in tally.failures:
        session.err.line(f"{failure['place']}: {failure['reason']}")
    told = [f"{getattr(tally, name):,} {name}" for name in _COUNTS if getattr(tally, name)]
    session.out.line(", ".join(told) or "nothing imported")
