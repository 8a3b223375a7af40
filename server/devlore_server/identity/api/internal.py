"""``ports.Identity`` for the gateway of a split topology; reached only with its signed header."""

from __future__ import annotations

from typing import Annotated
from uuid import UUID

from fastapi import Response
from pydantic import StringConstraints, TypeAdapter
from pydantic_core import to_json

from devlore.types import Model
from devlore_server.kit.http import Router, encoded, requires
from devlore_server.ports import Identity, Standing

SCOPE = "internal"
"""Only services sign it into a Principal; the gateway never does for a caller."""

_standing = TypeAdapter(Standing | None)
Digest = Annotated[str, StringConstraints(pattern=r"^[0-9a-f]{64}$")]


class SessionRequest(Model):
    """What is this access token's session good for?"""

    sid: UUID
    person: UUID
    organisation: UUID


class CookieRequest(Model):
    """What is this browser's session good for?"""

    digest: Digest


class KeyRequest(Model):
    """What is this API key good for?"""

    key_id: str
    digest: Digest
    network: str | None


class FamiliarRequest(Model):
    """Did whoever has this address, or this id, sign in from there?"""

    network: str
    email: str | None
    person: UUID | None


def internal_router(identity: Identity) -> Router:
    """The routes ``identity.client.IdentityClient`` calls; in no OpenAPI document."""
    routes = Router(prefix="/internal/identity", dependencies=[requires(SCOPE)], include_in_schema=False)

    @routes.post("/session")
    async def session(asked: SessionRequest) -> Response:
        return _answer(await identity.session(asked.sid, asked.person, asked.organisation))

    @routes.post("/cookie")
    async def cookie(asked: CookieRequest) -> Response:
        return _answer(await identity.cookie(bytes.fromhex(asked.digest)))

    @routes.post("/key")
    async def key(asked: KeyRequest) -> Response:
        return _answer(await identity.key(asked.key_id, bytes.fromhex(asked.digest), asked.network))

    @routes.post("/familiar")
    async def familiar(asked: FamiliarRequest) -> Response:
        known = await identity.familiar(asked.network, email=asked.email, person=asked.person)
        return Response(to_json(known), media_type="application/json")

    @routes.post("/keyset")
    async def keyset() -> Response:
        return encoded(await identity.keyset())

    return routes


def _answer(standing: Standing | None) -> Response:
    return Response(_standing.dump_json(standing), media_type="application/json")
