"""What can be imported, item by item: exported records, loose drafts, and what cannot be read."""

from __future__ import annotations

import hashlib
import json
import os
import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from pydantic_core import to_jsonable_python

from devlore_cli import documents
from devlore_cli.drafting import split_title

_ENDINGS = (".md", ".markdown")
_HEADING = re.compile(r"\A\s*#\s+(.+?)\s*#*\s*(?:\n|\Z)")
# What other programs call our fields; ours win when both are there.
_ALSO_KNOWN_AS = {"text": "body", "content": "body", "type": "kind", "date": "occurred_at", "created": "occurred_at"}


@dataclass(frozen=True, slots=True)
class Record:
    """A memory as Devlore exported it."""

    place: str
    value: dict[str, Any]
    size: int


@dataclass(frozen=True, slots=True)
class Draft:
    """A memory from somewhere else."""

    place: str
    value: dict[str, Any]
    size: int


@dataclass(frozen=True, slots=True)
class Bad:
    """Something that cannot be read, and why."""

    place: str
    reason: str
    size: int = 0


Item = Record | Draft | Bad


def lines(file: Iterable[bytes], name: str, extra: dict[str, Any]) -> Iterator[Item]:
    """The items of a JSONL file; empty lines are passed over."""
    for number, line in enumerate(file, 1):
        if line.strip():
            yield _line(line, f"{name}:{number}", extra)


def documents_below(folder: Path) -> list[Path]:
    """Every Markdown file below ``folder``, in order, without hidden folders."""
    found: list[Path] = []
    for base, folders, names in os.walk(folder):
        folders[:] = sorted(name for name in folders if not name.startswith("."))
        found += [Path(base, name) for name in sorted(names) if is_document(Path(name))]
    return found


def is_document(path: Path) -> bool:
    """Whether a file is Markdown, by its name."""
    return path.suffix.lower() in _ENDINGS


def folder(root: Path, files: list[Path], extra: dict[str, Any]) -> Iterator[Item]:
    """The items of Markdown files below ``root``."""
    for path in files:
        where = str(path.relative_to(root))
        try:
            text = path.read_bytes().decode()
            document = documents.read(text)
        except UnicodeDecodeError:
            yield Bad(where, "not UTF-8 text")
        except (documents.BadDocument, OSError) as error:
            yield Bad(where, str(error))
        else:
            yield _from_document(document, where, path, len(text), extra)


def _line(line: bytes, where: str, extra: dict[str, Any]) -> Item:
    try:
        value = json.loads(line)
    except ValueError as error:
        return Bad(where, f"not JSON: {error}")
    if not isinstance(value, dict):
        return Bad(where, "not a JSON object")
    if isinstance(value.get("memory"), dict):
        return Record(where, value, len(line))
    # The same line again updates nothing and adds nothing, so a file can be imported again after repairs.
    fingerprint = hashlib.sha256(line.strip()).hexdigest()
    return _draft(value, where, f"sha256:{fingerprint}", len(line), extra)


def _from_document(document: documents.Document, where: str, path: Path, size: int, extra: dict[str, Any]) -> Item:
    if record := documents.record_of(document):
        return Record(where, to_jsonable_python(record), size)
    fields = {name.lower(): value for name, value in document.fields.items()}
    body = document.body.strip()
    if not fields.get("title"):
        heading = _HEADING.match(body)
        fields["title"] = heading[1] if heading else path.stem.replace("-", " ").replace("_", " ")
        body = body[heading.end() :].strip() if heading else body
    kept = {name: fields[name] for name in (*documents.EDITABLE, *_ALSO_KNOWN_AS) if name in fields}
    return _draft(to_jsonable_python(kept) | {"body": body}, where, str(path.resolve()), size, extra)


def _zoned(text: str) -> str:
    """A date or time as other programs write it, with the zone ours need: UTC, as in front matter."""
    try:
        moment = datetime.fromisoformat(text)
    except ValueError:
        return text
    return text if moment.tzinfo else moment.replace(tzinfo=UTC).isoformat()


def _draft(value: dict[str, Any], where: str, external_id: str, size: int, extra: dict[str, Any]) -> Item:
    fields = {name: known for name, known in value.items() if name not in _ALSO_KNOWN_AS}
    for name, ours in _ALSO_KNOWN_AS.items():
        if name in value:
            fields.setdefault(ours, value[name])
    if isinstance(fields.get("tags"), str):
        fields["tags"] = [tag for tag in re.split(r"[,\s]+", fields["tags"]) if tag]
    if isinstance(fields.get("occurred_at"), str):
        fields["occurred_at"] = _zoned(fields["occurred_at"])
    if not fields.get("title") and isinstance(fields.get("body"), str):
        fields["title"], fields["body"] = split_title(fields["body"])
    if not fields.get("title") and not fields.get("body"):
        return Bad(where, "neither a title nor a body")
    if extra.get("project") and not fields.get("project"):
        fields["project"] = extra["project"]
    if fields.get("privacy") is None and fields.get("team_id") is None:
        fields |= extra.get("sharing", {})
    if extra.get("tags"):
        fields["tags"] = list(dict.fromkeys([*(fields.get("tags") or []), *extra["tags"]]))
    fields.setdefault("source", {"connector": "import", "external_id": external_id[:1_000]})
    return Draft(where, {name: known for name, known in fields.items() if known is not None}, size)
