"""What people type, as fields of a memory: a title out of a text, a link out of a word."""

from __future__ import annotations

import re
from uuid import UUID

from devlore.types import LinkDraft, LinkType, TargetKind

_LONGEST_TITLE = 120
_SENTENCE_END = re.compile(r"(?<=[.!?])\s+|(?<=[。！？])")
_COMMIT = re.compile(r"[0-9a-f]{7,40}")
_TICKET = re.compile(r"(?:[\w.-]+/[\w.-]+)?#\d+|[A-Z][A-Z0-9]+-\d+")
_TYPES = {str(kind): kind for kind in LinkType} | {str(kind).replace("_", "-"): kind for kind in LinkType}


def split_title(text: str) -> tuple[str, str]:
    """A title and a body out of a text: its first line, or its first sentence when that line is long.

    Nothing is lost: when the title had to be cut, the body is the whole text.
    """
    text = text.strip()
    first, _, rest = text.partition("\n")
    line = re.sub(r"^#+\s*", "", first).strip()
    sentence = next(iter(_sentences(line)), "")
    if len(line) <= _LONGEST_TITLE and (rest or sentence == line):
        return line, trimmed(rest)
    if len(sentence) <= _LONGEST_TITLE:
        return sentence, trimmed(f"{line[len(sentence) :].strip()}\n{rest}")
    cut = line[: _LONGEST_TITLE - 1]
    return (cut.rsplit(" ", 1)[0] if " " in cut else cut).rstrip(" ,;:") + "…", text


def trimmed(text: str) -> str:
    """``text`` without empty lines around it; the indent of its first line may be code and stays."""
    return re.sub(r"\A(?:[^\S\n]*\n)+", "", text).rstrip()


def _sentences(text: str) -> list[str]:
    return [part for part in _SENTENCE_END.split(text) if part]


def parse_link(text: str) -> LinkDraft:
    """A link written as ``TARGET`` or ``TYPE=TARGET``, e.g. ``fixes=#12``; raises ValueError with what is wrong."""
    name, _, rest = text.partition("=")
    if rest and name in _TYPES:
        return LinkDraft(type=_TYPES[name], target=rest, target_kind=target_kind(rest))
    return LinkDraft(target=text, target_kind=target_kind(text))


def link_type(name: str) -> LinkType:
    """A link type by its name, with ``-`` or ``_``; raises ValueError."""
    if name not in _TYPES:
        raise ValueError(f"{name!r} is no link type: {', '.join(str(kind).replace('_', '-') for kind in LinkType)}.")
    return _TYPES[name]


def target_kind(target: str) -> TargetKind:
    """What a link's target is, by its looks: a memory's id, a URL, a commit, a ticket, else a file."""
    if is_id(target):
        return TargetKind.MEMORY
    if re.match(r"[a-z][a-z0-9+.-]*://", target):
        return TargetKind.URL
    if _COMMIT.fullmatch(target) and not target.isdigit():
        return TargetKind.COMMIT
    if _TICKET.fullmatch(target):
        return TargetKind.TICKET
    if re.search(r"[./]", target):
        return TargetKind.FILE
    raise ValueError(f"{target!r} is neither a memory's id, a URL, a commit, a ticket nor a file's path.")


def is_id(text: str) -> bool:
    """Whether ``text`` is a whole uuid."""
    try:
        UUID(text)
    except ValueError:
        return False
    return len(text) in (32, 36)
