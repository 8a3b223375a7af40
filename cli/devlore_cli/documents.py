"""A memory as a Markdown document with YAML front matter: written for people, read back exactly."""

from __future__ import annotations

import re
import unicodedata
from dataclasses import dataclass
from datetime import UTC, date, datetime, time
from typing import Any

import yaml

from devlore.types import Memory, MemoryRecord

_FENCE = re.compile(r"\A---[ \t]*\r?\n(.*?)^---[ \t]*(?:\r?\n|\Z)", re.DOTALL | re.MULTILINE)
_BREAK = re.compile("[\r\x85\u2028\u2029]")
EDITABLE = ("title", "kind", "project", "tags", "privacy", "team_id", "occurred_at", "importance", "pinned")
"""Fields that an edited document may change, besides the body."""


class BadDocument(Exception):
    """The front matter cannot be read; the message says where."""


@dataclass(frozen=True)
class Document:
    """Front matter and body of a Markdown file."""

    fields: dict[str, Any]
    body: str


class _Dumper(yaml.SafeDumper):
    """Writes strings that read back as they were: YAML folds Unicode's line breaks unless they are escaped."""

    def represent_str(self, data: str) -> yaml.ScalarNode:
        """A string; in double quotes, where breaks are escapes, when it holds one."""
        style = '"' if _BREAK.search(data) else None
        return self.represent_scalar("tag:yaml.org,2002:str", data, style=style)


_Dumper.add_representer(str, _Dumper.represent_str)


def read(text: str) -> Document:
    """Take a document apart; one without front matter has only a body. Raises ``BadDocument``."""
    found = _FENCE.match(text)
    if found is None:
        return Document({}, text)
    try:
        fields = yaml.safe_load(found[1]) or {}
    except yaml.YAMLError as error:
        mark = getattr(error, "problem_mark", None)
        where = f"line {mark.line + 2}" if mark is not None else "front matter"
        raise BadDocument(f"{where}: {getattr(error, 'problem', None) or 'not YAML'}") from error
    if not isinstance(fields, dict):
        raise BadDocument("the front matter is no list of `name: value`")
    line_break = "\r\n" if found[0].endswith("\r\n") else "\n"
    # The empty line after the front matter and the line break at the end, which ``write`` adds.
    body = text[found.end() :].removeprefix(line_break).removesuffix(line_break)
    return Document({str(name): _aware(value) for name, value in fields.items()}, body)


def write(fields: dict[str, Any], body: str) -> str:
    """Put a document together; ``read`` gives back the same fields and body."""
    front = yaml.dump(
        fields, Dumper=_Dumper, sort_keys=False, allow_unicode=True, width=10_000, default_flow_style=None
    )
    return f"---\n{front}---\n\n{body}\n"


def for_editing(memory: Memory) -> str:
    """The document an editor shows: what may be changed, nothing else."""
    dumped = memory.model_dump(mode="python")
    fields = {name: _plain(dumped[name]) for name in EDITABLE}
    return write({name: value for name, value in fields.items() if value is not None or name == "project"}, memory.body)


def changes(memory: Memory, edited: Document) -> dict[str, Any]:
    """What an edited document changes in ``memory``; raises ``BadDocument`` for a field that cannot be edited."""
    unknown = sorted(set(edited.fields) - set(EDITABLE))
    if unknown:
        raise BadDocument(f"these fields cannot be edited: {', '.join(unknown)}")
    before = memory.model_dump(mode="python")
    found = {
        name: value if value is not None or name != "tags" else []
        for name, value in edited.fields.items()
        if value != _plain(before[name]) and not (name == "tags" and not value and not before[name])
    }
    for name in ("project", "team_id"):
        if name not in edited.fields and before[name] is not None:
            found[name] = None
    if edited.body != memory.body:
        found["body"] = edited.body
    return found


def exported(record: MemoryRecord) -> str:
    """The document of an export: every field of the memory and its links, so that nothing is lost."""
    fields = {name: _plain(value) for name, value in record.memory.model_dump(mode="python").items() if name != "body"}
    kept = {name: value for name, value in fields.items() if value is not None}
    if record.links:
        kept["links"] = [link.model_dump(mode="json", exclude_none=True) for link in record.links]
    return write(kept, record.memory.body)


def record_of(document: Document) -> dict[str, Any] | None:
    """The export record a document was written from; None when it is not an exported one."""
    fields = dict(document.fields)
    if not {"id", "version", "created_at", "organisation_id"} <= set(fields):
        return None
    links = fields.pop("links", [])
    names = Memory.model_fields
    memory: dict[str, Any] = dict.fromkeys(names) | {n: v for n, v in fields.items() if n in names}
    return {"memory": memory | {"body": document.body}, "versions": [], "links": links}


def file_name(memory: Memory) -> str:
    """A name that tells people what is inside and that no other memory has."""
    ascii_title = unicodedata.normalize("NFKD", memory.title).encode("ascii", "ignore").decode().lower()
    slug = re.sub(r"[^a-z0-9]+", "-", ascii_title).strip("-")[:60].rstrip("-")
    return f"{slug or memory.kind}-{memory.id}.md"


def _plain(value: Any) -> Any:
    """What YAML can say: enums and ids as text."""
    if value is None or isinstance(value, bool | int | float | datetime):
        return value
    if isinstance(value, list | tuple):
        return [_plain(item) for item in value]
    if isinstance(value, dict):
        return {str(name): _plain(item) for name, item in value.items() if item is not None}
    return str(value)


def _aware(value: Any) -> Any:
    """YAML dates as moments; one without a zone is UTC."""
    if isinstance(value, datetime):
        return value if value.tzinfo else value.replace(tzinfo=UTC)
    if isinstance(value, date):
        return datetime.combine(value, time(), UTC)
    if isinstance(value, dict):
        return {name: _aware(item) for name, item in value.items()}
    return [_aware(item) for item in value] if isinstance(value, list) else value
