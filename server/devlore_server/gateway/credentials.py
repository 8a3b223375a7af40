"""The credential a request carries: which kind it is, that there is only one, and that it may be used from there."""

from __future__ import annotations

from dataclasses import dataclass

from starlette.types import Scope

from devlore.problems import NotAllowed, Unauthenticated
from devlore_server.kit.credentials import COOKIE, ApiKey, digest, read_api_key

LONGEST = 8_192
"""Bytes of an Authorization header; ours have under a thousand."""

_KEY_PREFIX = "dvl_"
_SAFE = frozenset({"GET", "HEAD", "OPTIONS"})
_HERE = frozenset({b"same-origin", b"none"})


@dataclass(frozen=True, slots=True)
class Token:
    """An access token as it came, not verified."""

    text: str


@dataclass(frozen=True, slots=True)
class Browser:
    """A browser session's cookie: the SHA-256 of its secret."""

    digest: bytes


Credential = Token | ApiKey | Browser


def credential_of(scope: Scope, origin: bytes) -> Credential | None:
    """What the request carries, or None for a visitor; ``origin`` is the instance's own.

    Raises ``Unauthenticated`` for a header that is no credential, is too long, or is not the only one, and
    ``NotAllowed`` for a change that another site's page asks a browser for.
    """
    authorizations = [value for name, value in scope["headers"] if name == b"authorization"]
    cookies = _cookies(scope)
    if len(authorizations) + len(cookies) > 1:
        raise Unauthenticated("Send one credential: a token, a key or the browser's cookie.")
    if authorizations:
        return _bearer(authorizations[0])
    if cookies:
        return _browser(scope, cookies[0], origin)
    return None


def _bearer(header: bytes) -> Token | ApiKey:
    if len(header) > LONGEST:
        raise Unauthenticated("The Authorization header is too long.")
    scheme, _, text = header.decode("latin-1").partition(" ")
    text = text.strip(" ")
    if scheme.lower() != "bearer" or not text:
        raise Unauthenticated("Send Authorization: Bearer and a token or an API key.")
    if not text.startswith(_KEY_PREFIX):
        return Token(text)
    key = read_api_key(text)
    if key is None:
        raise Unauthenticated("This is not an API key; was it copied whole?")
    return key


def _cookies(scope: Scope) -> list[bytes]:
    prefix = COOKIE.encode() + b"="
    pairs = (pair.strip() for name, value in scope["headers"] if name == b"cookie" for pair in value.split(b";"))
    return [pair.removeprefix(prefix) for pair in pairs if pair.startswith(prefix)]


def _browser(scope: Scope, secret: bytes, origin: bytes) -> Browser | None:
    """The cookie's session, unless another site's page made the browser send it (CSRF).

    A change needs both headers that only browsers write, and both must name us: Origin and Sec-Fetch-Site. Something
    read for another site's page is read as nobody.
    """
    origins = [value for name, value in scope["headers"] if name == b"origin"]
    sites = [value for name, value in scope["headers"] if name == b"sec-fetch-site"]
    if scope["method"] not in _SAFE and (origins != [origin] or sites != [b"same-origin"]):
        raise NotAllowed("A browser's session changes things for this server's own pages only.")
    if not _HERE.issuperset(sites) or origins not in ([], [origin]):
        return None
    return Browser(digest(secret.decode("latin-1")))
