"""The terminal: widths, colours, and memories that try to take it over."""

from __future__ import annotations

import io

import pytest
from cli.tests.terminal import Stream
from hypothesis import given
from hypothesis import strategies as st

from devlore_cli.output import Screen, clip, columns_of, one_line, pad, printable, wrap


def screen(terminal: bool) -> Screen:
    stream = Stream()
    stream.terminal = terminal
    return Screen(stream)


def test_colour_only_on_a_terminal(monkeypatch: pytest.MonkeyPatch) -> None:
    assert screen(True).style("x", "bold") == "\x1b[1mx\x1b[0m"
    assert screen(False).style("x", "bold") == "x"
    monkeypatch.setenv("NO_COLOR", "1")
    assert screen(True).style("x", "bold") == "x"


def test_a_dumb_terminal_has_no_colour_and_force_color_forces_it(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TERM", "dumb")
    assert not screen(True).colour
    monkeypatch.setenv("FORCE_COLOR", "1")
    assert screen(False).colour


def test_width_is_unlimited_without_a_terminal() -> None:
    assert Screen(io.StringIO()).width is None
    assert screen(True).width == 100


@pytest.mark.parametrize(("text", "columns"), [("abc", 3), ("连接池", 6), ("é", 1), ("e\u0301", 1), ("\u200b", 0)])
def test_columns(text: str, columns: int) -> None:
    assert columns_of(text) == columns


def test_clip_and_pad_count_columns() -> None:
    assert clip("连接池耗尽", 7) == "连接池…"
    assert clip("short", 10) == "short"
    assert clip("anything", None) == "anything"
    assert pad("连接", 6) == "连接  "


@given(st.text(), st.integers(2, 40))
def test_clipped_text_fits(text: str, width: int) -> None:
    assert columns_of(clip(text, width)) <= width


def test_wrap_keeps_indents_and_breaks_between_wide_characters() -> None:
    assert wrap("  one two three", 9) == ["  one two", "  three"]
    assert wrap("连接池耗尽了", 6) == ["连接池", "耗尽了"]
    assert wrap("a\n\nb", 80) == ["a", "", "b"]
    assert wrap("x" * 50, None) == ["x" * 50]


@given(st.text(st.characters(exclude_categories=["Cs", "Cc"])), st.integers(4, 40))
def test_wrapping_loses_no_visible_character(text: str, width: int) -> None:
    assert "".join("".join(wrap(text, width)).split()) == "".join(text.split())


@pytest.mark.parametrize("evil", ["\x1b[2J", "\x1b]0;title\x07", "\x9b31m", "\u202egnp.exe", "\r overwritten"])
def test_what_would_command_the_terminal_is_shown_as_a_mark(evil: str) -> None:
    shown = printable(f"before {evil} after")
    assert "\ufffd" in shown
    assert not set(shown) & {"\x1b", "\x07", "\x9b", "\u202e", "\r"}


def test_one_line() -> None:
    assert one_line("a\n b\t c\r\n") == "a b c"


def test_marks_stand_out_and_survive_bad_offsets() -> None:
    colourful = screen(True)
    assert colourful.marked("pool ran dry", [(0, 4), (9, 12)]).count("\x1b[1;33m") == 2
    assert screen(False).marked("pool ran dry", [(2, 400), (3, 4), (-5, 1)]) == "pool ran dry"


def test_tables_are_aligned_and_cut_to_the_terminal(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("COLUMNS", "20")
    shown = screen(True)
    shown.table([["连接", "x" * 50], ["ab", "y"]], heads=["name", "text"])
    stream = shown.stream
    assert isinstance(stream, Stream)
    lines = stream.text().splitlines()
    assert lines[1] == "连接  " + "x" * 13 + "…"
    assert lines[2] == "ab    y"
