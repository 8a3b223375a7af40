"""A software authenticator (WebAuthn level 3): real CBOR, COSE keys and signatures, and every way to do it wrong."""

from __future__ import annotations

import base64
import hashlib
import json
import os
from dataclasses import dataclass, field
from typing import Any, Literal, cast

import cbor2
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec, padding, rsa
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

Algorithm = Literal["es256", "ed25519", "rs256", "es512"]
_PRESENT, _VERIFIED, _ELIGIBLE, _BACKED_UP, _ATTESTED = 1, 4, 8, 16, 64


def b64(raw: bytes) -> str:
    return base64.urlsafe_b64encode(raw).rstrip(b"=").decode()


def unb64(text: str) -> bytes:
    return base64.urlsafe_b64decode(text + "=" * (-len(text) % 4))


@dataclass
class Authenticator:
    """One credential of one person; ``origin`` is the page its browser is on.

    ``verifies`` and ``present`` are what it says of its user, ``counts`` whether it counts its uses.
    """

    algorithm: Algorithm = "es256"
    origin: str = "https://devlore.test"
    verifies: bool = True
    present: bool = True
    counts: bool = True
    backed_up: bool = False
    credential_id: bytes = field(default_factory=lambda: os.urandom(32))
    uses: int = 0
    user: bytes = b""

    def __post_init__(self) -> None:
        self._key: Any = {
            "es256": lambda: ec.generate_private_key(ec.SECP256R1()),
            "es512": lambda: ec.generate_private_key(ec.SECP521R1()),
            "ed25519": Ed25519PrivateKey.generate,
            "rs256": lambda: rsa.generate_private_key(public_exponent=65537, key_size=2048),
        }[self.algorithm]()

    def create(self, options: dict[str, Any], **wrong: Any) -> dict[str, Any]:
        """The answer to ``navigator.credentials.create``, as ``toJSON`` writes it."""
        self.user = unb64(options["user"]["id"])
        key = cbor2.dumps(self._cose())
        attested = bytes(16) + len(self.credential_id).to_bytes(2, "big") + self.credential_id + key
        said = self._said("webauthn.create", options, wrong)
        data = self._data(wrong.get("party", options["rp"]["id"]), attested)
        attestation = wrong.get("attestation", {"fmt": "none", "attStmt": {}, "authData": data})
        return self._answer({"clientDataJSON": b64(said), "attestationObject": b64(cbor2.dumps(attestation))})

    def get(self, options: dict[str, Any], **wrong: Any) -> dict[str, Any]:
        """The answer to ``navigator.credentials.get``, as ``toJSON`` writes it."""
        self.uses += wrong.get("step", 1 if self.counts else 0)
        said = self._said("webauthn.get", options, wrong)
        data = self._data(wrong.get("party", options["rpId"]), b"")
        signature = wrong.get("signature") or self._sign(data + hashlib.sha256(said).digest())
        return self._answer(
            {
                "clientDataJSON": b64(said),
                "authenticatorData": b64(data),
                "signature": b64(signature),
                "userHandle": b64(wrong.get("user", self.user)),
            }
        )

    def _said(self, kind: str, options: dict[str, Any], wrong: dict[str, Any]) -> bytes:
        """The client data, which the browser writes (§5.8.1)."""
        said = {
            "type": wrong.get("type", kind),
            "challenge": wrong.get("challenge", options["challenge"]),
            "origin": wrong.get("origin", self.origin),
            "crossOrigin": False,
        }
        return json.dumps(said).encode()

    def _data(self, party: str, attested: bytes) -> bytes:
        """Authenticator data (§6.1)."""
        flags = self.present * _PRESENT | self.verifies * _VERIFIED | bool(attested) * _ATTESTED
        flags |= self.backed_up * (_ELIGIBLE | _BACKED_UP)
        return hashlib.sha256(party.encode()).digest() + bytes([flags]) + self.uses.to_bytes(4, "big") + attested

    def _answer(self, response: dict[str, str]) -> dict[str, Any]:
        id = b64(self.credential_id)
        return {"id": id, "rawId": id, "type": "public-key", "clientExtensionResults": {}, "response": response}

    def _cose(self) -> dict[int, Any]:
        """The public key in COSE form (RFC 9053 §7)."""
        public = self._key.public_key()
        if self.algorithm == "ed25519":
            return {1: 1, 3: -8, -1: 6, -2: public.public_bytes_raw()}
        if self.algorithm == "rs256":
            numbers = public.public_numbers()
            return {1: 3, 3: -257, -1: numbers.n.to_bytes(256, "big"), -2: numbers.e.to_bytes(3, "big")}
        size = 66 if self.algorithm == "es512" else 32
        curve, algorithm = (3, -36) if self.algorithm == "es512" else (1, -7)
        numbers = public.public_numbers()
        return {1: 2, 3: algorithm, -1: curve, -2: numbers.x.to_bytes(size, "big"), -3: numbers.y.to_bytes(size, "big")}

    def _sign(self, data: bytes) -> bytes:
        if self.algorithm == "ed25519":
            return cast(bytes, self._key.sign(data))
        if self.algorithm == "rs256":
            return cast(bytes, self._key.sign(data, padding.PKCS1v15(), hashes.SHA256()))
        digest = hashes.SHA512() if self.algorithm == "es512" else hashes.SHA256()
        return cast(bytes, self._key.sign(data, ec.ECDSA(digest)))
