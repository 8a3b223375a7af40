"""Which note replaced which: statements resolved to files, from both sides, over the whole folder."""

from __future__ import annotations

import posixpath
import re
from collections import defaultdict
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Literal
from urllib.parse import unquote

from devlore.types import Status
from devlore_server.integration.connectors.markdown.decisions import Statement, number_in

_NUMBERED = re.compile(
    r"(?!\d{4}-\d\d-\d\d)(?:m?adr|decision|rfc|dr)?[-_ ]?0*(?P<number>\d{1,5})(?=\D|$)", re.IGNORECASE
)


@dataclass(frozen=True, slots=True)
class Claim:
    """What is remembered of a note to tell its place in the succession without reading it again."""

    status: Status
    partly: bool = False
    statements: tuple[Statement, ...] = ()


@dataclass(slots=True)
class Place:
    """Where a note stands: its status once others have been heard, its successor, and what it replaced in part."""

    status: Status
    successor: str | None = None
    replaced_partly: list[str] = field(default_factory=list)
    depth: int = field(default=0, compare=False)
    """How many successors follow; a successor is stored before what it replaced."""


@dataclass(frozen=True, slots=True)
class Edge:
    """``old`` was replaced by ``new``, in full or in part; both are paths."""

    old: str
    new: str
    partly: bool
    said_by: Literal["old", "new"]


class Names:
    """Finds the file a reference means among the paths of a folder."""

    def __init__(self, paths: Iterable[str]) -> None:
        self._paths = set(paths)
        self._named: dict[str, list[str]] = defaultdict(list)
        self._numbered: dict[tuple[str, str], list[str]] = defaultdict(list)
        for path in sorted(self._paths):
            folder, name = posixpath.split(path)
            self._named[name.lower()].append(path)
            if match := _NUMBERED.match(name):
                self._numbered[folder, match["number"] or "0"].append(path)

    def find(self, target: str, seen_from: str) -> str | None:
        """The path that ``target`` (of a ``Statement``) means in the note ``seen_from``, or None."""
        link, _, label = target.partition("\n")
        if link.isdecimal() and not label:
            return self._by_number(link, seen_from)
        found = self._by_link(link, seen_from) if link else None
        name = link.rpartition("/")[2]
        if found is None and (number := number_in(label or name)):
            found = self._by_number(number, seen_from)
            # A link to a file that is gone: the number alone may have been given to another decision.
            if found and name.lower().endswith(".md") and not _words(name) & _words(found.rpartition("/")[2]):
                return None
        return found

    def _by_number(self, number: str, seen_from: str) -> str | None:
        found = self._numbered.get((posixpath.dirname(seen_from), number), [])
        return found[0] if len(found) == 1 else None

    def _by_link(self, link: str, seen_from: str) -> str | None:
        plain = unquote(re.split(r"[?#]", link, maxsplit=1)[0])
        folder = posixpath.dirname(seen_from)
        if "://" not in plain:
            near = posixpath.normpath(posixpath.join(folder, plain))
            for path in (near, f"{near}.md", posixpath.join(near, "README.md"), posixpath.join(near, "index.md")):
                if path in self._paths:
                    return path
        name = posixpath.basename(plain.rstrip("/")).lower()
        namesakes = self._named.get(name) or self._named.get(f"{name}.md") or []
        beside = [path for path in namesakes if posixpath.dirname(path) == folder]
        return next((group[0] for group in (beside, namesakes) if len(group) == 1), None)


def _words(name: str) -> set[str]:
    return set(re.findall(r"[^\W\d_]{3,}", name.lower().removesuffix(".md")))


def edges(claims: Mapping[str, Claim]) -> list[Edge]:
    """Every statement that names another note of the folder."""
    names = Names(claims)
    found = []
    for path, claim in claims.items():
        for said in claim.statements:
            other = names.find(said.target, path)
            if other is None or other == path:
                continue
            if said.direction == "by":
                found.append(Edge(path, other, said.partly, "old"))
            else:
                found.append(Edge(other, path, said.partly, "new"))
    return found


def succession(claims: Mapping[str, Claim]) -> dict[str, Place]:
    """Where each note stands. A note's own word about its successor counts before another's."""
    places = {path: Place(claim.status) for path, claim in claims.items()}
    for edge in sorted(edges(claims), key=lambda edge: (edge.said_by == "new", edge.old, edge.new)):
        place = places[edge.old]
        if edge.partly or (edge.said_by == "new" and claims[edge.old].partly):
            if edge.old not in places[edge.new].replaced_partly:
                places[edge.new].replaced_partly.append(edge.old)
        elif place.successor is None and not _leads_to(places, edge.new, edge.old):
            place.successor = edge.new
            if place.status is Status.ACTIVE:
                place.status = Status.SUPERSEDED
    for path, place in places.items():
        place.depth = len(_chain(places, path))
        place.replaced_partly = [old for old in place.replaced_partly if places[old].successor != path]
    return places


def _chain(places: Mapping[str, Place], path: str) -> list[str]:
    chain = []
    successor = places[path].successor
    while successor is not None:
        chain.append(successor)
        successor = places[successor].successor
    return chain


def _leads_to(places: Mapping[str, Place], start: str, end: str) -> bool:
    # Two records that each claim to replace the other would make a circle.
    return start == end or end in _chain(places, start)
