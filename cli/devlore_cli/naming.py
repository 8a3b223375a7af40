"""People, teams and organisations by the names people give them, and completion of those names."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from contextlib import suppress
from typing import Any, TypeVar
from uuid import UUID

import click
from click.shell_completion import CompletionItem

from devlore.calls import Retry
from devlore.client import Client
from devlore.problems import NotAllowed, NotFound
from devlore.types import Departure, KeyView, Member, Membership, Team
from devlore_cli import accounts
from devlore_cli.drafting import is_id
from devlore_cli.failures import EXIT_USAGE, Failure

T = TypeVar("T")

ME = "me"
_PATIENCE = 1.0
"""Seconds that somebody who presses Tab waits for the server."""


def member(client: Client, organisation: UUID, text: str) -> Member:
    """A member by id, address or name, or ``me``; raises ``NotFound``, or ``Failure`` when several have that name."""
    wanted = str(client.identity().person.id) if text == ME else text
    members = client.organisations.all_members(organisation, limit=200)
    return _chosen("member", members, wanted, lambda one: (one.person_id, one.name, one.email), "devlore org members")


def team(client: Client, text: str) -> Team:
    """A team by id or name; raises ``NotFound``."""
    teams = client.teams.all(limit=200)
    return _chosen("team", teams, text, lambda one: (one.id, one.name), "devlore team list")


def team_ids(client: Client, texts: Iterable[str]) -> list[str]:
    """The ids of teams; the server is asked only for those that are given by name."""
    return [text if is_id(text) else str(team(client, text).id) for text in texts]


def authors(client: Client, texts: Iterable[str]) -> list[str]:
    """Authors as they are filtered by: ``me`` and people as their ids, beside the name that a source may give."""
    given = ["@me" if text == ME else text for text in texts]
    named = {text.casefold() for text in given if text != "@me" and not is_id(text)}
    if not named:
        return given
    # One person's instance has no people; a key may not see them.
    with suppress(NotFound, NotAllowed):
        people = client.people.all(limit=200)
        given += [str(one.id) for one in people if named & {one.name.casefold(), (one.email or one.name).casefold()}]
    return given


def known(client: Client, person: UUID) -> str | None:
    """The name of somebody of the organisation; None for who has left, and where one may not see who is in it."""
    with suppress(NotFound, NotAllowed):
        return client.people.get(person).name
    return None


def membership(client: Client, text: str) -> Membership:
    """An organisation one belongs to, by id or name; raises ``NotFound``, or ``Failure``."""
    places = client.identity().organisations
    return _chosen(
        "organisation", places, text, lambda one: (one.organisation_id, one.organisation_name), "devlore org list"
    )


def departure(client: Client, organisation: UUID, text: str) -> Departure:
    """Somebody who left and whose memories are still to be settled: by id, their own or the departure's, or name."""
    left = client.organisations.all_departures(organisation, pending=True, limit=200)
    places = "devlore org departures"
    return _chosen("open departure", left, text, lambda one: (one.id, str(one.person_id), one.name), places)


def key(client: Client, text: str, person: UUID | None) -> KeyView:
    """A key that is not revoked: by id, the part of it that may be shown, or name; raises ``NotFound``."""
    keys = [one for one in client.keys.all(person=person, limit=200) if one.revoked_at is None]
    return _chosen("key", keys, text, lambda one: (one.id, one.key_id, one.name), "devlore keys list")


def complete_team(_: click.Context, __: click.Parameter, incomplete: str) -> list[CompletionItem]:
    """The names of teams that begin so."""
    return _completed(lambda client: (one.name for one in client.teams.list(limit=200).items), incomplete)


def complete_organisation(_: click.Context, __: click.Parameter, incomplete: str) -> list[CompletionItem]:
    """The names of organisations one belongs to that begin so."""
    return _completed(lambda client: (one.organisation_name for one in client.identity().organisations), incomplete)


def _completed(names: Callable[[Client], Iterable[str]], incomplete: str) -> list[CompletionItem]:
    found: list[str] = []
    # Nobody reads an error between two keystrokes, or waits for one.
    with suppress(Exception), accounts.connected(None, retry=Retry(attempts=1), timeout=_PATIENCE) as client:
        found = [name for name in names(client) if name.lower().startswith(incomplete.lower())]
    return [CompletionItem(name) for name in found]


def _chosen(what: str, candidates: Iterable[T], text: str, keys: Callable[[T], tuple[Any, ...]], listed: str) -> T:
    """The candidate of which ``text`` is one of the keys; its id is the first of them, names differ in any case."""
    wanted = text.strip().casefold()
    found = [one for one in candidates if wanted in {str(key).casefold() for key in keys(one) if key is not None}]
    if len(found) == 1:
        return found[0]
    if not found:
        raise NotFound(f"There is no {what} {text!r}. Those there are: {listed}")
    ids = "\n".join(f"  {keys(one)[0]}" for one in found)
    raise Failure(f"{len(found)} are called {text!r}. Name one by its id:", ids, EXIT_USAGE)
