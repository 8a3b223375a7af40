"""What an attacker makes tokens with: the format, and a target whose every secret is known to the tests."""

from __future__ import annotations

import base64
import json
from dataclasses import dataclass
from typing import Any
from uuid import UUID, uuid4

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

ORDER = 2**252 + 27742317777372353535851937790883648493
"""The order of Ed25519's group: S + ORDER signs the same as S where nobody checks (RFC 8032 §8.4)."""


def b64(raw: bytes) -> str:
    return base64.urlsafe_b64encode(raw).rstrip(b"=").decode()


def unb64(text: str) -> bytes:
    return base64.urlsafe_b64decode(text + "=" * (-len(text) % 4))


def text(value: Any) -> bytes:
    return json.dumps(value, separators=(",", ":")).encode()


@dataclass(frozen=True)
class Target:
    """A server's key, which an attacker has not but a careless signer might lend, and a session of somebody's."""

    key: Ed25519PrivateKey
    key_id: str
    issuer: str
    now: int
    person: UUID
    organisation: UUID
    session: UUID

    @property
    def header(self) -> dict[str, Any]:
        return {"alg": "Ed25519", "typ": "at+jwt", "kid": self.key_id}

    @property
    def claims(self) -> dict[str, Any]:
        return {
            "iss": self.issuer,
            "aud": "devlore",
            "sub": str(self.person),
            "org": str(self.organisation),
            "sid": str(self.session),
            "iat": self.now,
            "exp": self.now + 600,
            "jti": str(uuid4()),
        }

    @property
    def public(self) -> bytes:
        return self.key.public_key().public_bytes_raw()

    def sign(self, header: bytes, payload: bytes, key: Ed25519PrivateKey | None = None) -> str:
        """A token of these bytes, truly signed with the server's key (or another)."""
        head = f"{b64(header)}.{b64(payload)}"
        return f"{head}.{b64((key or self.key).sign(head.encode()))}"

    def token(self, header: dict[str, Any] | None = None, **claims: Any) -> str:
        """A truly signed token with members changed; None takes one away."""
        members = {name: value for name, value in (self.claims | claims).items() if value is not None}
        return self.sign(text(self.header | (header or {})), text(members))

    def control(self) -> str:
        """A token that is good: if it is refused, nothing that is refused means anything."""
        return self.token()
