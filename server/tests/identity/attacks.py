"""Tokens nobody may be let in with: each is a way somebody has got into somebody's server, or has tried to."""

from __future__ import annotations

import hashlib
import hmac
import json
import zlib
from collections.abc import Callable, Iterator
from typing import Any
from uuid import uuid4

from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec, padding, rsa
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from joserfc import jwe
from joserfc.jwk import OctKey

from .forging import ORDER, Target, b64, text, unb64

Attack = Callable[[Target], str]
_ATTACKS: dict[str, Attack] = {}


def attack(make: Attack) -> Attack:
    _ATTACKS[make.__name__] = make
    return make


def _with_header(name: str, **members: Any) -> None:
    _ATTACKS[name] = lambda target: target.token(
        {key: value(target) if callable(value) else value for key, value in members.items()}
    )


def _with_claims(name: str, **members: Any) -> None:
    _ATTACKS[name] = lambda target: target.token(
        **{key: value(target) if callable(value) else value for key, value in members.items()}
    )


def _unsigned(name: str, algorithm: Any, signature: str = "") -> None:
    def make(target: Target) -> str:
        return f"{b64(text(target.header | {'alg': algorithm}))}.{b64(text(target.claims))}.{signature}"

    _ATTACKS[name] = make


def _without(name: str, member: str) -> None:
    def make(target: Target) -> str:
        return target.sign(text({k: v for k, v in target.header.items() if k != member}), text(target.claims))

    _ATTACKS[name] = make


def _by_mac(name: str, algorithm: str, digest: str, secret: Callable[[Target], bytes]) -> None:
    """The public key taken for a shared secret (CVE-2015-9235)."""

    def make(target: Target) -> str:
        head = f"{b64(text(target.header | {'alg': algorithm}))}.{b64(text(target.claims))}"
        return f"{head}.{b64(hmac.digest(secret(target), head.encode(), digest))}"

    _ATTACKS[name] = make


def _pem(target: Target) -> bytes:
    return target.key.public_key().public_bytes(
        serialization.Encoding.PEM, serialization.PublicFormat.SubjectPublicKeyInfo
    )


# No signature at all

for _name, _algorithm in (("none", "none"), ("None", "None"), ("nOnE", "nOnE"), ("NONE", "NONE"), ("empty", "")):
    _unsigned(f"alg_{_name}_unsigned", _algorithm)
    _unsigned(f"alg_{_name}_zero_signature", _algorithm, "A" * 86)
_with_header("alg_none_truly_signed", alg="none")

# Another algorithm

_by_mac("hs256_with_raw_public_key", "HS256", "sha256", lambda target: target.public)
_by_mac("hs256_with_pem", "HS256", "sha256", _pem)
_by_mac("hs256_with_jwk_x", "HS256", "sha256", lambda target: b64(target.public).encode())
_by_mac("hs512_with_raw_public_key", "HS512", "sha512", lambda target: target.public)
_by_mac("hs256_with_empty_secret", "HS256", "sha256", lambda _: b"")
_by_mac("ed25519_header_with_mac", "Ed25519", "sha512", lambda target: target.public)
_with_header("alg_eddsa", alg="EdDSA")
_with_header("alg_ed448", alg="Ed448")
_with_header("alg_lower_case", alg="ed25519")
_with_header("alg_list", alg=["Ed25519"])
_with_header("alg_null", alg=None)
_with_header("alg_number", alg=0)
_without("no_alg", "alg")


@attack
def rs256_with_own_key(target: Target) -> str:
    key = rsa.generate_private_key(public_exponent=65537, key_size=2048)
    head = f"{b64(text(target.header | {'alg': 'RS256'}))}.{b64(text(target.claims))}"
    return f"{head}.{b64(key.sign(head.encode(), padding.PKCS1v15(), hashes.SHA256()))}"


@attack
def es256_with_own_key(target: Target) -> str:
    key = ec.generate_private_key(ec.SECP256R1())
    head = f"{b64(text(target.header | {'alg': 'ES256'}))}.{b64(text(target.claims))}"
    return f"{head}.{b64(key.sign(head.encode(), ec.ECDSA(hashes.SHA256())))}"


