"""Who may do what: organisations, the people and teams in them, invitations, sessions and keys."""

from __future__ import annotations

from typing import Annotated, Literal, get_args
from uuid import UUID

from pydantic import AfterValidator, AwareDatetime, Field, StringConstraints

from devlore.types.model import NO_NUL, Model

Role = Literal["viewer", "member", "admin", "owner"]
"""A person's role in an organisation, least first."""
TeamRole = Literal["member", "maintainer"]
"""A person's role in a team; a maintainer says who else is in it."""
PersonKind = Literal["human", "service"]

Scope = Literal[
    "memories:read",
    "memories:write",
    "memories:export",
    "search:read",
    "search:admin",
    "connections:read",
    "connections:write",
    "identity:read",
    "identity:write",
    "people:read",
    "teams:write",
    "organisation:read",
    "organisation:write",
    "organisation:delete",
    "audit:read",
    "secrets:override",
]
"""What an operation needs; a role grants some, an API key any part of those."""
SCOPES: frozenset[Scope] = frozenset(get_args(Scope))

EMAIL_LIMIT = 254
"""Longest e-mail address, in characters (RFC 5321 §4.5.3.1.3, without the brackets)."""
PASSWORD_LIMIT = 1_024
"""Longest password, in characters."""

Name = Annotated[
    str, StringConstraints(pattern=r"^[^\x00-\x1f\x7f]*$", min_length=1, max_length=200, strip_whitespace=True)
]
# One mailbox, loosely: whoever is invited proves it by using the link, not by its spelling.
Email = Annotated[
    str,
    StringConstraints(
        pattern=r"^[^@\s\x00-\x1f\x7f,;<>\"\\]+@[^@\s\x00-\x1f\x7f,;<>\"\\.]+(\.[^@\s\x00-\x1f\x7f,;<>\"\\.]+)*$",
        max_length=EMAIL_LIMIT,
        strip_whitespace=True,
    ),
    AfterValidator(str.lower),
]
"""An address in lower case: as such it names one person."""
Password = Annotated[str, StringConstraints(pattern=NO_NUL, min_length=1, max_length=PASSWORD_LIMIT)]
Token = Annotated[str, StringConstraints(pattern=r"^[\x21-\x7e]+$", max_length=2_000)]
"""A secret made by the server, as it was handed out."""


# Organisations


class OrganisationDraft(Model):
    """An organisation to found; whoever does is its first owner."""

    name: Name


class OrganisationPatch(Model):
    """A merge patch (RFC 7396) of an organisation."""

    name: Name | None = None


class Organisation(Model):
    """A tenant, and the caller's role in it. ``delete_after``: when its deletion becomes final, if it is asked for."""

    id: UUID
    name: str
    role: Role | None
    created_at: AwareDatetime
    delete_after: AwareDatetime | None
    version: int


class Membership(Model):
    """A person's place in an organisation."""

    organisation_id: UUID
    organisation_name: str
    role: Role


# People


class Person(Model):
    """A human or a service account of the organisation; ``email`` is null for a service account."""

    id: UUID
    kind: PersonKind
    name: str
    email: str | None
    role: Role
    created_at: AwareDatetime


class ServiceAccountDraft(Model):
    """An account for a program: it signs in with API keys only."""

    name: Name
    role: Literal["viewer", "member", "admin"] = "member"


class Member(Model):
    """A person in an organisation. ``invited_by`` is null for its founder."""

    person_id: UUID
    kind: PersonKind
    name: str
    email: str | None
    role: Role
    joined_at: AwareDatetime
    invited_by: UUID | None


class MemberPatch(Model):
    """A new role."""

    role: Role


class Departure(Model):
    """Somebody left; until an owner settles it, their private memories stay where nobody reads them.

    ``name`` is the person's at that time. ``keys`` are those of service accounts that they made, and so knew, and that
    still hold: replace them.
    """

    id: UUID
    person_id: UUID
    name: str
    requested_by: UUID
    created_at: AwareDatetime
    action: Literal["transfer", "purge"] | None
    to: UUID | None
    settled_by: UUID | None
    settled_at: AwareDatetime | None
    keys: list[UUID]


class Settlement(Model):
    """What becomes of the private memories of somebody who left: another member's (``to``, the caller's), or gone."""

    action: Literal["transfer", "purge"]
    to: UUID | None = None


# Invitations


class InvitationDraft(Model):
    """Somebody to invite; ``email`` binds it to that address. Good for ``days``, once."""

    role: Role = "member"
    email: Email | None = None
    teams: Annotated[list[UUID], Field(max_length=50)] = []
    days: Annotated[int, Field(ge=1, le=30)] = 7


class Invitation(Model):
    """An invitation as its organisation sees it. ``created_by`` is null for the one an instance starts with."""

    id: UUID
    state: Literal["pending", "accepted", "revoked", "expired"]
    role: Role
    email: str | None
    teams: list[UUID]
    created_by: UUID | None
    created_at: AwareDatetime
    expires_at: AwareDatetime
    accepted_by: UUID | None
    accepted_at: AwareDatetime | None
    revoked_at: AwareDatetime | None


class InvitationCreated(Invitation):
    """A new invitation with its secret and the link to send, both shown this once."""

    token: str
    link: str


class InvitationToken(Model):
    """The secret of an invitation."""

    token: Token


class InvitationView(Model):
    """An invitation as whoever holds its link sees it."""

    organisation_name: str
    role: Role
    email: str | None
    invited_by: str | None
    expires_at: AwareDatetime


# Teams


class TeamDraft(Model):
    """A team to make; names differ within an organisation, whatever their case."""

    name: Name


class TeamPatch(Model):
    """A merge patch (RFC 7396) of a team."""

    name: Name | None = None


class Team(Model):
    """A group of people of an organisation."""

    id: UUID
    name: str
    members: int
    created_at: AwareDatetime
    version: int


class TeamMemberDraft(Model):
    """Somebody's role in a team."""

    role: TeamRole = "member"


class TeamMember(Model):
    """A person in a team."""

    person_id: UUID
    kind: PersonKind
    name: str
    role: TeamRole


# Oneself


class WhoAmI(Model):
    """The caller, where they are, what they may do there, and where else they belong."""

    person: Person
    organisation: Organisation
    role: Role
    teams: list[UUID]
    scopes: list[str]
    organisations: list[Membership]


class ProfilePatch(Model):
    """A merge patch (RFC 7396) of one's profile."""

    name: Name | None = None
