"""A search query as the shell hands it over: its words, and what is said when it cannot be read."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator
from contextlib import contextmanager

import click

from devlore.problems import InvalidQuery

_OPTION = re.compile(r"--[a-z][a-z-]*(=.*)?|-[a-z]")
"""What looks like an option; other commands have some of one letter, and a query leaves out what follows a dash."""


def query_words(words: tuple[str, ...]) -> list[str]:
    """The words as one query: a shell argument that holds spaces after ``field:`` keeps them by quotes.

    Raises a usage error for an option that the command does not have: searched for as words it would find something,
    and nobody would notice.
    """
    for word in words:
        if _OPTION.fullmatch(word):
            raise click.UsageError(f"There is no option {word}. To search for it, quote it: '\"{word}\"'")
    return list(words) if len(words) == 1 else [_requoted(word) for word in words]


def for_teams(text: str, ids: Iterable[str]) -> str:
    """The query, of the memories of these teams only."""
    return " ".join([text, *(f"team:{id}" for id in ids)]).strip()


@contextmanager
def pointing_at(text: str) -> Iterator[None]:
    """Hand the query to the message that points at what cannot be read in it."""
    try:
        yield
    except InvalidQuery as error:
        error.extra.setdefault("query", text)
        raise


def _requoted(word: str) -> str:
    name, colon, value = word.partition(":")
    return f'{name}:"{value}"' if colon and _needs_quotes(name, value) else word


def _needs_quotes(name: str, value: str) -> bool:
    return name.replace("_", "").isalpha() and " " in value and not value.startswith(('"', " "))
