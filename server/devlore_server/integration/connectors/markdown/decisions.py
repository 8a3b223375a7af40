"""What decision records say of themselves: whether they hold, and which record replaced which.

Reads MADR front matter, Nygard's Status section, ``Status:`` lines, and sentences such as "This ADR supersedes …".
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Literal

from devlore.types import Status
from devlore_server.integration.connectors.markdown.document import LINK, Document
from devlore_server.integration.connectors.markdown.frontmatter import FrontMatter

Direction = Literal["by", "of"]
"""``by``: this record was superseded by the other. ``of``: it supersedes the other."""


@dataclass(frozen=True, slots=True)
class Statement:
    """``target`` is a link's target (with its label behind a newline) or a number; not yet a file."""

    direction: Direction
    target: str
    partly: bool


@dataclass(frozen=True, slots=True)
class Standing:
    """Whether a record holds, in whose words, and what it says of others.

    ``partly``: it was superseded in part and holds otherwise. ``pending``: not accepted yet, so it replaces nothing.
    """

    status: Status = Status.ACTIVE
    reason: str | None = None
    partly: bool = False
    pending: bool = False
    statements: tuple[Statement, ...] = ()


_SUPERSEDED = r"super[sc]e{1,2}ded"
_PART = r"(?:part(?:ly|ially)|in\s+part|to\s+some\s+extent|some\s+(?:aspects|parts)|parts?\s+of|portions?\s+of|section)"
_MARKS = r"[^\w\[(#/]*"
_LINE = re.compile(
    rf"{_MARKS}(?:status\s*:\s*)?{_MARKS}(?:(?P<part>{_PART}\s+{_SUPERSEDED})"
    rf"|(?P<superseded>{_SUPERSEDED}\b|replaced\s+by\b|obsoleted\s+by\b)"
    r"|(?P<rejected>rejected|declined|withdrawn|abandoned|cancell?ed)\b"
    r"|(?P<deprecated>deprecated|obsolete|retired|sunset|reversed|revoked)\b"
    r"|(?P<pending>proposed|pending|draft|in\s+review|under\s+review|in\s+progress|incomplete|on\s+hold|wip|rfc)\b"
    r"|(?P<accepted>accepted|approved|decided|active|implemented|done|final)\b)",
    re.IGNORECASE,
)
_PASSIVE = re.compile(
    rf"\b(?:{_SUPERSEDED}|obsoleted|replaced)\b(?P<gap>[^.\n\[]{{0,40}}?)\s+by\b:?",
    re.IGNORECASE,
)
_BARE = re.compile(rf"\b{_SUPERSEDED}\b(?P<gap>)[\s:]+(?=\[|ADR\b|#?\d)", re.IGNORECASE)
_ACTIVE = re.compile(
    r"\b(?:super[sc]e{1,2}des|obsoletes|replaces)\b:?(?P<gap>[^.\n\[\d]{0,40}?)(?=\s*(?:\[|ADR\b|#?\d|\())",
    re.IGNORECASE,
)
_SELF = re.compile(r"\bthis\b[^.\n]{0,60}$|^[\s>*_+-]*(?:\*\*)?(?:note:?)?[\s*_]*$", re.IGNORECASE)
_SENTENCE = re.compile(r"[.!?;]\s")
_PARTLY = re.compile(_PART, re.IGNORECASE)
_REFERENCE = re.compile(
    rf"{LINK.pattern}|\[\[(?P<wiki>[^\]|\n]{{1,300}})(?:\|[^\]\n]*)?\]\]|\[(?P<named>[^\[\]\n]{{1,200}})\](?:\[(?P<by>[^\]\n]{{0,200}})\])?"
    r"|(?P<file>[\w./-]{1,300}\.(?:md|markdown))\b|(?P<url>https?://[^\s)>\]]{1,1000})"
    r"|(?P<sign>(?:M?ADR|decision(?:\s+record)?|record)[\s#-]*(?:number\s*|no\.?\s*)?|\s*#|0)?0*"
    r"(?P<number>[1-9]\d{0,4})(?![\w-]|[./]\d)",
    re.IGNORECASE,
)
_BETWEEN = re.compile(r"[\s*_(:\"'“]*(?:(?:,|;|and|&|\+|as\s+well\s+as|the|our)[\s*_(:\"'“]*)*", re.IGNORECASE)
_NUMBER_IN = re.compile(r"0*([1-9]\d{0,4})\b")


