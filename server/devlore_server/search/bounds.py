"""Owns what may be among the hits of a search: the query's filters, the request's, and the rule for status."""

from collections.abc import Mapping
from dataclasses import dataclass, replace
from datetime import datetime
from typing import Any

from devlore.problems import Invalid
from devlore.types import Memory, SearchRequest, Status
from devlore_server.kit.auth import Principal
from devlore_server.search.bounded import NO_FILTERS, BoundedQuery
from devlore_server.search.documents import author_names
from devlore_server.search.lexical import Filters
from devlore_server.search.query import ME, VALUE_FIELDS, Query

_ACTIVE = (Status.ACTIVE.value,)
_SUPERSEDED = (Status.SUPERSEDED.value,)
_HELD_ONCE = (Status.ACTIVE.value, Status.SUPERSEDED.value)


@dataclass(frozen=True, slots=True)
class Bounds:
    """Wanted and unwanted values; `phrases` and `excluded` texts, which only the lexical index can tell.

    With `leads`, what was superseded is looked among as well, and leads to what holds in its place.
    """

    wanted: Filters
    unwanted: Filters = NO_FILTERS
    phrases: tuple[str, ...] = ()
    excluded: tuple[str, ...] = ()
    leads: bool = False

    @property
    def only_active(self) -> bool:
        """Whether status is bounded to what holds now, and in no other way."""
        return tuple(self.wanted.status) == _ACTIVE

    def lexical(self, who: Principal, text: str) -> BoundedQuery:
        """These bounds around a text, for the lexical index."""
        return BoundedQuery(
            organisation=who.organisation,
            access=who.access_tokens,
            text=text,
            phrases=self.phrases,
            excluded=self.excluded,
            filters=self.wanted,
            without=self.unwanted,
        )

    def superseded(self) -> "Bounds":
        """The same for what was superseded."""
        return replace(self, wanted=replace(self.wanted, status=_SUPERSEDED))

    def vector_wanted(self) -> Filters:
        """The wanted values for the vector index, which knows `only_active` by itself."""
        return replace(self.wanted, status=()) if self.only_active else self.wanted

    def admit(self, memory: Memory) -> bool:
        """Whether a fresh row still is within the bounds, whatever an index remembers of it."""
        if any(_values(memory, name).isdisjoint(wanted) for name, wanted in _named(self.wanted)):
            return False
        if any(not _values(memory, name).isdisjoint(unwanted) for name, unwanted in _named(self.unwanted)):
            return False
        low, high = self.wanted.occurred
        if (low and memory.occurred_at < low) or (high and memory.occurred_at >= high):
            return False
        moment = self.wanted.as_of
        return moment is None or _valid_at(memory, moment)


def combine(query: Query, request: SearchRequest, who: Principal) -> Bounds:
    """The bounds a query and the fields of its request come to together.

    What holds now is shown unless a status is asked for; as of a moment, also what has been superseded since. Words
    that match what was superseded lead to what holds now, but a phrase or an exclusion is of the hit itself.
    """
    wanted = {name: [*query.wanted.get(name, ()), *map(str, getattr(request, name, ()))] for name in VALUE_FIELDS}
    unwanted = {name: list(values) for name, values in query.unwanted.items()}
    as_of = query.as_of or request.as_of
    unasked = not wanted["status"] and "status" not in unwanted
    if unasked:
        wanted["status"] = list(_ACTIVE if as_of is None else _HELD_ONCE)
    if "any" in wanted["status"]:
        wanted["status"] = []
    moments = (_latest(query.after, request.after), _earliest(query.before, request.before))
    return Bounds(
        _filters(wanted, who, moments, as_of),
        _filters(unwanted, who),
        phrases=query.phrases,
        excluded=query.excluded,
        leads=unasked and as_of is None and bool(query.text.strip()) and not (query.phrases or query.excluded),
    )


def _filters(
    values: Mapping[str, list[str]],
    who: Principal,
    occurred: tuple[datetime | None, datetime | None] = (None, None),
    as_of: datetime | None = None,
) -> Filters:
    held: dict[str, Any] = {name: tuple(dict.fromkeys(several)) for name, several in values.items() if several}
    if any("\0" in value for several in held.values() for value in several):
        raise Invalid("A filter's value holds a NUL character.")
    if authors := held.get("author"):
        held["author"] = tuple(str(who.person) if name == ME else name.lower() for name in authors)
    return Filters(**held, occurred=occurred, as_of=as_of)


def _named(filters: Filters) -> list[tuple[str, tuple[str, ...]]]:
    return [(name, tuple(values)) for name in VALUE_FIELDS if (values := getattr(filters, name))]


def _values(memory: Memory, name: str) -> set[str]:
    """What a memory has of one field, as filters name it."""
    source = memory.source
    match name:
        case "tag":
            return set(memory.tags)
        case "author":
            return {*(author_names(source.author) if source and source.author else ()), str(memory.created_by)}
        case "team":
            return set() if memory.team_id is None else {str(memory.team_id)}
        case "source":
            return {source.connector} if source else set()
        case _:
            held = getattr(memory, name)
            return set() if held is None else {str(held)}


def _valid_at(memory: Memory, moment: datetime) -> bool:
    began = memory.valid_from is None or memory.valid_from <= moment
    return began and (memory.valid_to is None or moment < memory.valid_to)


def _latest(one: datetime | None, other: datetime | None) -> datetime | None:
    return max(one, other) if one and other else one or other


def _earliest(one: datetime | None, other: datetime | None) -> datetime | None:
    return min(one, other) if one and other else one or other
