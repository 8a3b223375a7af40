"""Owns the reading of dates in a query: ISO 8601, a year or month alone, `today`, and spans back from now."""

import calendar
import re
from datetime import UTC, datetime, timedelta

FORMS = "2025, 2025-06, 2025-06-30, 2025-06-30T14:00, today, yesterday, or back from now: 12h, 7d, 2w, 3mo, 1y"
"""What may be written, for messages."""

_SPAN = re.compile(r"(\d{1,6})(h|d|w|mo|y)")
_MONTH = re.compile(r"(\d{4})(?:-(\d{2}))?")
_HOURS = {"h": 1, "d": 24, "w": 7 * 24}


def moment(text: str, now: datetime) -> datetime:
    """The moment `text` names, in UTC; a date is its first instant. Raises ValueError where it names none."""
    written = text.strip().lower()
    midnight = now.astimezone(UTC).replace(hour=0, minute=0, second=0, microsecond=0)
    if written in ("today", "yesterday", "now"):
        return {"today": midnight, "yesterday": midnight - timedelta(days=1), "now": now.astimezone(UTC)}[written]
    try:
        return _parsed(written, now.astimezone(UTC))
    except OverflowError as error:
        raise ValueError(f"{text} is outside the calendar") from error


def _parsed(written: str, now: datetime) -> datetime:
    if span := _SPAN.fullmatch(written):
        return _back(now, int(span[1]), span[2])
    if month := _MONTH.fullmatch(written):
        return datetime(int(month[1]), int(month[2] or 1), 1, tzinfo=UTC)
    parsed = datetime.fromisoformat(written.upper())
    return parsed.replace(tzinfo=UTC) if parsed.tzinfo is None else parsed.astimezone(UTC)


def _back(now: datetime, count: int, unit: str) -> datetime:
    if unit in _HOURS:
        return now - timedelta(hours=count * _HOURS[unit])
    months = now.year * 12 + now.month - 1 - count * (12 if unit == "y" else 1)
    year, month = divmod(months, 12)
    # The 31st has no counterpart in a shorter month; its last day is the nearest.
    day = min(now.day, calendar.monthrange(year, month + 1)[1]) if 1 <= year <= 9999 else 1
    return now.replace(year=year, month=month + 1, day=day)
