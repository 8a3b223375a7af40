"""`devlore export`."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from pathlib import Path
from typing import BinaryIO

import click

from devlore.types import MemoryRecord
from devlore_cli import documents
from devlore_cli.failures import Failure
from devlore_cli.output import quantity
from devlore_cli.progress import Progress
from devlore_cli.session import Session, command


@click.command()
@click.argument("path", metavar="FILE.jsonl|DIR|-", type=click.Path(allow_dash=True, path_type=Path))
@click.option("--project", "-p", help="Only this project.")
@click.option("--deleted", is_flag=True, help="Also what was deleted and can be restored.")
@click.option("--force", is_flag=True, help="Write over a file that exists.")
@command
def export(session: Session, path: Path, project: str | None, deleted: bool, force: bool) -> None:
    """Write every memory to FILE.jsonl (with versions and links: nothing is lost), to DIR as Markdown, or to stdout."""
    to_stdout = str(path) == "-"
    with Progress(session.err, f"export to {path}") as progress:
        records = _counted(session.client.memories.export(project=project, deleted=deleted), progress)
        if to_stdout:
            count = _write_lines(records, sys.stdout.buffer)
        elif path.is_dir() or (not path.suffix and not path.exists()):
            count = _write_documents(records, path)
        else:
            count = _write_file(records, path, force=force)
    if not to_stdout:
        result = {"path": str(path), "memories": count}
        session.one(result, lambda _: session.out.line(f"{quantity(count, 'memory', 'memories')} to {path}"))


def _counted(records: Iterator[MemoryRecord], progress: Progress) -> Iterator[MemoryRecord]:
    for count, record in enumerate(records, 1):
        yield record
        progress.update(count, None)


def _write_lines(records: Iterator[MemoryRecord], file: BinaryIO) -> int:
    count = 0
    for count, record in enumerate(records, 1):  # noqa: B007 - the last one is the count
        file.write(record.model_dump_json().encode() + b"\n")
    file.flush()
    return count


def _write_file(records: Iterator[MemoryRecord], path: Path, *, force: bool) -> int:
    """All or nothing: a half export never takes the place of a whole one."""
    if path.exists() and not force:
        raise Failure(f"{path} exists.", "Add --force to write over it.")
    if not path.parent.is_dir():
        raise Failure(f"There is no folder {path.parent}.")
    draft = path.with_name(f".{path.name}.part")
    try:
        with draft.open("wb") as file:
            count = _write_lines(records, file)
        draft.replace(path)
    finally:
        draft.unlink(missing_ok=True)
    return count


def _write_documents(records: Iterator[MemoryRecord], folder: Path) -> int:
    folder.mkdir(parents=True, exist_ok=True)
    count = 0
    for count, record in enumerate(records, 1):  # noqa: B007 - the last one is the count
        name = documents.file_name(record.memory)
        # A memory that was exported before under another title would be there twice.
        for old in folder.glob(f"*{record.memory.id}.md"):
            if old.name != name:
                old.unlink()
        (folder / name).write_bytes(documents.exported(record).encode())
    return count