def standing(matter: FrontMatter, document: Document, *, decision: bool) -> Standing:
    """What a note says of its own validity. Only a ``decision`` is read beyond its front matter."""
    said = matter.texts("status", "state")
    if decision:
        said += [text for text in (document.section("status"), document.fact("status")) if text]
        said += [line for line in document.head if re.match(rf"\W*{_SUPERSEDED}\b", line, re.IGNORECASE)]
    status, reason, partly, pending = _status("\n".join(said))
    found = [*_in_matter(matter), *_in_status(said, document)]
    if decision:
        found += _in_prose(document)
    if matter.texts("superseded-by", "supersededby", "replaced-by") and status is Status.ACTIVE:
        status, reason = Status.SUPERSEDED, reason or "superseded"
    holds = status is Status.ACTIVE
    weighed = [
        Statement(s.direction, s.target, s.partly or (partly if s.direction == "by" else pending or not holds))
        for s in found
    ]
    return Standing(status, reason, partly, pending, tuple(dict.fromkeys(_strongest(weighed))))


def _status(text: str) -> tuple[Status, str | None, bool, bool]:
    status, reason, partly, pending = Status.ACTIVE, None, False, False
    for line in text.splitlines():
        match = _LINE.match(line[:500])
        if match is None:
            continue
        words = " ".join(line.strip().split())[:300]
        if match["part"]:
            partly = True
        elif match["superseded"]:
            # Said anywhere in a list of dated statuses, this is the last word.
            return Status.SUPERSEDED, words, False, False
        elif match["rejected"]:
            status, reason = Status.INVALIDATED, words
        elif match["deprecated"]:
            # It was true once, and nothing took its place.
            status, reason = Status.SUPERSEDED, words
        else:
            status, reason = Status.ACTIVE, None
            pending = match["pending"] is not None
    return status, reason, partly, pending


def _in_matter(matter: FrontMatter) -> list[Statement]:
    by = [t for text in matter.texts("superseded-by", "supersededby", "replaced-by") for t in _references(text, {})]
    of = [t for text in matter.texts("supersedes", "replaces") for t in _references(text, {})]
    return [*(Statement("by", target, False) for target in by), *(Statement("of", target, False) for target in of)]


def _in_status(said: list[str], document: Document) -> list[Statement]:
    found: list[Statement] = []
    for line in "\n".join(said).splitlines():
        passive = [*_PASSIVE.finditer(line)] or [*_BARE.finditer(line)]
        found += _statements("by", passive, line, document, sure=True)
        found += _statements("of", _ACTIVE.finditer(line), line, document, sure=True)
    return found


def _in_prose(document: Document) -> list[Statement]:
    found: list[Statement] = []
    for line in document.prose:
        if re.search(r"super[sc]e", line, re.IGNORECASE):
            # In running text the other verbs speak of code and tools.
            said = re.sub(r"\b(?:replaced|replaces|obsoleted|obsoletes)\b", " ", line, flags=re.IGNORECASE)
            found += _statements("by", _PASSIVE.finditer(said), said, document, sure=False)
            found += _statements("of", _ACTIVE.finditer(said), said, document, sure=False)
    return found


def _statements(
    direction: Direction, matches: Iterable[re.Match[str]], line: str, document: Document, *, sure: bool
) -> list[Statement]:
    found = []
    for match in matches:
        before = _SENTENCE.split(line[max(0, match.start() - 160) : match.start()])[-1]
        itself = bool(_SELF.search(before))
        if not sure and not itself and (direction == "of" or _REFERENCE.search(before)):
            continue  # a sentence about other records
        partly = bool(_PARTLY.search(before + match["gap"])) or not (sure or itself)
        targets = _references(line[match.end() :], document.definitions, counts=not sure)
        found += [Statement(direction, target, partly) for target in targets]
    return found


def _references(text: str, definitions: dict[str, str], *, counts: bool = False) -> list[str]:
    """The references that ``text`` begins with, and those joined to them.

    With ``counts`` a bare number may be a count ("supersedes 3 older ones"), so it needs a sign: ADR, # or zeros.
    """
    found: list[str] = []
    position = _between(text, 0)
    while len(found) < 20 and (match := _REFERENCE.match(text, position)):
        if counts and match["number"] and not match["sign"]:
            break
        if match["named"] is not None:
            target = definitions.get((match["by"] or match["named"]).lower(), "")
            found.append(f"{target}\n{match['named']}")
        elif match["target"]:
            found.append(f"{match['target']}\n{match['label']}")
        else:
            found.append(match["wiki"] or match["file"] or match["url"] or match["number"])
        after = _between(text, match.end())
        if after == match.end():
            break
        position = after
    return found


def _between(text: str, position: int) -> int:
    match = _BETWEEN.match(text, position)
    return match.end() if match else position


def _strongest(statements: list[Statement]) -> list[Statement]:
    """Each pair once: said in full somewhere outweighs in part elsewhere."""
    best: dict[tuple[str, str], Statement] = {}
    for statement in statements:
        key = (statement.direction, statement.target)
        if key not in best or best[key].partly:
            best[key] = statement
    return list(best.values())


def number_in(label: str) -> str | None:
    """The first number of a label such as ``ADR-0012``."""
    match = _NUMBER_IN.search(label)
    return match[1] if match else None
