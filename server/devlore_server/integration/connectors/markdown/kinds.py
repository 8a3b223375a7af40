"""Which kind of memory a note is, by its front matter, its place and its shape."""

from __future__ import annotations

import posixpath
import re

from devlore.types import KINDS
from devlore_server.integration.connectors.markdown.document import Document, plain
from devlore_server.integration.connectors.markdown.frontmatter import FrontMatter

_ALIASES = {
    "adr": "decision",
    "decision-record": "decision",
    "bug": "bug-fix",
    "bugfix": "bug-fix",
    "fix": "bug-fix",
    "doc": "documentation",
    "docs": "documentation",
    "guide": "documentation",
    "readme": "documentation",
    "minutes": "meeting",
    "meeting-notes": "meeting",
    "postmortem": "incident",
    "post-mortem": "incident",
    "rfc": "design",
    "design-doc": "design",
    "til": "insight",
    "howto": "tip",
}
_KIND = re.compile(r"[a-z][a-z0-9-]{0,39}")
_DECISION_FOLDERS = {"adr", "adrs", "madr", "decisions", "decision-records", "decision-record"}
_DECISION_FOLDER = re.compile(r"architecture[-_ ](?:decisions?|decision[-_ ]records?)|decision[-_ ](?:log|records?)")
_NUMBERED = re.compile(r"(?:m?adr[-_ ]?)?\d{1,5}[-_ .]|\d{4}-\d\d-\d\d", re.IGNORECASE)
_ADR_NAME = re.compile(r"m?adr[-_ ]?\d{1,5}\b", re.IGNORECASE)
_TEMPLATE = re.compile(r"(?:m?adr[-_ ]?)?(?:\d{1,5}[-_ .]?)?(?:m?adr[-_ ])?template(?:[-_ ].*)?")
_DOCUMENTATION = re.compile(
    r"readme|licen[cs]e|notice|authors|changelog|history|contributing|code_of_conduct|security|install|upgrading"
)
_MEETING = re.compile(r"(?:^|[-_ ])(?:meetings?|minutes|stand-?up|retro(?:spective)?)(?:[-_ .]|$)", re.IGNORECASE)
_INCIDENT = re.compile(r"(?:^|[-_ ])(?:incidents?|post-?mortems?|outages?)(?:[-_ .]|$)", re.IGNORECASE)


def kind_of(path: str, matter: FrontMatter, document: Document) -> str:
    """The kind, ``note`` when nothing says more. Only ``kind:`` may name one of an organisation's own."""
    for key in ("kind", "type", "category"):
        said = (matter.text(key) or "").lower().replace("_", "-").replace(" ", "-")
        named = _ALIASES.get(said, said)
        if named in KINDS or (key == "kind" and _KIND.fullmatch(named)):
            return named
    folder, name = posixpath.split(path)
    stem = name.rpartition(".")[0].lower()
    folders = folder.lower().split("/")
    headings = {plain(heading.text).lower() for heading in document.headings}
    if _is_decision(folders, stem, headings):
        return "decision"
    return _by_place(folders, stem, headings)


def _is_decision(folders: list[str], stem: str, headings: set[str]) -> bool:
    context = any(heading.startswith("context") for heading in headings)
    decided = any(heading.startswith("decision") and heading != "decision drivers" for heading in headings)
    if _TEMPLATE.fullmatch(stem):
        return False
    nygard = "status" in headings and bool(_NUMBERED.match(stem))
    if (context and decided) or nygard or _ADR_NAME.match(stem):
        return True
    home = any(one in _DECISION_FOLDERS or _DECISION_FOLDER.fullmatch(one) for one in folders)
    # One folder per decision, with its text in a README: the folder carries the number.
    named = folders[-1] if stem in ("readme", "index") else stem
    return home and (bool(_NUMBERED.match(named)) or decided)


def _by_place(folders: list[str], stem: str, headings: set[str]) -> str:
    if stem == "architecture":
        return "architecture"
    if _DOCUMENTATION.fullmatch(stem):
        return "documentation"
    if (
        _MEETING.search(stem)
        or any(_MEETING.search(one) for one in folders)
        or headings & {"attendees", "participants"}
    ):
        return "meeting"
    if _INCIDENT.search(stem) or any(_INCIDENT.search(one) for one in folders):
        return "incident"
    if any(one in {"design", "designs", "rfcs"} for one in folders):
        return "design"
    if any(one in {"docs", "doc", "documentation", "docs_src", "guide"} for one in folders):
        return "documentation"
    return "note"
