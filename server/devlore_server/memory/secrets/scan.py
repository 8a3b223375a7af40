"""Finding secrets in a text: one pass for every rule's hint together, then only the rules whose hint was there."""

from __future__ import annotations

import re
from bisect import bisect_left
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Final

import re2

from devlore_server.memory.secrets.rule import Rule
from devlore_server.memory.secrets.rules import RULES

MARKER: Final = re.compile(rb"\[\[secret:[a-z0-9]+:[a-z0-9-]+:[0-9a-f]{8}\]\]")
"""What stands where a secret was."""

_MEMORY: Final = 64 << 20
_SEPARATOR: Final = b"\n\x1e\n"


@dataclass(frozen=True, slots=True)
class Finding:
    """A secret and where it stands, in bytes of UTF-8."""

    rule: str
    start: int
    end: int
    secret: bytes


class Scanner:
    """Compiled rules. Time is linear in the text, whatever it holds (RE2); safe to use from several threads."""

    def __init__(self, rules: Sequence[Rule] = RULES) -> None:
        self._rules = [(rule, re2.compile(rule.pattern.encode(), _options())) for rule in rules]
        hints: dict[str, list[int]] = {}
        for index, rule in enumerate(rules):
            hints.setdefault(rule.hint, []).append(index)
        self._owners = list(hints.values())
        self._hints = re2.Set.SearchSet(_options())
        for hint in hints:
            self._hints.Add(hint.encode())
        self._hints.Compile()

    def find(self, raw: bytes) -> list[Finding]:
        """The secrets in a text of UTF-8, in order, none overlapping another; places already marked hold none."""
        return self._search(raw, self._hinted(raw))

    def find_in(self, texts: Sequence[bytes]) -> dict[int, list[Finding]]:
        """``find`` for several texts, by index; those without any are left out. One pass when there is nothing."""
        if not self._hinted(_SEPARATOR.join(texts)):
            return {}
        found = ((index, self.find(raw)) for index, raw in enumerate(texts))
        return {index: findings for index, findings in found if findings}

    def _hinted(self, raw: bytes) -> list[int]:
        matched = self._hints.Match(raw) or ()
        return sorted(index for hint in matched for index in self._owners[hint])

    def _search(self, raw: bytes, hinted: Sequence[int]) -> list[Finding]:
        found: list[Finding] = []
        taken = [match.span() for match in MARKER.finditer(raw)] if hinted and b"[[secret:" in raw else []
        for index in hinted:
            rule, pattern = self._rules[index]
            new = []
            for match in pattern.finditer(raw):
                span = _widened(raw, *_secret_span(match))
                secret = raw[slice(*span)]
                if not _overlaps(taken, span) and rule.accept(_text(secret), _text(match.group())):
                    new.append(Finding(rule.name, *span, secret))
            if new:
                found += new
                taken = sorted([*taken, *((one.start, one.end) for one in new)])
        return sorted(found, key=lambda one: one.start)


def replaced(raw: bytes, findings: Sequence[Finding], marker: Callable[[Finding], str]) -> str:
    """The text with a marker in the place of each finding."""
    pieces, at = [], 0
    for one in findings:
        pieces += [raw[at : one.start], marker(one).encode()]
        at = one.end
    return b"".join([*pieces, raw[at:]]).decode("utf-8", "surrogatepass")


def _secret_span(match: re2._Match) -> tuple[int, int]:
    spans: list[tuple[int, int]] = [match.span(group) for group in range(match.re.groups + 1)]
    taking_part = [span for span in spans if span != (-1, -1)]
    return taking_part[-1] if taking_part else spans[0]


def _overlaps(taken: Sequence[tuple[int, int]], span: tuple[int, int]) -> bool:
    # Those taken do not overlap each other, so only the neighbours of where the span would stand can reach into it.
    place = bisect_left(taken, span)
    after = place < len(taken) and taken[place][0] < span[1]
    return after or (place > 0 and taken[place - 1][1] > span[0])


def _widened(raw: bytes, start: int, end: int) -> tuple[int, int]:
    # Rules read bytes; a cut inside a character would leave half of it.
    while start > 0 and raw[start] & 0xC0 == 0x80:
        start -= 1
    while end < len(raw) and raw[end] & 0xC0 == 0x80:
        end += 1
    return start, end


def _text(raw: bytes) -> str:
    return raw.decode("utf-8", "replace")


def _options() -> re2.Options:
    options = re2.Options()
    options.encoding = re2.Options.Encoding.LATIN1
    options.max_mem = _MEMORY
    options.log_errors = False
    return options
