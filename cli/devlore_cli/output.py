"""The terminal: colours, widths, and text that cannot disturb it."""

from __future__ import annotations

import os
import re
import shutil
import textwrap
import unicodedata
from collections.abc import Iterable, Sequence
from typing import TextIO

_CODES = {
    "bold": "1",
    "dim": "2",
    "underline": "4",
    "red": "31",
    "green": "32",
    "yellow": "33",
    "blue": "34",
    "magenta": "35",
    "cyan": "36",
}
# Everything a terminal might take as a command, except line breaks and tabs; a commit message may hold any of it.
_CONTROL = re.compile(r"[\x00-\x08\x0b-\x1f\x7f-\x9f\u202a-\u202e\u2066-\u2069]")


class Screen:
    """A stream as a terminal or not: decides colour and width once."""

    def __init__(self, stream: TextIO) -> None:
        self.stream = stream
        self.terminal = stream.isatty()
        self.colour = _colour_wanted(self.terminal)

    @property
    def width(self) -> int | None:
        """Columns of the terminal; None when there is none and nothing needs shortening."""
        return shutil.get_terminal_size().columns if self.terminal else None

    def style(self, text: str, *names: str) -> str:
        """``text`` in colours, where colours are wanted."""
        if not self.colour or not text:
            return text
        return f"\x1b[{';'.join(_CODES[name] for name in names)}m{text}\x1b[0m"

    def line(self, text: str = "") -> None:
        """One line."""
        self.stream.write(text + "\n")

    def raw(self, text: str) -> None:
        """Text without a line break, at once."""
        self.stream.write(text)
        self.stream.flush()

    def marked(self, text: str, spans: Iterable[Sequence[int]]) -> str:
        """``text`` made printable, with half-open character spans standing out."""
        parts: list[str] = []
        position = 0
        for start, end in sorted((max(0, s), min(len(text), e)) for s, e in spans):
            if start < position or end <= start:
                continue
            parts += [printable(text[position:start]), self.style(printable(text[start:end]), "bold", "yellow")]
            position = end
        return "".join([*parts, printable(text[position:])])

    def table(self, rows: Sequence[Sequence[str]], heads: Sequence[str] = ()) -> None:
        """Aligned columns; the last one is cut to the terminal's width."""
        cells = [list(map(one_line, row)) for row in rows]
        columns = list(zip(*([list(heads)] if heads else []), *cells, strict=True)) if cells or heads else []
        widths = [max(map(columns_of, column)) for column in columns]
        if heads:
            self.line(self.style(self._row(list(heads), widths), "dim"))
        for row in cells:
            self.line(self._row(row, widths))

    def _row(self, cells: list[str], widths: list[int]) -> str:
        *most, last = cells
        left = "".join(pad(cell, width) + "  " for cell, width in zip(most, widths[:-1], strict=True))
        room = None if self.width is None else max(10, self.width - columns_of(left))
        return (left + clip(last, room)).rstrip()


def _colour_wanted(terminal: bool) -> bool:
    if os.environ.get("NO_COLOR"):
        return False
    if os.environ.get("FORCE_COLOR"):
        return True
    return terminal and os.environ.get("TERM") != "dumb"


def printable(text: str) -> str:
    """``text`` without characters that move the cursor, change colours or reorder the line."""
    return _CONTROL.sub("\N{REPLACEMENT CHARACTER}", text.replace("\r\n", "\n"))


def quantity(count: int, one: str, many: str | None = None) -> str:
    """``count`` with its noun: ``1 memory``, ``2,000 memories``."""
    return f"{count:,} {one if count == 1 else many or one + 's'}"


def one_line(text: str) -> str:
    """``text`` on one line, printable."""
    return " ".join(printable(text).split())


def columns_of(text: str) -> int:
    """How many terminal columns ``text`` takes: two for wide East Asian characters, none for combining ones."""
    if text.isascii():
        return len(text)
    return sum(_columns(character) for character in text)


def _columns(character: str) -> int:
    if unicodedata.combining(character) or unicodedata.category(character) in ("Mn", "Me", "Cf"):
        return 0
    return 2 if unicodedata.east_asian_width(character) in ("W", "F") else 1


def clip(text: str, width: int | None) -> str:
    """``text`` cut to ``width`` columns, with an ellipsis where something is missing."""
    if width is None or columns_of(text) <= width:
        return text
    kept, used = [], 0
    for character in text:
        used += _columns(character)
        if used > width - 1:
            break
        kept.append(character)
    return "".join(kept) + "…"


def pad(text: str, width: int) -> str:
    """``text`` filled with spaces to ``width`` columns."""
    return text + " " * max(0, width - columns_of(text))


def wrap(text: str, width: int | None) -> list[str]:
    """The lines of ``text``, broken at ``width`` columns where it can be broken; indents are kept."""
    lines: list[str] = []
    for line in text.split("\n"):
        lines += [line] if width is None or columns_of(line) <= width else _broken(line, width)
    return lines


def _broken(line: str, width: int) -> list[str]:
    if line.isascii():
        indent = line[: len(line) - len(line.lstrip())]
        return textwrap.wrap(line, width, subsequent_indent=indent, break_on_hyphens=False) or [""]
    lines, current = [], ""
    for piece in _pieces(line):
        if current and columns_of(current + piece) > width:
            lines.append(current.rstrip())
            current = piece.lstrip()
        else:
            current += piece
    return [*lines, current]


def _pieces(line: str) -> list[str]:
    """Where a line may be broken: after spaces, and between wide characters."""
    return re.findall(
        r"[\u2e80-\u9fff\uac00-\ud7af\uf900-\ufaff\uff00-\uffef]|\s*[^\s\u2e80-\u9fff\uac00-\ud7af\uf900-\ufaff\uff00-\uffef]+|\s+",
        line,
    )
