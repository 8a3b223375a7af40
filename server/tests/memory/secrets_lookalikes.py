"""Texts that look like holding a secret and do not: hashes, names, references, masks, documented examples.

Two parts, as in ``secrets_corpus``: other places and, where there are several, other kinds of the same thing.
"""

from __future__ import annotations

import base64
import hashlib
import json
from collections.abc import Callable
from itertools import pairwise
from random import Random

from tests.memory.secrets_corpus import Part, Sample
from tests.memory.secrets_formats import BASE62, BASE64, HEX, base64_of, drawn, identifier

Make = Callable[[Random], str]
_WORDS = (
    "cache",
    "session",
    "worker",
    "queue",
    "tenant",
    "ledger",
    "index",
    "shard",
    "replica",
    "cursor",
    "token",
    "password",
    "secret",
    "vault",
)


def lookalikes(part: Part, *, seed: int = 20260302, rounds: int = 6) -> list[Sample]:
    """``rounds`` of every kind."""
    random = Random(f"{seed} {part} look-alikes")
    kinds = _DEVELOPMENT if part == "development" else _HELD_OUT
    return [
        Sample(make(random), (), name, "look-alike") for _ in range(rounds) for name, make in (_BOTH | kinds).items()
    ]


def _sha(random: Random) -> str:
    return hashlib.sha1(random.randbytes(16), usedforsecurity=False).hexdigest()


def _sha256(random: Random) -> str:
    return hashlib.sha256(random.randbytes(16)).hexdigest()


def _name(random: Random) -> str:
    return "_".join(random.sample(_WORDS, 3))


def _camel(random: Random) -> str:
    return "".join(word.capitalize() for word in random.sample(_WORDS, 4)) + "V2"


def _minified(random: Random) -> str:
    names = [random.choice("abcdefghijklmnopqrstuvwxyz") for _ in range(40)]
    body = ";".join(f"var {a}={b}.token||{a}.key({random.randrange(99)})" for a, b in pairwise(names))
    return f"!function(e,t){{{body};return e.password=t.secret,e}}(this);"


def _public_pem(random: Random) -> str:
    label = random.choice(("PUBLIC KEY", "CERTIFICATE", "RSA PUBLIC KEY"))
    return f"-----BEGIN {label}-----\n{base64_of(random, 200)}\n-----END {label}-----"


def _spoiled(prefix: str) -> Make:
    def make(random: Random) -> str:
        return f"rejected as malformed: {prefix}{drawn(random, BASE62, 35)}{random.choice('!? ')}"

    return make


