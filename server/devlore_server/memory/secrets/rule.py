"""What a rule is: where to look at all, the shape of a secret, and what else must hold before it counts as one."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Final

from devlore_server.memory.secrets.lookalikes import not_a_placeholder

Accept = Callable[[str, str], bool]
"""Given the candidate and the whole match around it: is it a secret?"""

EDGE: Final = r"(?:[^0-9A-Za-z_-]|\z)"
"""What may follow a token of fixed length: anything that could not be part of it."""
UUID: Final = r"[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}"


@dataclass(frozen=True, slots=True)
class Rule:
    """``name`` is ``family:what``. ``hint`` is short and looked for first, in one pass for all rules together.

    Both expressions are RE2's, over bytes. The secret is the last group of ``pattern`` that took part in the match,
    or the whole match when there is none.
    """

    name: str
    hint: str
    pattern: str
    accept: Accept = not_a_placeholder


def token(name: str, prefix: str, rest: str, accept: Accept = not_a_placeholder) -> Rule:
    """A token that is known by how it begins; ``rest`` is its whole remainder."""
    return Rule(name, rf"\b(?:{prefix})", rf"\b((?:{prefix}){rest}){EDGE}", accept)


def near(name: str, word: str, value: str, accept: Accept = not_a_placeholder) -> Rule:
    """A value without a mark of its own, known by what it is assigned to: a name that begins with ``word``."""
    assigned = r"[\w. -]{0,30}[\"'\]\\]{0,3}\s{0,3}(?::=|=>|[:=])\s{0,3}\\?[\"']?"
    return Rule(name, rf"(?i:{word})", rf"(?i:{word}){assigned}({value}){EDGE}", accept)
