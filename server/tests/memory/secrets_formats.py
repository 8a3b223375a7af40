"""Secrets of every format, drawn at random and assembled when asked for, so that none is written down anywhere."""

from __future__ import annotations

import base64
import json
import string
import textwrap
import uuid
import zlib
from collections.abc import Callable
from dataclasses import dataclass
from random import Random

from cryptography.hazmat.primitives.asymmetric import ec, ed25519
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat

from devlore_server.kit.credentials import new_api_key

BASE62 = string.digits + string.ascii_uppercase + string.ascii_lowercase
BASE64 = string.ascii_letters + string.digits + "+/"
URLSAFE = string.ascii_letters + string.digits + "-_"
HEX = "0123456789abcdef"
BASE32 = string.ascii_uppercase + "234567"
_BECH32 = "qpzry9x8gf2tvdw0s3jn54khce6mua7l"
_WORDS = (
    "river",
    "copper",
    "saddle",
    "winter",
    "mango",
    "falcon",
    "harbor",
    "velvet",
    "pepper",
    "orbit",
    "lantern",
    "cactus",
)

Make = Callable[[Random], str]


@dataclass(frozen=True)
class Format:
    """How to draw a secret, and what it is assigned to: names for development, names for the held-out part."""

    name: str
    make: Make
    names: tuple[str, ...]
    held_out_names: tuple[str, ...]


def drawn(random: Random, alphabet: str, length: int) -> str:
    """Random characters, no five alike in a row: a checker may take such a run for a placeholder."""
    text = ""
    while len(text) < length:
        one = random.choice(alphabet)
        if text[-3:] != one * 3:
            text += one
    return text


def base64_of(random: Random, size: int) -> str:
    return base64.b64encode(random.randbytes(size)).decode()


def checked(random: Random, prefix: str) -> str:
    """A token whose last six characters are the CRC-32 of the thirty before, in base 62."""
    body = drawn(random, BASE62, 30)
    number, digits = zlib.crc32(body.encode()), ""
    while number:
        number, rest = divmod(number, 62)
        digits = BASE62[rest] + digits
    return prefix + body + digits.rjust(6, "0")


def grafana(random: Random) -> str:
    body = "gl" + "sa_" + drawn(random, BASE62, 32)
    return f"{body}_{zlib.crc32(body.encode()):08x}"


def age_key(random: Random) -> str:
    """BIP 173 over 32 random bytes."""
    prefix, values = "age-secret-key-", [random.randrange(32) for _ in range(51)] + [random.choice((0, 16))]
    expanded = [ord(c) >> 5 for c in prefix] + [0] + [ord(c) & 31 for c in prefix]

    def polymod(data: list[int]) -> int:
        check = 1
        for value in data:
            top = check >> 25
            check = (check & 0x1FFFFFF) << 5 ^ value
            for bit, generator in enumerate((0x3B6A57B2, 0x26508E6D, 0x1EA119FA, 0x3D4233DD, 0x2A1462B3)):
                check ^= generator if top >> bit & 1 else 0
        return check

    check = polymod(expanded + values + [0] * 6) ^ 1
    tail = [check >> 5 * (5 - place) & 31 for place in range(6)]
    return (prefix + "1" + "".join(_BECH32[v] for v in values + tail)).upper()


def jwt(random: Random, algorithm: str = "HS256") -> str:
    def part(value: object) -> str:
        return base64.urlsafe_b64encode(json.dumps(value).encode()).rstrip(b"=").decode()

    claims = {"sub": drawn(random, HEX, 12), "iat": 1_700_000_000 + random.randrange(10**7), "role": "admin"}
    signature = base64.urlsafe_b64encode(random.randbytes(32)).rstrip(b"=").decode()
    return f"{part({'alg': algorithm, 'typ': 'JWT'})}.{part(claims)}.{signature}"


def pem(random: Random) -> str:
    """A private key as its tools write it: PKCS 8, SEC 1, OpenSSH, or (random bytes in the shape of) RSA."""
    kind = random.randrange(4)
    if kind == 0:
        key = ed25519.Ed25519PrivateKey.from_private_bytes(random.randbytes(32))
        return key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption()).decode().strip()
    if kind == 1:
        curve = ec.derive_private_key(random.getrandbits(250) + 1, ec.SECP256R1())
        return curve.private_bytes(Encoding.PEM, PrivateFormat.TraditionalOpenSSL, NoEncryption()).decode().strip()
    label = ("RSA ", "OPENSSH ")[kind - 2] + "PRIVATE KEY"
    body = "\n".join(textwrap.wrap(base64_of(random, 600), 64))
    return f"-----BEGIN {label}-----\n{body}\n-----END {label}-----"


def password(random: Random) -> str:
    """What a person or a generator comes up with: letters, digits and a sign, 10 to 20 characters."""
    style = random.randrange(3)
    if style == 0:
        word = random.choice(_WORDS).capitalize()
        return word + random.choice("!#%&*+-_") + drawn(random, string.digits, 4) + random.choice(_WORDS).capitalize()
    alphabet = BASE62 + ("!#%*+-_." if style == 1 else "")
    while True:
        text = drawn(random, alphabet, random.randrange(12, 21))
        if any(c.isdigit() for c in text) and any(c.isalpha() for c in text) and text[0].isalnum():
            return text


def basic(random: Random) -> str:
    return base64.b64encode(f"{random.choice(_WORDS)}:{password(random)}".encode()).decode()


def discord(random: Random) -> str:
    id = base64.b64encode(str(random.randrange(10**17, 10**18)).encode()).decode().rstrip("=")
    return f"{id}.{drawn(random, URLSAFE, 5)}a.{drawn(random, URLSAFE, 36)}Z"


