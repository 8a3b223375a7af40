"""Operations on sessions: signing in by password, passkey or device, renewing, switching, proving again, ending."""

from __future__ import annotations

from typing import Any

from devlore.calls import Call, nothing, one
from devlore.operations.arguments import Id, given, params, under
from devlore.types import DeviceGrant, DeviceView, Page, PasskeyOptions, SessionView, Tokens

_SESSIONS = "/v1/sessions"
REFRESH = "/v1/sessions/refresh"
"""Where a refresh token is exchanged."""


def sign_in(
    email: str, password: str, *, organisation: Id | None = None, invitation: str | None = None
) -> Call[Tokens]:
    """A session for an address and its password, in ``organisation`` or where one worked last.

    ``invitation``: the secret of one to accept, and work there. Raises ``SignInFailed``, ``SecondFactorRequired``.
    """
    body = {"email": email, "password": password, **_place(organisation, invitation)}
    return Call("POST", _SESSIONS, one(Tokens), body=body, signed=False)


def passkey_options() -> Call[PasskeyOptions]:
    """What an authenticator needs to sign somebody in with a passkey."""
    return Call("POST", f"{_SESSIONS}/passkey/options", one(PasskeyOptions), signed=False)


def sign_in_with_passkey(
    credential: dict[str, Any], *, organisation: Id | None = None, invitation: str | None = None
) -> Call[Tokens]:
    """A session for what an authenticator answered to ``passkey_options``; raises ``SignInFailed``."""
    body = {"credential": credential, **_place(organisation, invitation)}
    # Its challenge is good once.
    return Call("POST", f"{_SESSIONS}/passkey", one(Tokens), body=body, repeatable=False, signed=False)


def begin_device() -> Call[DeviceGrant]:
    """Begin a sign-in that is approved in a browser elsewhere (RFC 8628)."""
    return Call("POST", f"{_SESSIONS}/device", one(DeviceGrant), signed=False)


def poll_device(device_code: str) -> Call[Tokens]:
    """The session of a device once it is approved.

    Until then raises ``DevicePending`` or ``SlowDown`` (``extra["interval"]``: seconds to wait), at last
    ``DeviceRefused`` or ``DeviceExpired``.
    """
    body = {"device_code": device_code}
    return Call("POST", f"{_SESSIONS}/device/token", one(Tokens), body=body, repeatable=False, signed=False)


def look_at_device(user_code: str) -> Call[DeviceView]:
    """Who waits with this code, before one lets them in; raises ``NotFound``."""
    return Call("POST", f"{_SESSIONS}/device/look", one(DeviceView), body={"user_code": user_code}, repeatable=False)


def settle_device(user_code: str, *, approve: bool = True) -> Call[None]:
    """Let the device that shows this code sign in as oneself, or refuse it; raises ``NotFound``."""
    body = {"user_code": user_code, "approve": approve}
    return Call("POST", f"{_SESSIONS}/device/approve", nothing, body=body, repeatable=False)


def refresh(refresh_token: str) -> Call[Tokens]:
    """New tokens for a refresh token, which is spent by that; clients with a session do so by themselves."""
    return Call("POST", REFRESH, one(Tokens), body={"refresh_token": refresh_token}, signed=False)


def switch(organisation: Id) -> Call[Tokens]:
    """A session in another organisation in the place of this one; ``client.adopt`` it to go on there."""
    body = {"organisation": str(organisation)}
    return Call("POST", f"{_SESSIONS}/switch", one(Tokens), body=body, repeatable=False)


def step_up(*, password: str | None = None, credential: dict[str, Any] | None = None) -> Call[None]:
    """Prove again who one is, by either: what raised ``StepUpRequired`` is allowed for 15 minutes."""
    return Call("POST", f"{_SESSIONS}/step-up", nothing, body=given(password=password, credential=credential))


def list_sessions(*, limit: int | None = None, cursor: str | None = None) -> Call[Page[SessionView]]:
    """One page of one's sessions that have not ended, newest first."""
    return Call("GET", _SESSIONS, one(Page[SessionView]), params(limit=limit, cursor=cursor))


def revoke(session_id: Id = "current") -> Call[None]:
    """End one of one's sessions: this one, unless another is named. Raises ``NotFound``."""
    return Call("DELETE", under(_SESSIONS, session_id), nothing)


def revoke_others() -> Call[None]:
    """End all of one's sessions but this one."""
    return Call("DELETE", _SESSIONS, nothing)


def _place(organisation: Id | None, invitation: str | None) -> dict[str, Any]:
    return given(organisation=None if organisation is None else str(organisation), invitation=invitation)
