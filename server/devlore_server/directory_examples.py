"""Examples of the types that say who belongs where; ``examples`` shows them with the others."""

from __future__ import annotations

from typing import Any, Final

_ORGANISATION_ID = "0199b7d4-0000-7a90-8b1e-5c0d9e7712f0"
_ADA = "0199b7d4-0001-7a90-8b1e-5c0d9e7712f0"
_GRACE = "0199b7d4-0002-7a90-8b1e-5c0d9e7712f0"
_CI = "0199b7d4-0003-7a90-8b1e-5c0d9e7712f0"
_TEAM_ID = "0199b7d4-0004-7a90-8b1e-5c0d9e7712f0"
_INVITATION_ID = "0199b7d4-0005-7a90-8b1e-5c0d9e7712f0"
_DEPARTURE_ID = "0199b7d4-0006-7a90-8b1e-5c0d9e7712f0"
_WHEN = "2026-03-02T09:30:00Z"
_LATER = "2026-03-09T09:30:00Z"
_SECRET = "Xq0l2gk1hVnWcT1mJpQe5b8rYt6uZs3aDf7iLo9wEx0"

_ORGANISATION: Final[dict[str, Any]] = {
    "id": _ORGANISATION_ID,
    "name": "Acme",
    "role": "owner",
    "created_at": _WHEN,
    "delete_after": None,
    "version": 1,
}
_MEMBERSHIP: Final[dict[str, Any]] = {
    "organisation_id": _ORGANISATION_ID,
    "organisation_name": "Acme",
    "role": "owner",
}
_PERSON: Final[dict[str, Any]] = {
    "id": _ADA,
    "kind": "human",
    "name": "Ada King",
    "email": "ada@example.org",
    "role": "owner",
    "created_at": _WHEN,
}
_SERVICE: Final[dict[str, Any]] = {"name": "CI", "role": "member"}
_MEMBER: Final[dict[str, Any]] = {
    "person_id": _CI,
    "kind": "service",
    "email": None,
    "joined_at": _WHEN,
    "invited_by": _ADA,
} | _SERVICE
_DEPARTURE: Final[dict[str, Any]] = {
    "id": _DEPARTURE_ID,
    "person_id": _GRACE,
    "name": "Grace",
    "requested_by": _ADA,
    "created_at": _WHEN,
    "action": "transfer",
    "to": _ADA,
    "settled_by": _ADA,
    "settled_at": _LATER,
    "keys": [],
}
_INVITATION: Final[dict[str, Any]] = {
    "id": _INVITATION_ID,
    "state": "pending",
    "role": "member",
    "email": "grace@example.org",
    "teams": [_TEAM_ID],
    "created_by": _ADA,
    "created_at": _WHEN,
    "expires_at": _LATER,
    "accepted_by": None,
    "accepted_at": None,
    "revoked_at": None,
}
_TEAM: Final[dict[str, Any]] = {
    "id": _TEAM_ID,
    "name": "Platform",
    "members": 4,
    "created_at": _WHEN,
    "version": 1,
}
_TEAM_MEMBER: Final[dict[str, Any]] = {
    "person_id": _GRACE,
    "kind": "human",
    "name": "Grace",
    "role": "maintainer",
}


def _page(item: dict[str, Any]) -> dict[str, Any]:
    return {"items": [item], "next": None}


_LEAF: Final[dict[str, Any]] = {
    "v": 1,
    "id": "019ab000-0000-7000-8000-000000000001",
    "organisation": "019aa000-0000-7000-8000-000000000001",
    "occurred_at": "2026-11-23T03:04:05.000006Z",
    "actor": {"type": "person", "id": "5f0c2a9e-8a53-4a0e-9d1f-0d5b7f6c1a11"},
    "action": "memory.created",
    "targets": [{"type": "memory", "id": "019ab000-0000-7000-8000-0000000000aa"}],
    "result": "ok",
    "context": {
        "request": "0f8fad5bd9cb469fa16570867728950e",
        "session": "019aa000-0000-7000-8000-0000000000bb",
        "network": {"type": "network", "id": "7c9e6679-7425-40de-944b-e07fc1f90ae7"},
        "version": 1,
        "privacy": "team",
    },
    "hash": "7d7fab34b817742e2025e1d4fd20fdbb314b853082a1602d8ab136aaa5bed2d7",
    "names": {"5f0c2a9e-8a53-4a0e-9d1f-0d5b7f6c1a11": {"type": "person", "value": _PERSON["id"], "name": "Ada King"}},
}

DIRECTORY_EXAMPLES: Final[dict[str, dict[str, Any]]] = {
    "OrganisationDraft": {"name": "Acme"},
    "OrganisationPatch": {"name": "Acme Labs"},
    "Organisation": _ORGANISATION,
    "Page_Organisation_": _page(_ORGANISATION),
    "Membership": _MEMBERSHIP,
    "Person": _PERSON,
    "Page_Person_": _page(_PERSON),
    "ServiceAccountDraft": _SERVICE,
    "Member": _MEMBER,
    "Page_Member_": _page(_MEMBER),
    "MemberPatch": {"role": "admin"},
    "Departure": _DEPARTURE,
    "Page_Departure_": _page(_DEPARTURE),
    "Settlement": {"action": "transfer", "to": _ADA},
    "InvitationDraft": {"role": "member", "email": "grace@example.org", "teams": [_TEAM_ID], "days": 7},
    "Invitation": _INVITATION,
    "Page_Invitation_": _page(_INVITATION),
    "InvitationCreated": _INVITATION | {"token": _SECRET, "link": f"https://devlore.example.org/invitation#{_SECRET}"},
    "InvitationToken": {"token": _SECRET},
    "InvitationView": {
        "organisation_name": "Acme",
        "role": "member",
        "email": "grace@example.org",
        "invited_by": "Ada King",
        "expires_at": _LATER,
    },
    "TeamDraft": {"name": "Platform"},
    "TeamPatch": {"name": "Foundations"},
    "Team": _TEAM,
    "Page_Team_": _page(_TEAM),
    "TeamMemberDraft": {"role": "maintainer"},
    "TeamMember": _TEAM_MEMBER,
    "Page_TeamMember_": _page(_TEAM_MEMBER),
    "WhoAmI": {
        "person": _PERSON,
        "organisation": _ORGANISATION,
        "role": "owner",
        "teams": [_TEAM_ID],
        "scopes": ["identity:read", "memories:read", "search:read"],
        "organisations": [_MEMBERSHIP],
    },
    "ProfilePatch": {"name": "Ada King"},
    "AuditLeaf": _LEAF,
    "Page_AuditLeaf_": _page(_LEAF),
}
