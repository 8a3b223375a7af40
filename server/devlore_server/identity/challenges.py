"""Passkey challenges that carry their own expiry and a MAC: whoever begins a million sign-ins leaves no row."""

from __future__ import annotations

import hashlib
import hmac
import json
import os
from base64 import urlsafe_b64decode
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import UUID

from devlore_server.kit.auth import NIL
from devlore_server.kit.clock import Clock, utc_now

PATIENCE = timedelta(minutes=5)
"""How long a challenge may be answered."""

_RANDOM, _MOMENT, _MAC = 16, 8, 16


@dataclass(frozen=True, slots=True)
class Challenge:
    """A challenge of ours that was answered in time; by its digest it is known whether that happened before."""

    value: bytes
    expires_at: datetime

    @property
    def digest(self) -> bytes:
        """SHA-256 of the challenge."""
        return hashlib.sha256(self.value).digest()


class Challenges:
    """Makes challenges under a key derived from the instance's ``secret``, and recognises them in answers."""

    def __init__(self, secret: bytes, clock: Clock = utc_now) -> None:
        self._key = hmac.digest(secret, b"devlore passkey challenges v1", hashlib.sha256)
        self._clock = clock

    def make(self, person: UUID | None) -> bytes:
        """16 random bytes, when they expire, and the MAC; good for ``person`` only, None for a sign-in of anybody."""
        expires = int((self._clock() + PATIENCE).timestamp())
        body = os.urandom(_RANDOM) + expires.to_bytes(_MOMENT, "big")
        return body + self._mac(body, person)

    def answered(self, credential: Mapping[str, Any], person: UUID | None) -> Challenge:
        """The challenge an authenticator's answer is for; raises ``ValueError`` for one that is not ours, or too old.

        The answer itself is not checked here.
        """
        try:
            said = json.loads(_base64url(credential["response"]["clientDataJSON"]))
            value = _base64url(said["challenge"])
        except (KeyError, TypeError, RecursionError):
            raise ValueError("no answer to a challenge") from None
        body, mac = value[:-_MAC], value[-_MAC:]
        if len(body) != _RANDOM + _MOMENT or not hmac.compare_digest(mac, self._mac(body, person)):
            raise ValueError("not a challenge of ours")
        expires_at = datetime.fromtimestamp(int.from_bytes(body[_RANDOM:], "big"), UTC)
        if expires_at <= self._clock():
            raise ValueError("answered too late")
        return Challenge(value, expires_at)

    def _mac(self, body: bytes, person: UUID | None) -> bytes:
        return hmac.digest(self._key, (person or NIL).bytes + body, hashlib.sha256)[:_MAC]


def _base64url(text: str) -> bytes:
    return urlsafe_b64decode(text + "=" * (-len(text) % 4))
