"""Checks that formats bring with them: checksums and encodings a random look-alike does not satisfy."""

from __future__ import annotations

import base64
import binascii
import json
import zlib
from typing import Any, Final

from devlore_server.memory.secrets.lookalikes import is_placeholder, is_weak

_BASE62: Final = "0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz"
_BECH32: Final = "qpzry9x8gf2tvdw0s3jn54khce6mua7l"
_GENERATORS: Final = (0x3B6A57B2, 0x26508E6D, 0x1EA119FA, 0x3D4233DD, 0x2A1462B3)


def base62(number: int, width: int) -> str:
    """A number in digits, capitals, small letters; padded with zeros."""
    digits = ""
    while number:
        number, rest = divmod(number, 62)
        digits = _BASE62[rest] + digits
    return digits.rjust(width, "0")


def crc32_base62(value: str, _match: str = "") -> bool:
    """The last six characters are the CRC-32 of what follows the prefix, in base 62 (GitHub's and npm's tokens)."""
    random = value.rpartition("_")[2]
    return base62(zlib.crc32(random[:-6].encode()), 6) == random[-6:]


def crc32_hex(value: str, _match: str = "") -> bool:
    """The last eight characters are the CRC-32 of what comes before their underscore, in hexadecimal (Grafana's)."""
    body, _, check = value.rpartition("_")
    return f"{zlib.crc32(body.encode()):08x}" == check.lower()


def bech32(value: str, _match: str = "") -> bool:
    """The checksum of BIP 173 holds (age's secret keys)."""
    prefix, _, data = value.lower().rpartition("1")
    if not prefix or any(c not in _BECH32 for c in data):
        return False
    expanded = [ord(c) >> 5 for c in prefix] + [0] + [ord(c) & 31 for c in prefix] + [_BECH32.index(c) for c in data]
    check = 1
    for part in expanded:
        top = check >> 25
        check = (check & 0x1FFFFFF) << 5 ^ part
        for bit, generator in enumerate(_GENERATORS):
            check ^= generator if top >> bit & 1 else 0
    return check == 1


def signed_jwt(value: str, _match: str = "") -> bool:
    """Header and payload are JSON objects, it is signed, and it is not the token every tutorial shows."""
    header, payload, _signature = (*value.split("."), "", "")[:3]
    claims, head = _json(payload), _json(header)
    if not isinstance(head, dict) or str(head.get("alg", "none")).lower() == "none" or not isinstance(claims, dict):
        return False
    return not (claims.get("sub") == "1234567890" and claims.get("name") in ("John Doe", None))


def basic_credentials(value: str, _match: str = "") -> bool:
    """It decodes to ``user:password`` with a password that is none of the usual dummies."""
    decoded = decoded_base64(value)
    if decoded is None or ":" not in decoded or not decoded.isprintable():
        return False
    user, _, password = decoded.partition(":")
    return len(password) >= 4 and password != user and not is_weak(password) and not is_placeholder(password)


def decoded_base64(value: str) -> str | None:
    """The text a base64 value (either alphabet, padded or not) stands for, or None."""
    try:
        raw = base64.b64decode(value.replace("-", "+").replace("_", "/") + "=" * (-len(value) % 4), validate=True)
        return raw.decode()
    except (binascii.Error, ValueError):
        return None


def bot_snowflake(value: str, _match: str = "") -> bool:
    """The first part of a Discord token is its bot's numeric id in base64."""
    id = decoded_base64(value.partition(".")[0])
    return id is not None and id.isdigit() and 17 <= len(id) <= 20


def telegram_bot(value: str, _match: str = "") -> bool:
    """A bot's id and 35 characters that vary."""
    return not is_placeholder(value) and len(set(value.partition(":")[2])) >= 12


def _json(part: str) -> Any:
    text = decoded_base64(part)
    try:
        return json.loads(text) if text is not None else None
    except ValueError:
        return None