def identifier(random: Random) -> str:
    return str(uuid.UUID(int=random.getrandbits(128), version=4))


def of(prefix: str, alphabet: str, length: int, suffix: str = "") -> Make:
    """A maker of ``prefix`` and random characters."""
    return lambda random: prefix + drawn(random, alphabet, length) + suffix


_TOKEN = ("API_TOKEN", "token", "authToken", "ACCESS_TOKEN")
_TOKEN_HELD = ("SERVICE_CREDENTIAL", "key", "x", "deploy_value")


def _marked(name: str, make: Make) -> Format:
    return Format(name, make, _TOKEN, _TOKEN_HELD)


# Prefixes are written in two pieces: neither this file nor its history should look like holding a token.
FORMATS: tuple[Format, ...] = (
    _marked("aws access key", of("AK" + "IA", BASE32, 16)),
    _marked("aws session key", of("AS" + "IA", BASE32, 16)),
    Format(
        "aws secret key",
        of("", BASE64, 40),
        ("AWS_SECRET_ACCESS_KEY", "aws_secret_access_key"),
        ("secretAccessKey", "AWS_SECRET_KEY"),
    ),
    _marked("google api key", of("AI" + "za", URLSAFE, 35)),
    _marked("google client secret", of("GOC" + "SPX-", URLSAFE, 28)),
    _marked("google access token", of("ya" + "29.", URLSAFE, 120)),
    Format(
        "azure storage key", lambda r: base64_of(r, 64), ("AccountKey", "account_key"), ("STORAGE_KEY", "accountKey")
    ),
    _marked("azure client secret", lambda r: drawn(r, BASE62, 3) + "8Q" + "~" + drawn(r, BASE62 + "~._-", 33) + "x"),
    _marked("digitalocean", of("do" + "p_v1_", HEX, 64)),
    Format("heroku", identifier, ("HEROKU_API_KEY",), ("heroku_key",)),
    _marked("github classic", lambda r: checked(r, "gh" + "p_")),
    _marked("github oauth", lambda r: checked(r, "gh" + "o_")),
    _marked("github server", lambda r: checked(r, "gh" + "s_")),
    _marked("github fine-grained", lambda r: "github" + f"_pat_{drawn(r, BASE62, 22)}_{drawn(r, BASE62, 59)}"),
    _marked("gitlab", of("gl" + "pat-", URLSAFE, 20)),
    _marked(
        "slack bot",
        lambda r: f"xo{'x'}b-{r.randrange(10**11, 10**12)}-{r.randrange(10**12, 10**13)}-{drawn(r, BASE62, 24)}",
    ),
    _marked(
        "slack user",
        lambda r: f"xo{'x'}p-{r.randrange(10**11, 10**12)}-{r.randrange(10**12, 10**13)}-{drawn(r, HEX, 32)}",
    ),
    _marked(
        "slack webhook",
        lambda r: (
            f"https://hooks.slack.com/services/T{drawn(r, BASE32, 9)}/B{drawn(r, BASE32, 9)}/{drawn(r, BASE62, 24)}"
        ),
    ),
    _marked("stripe live", of("sk" + "_live_", BASE62, 24)),
    _marked("stripe restricted", of("rk" + "_live_", BASE62, 40)),
    _marked("twilio api key", of("S" + "K", HEX, 32)),
    Format("twilio auth token", of("", HEX, 32), ("TWILIO_AUTH_TOKEN",), ("twilioAuthToken",)),
    _marked("sendgrid", lambda r: f"S{'G'}.{drawn(r, URLSAFE, 22)}.{drawn(r, URLSAFE, 42)}Q"),
    _marked("npm", lambda r: checked(r, "np" + "m_")),
    _marked("pypi", of("py" + "pi-AgEIcHlwaS5vcmc", URLSAFE, 150)),
    _marked("hugging face", of("h" + "f_", BASE62, 34)),
    _marked("openai project", of("sk" + "-proj-", URLSAFE, 74, "T3Blbk" + "FJ" + "Zq4wXv7bN2mKt8sLr5dPc3hG")),
    _marked("anthropic", of("sk" + "-ant-api03-", URLSAFE, 93, "AA")),
    _marked("telegram", lambda r: f"{r.randrange(10**9, 10**10)}:AA{drawn(r, URLSAFE, 32)}k"),
    _marked("discord bot", discord),
    _marked("mailgun", of("ke" + "y-", HEX, 32)),
    Format("datadog", of("", HEX, 32), ("DD_API_KEY", "datadog_api_key"), ("datadogApiKey", "DD_APP_KEY")),
    _marked("linear", of("lin" + "_api_", BASE62, 40)),
    _marked("atlassian", lambda r: "ATA" + f"TT3xFfGF0{drawn(r, URLSAFE, 170)}={drawn(r, '0123456789ABCDEF', 8)}"),
    _marked("docker hub", of("dckr" + "_pat_", BASE62, 27)),
    _marked("vault", of("hv" + "s.", BASE62, 90)),
    _marked("databricks", of("da" + "pi", HEX, 32)),
    _marked("age", age_key),
    _marked("grafana", grafana),
    _marked("devlore", lambda _random: new_api_key()),
    _marked("jwt", jwt),
    Format(
        "password", password, ("DB_PASSWORD", "password", "smtp_password"), ("MYSQL_PWD", "adminPassword", "passwd")
    ),
    Format(
        "opaque secret",
        of("", BASE62, 32),
        ("CLIENT_SECRET", "api_key", "SECRET_KEY"),
        ("signingKey", "WEBHOOK_SECRET", "appToken"),
    ),
    Format("hex secret", of("", HEX, 40), ("SECRET_TOKEN", "encryption_key"), ("hmac_secret", "sessionSecret")),
)
