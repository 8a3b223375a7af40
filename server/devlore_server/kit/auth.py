"""Who is asking: the authenticated context every service call carries."""

from __future__ import annotations

import hashlib
import hmac
from base64 import urlsafe_b64decode, urlsafe_b64encode
from dataclasses import dataclass, field
from datetime import datetime
from uuid import UUID

import orjson

from devlore.problems import Unauthenticated

NIL = UUID(int=0)
"""The organisation and person of nobody; row-level security matches no row for it."""

HEADER = "devlore-principal"
"""The header in which the gateway forwards a signed Principal to a service in another process."""
LIFETIME = 30
"""Seconds a forwarded Principal is good for."""
SKEW = 5
"""Seconds the clocks of gateway and service may differ."""


@dataclass(frozen=True, slots=True)
class Principal:
    """An authenticated caller, made by the gateway only; never from a body or a query."""

    organisation: UUID
    person: UUID
    teams: frozenset[UUID] = field(default_factory=frozenset)
    scopes: frozenset[str] = field(default_factory=frozenset)
    session: str | None = None

    def __post_init__(self) -> None:
        if self.organisation == NIL:
            raise ValueError("a Principal needs an organisation")

    @property
    def access_tokens(self) -> list[str]:
        """The index tokens this caller may read: own, team's, organisation's."""
        return [f"o:{self.organisation}", *sorted(f"t:{t}" for t in self.teams), f"p:{self.person}"]


SERVER = Principal(organisation=UUID(int=2**128 - 1), person=NIL, scopes=frozenset({"internal"}))
"""Who asks another process for what concerns every organisation.

It belongs to none, so row-level security shows it no row.
"""


def sign(principal: Principal, secret: bytes, now: datetime) -> str:
    """``principal`` as a header value that ``verify`` accepts for 30 seconds from ``now``."""
    claims = {
        "o": str(principal.organisation),
        "p": str(principal.person),
        "t": sorted(str(team) for team in principal.teams),
        "s": sorted(principal.scopes),
        "i": principal.session,
        "e": int(now.timestamp()) + LIFETIME,
    }
    payload = orjson.dumps(claims)
    return f"{_encode(payload)}.{_encode(_mac(payload, secret))}"


def verify(header: str, secret: bytes, now: datetime) -> Principal:
    """The Principal the gateway signed; raises ``Unauthenticated`` when it is forged, damaged or too old."""
    payload, _, mac = header.partition(".")
    try:
        claimed, given = _decode(payload), _decode(mac)
    except ValueError:
        raise Unauthenticated from None
    if not hmac.compare_digest(given, _mac(claimed, secret)):
        raise Unauthenticated
    claims = orjson.loads(claimed)
    remaining = claims["e"] - now.timestamp()
    if not 0 < remaining <= LIFETIME + SKEW:
        raise Unauthenticated
    return Principal(
        organisation=UUID(claims["o"]),
        person=UUID(claims["p"]),
        teams=frozenset(UUID(team) for team in claims["t"]),
        scopes=frozenset(claims["s"]),
        session=claims["i"],
    )


def _mac(payload: bytes, secret: bytes) -> bytes:
    if len(secret) < 16:
        raise ValueError("a signing secret has at least 16 bytes")
    # A key of its own per purpose, so that nothing else signed with the secret can pass for a Principal.
    key = hmac.digest(secret, b"devlore principal v1", hashlib.sha256)
    return hmac.digest(key, payload, hashlib.sha256)


def _encode(raw: bytes) -> str:
    return urlsafe_b64encode(raw).rstrip(b"=").decode()


def _decode(text: str) -> bytes:
    return urlsafe_b64decode(text + "=" * (-len(text) % 4))
