"""Sessions over HTTP: signing in, refreshing, switching, stepping up, and ending them."""

from __future__ import annotations

from typing import Annotated, Any, Literal
from uuid import UUID

from fastapi import Body, Path, Response

from devlore.problems import BadCursor, NotAllowed, NotFound, SecondFactorRequired, SignInFailed, Unauthenticated
from devlore.types import (
    Page,
    PasskeyOptions,
    PasskeySignIn,
    Refresh,
    SessionView,
    SignIn,
    StepUp,
    SwitchOrganisation,
    Tokens,
)
from devlore_server.identity.api.organisations import Cursor, Limit
from devlore_server.identity.api.origins import SET_COOKIE, SIGNED_OUT, From, handed_out
from devlore_server.identity.oneself import session_of
from devlore_server.identity.passkeys import Passkeys
from devlore_server.identity.refreshing import Refreshing
from devlore_server.identity.sessions import Sessions
from devlore_server.identity.signing_in import SigningIn
from devlore_server.kit.http import Router, Who, encoded, problems, public, requires
from devlore_server.kit.paging import Paging, listing

_SignIn = Annotated[
    SignIn,
    Body(
        openapi_examples={
            "tokens": {"value": {"email": "ada@example.com", "password": "violet lamp crosses tuesday"}},
            "browser": {
                "value": {"email": "ada@example.com", "password": "violet lamp crosses tuesday", "cookie": True}
            },
        }
    ),
]
_Id = Annotated[UUID | Literal["current"], Path(description="The session's id, or `current` for the caller's own.")]


class _Sessions:
    """The handlers: each makes one service call."""

    def __init__(
        self, signing_in: SigningIn, refreshing: Refreshing, sessions: Sessions, passkeys: Passkeys, paging: Paging
    ) -> None:
        self._signing_in = signing_in
        self._refreshing = refreshing
        self._sessions = sessions
        self._passkeys = passkeys
        self._paging = paging

    async def sign_in(self, asked: _SignIn, origin: From) -> Response:
        return handed_out(await self._signing_in.with_password(asked, origin), 201)

    async def passkey_options(self) -> Response:
        return encoded(self._passkeys.assertion())

    async def sign_in_with_passkey(self, asked: PasskeySignIn, origin: From) -> Response:
        return handed_out(await self._signing_in.with_passkey(asked, origin), 201)

    async def refresh(self, asked: Refresh, origin: From) -> Response:
        return encoded(await self._refreshing.refresh(asked.refresh_token, origin))

    async def switch(self, principal: Who, asked: SwitchOrganisation, origin: From) -> Response:
        return handed_out(await self._sessions.switch(principal, asked.organisation, origin), 201)

    async def step_up(self, principal: Who, proof: StepUp) -> Response:
        await self._signing_in.step_up(principal, proof)
        return Response(status_code=204)

    async def page(self, principal: Who, limit: Limit = 50, cursor: Cursor = None) -> Response:
        name = listing("sessions", person=principal.person)
        after = UUID(self._paging.decode(name, cursor)[0]) if cursor is not None else None
        found = await self._sessions.page(principal, limit + 1, after)
        following = self._paging.encode(name, [str(found[limit - 1].id)]) if len(found) > limit else None
        return encoded(Page[SessionView].model_construct(items=found[:limit], next=following))

    async def revoke(self, principal: Who, id: _Id) -> Response:
        own = session_of(principal)
        await self._sessions.revoke(principal, own if id == "current" else id)
        return Response(status_code=204, headers=SIGNED_OUT if id in ("current", own) else None)

    async def revoke_others(self, principal: Who) -> Response:
        await self._sessions.revoke_others(principal)
        return Response(status_code=204)


