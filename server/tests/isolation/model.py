"""Who may know what, as sets: no database, no index, no cache. What the product shows is compared with this."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field
from typing import Literal, NamedTuple

Privacy = Literal["private", "team", "public"]


class Audience(NamedTuple):
    """For whom a state of a memory is."""

    privacy: Privacy
    author: str
    team: str | None


class Place(NamedTuple):
    """A person in an organisation: what is shown is shown to one of these."""

    person: str
    organisation: str


@dataclass
class Note:
    """A memory: for whom it is now, and for whom each past version was."""

    id: str
    organisation: str
    audience: Audience
    tag: str
    project: str
    version: int = 1
    past: dict[int, Audience] = field(default_factory=dict)
    deleted: bool = False
    successor: str | None = None

    def changed(self) -> None:
        """A new version; the state before is archived."""
        self.past[self.version] = self.audience
        self.version += 1


class Link(NamedTuple):
    """An arrow between two memories."""

    source: str
    type: str
    target: str


@dataclass
class World:
    """Organisations with their members and teams, memories and links."""

    roles: dict[Place, str] = field(default_factory=dict)
    teams: dict[str, dict[str, set[str]]] = field(default_factory=dict)
    notes: dict[str, Note] = field(default_factory=dict)
    links: set[Link] = field(default_factory=set)
    left: dict[Place, str] = field(default_factory=dict)

    def members(self, organisation: str) -> list[str]:
        return sorted(place.person for place in self.roles if place.organisation == organisation)

    def writers(self) -> list[Place]:
        return sorted(place for place, role in self.roles.items() if role != "viewer")

    def owners(self, organisation: str) -> list[Place]:
        return sorted(p for p, role in self.roles.items() if p.organisation == organisation and role == "owner")

    def teams_of(self, place: Place) -> set[str]:
        there = self.teams.get(place.organisation, {})
        return {team for team, people in there.items() if place.person in people}

    def allowed(self, place: Place, organisation: str, audience: Audience) -> bool:
        """The whole rule of who sees what."""
        if place not in self.roles or place.organisation != organisation:
            return False
        return (
            audience.privacy == "public"
            or audience.author == place.person
            or (audience.privacy == "team" and audience.team in self.teams_of(place))
        )

    def sees(self, place: Place, id: str) -> bool:
        """Whether a memory is somebody's to see, deleted or not."""
        note = self.notes.get(id)
        return note is not None and self.allowed(place, note.organisation, note.audience)

    def shown(self, place: Place, *, deleted: bool = False) -> set[str]:
        """What a list, an export or a search without bounds shows."""
        return {id for id, note in self.notes.items() if note.deleted is deleted and self.sees(place, id)}

    def findable(self, place: Place) -> set[str]:
        """What a search finds: an index knows the one circle of a memory, and an author outside it lists it only."""
        mine = self.teams_of(place)
        notes = {id: self.notes[id].audience for id in self.shown(place)}
        return {id for id, audience in notes.items() if audience.privacy != "team" or audience.team in mine}

    def versions(self, place: Place, id: str) -> set[int] | None:
        """The numbers of the versions somebody may read."""
        if not self.sees(place, id):
            return None
        note = self.notes[id]
        past = {number for number, one in note.past.items() if self.allowed(place, note.organisation, one)}
        return past | {note.version}

    def successor(self, place: Place, id: str) -> str | None:
        """What somebody may know of what replaced a memory."""
        successor = self.notes[id].successor
        return successor if successor is not None and self.sees(place, successor) else None

    def around(self, place: Place, id: str) -> set[tuple[str, str, str]] | None:
        """The links of a memory as (direction, type, other end); both ends must be there to see."""
        if id not in self.shown(place):
            return None
        found = set()
        for link in self.links:
            if id in (link.source, link.target):
                outgoing = link.source == id
                other = link.target if outgoing else link.source
                if other in self.shown(place):
                    found.add(("outgoing" if outgoing else "incoming", link.type, other))
        return found

    def exported(self, place: Place) -> dict[str, tuple[frozenset[int], frozenset[str]]]:
        """By memory, the past versions and the targets of its links that an export holds."""
        records = {}
        for id in self.shown(place):
            versions = self.versions(place, id) or set()
            targets = {one.target for one in self.links if one.source == id and self.sees(place, one.target)}
            records[id] = (frozenset(versions - {self.notes[id].version}), frozenset(targets))
        return records

    def tags(self, ids: set[str]) -> Counter[str]:
        return Counter(self.notes[id].tag for id in ids)

    def projects(self, ids: set[str]) -> Counter[str]:
        return Counter(self.notes[id].project for id in ids)

    def privacies(self, ids: set[str]) -> Counter[str]:
        return Counter(self.notes[id].audience.privacy for id in ids)

    def leave(self, place: Place, departure: str) -> None:
        """Gone at once, from every team as well; what becomes of their private memories is open."""
        del self.roles[place]
        for people in self.teams.get(place.organisation, {}).values():
            people.discard(place.person)
        self.left[place] = departure

    def join(self, place: Place, role: str) -> None:
        """Whoever comes back finds what was theirs, unless it was settled."""
        self.roles[place] = role
        self.left.pop(place, None)

    def transfer(self, place: Place, heir: str) -> None:
        """What somebody kept private is another's, with its private past."""
        del self.left[place]
        for note in self._private_of(place):
            archived = {n: one for n, one in note.past.items() if one.privacy == "private"}
            note.past |= {n: one._replace(author=heir) for n, one in archived.items() if one.author == place.person}
            note.audience = note.audience._replace(author=heir)
            note.changed()

    def purge_all(self, place: Place) -> None:
        """What somebody kept private is erased."""
        del self.left[place]
        for note in self._private_of(place):
            self.purge(note.id)

    def purge(self, id: str) -> None:
        """Gone with its links, whichever way they point."""
        del self.notes[id]
        self.links = {link for link in self.links if id not in (link.source, link.target)}

    def _private_of(self, place: Place) -> list[Note]:
        return [
            note
            for note in self.notes.values()
            if note.organisation == place.organisation
            and note.audience.privacy == "private"
            and note.audience.author == place.person
        ]
