"""How arguments of operations become query parameters and JSON bodies."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from datetime import datetime
from enum import Enum
from typing import Any
from urllib.parse import quote
from uuid import UUID

from pydantic import BaseModel

from devlore.problems import Invalid

Id = UUID | str
"""An id, parsed or not."""

Several = str | Iterable[str]
"""One value or more of them; any may match."""


def several(value: Several | None) -> list[str]:
    """One value or more as a list of plain strings."""
    if value is None:
        return []
    return [_plain(value)] if isinstance(value, str) else [_plain(item) for item in value]


def under(root: str, *parts: Id | int) -> str:
    """The path of something below ``root``; raises ``Invalid`` for an id that would name another path."""
    for part in parts:
        if str(part) in ("", ".", ".."):
            raise Invalid(f"{str(part)!r} is not an id.")
    return "/".join([root, *(quote(str(part), safe="") for part in parts)])


def params(**values: Any) -> tuple[tuple[str, str], ...]:
    """Query parameters: None is left out, lists repeat the name, booleans and times take their JSON form."""
    found: list[tuple[str, str]] = []
    for name, value in values.items():
        if value is None or value is False:
            continue
        items = value if isinstance(value, list | tuple | set) else [value]
        found.extend((name, _plain(item)) for item in items)
    return tuple(found)


def waiting(wait: bool) -> tuple[tuple[str, str], ...]:
    """The parameter that asks to wait (≤ 10 s) until the change is searchable."""
    return (("wait", "indexed"),) if wait else ()


def given(**values: Any) -> dict[str, Any]:
    """A JSON body of what was given: None is left out."""
    return {name: value for name, value in values.items() if value is not None}


def as_body(model: BaseModel | Mapping[str, Any]) -> dict[str, Any]:
    """A model as a JSON object without the defaults nobody set; a mapping as it is."""
    if isinstance(model, BaseModel):
        return model.model_dump(mode="json", exclude_unset=True)
    return dict(model)


def _plain(value: Any) -> str:
    if value is True:
        return "true"
    if isinstance(value, datetime):
        return value.isoformat()
    if isinstance(value, Enum):
        return str(value.value)
    return str(value)
