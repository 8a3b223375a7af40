"""What one signs in with, over HTTP: signing up, passwords, passkeys, and the keys that tokens are verified with."""

from __future__ import annotations

from typing import Annotated, Any
from uuid import UUID

from fastapi import Body, Path, Response

from devlore.problems import Conflict, NotAllowed, NotFound, SignInFailed, StepUpRequired
from devlore.types import KeySet, Page, PasskeyDraft, PasskeyOptions, PasskeyView, PasswordChange, SignUp, Tokens
from devlore_server.identity.api.origins import SET_COOKIE, From, handed_out
from devlore_server.identity.passkeys import Passkeys
from devlore_server.identity.passwords import Passwords
from devlore_server.identity.service import IdentityService
from devlore_server.identity.signing_up import SigningUp
from devlore_server.kit.http import Router, Who, encoded, problems, public, requires

_SignUp = Annotated[
    SignUp,
    Body(
        openapi_examples={
            "invited": {
                "value": {
                    "email": "ada@example.com",
                    "name": "Ada King",
                    "password": "violet lamp crosses tuesday",
                    "invitation": "Jq0p…",
                }
            }
        }
    ),
]
_Id = Annotated[UUID, Path(description="The passkey's id.")]


class _Proofs:
    """The handlers: each makes one service call."""

    def __init__(
        self, signing_up: SigningUp, passwords: Passwords, passkeys: Passkeys, identity: IdentityService
    ) -> None:
        self._signing_up = signing_up
        self._passwords = passwords
        self._passkeys = passkeys
        self._identity = identity

    async def sign_up(self, asked: _SignUp, origin: From) -> Response:
        return handed_out(await self._signing_up.sign_up(asked, origin), 201)

    async def change_password(self, principal: Who, asked: PasswordChange) -> Response:
        await self._passwords.change(principal, asked)
        return Response(status_code=204)

    async def passkey_options(self, principal: Who) -> Response:
        return encoded(await self._passkeys.registration(principal))

    async def add_passkey(self, principal: Who, draft: PasskeyDraft) -> Response:
        return encoded(await self._passkeys.add(principal, draft), 201)

    async def passkeys(self, principal: Who) -> Response:
        found = await self._passkeys.mine(principal)
        return encoded(Page[PasskeyView].model_construct(items=found, next=None))

    async def remove_passkey(self, principal: Who, id: _Id) -> Response:
        await self._passkeys.remove(principal, id)
        return Response(status_code=204)

    async def keyset(self) -> Response:
        return encoded(await self._identity.keyset(), headers={"Cache-Control": "public, max-age=60"})


def router(signing_up: SigningUp, passwords: Passwords, passkeys: Passkeys, identity: IdentityService) -> Router:
    """Below ``/v1/identity``: what is not the profile itself."""
    handlers = _Proofs(signing_up, passwords, passkeys, identity)
    routes = Router(tags=["identity"])
    routes.post("/v1/identity/sign-up", **_SIGN_UP)(handlers.sign_up)
    routes.post("/v1/identity/password", **_CHANGE_PASSWORD)(handlers.change_password)
    routes.post("/v1/identity/passkeys/options", **_PASSKEY_OPTIONS)(handlers.passkey_options)
    routes.post("/v1/identity/passkeys", **_ADD_PASSKEY)(handlers.add_passkey)
    routes.get("/v1/identity/passkeys", **_PASSKEYS)(handlers.passkeys)
    routes.delete("/v1/identity/passkeys/{id}", **_REMOVE_PASSKEY)(handlers.remove_passkey)
    routes.get("/v1/identity/jwks", **_JWKS)(handlers.keyset)
    return routes


_SIGN_UP: dict[str, Any] = {
    "operation_id": "sign_up",
    "summary": "Sign up",
    "description": (
        "By invitation; where the instance lets anybody, also without, which founds an organisation of one's own. The"
        " password has at least 15 characters and is none of those that are guessed first."
    ),
    "status_code": 201,
    "response_model": Tokens,
    "responses": {
        201: {"description": "Signed up, and in.", "headers": SET_COOKIE},
        **problems(NotFound, NotAllowed, Conflict),
    },
    "dependencies": [public()],
}
_CHANGE_PASSWORD: dict[str, Any] = {
    "operation_id": "change_password",
    "summary": "Change your password",
    "description": (
        "All other sessions end. At least 15 characters, or 8 for those who have a passkey, without which such a"
        " password then opens nothing."
    ),
    "status_code": 204,
    "responses": problems(SignInFailed, NotAllowed, StepUpRequired),
    "dependencies": [requires("identity:write")],
}
_PASSKEY_OPTIONS: dict[str, Any] = {
    "operation_id": "begin_passkey",
    "summary": "Begin to add a passkey",
    "description": "The options for `navigator.credentials.create`, good for five minutes.",
    "response_model": PasskeyOptions,
    "responses": problems(NotAllowed, StepUpRequired),
    "dependencies": [requires("identity:write", fresh=True)],
}
_ADD_PASSKEY: dict[str, Any] = {
    "operation_id": "add_passkey",
    "summary": "Add a passkey",
    "description": (
        "The authenticator's answer, as `PublicKeyCredential.toJSON` writes it. Needs a sign-in of the last 15 minutes."
    ),
    "status_code": 201,
    "response_model": PasskeyView,
    "responses": problems(NotAllowed, StepUpRequired, Conflict),
    "dependencies": [requires("identity:write", fresh=True)],
}
_PASSKEYS: dict[str, Any] = {
    "operation_id": "list_passkeys",
    "summary": "List your passkeys",
    "description": "Oldest first; at most 20.",
    "response_model": Page[PasskeyView],
    "responses": problems(NotAllowed),
    "dependencies": [requires("identity:read")],
}
_REMOVE_PASSKEY: dict[str, Any] = {
    "operation_id": "remove_passkey",
    "summary": "Remove a passkey",
    "description": "Not the last proof you have. Needs a sign-in of the last 15 minutes.",
    "status_code": 204,
    "responses": problems(NotFound, NotAllowed, StepUpRequired, Conflict),
    "dependencies": [requires("identity:write", fresh=True)],
}
_JWKS: dict[str, Any] = {
    "operation_id": "get_keyset",
    "summary": "Read the signing keys",
    "description": "The public keys that access tokens are signed with (RFC 7517); a new one may come at any time.",
    "response_model": KeySet,
    "dependencies": [public()],
}
