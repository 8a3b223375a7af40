"""Access tokens: Ed25519-signed JWTs (RFC 9068, RFC 9864) of which every part is pinned; pure, without clock or I/O."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any, Final
from uuid import UUID

from joserfc import jws
from joserfc.errors import JoseError
from joserfc.jwk import OKPKey
from joserfc.util import urlsafe_b64decode

from devlore.problems import Unauthenticated

ALGORITHM: Final = "Ed25519"
TYPE: Final = "at+jwt"
AUDIENCE: Final = "devlore"
LIFETIME: Final = 600
"""Seconds a token is good for, and the longest a token may say it is."""
SKEW: Final = 5
"""Seconds the clock of whoever issued a token may be ahead."""
LONGEST: Final = 2_048
"""Characters; ours have about 560."""

Keys = Mapping[str, OKPKey]
"""Public keys by key id."""

# Three parts, none empty, the last of exactly 64 bytes: JWE, JSON serialisation, detached payloads, padding, white
# space and unsigned tokens all end here.
_COMPACT: Final = re.compile(r"([A-Za-z0-9_-]{1,256})\.[A-Za-z0-9_-]{1,1600}\.[A-Za-z0-9_-]{86}")
_KEY_ID: Final = re.compile(r"[A-Za-z0-9_-]{8,64}")
_HEADER: Final = frozenset({"alg", "typ", "kid"})
_CLAIMS: Final = frozenset({"iss", "aud", "sub", "org", "sid", "iat", "exp", "jti"})
_REGISTRY: Final = jws.JWSRegistry(algorithms=[ALGORITHM])


class UnknownKey(Unauthenticated):
    """The token names a key that is not among those given: perhaps one made since they were read."""


@dataclass(frozen=True, slots=True)
class Claims:
    """What a token says: who, where, in which session; issued and expiring at whole seconds."""

    person: UUID
    organisation: UUID
    session: UUID
    id: UUID
    issued_at: datetime
    expires_at: datetime


def issue(claims: Claims, key: OKPKey, key_id: str, *, issuer: str) -> str:
    """The token that says ``claims``, signed with a private ``key``; ``issuer`` is the instance's public URL."""
    payload = {
        "iss": issuer,
        "aud": AUDIENCE,
        "sub": str(claims.person),
        "org": str(claims.organisation),
        "sid": str(claims.session),
        "iat": int(claims.issued_at.timestamp()),
        "exp": int(claims.expires_at.timestamp()),
        "jti": str(claims.id),
    }
    header = {"alg": ALGORITHM, "typ": TYPE, "kid": key_id}
    return jws.serialize_compact(header, json.dumps(payload, separators=(",", ":")), key, registry=_REGISTRY)


def verify(token: str, keys: Keys, *, issuer: str, now: datetime) -> Claims:
    """What a token of this instance says.

    Raises ``Unauthenticated`` for anything ``issue`` would not have written, was changed or has run out, and its
    subclass ``UnknownKey`` when a well-formed token names none of ``keys``. Expiry has no leeway, issue ``SKEW``.
    """
    try:
        key_id = _named_key(token)
        if key_id not in keys:
            raise UnknownKey
        payload = jws.deserialize_compact(token, keys[key_id], registry=_REGISTRY).payload
        return _claims(_object(payload), issuer, now)
    except (JoseError, ValueError, RecursionError):
        raise Unauthenticated from None


def public_keys(document: Mapping[str, Any]) -> dict[str, OKPKey]:
    """The keys of a JWKS (RFC 7517 §5); raises ``ValueError`` for one that is no public Ed25519 key with an id."""
    return dict(_public_key(member) for member in document["keys"])


def key_document(keys: Keys) -> dict[str, Any]:
    """The JWKS of ``keys``, without private parts."""
    parts = ((key_id, key.as_dict(private=False)) for key_id, key in keys.items())
    return {
        "keys": [
            {"kty": "OKP", "crv": ALGORITHM, "x": part["x"], "kid": key_id, "alg": ALGORITHM, "use": "sig"}
            for key_id, part in parts
        ]
    }


def _public_key(member: Mapping[str, Any]) -> tuple[str, OKPKey]:
    key_id = member.get("kid")
    if not isinstance(key_id, str) or not _KEY_ID.fullmatch(key_id):
        raise ValueError("a key without a usable id")
    if (member.get("kty"), member.get("crv")) != ("OKP", ALGORITHM) or "d" in member:
        raise ValueError(f"{key_id} is not a public {ALGORITHM} key")
    return key_id, OKPKey.import_key({"kty": "OKP", "crv": ALGORITHM, "x": member["x"]})


def _named_key(token: str) -> str:
    """The key a token names, if its header is exactly what ``issue`` writes: no jwk, jku, x5u, crit, b64 or zip."""
    parts = _COMPACT.fullmatch(token) if len(token) <= LONGEST else None
    if parts is None:
        raise ValueError("not a compact token")
    header = _object(urlsafe_b64decode(parts[1].encode()))
    key_id = header.get("kid")
    if header.keys() != _HEADER or header["alg"] != ALGORITHM or header["typ"] != TYPE:
        raise ValueError("another header")
    if not isinstance(key_id, str) or not _KEY_ID.fullmatch(key_id):
        raise ValueError("not a key id")
    return key_id


def _claims(found: dict[str, Any], issuer: str, now: datetime) -> Claims:
    if found.keys() != _CLAIMS or found["iss"] != issuer or found["aud"] != AUDIENCE:
        raise ValueError("not for us")
    issued, expires = _moment(found["iat"]), _moment(found["exp"])
    if not 0 < expires - issued <= LIFETIME or not issued - SKEW <= now.timestamp() < expires:
        raise ValueError("not now")
    return Claims(
        person=_id(found["sub"]),
        organisation=_id(found["org"]),
        session=_id(found["sid"]),
        id=_id(found["jti"]),
        issued_at=datetime.fromtimestamp(issued, UTC),
        expires_at=datetime.fromtimestamp(expires, UTC),
    )


def _moment(value: Any) -> int:
    # Neither a float nor a bool, and small enough for a datetime.
    if type(value) is not int or not 0 < value < 2**40:
        raise ValueError("not a moment")
    return value


def _id(value: Any) -> UUID:
    if not isinstance(value, str) or str(found := UUID(value)) != value:
        raise ValueError("not an id as we write it")
    return found


def _object(text: bytes) -> dict[str, Any]:
    """A JSON object in UTF-8 (RFC 8259) in which no member is named twice: which of two counts is a matter of taste."""
    found = json.loads(text.decode("utf-8"), object_pairs_hook=_once)
    if not isinstance(found, dict):
        raise ValueError("not an object")
    return found


def _once(members: list[tuple[str, Any]]) -> dict[str, Any]:
    found = dict(members)
    if len(found) != len(members):
        raise ValueError("a member is named twice")
    return found
