"""What a commit message refers to: tickets, the ones it closes, and other commits."""

from __future__ import annotations

import re
from collections.abc import Iterator

from devlore.types import LinkDraft, LinkType, TargetKind
from devlore_server.integration.connectors.git.repository import Forge

MOST = 20
"""Most links of one message: a release note that lists hundreds of tickets is about none of them."""

_TICKET = (
    r"(?:(?<![\w&#./-])(?:[\w.-]{1,40}/[\w.-]{1,100}(?<!\.html)(?<!\.md))?#[1-9]\d{0,6}(?![\w-]|\.\d)"
    r"|(?<![\w-])[Gg][Hh]-[1-9]\d{0,6}(?![\w-])"
    r"|https?://[\w.-]{1,100}/[\w./-]{1,150}?/(?:issues|pull|merge_requests)/[1-9]\d{0,6}\b"
    r"|(?<![\w-])[A-Z][A-Z0-9]{1,9}-[1-9]\d{0,6}(?![\w-]|\.\w))"
)
_CLOSING = re.compile(
    r"\b(?:fix(?:e[sd])?|close[sd]?|resolve[sd]?)\b:?\s{1,3}(?:(?:issues?|bugs?|tickets?)\s{1,3})?"
    rf"(?P<tickets>{_TICKET}(?:(?:\s{{0,3}},\s{{0,3}}(?:and\s)?|\s{{1,3}}(?:and|&)\s{{1,3}}){_TICKET}){{0,20}})",
    re.IGNORECASE,
)
_ANY = re.compile(_TICKET)
_URL = re.compile(r"https?://[^/]+/(?P<path>.+?)(?:/-)?/(?P<kind>issues|pull|merge_requests)/(?P<number>\d+)")
_REVERTS = re.compile(r"\bThis reverts commit ([0-9a-f]{7,64})\b")
_CORRECTS = re.compile(r"^Fixes:\s{1,3}([0-9a-f]{7,64})\b", re.IGNORECASE | re.MULTILINE)
_PICKED = re.compile(r"\(cherry picked from commit ([0-9a-f]{7,64})\)")
# Standards, encodings and hashes are written like Jira keys.
_NOT_A_PROJECT = re.compile(
    r"UTF|UCS|SHA|MD|ISO|IEC|IEEE|RFC|PEP|CVE|CWE|GHSA|HTTP|TLS|SSL|AES|RSA|DES|CP|KOI|LATIN|BASE|ECMA|ES|ANSI|ASCII"
    r"|ADR|L?A?GPL|BSD|MIT|APACHE|IPV|X|WIN|PY|C?PYTHON|PYPY|C|ARM|X86|AMD|U?INT|FLOAT|UTC|GMT|H|MP"
)


def tickets(message: str, forge: Forge | None) -> dict[str, bool]:
    """Tickets in the order of the message, each with whether the message says that it closes them.

    ``#12`` and ``gh-12`` are qualified with the repository (``owner/name#12``) where that is known; Jira-like keys
    stay as they are.
    """
    closing = {
        target
        for match in _CLOSING.finditer(message)
        for found in _ANY.finditer(match["tickets"])
        if (target := _target(found[0], forge))
    }
    named = (_target(found[0], forge) for found in _ANY.finditer(message))
    return {target: target in closing for target in named if target}


def _target(ticket: str, forge: Forge | None) -> str | None:
    if url := _URL.match(ticket):
        mark = "!" if url["kind"] == "merge_requests" else "#"
        return f"{url['path']}{mark}{url['number']}"
    repository, sharp, number = ticket.partition("#")
    key, _, digits = ticket.rpartition("-")
    if not sharp:
        if key.upper() != "GH":
            return ticket if key.upper() == key and not _NOT_A_PROJECT.fullmatch(key) else None
        number = digits
    owner = (repository if sharp else "") or (forge.path if forge else "")
    return f"{owner}#{number}"


def links(message: str, forge: Forge | None) -> Iterator[LinkDraft]:
    """Links from a message to tickets and other commits, ``MOST`` of each at most."""
    for target, closes in list(tickets(message, forge).items())[:MOST]:
        kind = LinkType.FIXES if closes else LinkType.MENTIONS
        yield LinkDraft(type=kind, target_kind=TargetKind.TICKET, target=target)
    for sha in list(dict.fromkeys(_REVERTS.findall(message)))[:MOST]:
        yield LinkDraft(type=LinkType.CONTRADICTS, target_kind=TargetKind.COMMIT, target=sha, note="reverts")
    for sha in list(dict.fromkeys(_CORRECTS.findall(message)))[:MOST]:
        yield LinkDraft(type=LinkType.FIXES, target_kind=TargetKind.COMMIT, target=sha)
    for sha in list(dict.fromkeys(_PICKED.findall(message)))[:MOST]:
        yield LinkDraft(type=LinkType.DERIVED_FROM, target_kind=TargetKind.COMMIT, target=sha, note="cherry picked")
