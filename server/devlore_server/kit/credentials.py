"""Opaque credentials: 256 random bits, of which only the SHA-256 is kept, and API keys with a checksum."""

from __future__ import annotations

import hashlib
import re
import secrets
import zlib
from dataclasses import dataclass
from typing import Final

COOKIE: Final = "__Host-devlore"
"""The browser's session: never readable by scripts, never sent to another host or over plain HTTP (RFC 6265bis)."""

_ALPHABET: Final = "0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz"
_ID, _SECRET, _CHECK = 12, 43, 6
API_KEY: Final = re.compile(rf"dvl_([0-9A-Za-z]{{{_ID}}})_([0-9A-Za-z]{{{_SECRET}}})([0-9A-Za-z]{{{_CHECK}}})")
"""``dvl_<key id>_<secret><crc32>``: the checksum tells a mistyped or made-up key without a look-up."""


@dataclass(frozen=True, slots=True)
class ApiKey:
    """An API key as it was handed out: its public id, and the digest that is kept of the whole."""

    key_id: str
    digest: bytes


def new_secret() -> str:
    """256 random bits in base64url (43 characters)."""
    return secrets.token_urlsafe(32)


def digest(secret: str) -> bytes:
    """What is kept of a secret: SHA-256. Nothing slower is needed where nobody can guess (256 random bits)."""
    return hashlib.sha256(secret.encode("utf-8", "surrogatepass")).digest()


def new_api_key() -> str:
    """A key of 256 random bits with an id of 71."""
    key_id, secret = (_base62(secrets.randbits(bits), length) for bits, length in ((71, _ID), (256, _SECRET)))
    body = f"dvl_{key_id}_{secret}"
    return body + _checksum(body)


def read_api_key(text: str) -> ApiKey | None:
    """The parts of a key, or None for what is not one."""
    found = API_KEY.fullmatch(text)
    if found is None or _checksum(text[:-_CHECK]) != found[3]:
        return None
    return ApiKey(found[1], digest(text))


def _checksum(body: str) -> str:
    return _base62(zlib.crc32(body.encode()), _CHECK)


def _base62(number: int, length: int) -> str:
    digits = []
    for _ in range(length):
        number, rest = divmod(number, 62)
        digits.append(_ALPHABET[rest])
    return "".join(reversed(digits))
