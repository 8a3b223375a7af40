"""The keys access tokens are signed with: made, encrypted, rotated, and published as a JWKS."""

from __future__ import annotations

import hashlib
import hmac
import os
from datetime import datetime, timedelta
from typing import Any
from uuid import UUID

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey, Ed25519PublicKey
from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from joserfc.jwk import OKPKey

from devlore_server.identity.store import signing_keys
from devlore_server.identity.store.signing_keys import StoredKey
from devlore_server.kit import audit
from devlore_server.kit.audit import INSTANCE, Leaf
from devlore_server.kit.clock import Clock, utc_now
from devlore_server.kit.db import Connection, Database, system
from devlore_server.kit.ids import new_id
from devlore_server.kit.tokens import LIFETIME, Claims, issue, key_document

REMEMBERED = timedelta(seconds=30)
"""How long a process goes on with the keys it knows before it looks for newer ones."""
OUTLIVES = timedelta(seconds=LIFETIME) + 2 * REMEMBERED
"""How long a key verifies after another took its place: its last token may be ``REMEMBERED`` younger than that."""


class Signing:
    """Signs access tokens with the newest key and answers which keys verify.

    ``secret`` is the instance's: the key that encrypts private parts (AES-256-GCM) is derived from it.
    """

    def __init__(self, database: Database, secret: bytes, *, issuer: str, clock: Clock = utc_now) -> None:
        self._database = database
        self._sealing = hmac.digest(secret, b"devlore signing keys v1", hashlib.sha256)
        # Says which secret a key was encrypted under without saying anything about it.
        self._sealed_by = hmac.digest(self._sealing, b"name", hashlib.sha256)[:8].hex()
        self._issuer = issuer
        self._clock = clock
        self._signing: tuple[OKPKey, StoredKey, datetime] | None = None

    async def token(self, person: UUID, organisation: UUID, session: UUID) -> str:
        """An access token, good for 10 minutes."""
        key, stored = await self._current()
        at = self._clock().replace(microsecond=0)
        claims = Claims(person, organisation, session, new_id(), at, at + timedelta(seconds=LIFETIME))
        return issue(claims, key, stored.kid, issuer=self._issuer)

    async def keyset(self) -> dict[str, Any]:
        """The JWKS of every key whose tokens may still be good; the first is made when there is none."""
        await self._current()
        async with self._database.transaction(None) as connection:
            found = await signing_keys.all_valid(connection, self._clock())
        return key_document(
            {one.kid: OKPKey.import_key(Ed25519PublicKey.from_public_bytes(one.public)) for one in found}
        )

    async def rotate(self) -> str:
        """Sign with a new key from now on and return its id; the one before verifies until its tokens have expired.

        Other processes follow within 30 s.
        """
        at = self._clock()
        # The trail of the instance: no organisation's member may rotate what all of them trust.
        async with self._database.transaction(system(INSTANCE)) as connection:
            await signing_keys.lock(connection)
            made = await self._make(connection, at)
            await audit.append(connection, system(INSTANCE), Leaf("signing_key.rotated", [("key", made.kid)]), at=at)
        self._signing = None
        return made.kid

    async def _current(self) -> tuple[OKPKey, StoredKey]:
        at = self._clock()
        if self._signing is None or self._signing[2] <= at:
            stored = await self._newest(at)
            self._signing = (self._open(stored), stored, at + REMEMBERED)
        return self._signing[:2]

    async def _newest(self, at: datetime) -> StoredKey:
        async with self._database.transaction(None) as connection:
            found = self._usable(await signing_keys.all_valid(connection, at))
            if found is None:
                await signing_keys.lock(connection)
                # Another process may have made one while this one waited.
                found = self._usable(await signing_keys.all_valid(connection, at))
            return found or await self._make(connection, at)

    def _usable(self, found: list[StoredKey]) -> StoredKey | None:
        """The newest key that signs; one that was encrypted under another secret cannot."""
        return next((one for one in found if one.retires_at is None and one.sealed_by == self._sealed_by), None)

    async def _make(self, connection: Connection, at: datetime) -> StoredKey:
        key, kid = Ed25519PrivateKey.generate(), os.urandom(12).hex()
        nonce = os.urandom(12)
        sealed = nonce + AESGCM(self._sealing).encrypt(nonce, key.private_bytes_raw(), kid.encode())
        made = StoredKey(kid, key.public_key().public_bytes_raw(), sealed, self._sealed_by, at, None)
        await signing_keys.retire(connection, at + OUTLIVES)
        await signing_keys.insert(connection, made)
        return made

    def _open(self, stored: StoredKey) -> OKPKey:
        try:
            raw = AESGCM(self._sealing).decrypt(stored.private[:12], stored.private[12:], stored.kid.encode())
        except InvalidTag:
            raise RuntimeError(f"the signing key {stored.kid} was changed in the database") from None
        return OKPKey.import_key(Ed25519PrivateKey.from_private_bytes(raw))
