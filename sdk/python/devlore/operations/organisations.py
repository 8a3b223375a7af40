"""Operations on organisations: their members, those who left, and invitations."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Literal

from devlore.calls import Call, keyed, nothing, one
from devlore.operations.arguments import Id, given, params, under
from devlore.types import (
    Departure,
    Invitation,
    InvitationCreated,
    InvitationView,
    Member,
    Membership,
    Organisation,
    Page,
    Role,
)

_ORGANISATIONS = "/v1/organisations"
_INVITATIONS = "/v1/invitations"
MERGE_PATCH = {"Content-Type": "application/merge-patch+json"}
"""The header of a change that names only what changes (RFC 7396)."""


def create(name: str, *, idempotency_key: str | None = None) -> Call[Organisation]:
    """Found an organisation, as its first owner; ``sessions.switch`` to work in it."""
    return Call("POST", _ORGANISATIONS, one(Organisation), body={"name": name}, headers=keyed(idempotency_key))


def list_organisations(*, limit: int | None = None, cursor: str | None = None) -> Call[Page[Organisation]]:
    """One page of the organisations one belongs to, oldest first."""
    return Call("GET", _ORGANISATIONS, one(Page[Organisation]), params(limit=limit, cursor=cursor))


def get(organisation_id: Id) -> Call[Organisation]:
    """The organisation one is in; raises ``NotFound`` for every other."""
    return Call("GET", under(_ORGANISATIONS, organisation_id), one(Organisation))


def update(organisation_id: Id, *, version: int, name: str) -> Call[Organisation]:
    """Rename the organisation whose ``version`` was read; raises ``VersionMismatch``."""
    headers = {"If-Match": f'"{version}"', **MERGE_PATCH}
    path = under(_ORGANISATIONS, organisation_id)
    return Call("PATCH", path, one(Organisation), body={"name": name}, headers=headers, repeatable=False)


def delete(organisation_id: Id) -> Call[Organisation]:
    """Have the organisation erased in 30 days (``delete_after``); raises ``StepUpRequired``."""
    return Call("DELETE", under(_ORGANISATIONS, organisation_id), one(Organisation))


def restore(organisation_id: Id, *, idempotency_key: str | None = None) -> Call[Organisation]:
    """Undo its deletion, while that is not final."""
    path = under(_ORGANISATIONS, organisation_id, "restore")
    return Call("POST", path, one(Organisation), headers=keyed(idempotency_key))


def members(organisation_id: Id, *, limit: int | None = None, cursor: str | None = None) -> Call[Page[Member]]:
    """One page of the members, longest there first."""
    path = under(_ORGANISATIONS, organisation_id, "members")
    return Call("GET", path, one(Page[Member]), params(limit=limit, cursor=cursor))


def change_member(organisation_id: Id, person_id: Id, *, role: Role) -> Call[Member]:
    """Give a member another role; raises ``NotAllowed``, ``Conflict`` for the last owner."""
    path = under(_ORGANISATIONS, organisation_id, "members", person_id)
    return Call("PATCH", path, one(Member), body={"role": role}, headers=MERGE_PATCH)


def remove_member(organisation_id: Id, person_id: Id) -> Call[None]:
    """Let a member go, or leave; their private memories wait for an owner (``departures``)."""
    return Call("DELETE", under(_ORGANISATIONS, organisation_id, "members", person_id), nothing)


def departures(
    organisation_id: Id, *, pending: bool | None = None, limit: int | None = None, cursor: str | None = None
) -> Call[Page[Departure]]:
    """One page of those who left, newest first: all, those still open, or the others."""
    path = under(_ORGANISATIONS, organisation_id, "departures")
    # A parameter that is False would be left out, and means something here.
    open_only = None if pending is None else str(pending).lower()
    return Call("GET", path, one(Page[Departure]), params(pending=open_only, limit=limit, cursor=cursor))


def settle(
    organisation_id: Id,
    departure_id: Id,
    action: Literal["transfer", "purge"],
    *,
    to: Id | None = None,
    idempotency_key: str | None = None,
) -> Call[Departure]:
    """Hand the private memories of somebody who left to a member (oneself without ``to``), or erase them.

    Owners only, once. Raises ``StepUpRequired``, ``Conflict``.
    """
    path = under(_ORGANISATIONS, organisation_id, "departures", departure_id)
    body = given(action=action, to=None if to is None else str(to))
    return Call("POST", path, one(Departure), body=body, headers=keyed(idempotency_key))


def invite(
    organisation_id: Id,
    *,
    role: Role | None = None,
    email: str | None = None,
    teams: Iterable[Id] = (),
    days: int | None = None,
    idempotency_key: str | None = None,
) -> Call[InvitationCreated]:
    """Invite somebody (``email``: only whoever has that address); the answer holds the link to send, this once."""
    body = given(role=role, email=email, teams=[str(team) for team in teams] or None, days=days)
    path = under(_ORGANISATIONS, organisation_id, "invitations")
    return Call("POST", path, one(InvitationCreated), body=body, headers=keyed(idempotency_key))


def invitations(organisation_id: Id, *, limit: int | None = None, cursor: str | None = None) -> Call[Page[Invitation]]:
    """One page of invitations, whatever became of them, newest first."""
    path = under(_ORGANISATIONS, organisation_id, "invitations")
    return Call("GET", path, one(Page[Invitation]), params(limit=limit, cursor=cursor))


def withdraw(organisation_id: Id, invitation_id: Id) -> Call[None]:
    """Make an invitation good for nothing; raises ``Conflict`` when somebody took it."""
    return Call("DELETE", under(_ORGANISATIONS, organisation_id, "invitations", invitation_id), nothing)


def look(token: str) -> Call[InvitationView]:
    """What the secret of an invitation invites to; raises ``NotFound`` for one that is not good any more."""
    return Call("POST", f"{_INVITATIONS}/look", one(InvitationView), body={"token": token}, signed=False)


def accept(token: str, *, idempotency_key: str | None = None) -> Call[Membership]:
    """Become a member where the secret of an invitation invites to; ``sessions.switch`` to work there."""
    headers = keyed(idempotency_key)
    return Call("POST", f"{_INVITATIONS}/accept", one(Membership), body={"token": token}, headers=headers)
