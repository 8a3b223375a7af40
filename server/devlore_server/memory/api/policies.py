"""HTTP face of what an organisation has chosen to do with what is written to it."""

from __future__ import annotations

from typing import Annotated

from fastapi import Body, Response

from devlore.types import SecretsPolicy, SecretsPolicyChange
from devlore_server.kit.http import Router, Who, encoded, requires
from devlore_server.memory.service import MemoryService

_EXAMPLES = {"block": {"summary": "Refuse what holds a secret", "value": {"action": "block"}}}
_Change = Annotated[SecretsPolicyChange, Body(openapi_examples=_EXAMPLES)]


def router(service: MemoryService) -> Router:
    """``/v1/policies/secrets``."""
    routes = Router(tags=["policies"])

    @routes.get(
        "/v1/policies/secrets",
        operation_id="get_secrets_policy",
        summary="Read what happens to secrets",
        description="Keys, tokens, passwords and the like in titles, bodies, tags, links, sources and reasons.",
        response_model=SecretsPolicy,
        dependencies=[requires("organisation:read")],
    )
    async def get_secrets_policy(principal: Who) -> Response:
        return encoded(await service.screen.policies.get(principal))

    @routes.put(
        "/v1/policies/secrets",
        operation_id="set_secrets_policy",
        summary="Choose what happens to secrets",
        description=(
            "`redact` puts a marker in their place (`[[secret:aws:access-key:9f31c2ab]]`: the rule, and a fingerprint"
            " that is the same wherever the same secret stood), `block` refuses what holds one with 422"
            " `holds-secret`, `flag` stores it as it is under the tag `contains-secret`. It applies within two seconds"
            " to whatever is written from then on, by people and by syncs; what is stored stays as it is. With the"
            " scope `secrets:override`, `allow_secrets` stores secrets as they are."
        ),
        response_model=SecretsPolicy,
        dependencies=[requires("organisation:write")],
    )
    async def set_secrets_policy(principal: Who, change: _Change) -> Response:
        return encoded(await service.screen.policies.change(principal, change.action))

    return routes
