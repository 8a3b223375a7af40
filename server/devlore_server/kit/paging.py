"""Cursors: opaque, signed, and good only for the listing (and filters) they were made for."""

from __future__ import annotations

import hashlib
import hmac
from base64 import urlsafe_b64decode, urlsafe_b64encode
from typing import Any

import orjson

from devlore.problems import BadCursor

_TAG = 16
_LONGEST = 4_096


class Paging:
    """Makes and reads cursors. ``secret`` must outlive the server, or cursors of before a restart are refused."""

    def __init__(self, secret: bytes) -> None:
        if len(secret) < 16:
            raise ValueError("a paging secret has at least 16 bytes")
        # A key of its own, so that a cursor can never pass for anything else signed with the server's secret.
        self._key = hmac.digest(secret, b"devlore paging v1", "sha256")

    def encode(self, listing: str, key: list[Any]) -> str:
        """The cursor behind the row with sort ``key`` (JSON values, times and UUIDs as text) of ``listing``."""
        payload = orjson.dumps(key)
        return urlsafe_b64encode(self._tag(listing, payload) + payload).rstrip(b"=").decode()

    def decode(self, listing: str, cursor: str) -> list[Any]:
        """The sort key in ``cursor``; raises ``BadCursor`` unless this server made it for exactly ``listing``."""
        if not cursor or len(cursor) > _LONGEST or not cursor.isascii():
            raise BadCursor
        try:
            raw = urlsafe_b64decode(cursor + "=" * (-len(cursor) % 4))
        except ValueError:
            raise BadCursor from None
        tag, payload = raw[:_TAG], raw[_TAG:]
        if not hmac.compare_digest(tag, self._tag(listing, payload)):
            raise BadCursor
        key: list[Any] = orjson.loads(payload)
        return key

    def _tag(self, listing: str, payload: bytes) -> bytes:
        name = listing.encode()
        return hmac.digest(self._key, len(name).to_bytes(4, "big") + name + payload, "sha256")[:_TAG]


def listing(name: str, **filters: Any) -> str:
    """A listing's identity: its name and a digest of the filters that shape it (the cursor binds to both)."""
    text = orjson.dumps(filters, option=orjson.OPT_SORT_KEYS, default=_plain)
    return f"{name}:{hashlib.blake2b(text, digest_size=12).hexdigest()}"


def _plain(value: Any) -> Any:
    if isinstance(value, set | frozenset):
        return sorted(map(str, value))
    return str(value)
