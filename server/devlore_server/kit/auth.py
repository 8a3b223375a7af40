"""Who is asking: the authenticated context every service call carries, and how it travels between processes."""

from __future__ import annotations

import hmac
import secrets
from base64 import urlsafe_b64decode, urlsafe_b64encode
from dataclasses import dataclass, field
from datetime import datetime
from functools import lru_cache
from typing import Any
from uuid import UUID

import orjson

from devlore.problems import Unauthenticated

NIL = UUID(int=0)
"""The organisation and person of nobody; row-level security matches no row for it."""

HEADER = "devlore-principal"
"""The header in which the gateway forwards a signed caller to a service in another process."""
LIFETIME = 10
"""Seconds a forwarded caller is good for."""
SKEW = 5
"""Seconds the clocks of gateway and service may differ."""
_MOMENT = b',"e":'
"""What a signed text begins to say of one request alone with: expiry and nonce."""


@dataclass(frozen=True, slots=True)
class Principal:
    """An authenticated caller, made by the gateway only; never from a body or a query.

    ``session`` is the id of the session, ``key`` that of the API key it came with; the individual tier has neither.
    ``role`` is that in the organisation, ``network`` the /24 or /48 the request came from. ``fresh``: the person
    proved who they are within the last 15 minutes, which no API key ever does.
    """

    organisation: UUID
    person: UUID
    teams: frozenset[UUID] = field(default_factory=frozenset)
    scopes: frozenset[str] = field(default_factory=frozenset)
    session: str | None = None
    role: str | None = None
    network: str | None = None
    fresh: bool = True
    key: str | None = None

    def __post_init__(self) -> None:
        if self.organisation == NIL:
            raise ValueError("a Principal needs an organisation")

    @property
    def access_tokens(self) -> list[str]:
        """The index tokens this caller may read: own, team's, organisation's."""
        return [f"o:{self.organisation}", *sorted(f"t:{t}" for t in self.teams), f"p:{self.person}"]

    @property
    def audiences(self) -> list[UUID]:
        """The same as the ids that events and vectors carry."""
        return [self.organisation, *sorted(self.teams), self.person]


@dataclass(frozen=True, slots=True)
class Visitor:
    """Somebody who is not signed in, and the /24 or /48 they ask from."""

    network: str | None


Caller = Principal | Visitor

SERVER = Principal(organisation=UUID(int=2**128 - 1), person=NIL, scopes=frozenset({"internal"}))
"""Who asks another process for what concerns every organisation.

It belongs to none, so row-level security shows it no row.
"""


@dataclass(frozen=True, slots=True)
class Forwarded:
    """What a signed header said: the caller, and the nonce that makes it good for one request only."""

    caller: Caller
    nonce: bytes


def sign(caller: Caller, secret: bytes, now: datetime, method: str, target: bytes) -> str:
    """``caller`` as a header value that ``verify`` accepts for ``LIFETIME`` s from ``now``, with this request only.

    ``target`` is the path with its query as sent (RFC 9112 §3.2.1, origin form).
    """
    moment = orjson.dumps({"e": int(now.timestamp()) + LIFETIME, "x": secrets.token_hex(16)})
    payload = _claims(caller)[:-1] + b"," + moment[1:]
    return f"{_encode(payload)}.{_encode(_mac(payload, secret, method, target))}"


def verify(header: str, secret: bytes, now: datetime, method: str, target: bytes) -> Forwarded:
    """What the gateway signed; raises ``Unauthenticated`` when it is forged, damaged, too old or for another request.

    Whether its nonce was seen before is for the caller to say.
    """
    payload, _, mac = header.partition(".")
    try:
        claimed, given = _decode(payload), _decode(mac)
    except ValueError:
        raise Unauthenticated from None
    if not hmac.compare_digest(given, _mac(claimed, secret, method, target)):
        raise Unauthenticated
    caller, _, moment = claimed.rpartition(_MOMENT)
    claims = orjson.loads(b"{" + _MOMENT[1:] + moment)
    remaining = claims["e"] - now.timestamp()
    if not 0 < remaining <= LIFETIME + SKEW:
        raise Unauthenticated
    return Forwarded(_caller(caller + b"}"), bytes.fromhex(claims["x"]))


@lru_cache(maxsize=4_096)
def _claims(caller: Caller) -> bytes:
    """What is said of a caller, the same in all their requests."""
    claims: dict[str, Any] = {"n": caller.network}
    if isinstance(caller, Principal):
        claims |= {
            "o": str(caller.organisation),
            "p": str(caller.person),
            "t": sorted(str(team) for team in caller.teams),
            "s": sorted(caller.scopes),
            "i": caller.session,
            "r": caller.role,
            "f": caller.fresh,
            "k": caller.key,
        }
    return orjson.dumps(claims)


@lru_cache(maxsize=4_096)
def _caller(said: bytes) -> Caller:
    """Whom ``_claims`` says it of; only for what was signed."""
    claims = orjson.loads(said)
    if "o" not in claims:
        return Visitor(claims["n"])
    return Principal(
        organisation=UUID(claims["o"]),
        person=UUID(claims["p"]),
        teams=frozenset(UUID(team) for team in claims["t"]),
        scopes=frozenset(claims["s"]),
        session=claims["i"],
        role=claims["r"],
        network=claims["n"],
        fresh=claims["f"],
        key=claims["k"],
    )


def _mac(payload: bytes, secret: bytes, method: str, target: bytes) -> bytes:
    # Neither a method nor a JSON text holds a line feed, so no two requests are written the same way.
    return hmac.digest(_key(secret), b"\n".join((payload, method.encode(), target)), "sha256")


@lru_cache(maxsize=8)
def _key(secret: bytes) -> bytes:
    """A key of its own per purpose, so that nothing else signed with the secret can pass for a Principal."""
    if len(secret) < 16:
        raise ValueError("a signing secret has at least 16 bytes")
    return hmac.digest(secret, b"devlore principal v2", "sha256")


def _encode(raw: bytes) -> str:
    return urlsafe_b64encode(raw).rstrip(b"=").decode()


def _decode(text: str) -> bytes:
    return urlsafe_b64decode(text + "=" * (-len(text) % 4))
