"""Runs `devlore …` inside the test process, with streams of its own."""

from __future__ import annotations

import json
import sys
from dataclasses import dataclass
from io import BytesIO, TextIOWrapper
from typing import Any

import pytest

from devlore_cli.main import run


@dataclass(frozen=True)
class Outcome:
    """What a command left behind."""

    code: int
    out: str
    err: str

    @property
    def json(self) -> Any:
        """The only line of stdout, as JSON."""
        (line,) = self.out.splitlines()
        return json.loads(line)

    @property
    def lines(self) -> list[Any]:
        """Each line of stdout, as JSON."""
        return [json.loads(line) for line in self.out.split("\n") if line]

    @property
    def problem(self) -> Any:
        """The last line of stderr, as JSON."""
        return json.loads(self.err.splitlines()[-1])


class Stream(TextIOWrapper):
    """A captured stream that can say it is a terminal."""

    terminal = False

    def __init__(self, content: bytes = b"") -> None:
        super().__init__(BytesIO(content), encoding="utf-8", newline="")

    def isatty(self) -> bool:
        return self.terminal

    def text(self) -> str:
        self.flush()
        buffer = self.buffer
        assert isinstance(buffer, BytesIO)
        return buffer.getvalue().decode()


class Terminal:
    """A shell in which `devlore` talks to one server."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch, url: str) -> None:
        self._monkeypatch = monkeypatch
        self.url = url
        self.interactive = False

    def __call__(self, *arguments: str, stdin: str | bytes = b"", code: int | None = 0) -> Outcome:
        """Run `devlore ARGUMENTS`; the exit code must be ``code`` unless that is None."""
        content = stdin.encode() if isinstance(stdin, str) else stdin
        streams = Stream(content), Stream(), Stream()
        with self._monkeypatch.context() as patch:
            patch.setenv("DEVLORE_URL", self.url)
            for stream, name in zip(streams, ("stdin", "stdout", "stderr"), strict=True):
                stream.terminal = self.interactive
                patch.setattr(sys, name, stream)
            ended = run(list(arguments), "--json" in arguments)
        outcome = Outcome(ended, streams[1].text(), streams[2].text())
        assert code is None or ended == code, f"exit code {ended}\n{outcome.out}\n{outcome.err}"
        return outcome