@attack
def es256_psychic_signature(target: Target) -> str:
    """r = s = 0 (CVE-2022-21449)."""
    return f"{b64(text(target.header | {'alg': 'ES256'}))}.{b64(text(target.claims))}.{b64(bytes(64))}"


# Another key

for _name, _kid in {
    "path": "../../../../dev/null",
    "sql": "x' UNION SELECT 'AAAA' --",
    "command": "$(id)",
    "url": "https://attacker.example/jwks.json",
    "empty": "",
    "nul": "key\x00",
    "unknown": "0123456789abcdef01234567",
    "huge": "a" * 4_096,
    "array": ["a", "b"],
    "object": {"$ne": None},
    "number": 0,
    "true": True,
    "null": None,
    "lone_surrogate": "\ud800abcdefgh",
}.items():
    _with_header(f"kid_{_name}", kid=_kid)
_without("no_kid", "kid")


def _own_jwk(key: Ed25519PrivateKey) -> dict[str, str]:
    return {"kty": "OKP", "crv": "Ed25519", "x": b64(key.public_key().public_bytes_raw()), "kid": "attackers"}


@attack
def embedded_jwk(target: Target) -> str:
    """CVE-2018-0114."""
    own = Ed25519PrivateKey.generate()
    return target.sign(text(target.header | {"jwk": _own_jwk(own)}), text(target.claims), own)


@attack
def embedded_jwk_with_private_part(target: Target) -> str:
    own = Ed25519PrivateKey.generate()
    jwk = _own_jwk(own) | {"d": b64(own.private_bytes_raw())}
    return target.sign(text(target.header | {"jwk": jwk}), text(target.claims), own)


@attack
def other_key_under_our_kid(target: Target) -> str:
    return target.sign(text(target.header), text(target.claims), Ed25519PrivateKey.generate())


_with_header("jwk_truly_signed", jwk=lambda target: _own_jwk(target.key))
_with_header("jku", jku="https://attacker.example/jwks.json")
_with_header("x5u", x5u="https://attacker.example/chain.pem")
_with_header("x5c", x5c=["MIIBszCCAVmgAwIBAgI="])
_with_header("x5t", x5t="dGh1bWJwcmludA")

# Other headers

_with_header("typ_jwt", typ="JWT")
_with_header("typ_missing_case", typ="AT+JWT")
_with_header("typ_with_prefix", typ="application/at+jwt")
_with_header("typ_id_token", typ="id_token")
_with_header("typ_list", typ=["at+jwt"])
_without("no_typ", "typ")
_with_header("crit_unknown", crit=["exp"], exp=1)
_with_header("crit_empty", crit=[])
_with_header("b64_false", b64=False, crit=["b64"])
_with_header("b64_true", b64=True)
_with_header("zip", zip="DEF")
_with_header("cty_nested", cty="JWT")
_with_header("enc", enc="A256GCM")
_with_header("unknown_member", hello="world")

# Other claims

_with_claims("wrong_issuer", iss="https://attacker.example")
_with_claims("issuer_with_slash", iss=lambda target: target.issuer + "/")
_with_claims("issuer_upper_case", iss=lambda target: target.issuer.upper())
_with_claims("issuer_list", iss=lambda target: [target.issuer])
_with_claims("no_issuer", iss=None)
_with_claims("wrong_audience", aud="another-service")
_with_claims("audience_list", aud=["devlore"])
_with_claims("audience_list_of_two", aud=["devlore", "attacker"])
_with_claims("audience_prefix", aud="devlore.attacker.example")
_with_claims("no_audience", aud=None)
_with_claims("expired", iat=lambda target: target.now - 700, exp=lambda target: target.now - 100)
_with_claims("just_expired", iat=lambda target: target.now - 600, exp=lambda target: target.now - 1)
_with_claims("not_yet_valid", nbf=lambda target: target.now + 3_600)
_with_claims("issued_in_the_future", iat=lambda target: target.now + 60, exp=lambda target: target.now + 300)
_with_claims("no_issue", iat=None)
_with_claims("no_expiry", exp=None)
_with_claims("expiry_in_a_century", exp=lambda target: target.now + 3_153_600_000)
_with_claims("expiry_beyond_the_lifetime", exp=lambda target: target.now + 601)
_with_claims("expiry_huge", exp=10**30)
_with_claims("expiry_overflows_64_bits", exp=2**64)
_with_claims("expiry_float", exp=lambda target: target.now + 300.5)
_with_claims("expiry_whole_float", exp=lambda target: float(target.now + 300))
_with_claims("expiry_string", exp=lambda target: str(target.now + 300))
_with_claims("expiry_negative", exp=-1)
_with_claims("expiry_true", exp=True)
_with_claims("expiry_list", exp=lambda target: [target.now + 300])
_with_claims("expiry_object", exp={})
_with_claims("issue_negative", iat=-1)
_with_claims("no_person", sub=None)
_with_claims("person_not_an_id", sub="admin")
_with_claims("person_in_capitals", sub=lambda target: str(target.person).upper())
_with_claims("person_in_braces", sub=lambda target: "{" + str(target.person) + "}")
_with_claims("person_list", sub=lambda target: [str(target.person)])
_with_claims("no_organisation", org=None)
_with_claims("organisation_sql", org="' OR 1=1 --")
_with_claims("no_session", sid=None)
_with_claims("session_null_object", sid={"$gt": ""})
_with_claims("no_token_id", jti=None)
_with_claims("claims_more_than_ours", admin=True)
_with_claims("oversized", jti="a" * 8_000)
_with_claims("slightly_oversized", jti="a" * 1_800)


