"""What an instance says of itself: its version, tier and roles, and where to go from its bare address."""

from __future__ import annotations

from collections.abc import Sequence

from fastapi import Response
from fastapi.responses import PlainTextResponse, RedirectResponse

from devlore.types import Model
from devlore_server.kit.http import Router, encoded, public

_WELCOME = """\
Devlore {version}

Here is its API, for the one person of this machine; it has no pages. Ask it on the command line:

  devlore search "why did the connection pool run dry"
  devlore --help

/openapi.json describes the API (OpenAPI 3.1), /v1/instance says which Devlore this is, /readyz whether all is well.
"""


class Instance(Model):
    """Which Devlore answers here."""

    version: str
    tier: str
    roles: list[str]


def router(version: str, tier: str, roles: Sequence[str]) -> Router:
    """``GET /v1/instance``; needs no scope, so that a client can tell Devlore from another program on the port.

    And ``GET /``, which is for people: where they sign in it leads to their account.
    """
    routes = Router(tags=["operations"])
    said = Instance(version=version, tier=tier, roles=list(roles))

    @routes.get(
        "/v1/instance",
        operation_id="get_instance",
        summary="Which Devlore is this?",
        description="Version, tier, and the roles the answering process runs itself.",
        response_model=Instance,
        responses={
            200: {
                "content": {
                    "application/json": {
                        "example": {"version": "0.1.0", "tier": "individual", "roles": ["gateway", "memory", "search"]}
                    }
                }
            }
        },
    )
    async def get_instance() -> Response:
        return encoded(said)

    @routes.get("/", include_in_schema=False, dependencies=[public()])
    async def begin() -> Response:
        if tier == "team":
            return RedirectResponse("/account", 303)
        return PlainTextResponse(_WELCOME.format(version=version))

    return routes