_BOTH: dict[str, Make] = {
    "git sha": lambda r: f"commit {_sha(r)}\nAuthor: Ada <ada@acme.dev>\n\n    Fix the token refresh",
    "uuid": lambda r: f"request_id={identifier(r)} trace={drawn(r, HEX, 32)} status=200",
    "reference": lambda r: r.choice(
        (
            "password: ${DB_PASSWORD}",
            "export API_TOKEN=$VAULT_TOKEN_V2",
            'secret = os.environ["CLIENT_SECRET_2"]',
            "token: {{ .Values.auth.token1 }}",
            "password = getpass.getpass(prompt='pw1')",
            "API_KEY: ${{ secrets.API_KEY_V2 }}",
            "const token = process.env.AUTH_TOKEN2;",
            'password = "%(db_password1)s"',
        )
    ),
    "documented example": lambda r: r.choice(
        (
            "aws_access_key_id = AKIAIOSFODNN7EXAMPLE",
            "aws_secret_access_key = wJalrXUtnFEMI/K7MDENG/bPxRfiCYEXAMPLEKEY",
            "postgres://user:password@localhost:5432/db",
            "postgresql://postgres:postgres@localhost/test",
            "amqp://guest:guest@rabbit:5672/",
            "https://user:pass@example.com/repo.git",
            "Authorization: Bearer <your-token-here>",
            "api_key = 'YOUR_API_KEY_1234567890'",
            "password: changeme123",
            "ghp_" + "x" * 36,
            "sk_live_" + "0" * 24,
        )
    ),
    "masked": lambda r: r.choice(
        (
            "password=********",
            "token: [REDACTED]",
            "Authorization: Bearer ***",
            "postgres://app:***@db/main",
            "secret=xxxxxxxxxxxxxxxxxxxxxxxx",
            "[[secret:aws:access-key:0a1b2c3d]]",
            "password: [[secret:assigned:password:12ab34cd]]",
            "api_key: sk-…aB3",
        )
    ),
    "public key": lambda r: f"ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAI{drawn(r, BASE64, 43)} ada@laptop",
    "public pem": _public_pem,
    "bad checksum": _spoiled("gh" + "p_"),
    "user without password": lambda r: (
        f"git clone https://ada@git.corp.net/acme/{_name(r)}.git && ssh deploy@{_name(r)}.internal"
    ),
    "code": lambda r: r.choice(
        (
            f"def check_password(self, password: str) -> bool:\n    return self.{_name(r)}(password)",
            f"token = self.tokens.{_name(r)}(user_id=42)",
            f"if secret == expected_secret_v2 and {_name(r)}: return",
            f"password_hash = bcrypt2.hashpw({_name(r)}, salt)",
            f"assert token.kind is TokenKind2.{_camel(r)}",
            f"session_key={_name(r)}_v2",
        )
    ),
    "prose": lambda r: r.choice(
        (
            "The password must have at least 15 characters, or 8 with a second factor.",
            "Token: the smallest unit a tokenizer returns; see section 4.2.",
            "We rotate the secret every 90 days and keep the last 2.",
            "A private key never leaves the machine; the public one is printed at start.",
            "Basic auth is switched off since v2.4.1; use bearer tokens.",
            "api key: see 1Password, vault Platform2",
        )
    ),
    "minified": _minified,
    "identifier": lambda r: (
        f"secretName: {_name(r).replace('_', '-')}-tls-2\nclass {_camel(r)}TokenProviderFactory2: ..."
    ),
}
_DEVELOPMENT: dict[str, Make] = {
    "lockfile": lambda r: (
        f'"integrity": "sha512-{base64_of(r, 64)}",\n"resolved": "https://registry.npmjs.org/a/-/a-1.2.3.tgz"'
    ),
    "pip hash": lambda r: f"psycopg==3.2.3 \\\n    --hash=sha256:{_sha256(r)}",
    "image": lambda r: f"![logo](data:image/png;base64,iVBORw0KGgo{base64_of(r, 240)})",
    "md5 sums": lambda r: f"{drawn(r, HEX, 32)}  dump.sql\n{drawn(r, HEX, 32)}  keys.txt",
    "fingerprint": lambda r: f"256 SHA256:{drawn(r, BASE64, 43)} ada@laptop (ED25519)",
    "digest": lambda r: f"FROM python@sha256:{_sha256(r)}",
    "etag": lambda r: f'ETag: "{drawn(r, HEX, 32)}"\nx-amz-request-id: {drawn(r, "0123456789ABCDEF", 16)}',
    "secret reference": lambda r: f"valueFrom:\n  secretKeyRef:\n    name: {_name(r)}\n    key: password",
    "sentry dsn": lambda r: f"dsn: https://{drawn(r, HEX, 32)}@o12345.ingest.sentry.io/67890",
    "unsigned jwt": lambda r: (
        "eyJhbGciOiJub25lIn0." + base64.urlsafe_b64encode(json.dumps({"sub": _name(r)}).encode()).decode() + "."
    ),
    "publishable": lambda r: f"pk_{'live'}_{drawn(r, BASE62, 24)} is public; so is the site key",
    "oauth client id": lambda r: (
        f"client_id: {r.randrange(10**11, 10**12)}-{drawn(r, HEX, 32)}.apps.googleusercontent.com"
    ),
}
_HELD_OUT: dict[str, Make] = {
    "go.sum": lambda r: (
        f"golang.org/x/crypto v0.21.0 h1:{base64_of(r, 32)}\ngolang.org/x/crypto v0.21.0/go.mod h1:{base64_of(r, 32)}"
    ),
    "cargo lock": lambda r: f'name = "secrecy"\nversion = "0.8.0"\nchecksum = "{_sha256(r)}"',
    "subresource integrity": lambda r: (
        f'<script src="/app.js" integrity="sha384-{base64_of(r, 48)}" crossorigin></script>'
    ),
    "font": lambda r: f"@font-face{{src:url(data:font/woff2;base64,d09GMg{base64_of(r, 300)})}}",
    "nix": lambda r: f'sha256 = "sha256-{base64_of(r, 32)}";\nrev = "{_sha(r)}";',
    "trace context": lambda r: f"traceparent: 00-{drawn(r, HEX, 32)}-{drawn(r, HEX, 16)}-01",
    "hex dump": lambda r: "\n".join(
        f"{n:08x}  {drawn(r, HEX, 2)} {drawn(r, HEX, 2)} {drawn(r, HEX, 2)}" for n in range(4)
    ),
    "arn": lambda r: (
        f"SecretId: arn:aws:secretsmanager:eu-west-1:{r.randrange(10**11, 10**12)}:secret:"
        f"{_name(r)}-{drawn(r, BASE62, 6)}"
    ),
    "path": lambda r: f"password_file: /run/secrets/{_name(r)}_2\ntoken_path = ./{_name(r)}/token1.txt",
    "object name": lambda r: (
        f"pod/{_name(r).replace('_', '-')}-{drawn(r, HEX, 10)}-{drawn(r, BASE62.lower(), 5)} Running"
    ),
    "tutorial jwt": lambda r: (
        ".".join(
            base64.urlsafe_b64encode(json.dumps(one).encode()).decode().rstrip("=")
            for one in ({"alg": "HS256", "typ": "JWT"}, {"sub": "1234567890", "name": "John Doe", "iat": 1516239022})
        )
        + "."
        + drawn(r, BASE62, 43)
    ),
    "test data": lambda r: f'User(name="{_name(r)}", password="test1234", token="dummy-token-123")',
    "subject key": lambda r: (
        f"X509v3 Subject Key Identifier:\n    {':'.join(drawn(r, HEX, 2).upper() for _ in range(20))}"
    ),
}
