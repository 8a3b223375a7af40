"""Which passwords are too easy to guess: too short, or made of nothing but what is guessed first.

After NIST SP 800-63B-4 §3.1.1: length and a blocklist, nothing about digits or capitals.
"""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Iterable
from functools import cache
from itertools import pairwise
from pathlib import Path
from typing import Final

LONG: Final = 15
"""Characters of a password that is the only proof."""
SHORT: Final = 8
"""Characters of a password that has a passkey beside it."""

_LIST: Final = Path(__file__).with_name("common_passwords.txt")
_LOOK_ALIKES: Final = str.maketrans("013457@$!|€", "oieastasiie")
_ROWS: Final = ("01234567890", "qwertyuiop", "asdfghjkl", "zxcvbnm", "qwertzuiop", "abcdefghijklmnopqrstuvwxyz")
_NEIGHBOURS: Final = {pair for row in _ROWS for way in (row, row[::-1]) for pair in pairwise(way)}
_RUN = 4
_YEAR: Final = re.compile(r"(?:19|20)\d\d")
_LEFT = 5
"""Characters nobody can foresee that a password has at least, besides common words, rows of keys and years."""


def weakness(password: str, *, least: int, about: Iterable[str] = ()) -> str | None:
    """Why a password is refused, or None. ``about``: what an attacker knows of its owner (name, e-mail address)."""
    if len(password) < least:
        return f"Use at least {least} characters; a few words that have nothing to do with each other are good."
    plain = unicodedata.normalize("NFKC", password).casefold()
    known = [word for one in about for word in re.findall(r"\w{3,}", one.casefold())]
    spellings = (plain, plain.translate(_LOOK_ALIKES), re.sub(r"[\W_]", "", plain))
    if any(_unforeseen(spelling, known) < _LEFT for spelling in spellings):
        return "This is among the first that are guessed: common words, rows of keys, years, or your own name."
    return None


def _unforeseen(text: str, known: Iterable[str]) -> int:
    """How many different characters are left of a password without what is guessed first."""
    for word in sorted(known, key=len, reverse=True):
        text = text.replace(word, " ")
    # A gap stays a gap: what is left on both sides of it must not become a word or a row.
    text = _YEAR.sub(" ", _common().sub(" ", text))
    return len({character for part in text.split() for character in _without_runs(part) if character.isalnum()})


def _without_runs(text: str) -> str:
    """Without neighbours on a keyboard or in the alphabet, and the same again, from four on."""
    runs = [0]
    for place, (one, following) in enumerate(pairwise(text), 1):
        if one != following and (one, following) not in _NEIGHBOURS:
            runs.append(place)
    parts = (text[start:end] for start, end in pairwise([*runs, len(text)]))
    return "".join(part for part in parts if len(part) < _RUN)


@cache
def _common() -> re.Pattern[str]:
    words = _LIST.read_text(encoding="utf-8").split()
    return re.compile("|".join(map(re.escape, sorted({*words, "devlore"}, key=len, reverse=True))))
