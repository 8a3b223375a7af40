"""Moments as people write and read them."""

from __future__ import annotations

import re
from datetime import UTC, datetime, time, timedelta
from typing import Any

import click

_AGO = re.compile(
    r"(\d+)\s*(s|sec|seconds?|m|min|minutes?|h|hours?|d|days?|w|weeks?|mo|months?|y|years?)(\s+ago)?", re.IGNORECASE
)
_SECONDS = {"s": 1, "m": 60, "h": 3_600, "d": 86_400, "w": 604_800, "mo": 2_629_800, "y": 31_557_600}
_STEPS = [("year", 31_557_600), ("month", 2_629_800), ("day", 86_400), ("hour", 3_600), ("minute", 60)]


class When(click.ParamType[Any]):
    """An option that takes a moment."""

    name = "when"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> datetime:
        """``value`` as an aware moment; raises a usage error that lists what can be written."""
        if isinstance(value, datetime):
            return value
        found = moment(str(value), datetime.now().astimezone())
        if found is None:
            self.fail(
                f"{value!r} is no date: write 2026-03-01, 2026-03-01T14:30, 3d, 2w, today or yesterday.", param, ctx
            )
        return found


def moment(text: str, now: datetime) -> datetime | None:
    """An ISO date or time (local when it names no zone), an age (``3d``, ``2 weeks ago``), or a word; else None."""
    text = text.strip()
    days = {"now": now, "today": _midnight(now), "yesterday": _midnight(now - timedelta(days=1))}
    if text.lower() in days:
        return days[text.lower()]
    if age := _AGO.fullmatch(text):
        unit = age[2].lower()
        key = "mo" if unit.startswith("mo") else unit[0]
        return now - timedelta(seconds=int(age[1]) * _SECONDS[key])
    try:
        found = datetime.fromisoformat(text)
    except ValueError:
        return None
    return found if found.tzinfo else found.replace(tzinfo=None).astimezone()


def relative(then: datetime, now: datetime | None = None) -> str:
    """How long ago ``then`` was, in one unit: ``3 days ago``, ``just now``, ``in 2 hours``."""
    seconds = ((now or datetime.now(UTC)) - then).total_seconds()
    for name, size in _STEPS:
        count = int(abs(seconds) // size)
        if count:
            words = f"{count} {name}{'s' if count > 1 else ''}"
            return f"{words} ago" if seconds > 0 else f"in {words}"
    return "just now"


def absolute(then: datetime) -> str:
    """``then`` in local time, to the minute."""
    return then.astimezone().strftime("%Y-%m-%d %H:%M")


def both(then: datetime) -> str:
    """``then`` as an age and as a date."""
    return f"{relative(then)} ({absolute(then)})"


def duration(seconds: float) -> str:
    """A length of time: ``8 s``, ``2:05``, ``1:02:05``."""
    whole = max(0, round(seconds))
    if whole < 60:
        return f"{whole} s"
    hours, rest = divmod(whole, 3_600)
    minutes, left = divmod(rest, 60)
    return f"{hours}:{minutes:02}:{left:02}" if hours else f"{minutes}:{left:02}"


def _midnight(then: datetime) -> datetime:
    return datetime.combine(then.date(), time()).astimezone()
