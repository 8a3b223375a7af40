"""The table of roles, and that it is the whole truth about who may do what."""

from __future__ import annotations

from itertools import pairwise

import pytest

from devlore.types import SCOPES, Role
from devlore_server.identity.roles import ROLES, scopes_of
from devlore_server.kit.auth import Principal

from .conftest import Enter

ORDER: tuple[Role, ...] = ("viewer", "member", "admin", "owner")
ADDED: dict[Role, set[str]] = {
    "viewer": {
        "memories:read",
        "search:read",
        "connections:read",
        "identity:read",
        "identity:write",
        "people:read",
        "organisation:read",
    },
    "member": {"memories:write", "memories:export", "connections:write"},
    "admin": {"teams:write", "organisation:write", "audit:read", "secrets:override"},
    "owner": {"organisation:delete"},
}

# One request per operation, on the caller's own organisation, with the least role that it does not refuse.
OPERATIONS: list[tuple[str, str, object, Role]] = [
    ("GET", "/v1/organisations", None, "viewer"),
    ("POST", "/v1/organisations", {"name": "Another"}, "viewer"),
    ("GET", "/v1/organisations/{org}", None, "viewer"),
    ("PATCH", "/v1/organisations/{org}", {"name": "Renamed"}, "admin"),
    ("GET", "/v1/organisations/{org}/members", None, "viewer"),
    ("PATCH", "/v1/organisations/{org}/members/{any}", {"role": "viewer"}, "admin"),
    ("GET", "/v1/organisations/{org}/departures", None, "admin"),
    ("POST", "/v1/organisations/{org}/departures/{any}", {"action": "purge"}, "owner"),
    ("GET", "/v1/organisations/{org}/invitations", None, "admin"),
    ("POST", "/v1/organisations/{org}/invitations", {}, "admin"),
    ("POST", "/v1/organisations/{org}/invitations", {"role": "owner"}, "owner"),
    ("DELETE", "/v1/organisations/{org}/invitations/{any}", None, "admin"),
    ("GET", "/v1/teams", None, "viewer"),
    ("POST", "/v1/teams", {"name": "Platform"}, "admin"),
    ("GET", "/v1/teams/{any}", None, "viewer"),
    ("PATCH", "/v1/teams/{any}", {"name": "Web"}, "admin"),
    ("DELETE", "/v1/teams/{any}", None, "admin"),
    ("GET", "/v1/people", None, "viewer"),
    ("POST", "/v1/people", {"name": "CI"}, "admin"),
    ("GET", "/v1/people/{any}", None, "viewer"),
    ("DELETE", "/v1/people/{any}", None, "admin"),
    ("GET", "/v1/identity", None, "viewer"),
    ("PATCH", "/v1/identity", {"name": "Somebody"}, "viewer"),
    ("DELETE", "/v1/organisations/{org}/members/{any}", None, "admin"),
    ("POST", "/v1/organisations/{org}/restore", None, "owner"),
    ("DELETE", "/v1/organisations/{org}", None, "owner"),
]


def test_the_table_is_what_was_decided() -> None:
    granted: set[str] = set()
    for role in ORDER:
        granted |= ADDED[role]
        assert scopes_of(role) == granted, role
    assert scopes_of("owner") == SCOPES - {"search:admin"}, "whoever founds an organisation must not rule all others"
    assert tuple(ROLES) == ORDER


def test_each_role_has_all_of_those_before_it() -> None:
    for less, more in pairwise(ORDER):
        assert scopes_of(less) < scopes_of(more)


@pytest.mark.parametrize(("method", "path", "body", "least"), OPERATIONS)
async def test_every_operation_for_every_role(
    enter: Enter,
    owner: Principal,
    admin: Principal,
    member: Principal,
    viewer: Principal,
    method: str,
    path: str,
    body: object,
    least: Role,
) -> None:
    """Refused below the least role, and only there: a 404 or 409 has passed the check of rights."""
    url = path.format(org=owner.organisation, any="0199c1a2-7f3e-7c41-9d52-1f2a6be0c311")
    headers = {"If-Match": "*"} if method == "PATCH" else {}
    for role, who in zip(ORDER, (viewer, member, admin, owner), strict=True):
        answer = await enter(who).request(method, url, json=body, headers=headers)
        if ORDER.index(role) < ORDER.index(least):
            assert (answer.status_code, answer.json()["code"]) == (403, "not-allowed"), role
        else:
            assert answer.status_code in (200, 201, 202, 204, 404, 409), (role, answer.text)


@pytest.mark.parametrize(("method", "path", "body", "least"), OPERATIONS)
async def test_every_operation_for_nobody(
    enter: Enter, owner: Principal, method: str, path: str, body: object, least: Role
) -> None:
    url = path.format(org=owner.organisation, any="0199c1a2-7f3e-7c41-9d52-1f2a6be0c311")
    answer = await enter(None).request(method, url, json=body)
    assert (answer.status_code, answer.json()["code"]) == (401, "unauthenticated")
