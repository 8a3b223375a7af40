"""Moments as people write and read them."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import click
import pytest
from hypothesis import given
from hypothesis import strategies as st

from devlore_cli.dates import When, absolute, duration, moment, relative

NOW = datetime(2026, 3, 10, 12, 0, tzinfo=UTC)


@pytest.mark.parametrize(
    ("text", "ago"),
    [
        ("3d", timedelta(days=3)),
        ("2w", timedelta(weeks=2)),
        ("12 hours ago", timedelta(hours=12)),
        ("30m", timedelta(minutes=30)),
        ("1 day", timedelta(days=1)),
        ("now", timedelta()),
        ("2mo", timedelta(seconds=2 * 2_629_800)),
    ],
)
def test_ages(text: str, ago: timedelta) -> None:
    assert moment(text, NOW) == NOW - ago


def test_dates_and_times() -> None:
    assert moment("2026-03-01T12:00:00Z", NOW) == datetime(2026, 3, 1, 12, tzinfo=UTC)
    assert moment("2026-03-01T12:00+02:00", NOW) == datetime(2026, 3, 1, 10, tzinfo=UTC)
    local = moment("2026-03-01", NOW)
    assert local is not None
    assert (local.hour, local.tzinfo is not None) == (0, True)


@pytest.mark.parametrize("text", ["", "tomorrowish", "3 parsecs", "2026-13-01"])
def test_other_words_are_no_dates(text: str) -> None:
    assert moment(text, NOW) is None


def test_the_option_says_what_can_be_written() -> None:
    with pytest.raises(click.BadParameter, match="2026-03-01"):
        When().convert("soonish", None, None)


@pytest.mark.parametrize(
    ("ago", "words"),
    [
        (timedelta(seconds=5), "just now"),
        (timedelta(seconds=61), "1 minute ago"),
        (timedelta(hours=5), "5 hours ago"),
        (timedelta(days=3), "3 days ago"),
        (timedelta(days=40), "1 month ago"),
        (timedelta(days=800), "2 years ago"),
        (timedelta(hours=-2), "in 2 hours"),
    ],
)
def test_how_long_ago(ago: timedelta, words: str) -> None:
    assert relative(NOW - ago, NOW) == words


def test_absolute_is_local_to_the_minute(monkeypatch: pytest.MonkeyPatch) -> None:
    assert absolute(NOW) == NOW.astimezone().strftime("%Y-%m-%d %H:%M")


@pytest.mark.parametrize(("seconds", "text"), [(0.4, "0 s"), (8.2, "8 s"), (125, "2:05"), (3_725, "1:02:05")])
def test_durations(seconds: float, text: str) -> None:
    assert duration(seconds) == text


@given(st.datetimes(min_value=datetime(1970, 1, 2), max_value=datetime(2100, 1, 1)))  # noqa: DTZ001 - zone added below
def test_iso_times_come_back(when: datetime) -> None:
    aware = when.replace(tzinfo=UTC)
    assert moment(aware.isoformat(), NOW) == aware
