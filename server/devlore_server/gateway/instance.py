"""What an instance says of itself: its version, tier and roles."""

from __future__ import annotations

from collections.abc import Sequence

from fastapi import Response

from devlore.types import Model
from devlore_server.kit.http import Router, encoded


class Instance(Model):
    """Which Devlore answers here."""

    version: str
    tier: str
    roles: list[str]


def router(version: str, tier: str, roles: Sequence[str]) -> Router:
    """``GET /v1/instance``; needs no scope, so that a client can tell Devlore from another program on the port."""
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

    return routes