def _raw(name: str, payload: Callable[[Target], bytes], header: Callable[[Target], bytes] | None = None) -> None:
    _ATTACKS[name] = lambda target: target.sign(header(target) if header else text(target.header), payload(target))


_raw("duplicate_claim", lambda t: text(t.claims)[:-1] + b',"sub":"%s"}' % str(uuid4()).encode())
_raw("duplicate_equal_claim", lambda t: text(t.claims)[:-1] + b',"aud":"devlore"}')
_raw("duplicate_by_escape", lambda t: text(t.claims)[:-1] + rb',"\u0073ub":"%s"}' % str(uuid4()).encode())
_raw("duplicate_header", lambda t: text(t.claims), lambda t: b'{"alg":"none",' + text(t.header)[1:])
_raw("payload_array", lambda t: text([t.claims]))
_raw("payload_string", lambda t: text(json.dumps(t.claims)))
_raw("payload_number", lambda _: b"1")
_raw("payload_null", lambda _: b"null")
_raw("payload_not_json", lambda _: b"sub=admin")
_raw("payload_deep", lambda _: b"[" * 1_100)
_raw("payload_deep_objects", lambda _: b'{"a":' * 220)
_raw("payload_not_utf8", lambda t: text(t.claims)[:-1] + b',"x":"\xff\xfe"}')
_raw("payload_utf16", lambda t: json.dumps({"sub": str(t.person)}).encode("utf-16"))
_raw("payload_bom", lambda t: b"\xef\xbb\xbf" + text(t.claims))
_raw("payload_nan", lambda t: text(t.claims | {"exp": float("nan")}))
_raw("payload_infinity", lambda t: text(t.claims | {"exp": float("inf")}))
_raw("payload_trailing", lambda t: text(t.claims) + b"{}")
_raw("payload_compressed", lambda t: zlib.compress(text(t.claims)))
_raw("header_array", lambda t: text(t.claims), lambda t: text([t.header]))
_raw("header_deep", lambda t: text(t.claims), lambda _: b"[" * 180)
_raw("header_not_utf8", lambda t: text(t.claims), lambda t: text(t.header)[:-1] + b',"x":"\xff"}')
_raw("header_string", lambda t: text(t.claims), lambda _: b'"alg"')


# Other serialisations and spellings


def _changed(name: str, change: Callable[[str], str]) -> None:
    _ATTACKS[name] = lambda target: change(target.control())


def _signature(change: Callable[[bytes], bytes]) -> Callable[[str], str]:
    def make(token: str) -> str:
        head, _, signature = token.rpartition(".")
        return f"{head}.{b64(change(unb64(signature)))}"

    return make


def _malleable(signature: bytes) -> bytes:
    return signature[:32] + (int.from_bytes(signature[32:], "little") + ORDER).to_bytes(32, "little")


