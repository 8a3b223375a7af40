"""Arguments, and lines of stdin, that name something by its id."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any

import click
from pydantic import ValidationError

from devlore.types import Memory
from devlore_cli.drafting import is_id
from devlore_cli.failures import EXIT_USAGE, Failure
from devlore_cli.session import stdin_text


class Identifier(click.ParamType[Any]):
    """An argument that must be a whole id: refused here, the message can say what one looks like."""

    name = "id"

    def __init__(self, listed: str = "devlore list") -> None:
        self._listed = listed

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> str:
        """``value`` if it is an id; raises a usage error."""
        text = str(value).strip()
        if not is_id(text):
            self.fail(f"{text!r} is no id: ids have 36 characters; {self._listed} shows them.", param, ctx)
        return text


ID = Identifier()


def memories_given(arguments: tuple[str, ...]) -> dict[str, Memory | None]:
    """The memories that arguments name, each once, by id; and each as it was listed, where that was said.

    ``-`` alone reads stdin: ids, or the JSON lines of ``devlore list`` and ``devlore search``. Raises a usage error.
    """
    named = _lines(stdin_text()) if arguments == ("-",) else ((text, None) for text in arguments)
    return {ID.convert(id, None, None): memory for id, memory in named}


def _lines(text: str) -> Iterator[tuple[Any, Memory | None]]:
    # At LF only: a memory may hold the other characters that ``splitlines`` cuts at.
    for number, line in enumerate(text.split("\n"), 1):
        if line.lstrip().startswith("{"):
            yield _told(line, number)
        else:
            yield from ((id, None) for id in line.split())


def _told(line: str, number: int) -> tuple[Any, Memory | None]:
    try:
        value = json.loads(line)
    except ValueError as error:
        raise Failure(f"Line {number} of stdin is no JSON: {error}.", code=EXIT_USAGE) from error
    # What a search finds, and an export writes, has the memory inside.
    found = value.get("memory", value)
    try:
        memory = Memory.model_validate(found, extra="ignore")
    except ValidationError:
        return (found.get("id") if isinstance(found, dict) else found), None
    return memory.id, memory
