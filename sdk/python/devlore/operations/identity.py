"""Operations on oneself: who one is, what one signs in with, and signing up."""

from __future__ import annotations

from typing import Any

from devlore.calls import Call, nothing, one
from devlore.operations.arguments import Id, given, under
from devlore.types import KeySet, Page, PasskeyOptions, PasskeyView, Person, Tokens, WhoAmI

_IDENTITY = "/v1/identity"
_PASSKEYS = "/v1/identity/passkeys"


def whoami() -> Call[WhoAmI]:
    """The caller, the organisation they are in, what they may do there, and where else they belong."""
    return Call("GET", _IDENTITY, one(WhoAmI))


def update(*, name: str) -> Call[Person]:
    """Change one's name, in every organisation one belongs to."""
    headers = {"Content-Type": "application/merge-patch+json"}
    return Call("PATCH", _IDENTITY, one(Person), body={"name": name}, headers=headers)


def sign_up(email: str, name: str, password: str, *, invitation: str | None = None) -> Call[Tokens]:
    """A new person, by invitation (its secret) or where anybody may; ``client.adopt`` the session to go on as them.

    Raises ``NotFound`` for an invitation that is not good any more, ``Conflict`` for an address that is taken.
    """
    body = {"email": email, "name": name, "password": password, **given(invitation=invitation)}
    return Call("POST", f"{_IDENTITY}/sign-up", one(Tokens), body=body, repeatable=False, signed=False)


def change_password(new: str, *, old: str | None = None) -> Call[None]:
    """Another password; all one's other sessions end. ``old`` unless one has only had passkeys so far."""
    return Call("POST", f"{_IDENTITY}/password", nothing, body=given(old=old, new=new), repeatable=False)


def passkeys() -> Call[Page[PasskeyView]]:
    """One's passkeys, oldest first."""
    return Call("GET", _PASSKEYS, one(Page[PasskeyView]))


def passkey_options() -> Call[PasskeyOptions]:
    """What an authenticator needs to make a passkey; raises ``StepUpRequired``."""
    return Call("POST", f"{_PASSKEYS}/options", one(PasskeyOptions))


def add_passkey(name: str, credential: dict[str, Any]) -> Call[PasskeyView]:
    """Keep what an authenticator answered to ``passkey_options``; raises ``StepUpRequired``."""
    # Its challenge is good once.
    return Call("POST", _PASSKEYS, one(PasskeyView), body={"name": name, "credential": credential}, repeatable=False)


def remove_passkey(passkey_id: Id) -> Call[None]:
    """Forget a passkey; raises ``StepUpRequired``, ``Conflict`` for the last proof one has."""
    return Call("DELETE", under(_PASSKEYS, passkey_id), nothing)


def keyset() -> Call[KeySet]:
    """The public keys that access tokens are signed with (RFC 7517)."""
    return Call("GET", f"{_IDENTITY}/jwks", one(KeySet), signed=False)