def _not_canonical(token: str) -> str:
    """The last character holds 4 bits nobody needs: another one decodes to the same signature."""
    alphabet = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_"
    return token[:-1] + alphabet[alphabet.index(token[-1]) + 1]


def _flattened(token: str) -> str:
    protected, payload, signature = token.split(".")
    return json.dumps({"protected": protected, "payload": payload, "signature": signature})


def _general(token: str) -> str:
    protected, payload, signature = token.split(".")
    return json.dumps({"payload": payload, "signatures": [{"protected": protected, "signature": signature}]})


_changed("signature_missing", lambda token: token.rpartition(".")[0] + ".")
_changed("signature_and_dot_missing", lambda token: token.rpartition(".")[0])
_changed("signature_truncated", _signature(lambda signature: signature[:-1]))
_changed("signature_one_byte", _signature(lambda signature: signature[:1]))
_changed("signature_longer", _signature(lambda signature: signature + b"\0"))
_changed("signature_zero", _signature(lambda _: bytes(64)))
_changed("signature_flipped", _signature(lambda signature: bytes([signature[0] ^ 1]) + signature[1:]))
_changed("signature_flipped_at_the_end", _signature(lambda signature: signature[:-1] + bytes([signature[-1] ^ 1])))
_changed("signature_halves_swapped", _signature(lambda signature: signature[32:] + signature[:32]))
_changed("signature_malleable", _signature(_malleable))
_changed("signature_of_the_identity", _signature(lambda _: b"\1" + bytes(63)))
_changed("signature_not_canonical", _not_canonical)
_changed("padded", lambda token: token + "==")
_changed("padded_parts", lambda token: ".".join(part + "=" * (-len(part) % 4) for part in token.split(".")))
_changed("standard_alphabet", lambda token: token.replace("-", "+").replace("_", "/") + "+")
_changed("white_space_inside", lambda token: token.replace(".", ". ", 1))
_changed("tab_inside", lambda token: token[:20] + "\t" + token[20:])
_changed("extra_dot_at_the_end", lambda token: token + ".")
_changed("extra_dot_at_the_start", lambda token: "." + token)
_changed("four_parts", lambda token: token + ".e30")
_changed("five_parts", lambda token: token + ".e30.e30")
_changed("empty_header", lambda token: token[token.index(".") :])
_changed("empty_payload", lambda token: ".".join([token.split(".")[0], "", token.split(".")[2]]))
_changed("json_flattened", _flattened)
_changed("json_general", _general)
_changed("percent_encoded", lambda token: token.replace(".", "%2E"))
_changed("twice", lambda token: f"{token},{token}")
_changed("reversed", lambda token: token[::-1])
_changed("not_ascii", lambda token: token[:-1] + "ａ")


@attack
def signature_of_another_session(target: Target) -> str:
    other = target.token(sid=str(uuid4()))
    return f"{target.control().rpartition('.')[0]}.{other.rpartition('.')[2]}"


@attack
def payload_swapped(target: Target) -> str:
    header, _, signature = target.control().split(".")
    return f"{header}.{b64(text(target.claims | {'sub': str(uuid4())}))}.{signature}"


@attack
def signed_without_header(target: Target) -> str:
    header, payload = b64(text(target.header)), b64(text(target.claims))
    return f"{header}.{payload}.{b64(target.key.sign(payload.encode()))}"


@attack
def signed_digest_instead(target: Target) -> str:
    head = f"{b64(text(target.header))}.{b64(text(target.claims))}"
    return f"{head}.{b64(target.key.sign(hashlib.sha512(head.encode()).digest()))}"


@attack
def encrypted(target: Target) -> str:
    key = OctKey.import_key(target.public)
    return jwe.encrypt_compact({"alg": "dir", "enc": "A256GCM"}, text(target.claims), key)


@attack
def encrypted_around_the_real_one(target: Target) -> str:
    key = OctKey.import_key(target.public)
    return jwe.encrypt_compact({"alg": "dir", "enc": "A256GCM", "cty": "JWT"}, target.control().encode(), key)


@attack
def nothing(_: Target) -> str:
    return "x"


@attack
def only_dots(_: Target) -> str:
    return ".."


def corpus() -> Iterator[tuple[str, Attack]]:
    """Every attack by its name."""
    yield from _ATTACKS.items()
