"""Every text inside a value, by JSON pointer (RFC 6901), and the value again with some of them changed."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import fields, is_dataclass, replace
from typing import Any, Final, TypeVar, cast

from pydantic import BaseModel

T = TypeVar("T")

_KEY_MATERIAL: Final = "encryption"
"""What is wrapped keys and nonces by design is nobody's leaked secret."""

_HOLDERS: Final = (str, list, dict, BaseModel)


def texts(value: Any, at: str = "") -> Iterator[tuple[str, str]]:
    """Pointer and text of every string in models, data classes, mappings and lists; enumerations are none."""
    if type(value) is str:
        if value:
            yield at, value
        return
    if isinstance(value, list):
        for index, one in enumerate(value):
            yield from texts(one, f"{at}/{index}")
        return
    for name, one in _members(value):
        yield from texts(one, f"{at}/{_escaped(name)}")


def changed(value: T, new: Mapping[str, str], at: str = "") -> T:
    """The value with the texts of ``new`` at their pointers; parts without any stay the same objects."""
    made: Any = value
    if type(value) is str:
        made = new.get(at, value)
    elif isinstance(value, list):
        items = [changed(one, new, f"{at}/{index}") for index, one in enumerate(value)]
        made = items if any(a is not b for a, b in zip(items, value, strict=True)) else value
    else:
        members = ((name, one, changed(one, new, f"{at}/{_escaped(name)}")) for name, one in _members(value))
        update = {name: after for name, before, after in members if after is not before}
        if update:
            made = _with(value, update)
    return cast(T, made)


def _with(value: Any, update: dict[str, Any]) -> Any:
    if isinstance(value, BaseModel):
        return value.model_copy(update=update)
    return value | update if isinstance(value, dict) else replace(value, **update)


def _members(value: Any) -> Iterator[tuple[str, Any]]:
    if isinstance(value, BaseModel):
        found: Iterable[tuple[str, Any]] = value.__dict__.items()
    elif isinstance(value, dict):
        found = value.items()
    elif is_dataclass(value):
        found = ((field.name, getattr(value, field.name)) for field in fields(value))
    else:
        return
    for name, one in found:
        if one is not None and name != _KEY_MATERIAL and (isinstance(one, _HOLDERS) or is_dataclass(one)):
            yield name, one


def _escaped(name: str) -> str:
    return name.replace("~", "~0").replace("/", "~1")
