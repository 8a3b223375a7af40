"""Front matter: the settings block on top of a note, in YAML (``---``) or TOML (``+++``)."""

from __future__ import annotations

import re
import tomllib
from dataclasses import dataclass, field
from datetime import UTC, date, datetime, time
from typing import Any

import yaml

_LIMIT = 65_536
_BLOCK = re.compile(r"(?P<fence>---|\+\+\+)[ \t]*\n(?P<text>.*?)(?:^|(?<=\n))(?P=fence)[ \t]*(?:\n|\Z)", re.DOTALL)
_HUGE = 10**100
_WRITTEN = ("%d %B %Y", "%d %b %Y", "%B %d, %Y", "%b %d, %Y", "%Y/%m/%d", "%d-%b-%Y", "%d-%B-%Y", "%d.%m.%Y")
_ORDINAL = re.compile(r"(?<=\d)(?:st|nd|rd|th)\b", re.IGNORECASE)


@dataclass(frozen=True, slots=True)
class FrontMatter:
    """The values by lower-case key (with ``-`` for ``_`` and space), and why they could not be read if so."""

    values: dict[str, Any] = field(default_factory=dict)
    fault: str | None = None

    def texts(self, *keys: str) -> list[str]:
        """The first key that has a value, as texts: a scalar, or the scalars of a list."""
        for key in keys:
            value = self.values.get(key)
            found = [text for one in (value if isinstance(value, list) else [value]) if (text := _scalar(one))]
            if found:
                return found
        return []

    def text(self, *keys: str) -> str | None:
        """The first of ``texts``."""
        return next(iter(self.texts(*keys)), None)

    def moment(self, *keys: str) -> datetime | None:
        """The first key that holds a date or time."""
        return next((found for key in keys if (found := moment(self.values.get(key)))), None)


def split(document: str) -> tuple[FrontMatter, str]:
    """The front matter and the text behind it; a block that is no front matter stays part of the text."""
    match = _BLOCK.match(document[: _LIMIT + 8])
    if match is None:
        return FrontMatter(), document
    try:
        # Anchors would let a small block expand without end; no note needs them.
        loaded = tomllib.loads(match["text"]) if match["fence"] == "+++" else yaml.load(match["text"], _Loader)
    except (yaml.YAMLError, tomllib.TOMLDecodeError, ValueError, RecursionError) as error:
        return FrontMatter(fault=" ".join(str(error).split())[:300]), document[match.end() :]
    if not isinstance(loaded, dict):
        return FrontMatter(), document
    values = {re.sub(r"[_\s]+", "-", (_scalar(key) or "").lower()): value for key, value in loaded.items()}
    return FrontMatter(values), document[match.end() :]


class _Loader(yaml.SafeLoader):
    """Safe YAML without aliases."""

    def compose_node(self, parent: Any, index: Any) -> Any:
        if self.check_event(yaml.events.AliasEvent):
            raise yaml.YAMLError("aliases are not read")
        return super().compose_node(parent, index)


def _scalar(value: Any) -> str | None:
    if isinstance(value, bool) or not isinstance(value, str | int | float | date):
        return None
    if isinstance(value, int) and abs(value) >= _HUGE:
        return None  # Python refuses to write numbers of thousands of digits
    # YAML can spell half of a surrogate pair, which no database stores.
    return str(value).encode("utf-8", "replace").decode().replace("\0", "").strip() or None


def moment(value: Any) -> datetime | None:
    """A date as YAML and TOML give it or people write it, as a moment in UTC; None when it is not one."""
    if isinstance(value, date) and not 1 < value.year < 9999:
        return None  # a placeholder, or so near the end of time that its time zone would push it out
    if isinstance(value, datetime):
        return value.astimezone(UTC) if value.tzinfo else value.replace(tzinfo=UTC)
    if isinstance(value, date):
        return datetime.combine(value, time(), UTC)
    if not isinstance(value, str):
        return None
    text = _ORDINAL.sub("", value.strip().strip("*_`"))
    try:
        return moment(datetime.fromisoformat(text))
    except ValueError:
        pass
    for form in _WRITTEN:
        try:
            return datetime.strptime(text, form).replace(tzinfo=UTC)
        except ValueError:
            continue
    return None
