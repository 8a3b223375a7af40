"""Progress: a bar on a terminal, plain lines elsewhere."""

from __future__ import annotations

import pytest
from cli.tests.terminal import Stream

from devlore_cli.output import Screen, columns_of
from devlore_cli.progress import Progress


def screen(terminal: bool) -> tuple[Screen, Stream]:
    stream = Stream()
    stream.terminal = terminal
    return Screen(stream), stream


@pytest.fixture
def now(monkeypatch: pytest.MonkeyPatch) -> list[float]:
    """What the clock says, in seconds."""
    moment = [1_000.0]
    monkeypatch.setattr("devlore_cli.progress.time.monotonic", lambda: moment[0])
    return moment


def test_a_terminal_gets_a_bar_that_is_taken_away_at_the_end(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("NO_COLOR", "1")
    shown, stream = screen(True)
    with Progress(shown, "git api") as bar:
        bar.update(50, 100)
    text = stream.text()
    assert "━" * 24 in text
    assert "git api: 50% · 50 of 100 memories" in text
    assert text.endswith("\r\x1b[2K")


def test_rate_and_time_left_come_from_the_last_seconds(now: list[float]) -> None:
    shown, _ = screen(True)
    bar = Progress(shown, "git")
    bar.update(0, 1_000)
    now[0] += 0.25
    bar.update(100, 1_000)
    assert bar.rate() == 400
    assert bar.text(100, 1_000).endswith(" · 400/s · 2 s left")


def test_without_a_total_it_counts() -> None:
    shown, stream = screen(True)
    with Progress(shown, "export") as bar:
        bar.update(1_234, None)
    assert "export: 1,234 memories" in stream.text()


def test_it_never_wraps(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("COLUMNS", "60")
    monkeypatch.setenv("NO_COLOR", "1")
    shown, stream = screen(True)
    with Progress(shown, "a very long label indeed " * 4) as bar:
        bar.update(1, 3)
    drawn = stream.text().split("\r\x1b[2K")[1]
    assert columns_of(drawn) < 60


def test_elsewhere_a_plain_line_now_and_then(now: list[float]) -> None:
    shown, stream = screen(False)
    with Progress(shown, "git") as bar:
        now[0] += 9.5
        bar.update(1, 10)
        assert stream.text() == ""
        now[0] += 0.5
        bar.update(2, 10)
    assert stream.text().splitlines() == ["git: 20% · 2 of 10 memories" + stream.text().splitlines()[0][27:]]
    assert "\x1b" not in stream.text()


def test_waiting_says_since_when() -> None:
    shown, stream = screen(True)
    with Progress(shown, "Starting") as bar:
        bar.waiting(3.0)
    assert "Starting: 3 s" in stream.text()
