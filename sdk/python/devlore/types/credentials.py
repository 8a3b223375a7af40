"""What people and programs prove who they are with: passwords, passkeys, sessions, devices and API keys."""

from __future__ import annotations

from typing import Annotated, Any, Literal
from uuid import UUID

from pydantic import AwareDatetime, Field, StringConstraints

from devlore.types.identity import SCOPES, Email, Name, Password, Scope, Token
from devlore.types.model import Model


class PasswordChange(Model):
    """A new password; every other session ends. ``old`` is left out by those who have only had passkeys so far."""

    old: Password | None = None
    new: Password


class SignUp(Model):
    """A new person; ``invitation`` is the secret of theirs, needed unless the instance lets anybody sign up."""

    email: Email
    name: Name
    password: Password
    invitation: Token | None = None
    cookie: bool = False


class PasskeyDraft(Model):
    """A new passkey: what the authenticator answered, and a name to know it by."""

    name: Name
    credential: dict[str, Any]


class PasskeyView(Model):
    """One of the caller's passkeys; ``backed_up``: it lives on more than one device."""

    id: UUID
    name: str
    backed_up: bool
    created_at: AwareDatetime
    last_used_at: AwareDatetime | None


# Sessions


class SignIn(Model):
    """``organisation``: which of several to work in; ``invitation``: the secret of one to accept, and work there.

    ``cookie``: for a browser; no token comes back.
    """

    email: Email
    password: Password
    organisation: UUID | None = None
    invitation: Token | None = None
    cookie: bool = False


class PasskeyOptions(Model):
    """What a browser is asked to make or use a passkey with (WebAuthn §5.4, §5.5), as ``parse…FromJSON`` reads it."""

    public_key: dict[str, Any]


class PasskeySignIn(Model):
    """A passkey's answer to ``PasskeyOptions``, as ``PublicKeyCredential.toJSON`` writes it; else as ``SignIn``."""

    credential: dict[str, Any]
    organisation: UUID | None = None
    invitation: Token | None = None
    cookie: bool = False


class StepUp(Model):
    """A proof, once more, of who is in the session: either one."""

    password: Password | None = None
    credential: dict[str, Any] | None = None


class Refresh(Model):
    """The refresh token of a session; it is replaced by the one in the answer."""

    refresh_token: Token


class Tokens(Model):
    """A session: a bearer token for ``expires_in`` seconds, and what to get the next one with.

    Both tokens are null when the session is a browser's cookie.
    """

    session_id: UUID
    organisation_id: UUID
    token_type: Literal["Bearer"] = "Bearer"
    access_token: str | None
    refresh_token: str | None
    expires_in: int


class SessionView(Model):
    """One of the caller's sessions; ``network`` is part of the address it was last used from."""

    id: UUID
    organisation_id: UUID
    user_agent: str | None
    network: str | None
    created_at: AwareDatetime
    last_seen_at: AwareDatetime
    expires_at: AwareDatetime
    current: bool


class SwitchOrganisation(Model):
    """Another organisation of the caller's to work in: a new session takes the place of this one."""

    organisation: UUID


class DeviceGrant(Model):
    """A sign-in begun on one device, to be approved on another (RFC 8628); times in seconds."""

    device_code: str
    user_code: str
    verification_uri: str
    verification_uri_complete: str
    expires_in: int
    interval: int


class DeviceCode(Model):
    """The device's own secret of a ``DeviceGrant``."""

    device_code: Token


UserCode = Annotated[str, StringConstraints(pattern=r"^[A-Za-z0-9 -]{4,20}$")]


class DeviceLook(Model):
    """The code shown on a device that waits."""

    user_code: UserCode


class DeviceView(Model):
    """A device that waits to be let in: what it calls itself, from where and when it asked, what it could do then.

    ``network`` is its /24 or /48, ``near`` whether the caller is in that, too.
    """

    user_agent: str | None
    network: str | None
    near: bool
    created_at: AwareDatetime
    expires_at: AwareDatetime
    scopes: list[Scope]


class DeviceApproval(Model):
    """The code shown on the device, and whether it may sign in as the caller."""

    user_code: UserCode
    approve: bool = True


class VerificationKey(Model):
    """A public Ed25519 key (RFC 8037) that access tokens are verified with."""

    kty: Literal["OKP"]
    crv: Literal["Ed25519"]
    x: str
    kid: str
    alg: Literal["Ed25519"]
    use: Literal["sig"]


class KeySet(Model):
    """A JSON Web Key Set (RFC 7517)."""

    keys: list[VerificationKey]


# API keys


class KeyDraft(Model):
    """An API key to make: for oneself, or for a service account (``person``). No ``scopes``: all its person has."""

    name: Name
    scopes: Annotated[list[Scope], Field(max_length=len(SCOPES))] | None = None
    person: UUID | None = None
    expires_at: AwareDatetime | None = None


class KeyView(Model):
    """An API key without its secret; ``key_id`` is the part that may be shown, ``networks`` what it was used from."""

    id: UUID
    key_id: str
    person_id: UUID
    name: str
    scopes: list[str] | None
    networks: list[str]
    created_at: AwareDatetime
    expires_at: AwareDatetime | None
    last_used_at: AwareDatetime | None
    revoked_at: AwareDatetime | None


class KeyCreated(KeyView):
    """A new API key with its secret, shown this once."""

    key: str