def router(
    signing_in: SigningIn, refreshing: Refreshing, sessions: Sessions, passkeys: Passkeys, paging: Paging
) -> Router:
    """``/v1/sessions`` and below, without the device flow."""
    handlers = _Sessions(signing_in, refreshing, sessions, passkeys, paging)
    routes = Router(tags=["sessions"])
    routes.post("/v1/sessions", **_SIGN_IN)(handlers.sign_in)
    routes.get("/v1/sessions", **_LIST)(handlers.page)
    routes.delete("/v1/sessions", **_REVOKE_OTHERS)(handlers.revoke_others)
    routes.post("/v1/sessions/refresh", **_REFRESH)(handlers.refresh)
    routes.post("/v1/sessions/passkey/options", **_PASSKEY_OPTIONS)(handlers.passkey_options)
    routes.post("/v1/sessions/passkey", **_SIGN_IN_WITH_PASSKEY)(handlers.sign_in_with_passkey)
    routes.post("/v1/sessions/switch", **_SWITCH)(handlers.switch)
    routes.post("/v1/sessions/step-up", **_STEP_UP)(handlers.step_up)
    routes.delete("/v1/sessions/{id}", **_REVOKE)(handlers.revoke)
    return routes


_SIGNED_IN: dict[int | str, dict[str, Any]] = {201: {"description": "Signed in.", "headers": SET_COOKIE}}
_SIGN_IN: dict[str, Any] = {
    "operation_id": "sign_in",
    "summary": "Sign in with a password",
    "description": (
        "Answers with tokens, or with `cookie: true` sets the browser's session and answers without. Without an"
        " `organisation` it is the one the person used last; an `invitation` is accepted first. A wrong password and"
        " an unknown address are the same answer after the same time. A password of fewer than 15 characters needs a"
        " passkey beside it: `second-factor-required`."
    ),
    "status_code": 201,
    "response_model": Tokens,
    "responses": _SIGNED_IN | problems(SignInFailed, SecondFactorRequired, NotAllowed),
    "dependencies": [public()],
}
_PASSKEY_OPTIONS: dict[str, Any] = {
    "operation_id": "begin_passkey_sign_in",
    "summary": "Begin to sign in with a passkey",
    "description": "The options for `navigator.credentials.get`, good for five minutes; the same for everybody.",
    "response_model": PasskeyOptions,
    "dependencies": [public()],
}
_SIGN_IN_WITH_PASSKEY: dict[str, Any] = {
    "operation_id": "sign_in_with_passkey",
    "summary": "Sign in with a passkey",
    "description": "The authenticator's answer, as `PublicKeyCredential.toJSON` writes it; its user must be verified.",
    "status_code": 201,
    "response_model": Tokens,
    "responses": _SIGNED_IN | problems(SignInFailed, NotAllowed),
    "dependencies": [public()],
}
_REFRESH: dict[str, Any] = {
    "operation_id": "refresh_session",
    "summary": "Get new tokens",
    "description": (
        "Exchanges a refresh token, once: for 30 s the same token gets the same successor again, after that it ends the"
        " session, since somebody has a copy."
    ),
    "response_model": Tokens,
    "responses": problems(Unauthenticated),
    "dependencies": [public()],
}
_SWITCH: dict[str, Any] = {
    "operation_id": "switch_organisation",
    "summary": "Work in another organisation",
    "description": "A new session there takes the place of this one.",
    "status_code": 201,
    "response_model": Tokens,
    "responses": _SIGNED_IN | problems(NotAllowed),
    "dependencies": [requires("identity:write")],
}
_STEP_UP: dict[str, Any] = {
    "operation_id": "step_up",
    "summary": "Prove again who you are",
    "description": "With a password or a passkey; for 15 minutes the session may do what `step-up-required` stopped.",
    "status_code": 204,
    "responses": problems(SignInFailed, NotAllowed),
    "dependencies": [requires("identity:write")],
}
_LIST: dict[str, Any] = {
    "operation_id": "list_sessions",
    "summary": "List your sessions",
    "description": "Those that have not ended, in whichever organisation, newest first.",
    "response_model": Page[SessionView],
    "responses": problems(BadCursor, NotAllowed),
    "dependencies": [requires("identity:read")],
}
_REVOKE: dict[str, Any] = {
    "operation_id": "revoke_session",
    "summary": "End a session of yours",
    "description": "Its tokens are refused within two seconds. `current` signs out.",
    "status_code": 204,
    "responses": problems(NotFound, NotAllowed),
    "dependencies": [requires("identity:write")],
}
_REVOKE_OTHERS: dict[str, Any] = {
    "operation_id": "revoke_other_sessions",
    "summary": "End all your other sessions",
    "description": "In whichever organisation; this one stays.",
    "status_code": 204,
    "responses": problems(NotAllowed),
    "dependencies": [requires("identity:write")],
}
