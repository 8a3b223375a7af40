"""Rules for what every protocol carries: passwords in URLs, Authorization headers, JWTs, keys, hashes, client files."""

from __future__ import annotations

import re
from typing import Final

from devlore_server.memory.secrets.lookalikes import is_placeholder, is_random, is_weak
from devlore_server.memory.secrets.rule import Rule
from devlore_server.memory.secrets.structure import basic_credentials, bech32, signed_jwt

_BASE64_RUNS: Final = re.compile(r"[A-Za-z0-9+/]{16,}={0,2}")
_HEADERS: Final = re.compile(r"(?m)^\W*[A-Za-z-]+: .*$")
_LINE_BREAKS: Final = re.compile(r"\\+[nr]")
_MASKED: Final = re.compile(r"^[*.•x-]+$", re.IGNORECASE)
_USER: Final = re.compile(r"//([^:/@\s]*):")


def _private_key(value: str, _match: str) -> bool:
    """There is a key between the lines, and not a few words about one."""
    inside = value.partition("-----")[2].partition("-----")[2].rpartition("-----END")[0] or value
    text = _HEADERS.sub("", _LINE_BREAKS.sub("\n", inside))
    return sum(len(run) for run in _BASE64_RUNS.findall(text)) >= 40 and "[[secret:" not in text


def _url_password(value: str, match: str) -> bool:
    user = _USER.search(match)
    if (
        value == "x-oauth-basic"
        or is_weak(value)
        or is_placeholder(value)
        or _MASKED.match(value)
        or (user and user[1] == value)
    ):
        return False
    return len(value) >= (8 if value.isdigit() else 4)


def _hash(value: str, _match: str) -> bool:
    return len(set(value.rpartition("$")[2])) >= 12


def _bearer(value: str, _match: str) -> bool:
    return is_random(value.rstrip("="), 20)


def _own_password(value: str, _match: str) -> bool:
    return len(value) >= 5 and not is_weak(value) and not is_placeholder(value)


def _curl_user(value: str, _match: str) -> bool:
    user, _, password = value.partition(":")
    return len(password) >= 5 and password != user and not is_weak(password) and not is_placeholder(password)


_ARMOUR: Final = r"[A-Z0-9 ]{0,40}PRIVATE KEY(?: BLOCK)?-----"
_AGE: Final = Rule("age:secret-key", r"(?i:AGE-SECRET-KEY-)", r"\b(?i:(AGE-SECRET-KEY-1[02-9AC-HJ-NP-Z]{58}))", bech32)

KEYS: Final = (
    # A whole block, whatever stands before its lines (quotes, diffs, escapes); and one that was cut off.
    Rule(
        "key:private",
        r"PRIVATE KEY",
        rf"-----BEGIN {_ARMOUR}(?:-{{0,4}}[^-])+?-{{0,4}}-----END {_ARMOUR}",
        _private_key,
    ),
    Rule(
        "key:private",
        r"PRIVATE KEY",
        rf"-----BEGIN {_ARMOUR}(?:(?:[^A-Za-z0-9+/-]|\\+[nr]){{1,12}}[A-Za-z0-9+/=]{{16,}})+",
        _private_key,
    ),
    Rule(
        "key:putty",
        r"Private-Lines: ",
        r"Private-Lines: \d+((?:\s+[A-Za-z0-9+/=]{20,})+)",
        lambda value, _match: len(value) > 80,
    ),
    _AGE,
    Rule(
        "key:jwk",
        r"\"d\"|\\\"d\\\"",
        r"\\?\"(?:d|k)\\?\"\s*:\s*\\?\"([A-Za-z0-9_-]{40,})\\?\"",
        lambda value, _match: is_random(value, 40),
    ),
    Rule(
        "key:kubeconfig",
        r"client-key-data",
        r"client-key-data[\"']?\s*:\s*[\"']?([A-Za-z0-9+/]{60,}={0,2})",
        lambda value, _match: not is_placeholder(value),
    ),
    Rule(
        "key:base64-pem",
        r"LS0tLS1CRUdJTi",
        r"(LS0tLS1CRUdJTi[A-Za-z0-9+/]*(?:UFJJVkFUR|BSSVZBVE|QUklWQVRF)[A-Za-z0-9+/]{40,}={0,2})",
    ),
)

TOKENS: Final = (
    Rule("jwt:signed", r"eyJ", r"\b(eyJ[A-Za-z0-9_-]{8,}\.eyJ[A-Za-z0-9_-]{8,}\.[A-Za-z0-9_-]{16,})", signed_jwt),
    Rule("http:basic", r"(?i:basic )", r"(?i:basic)[ \t]+([A-Za-z0-9+/_-]{8,}={0,2})", basic_credentials),
    Rule(
        "http:bearer",
        r"(?i:bearer|authorization)",
        r"(?i:bearer|authorization[\"'\\]{0,3}\s{0,3}[:=]\s{0,3}\\?[\"']?(?:token|apikey|key|bot|bearer))[ \t]+"
        r"([A-Za-z0-9._~+/-]{20,}={0,2})",
        _bearer,
    ),
    # https://www.rfc-editor.org/rfc/rfc3986#section-3.2.1: the password is what stands between the first colon and @.
    Rule(
        "url:password",
        r"://[^\s/@:]*:[^\s/@]*@",
        r"\b[A-Za-z][A-Za-z0-9+.-]*://[^\s:/?#@\"'<>`]*:([^\s/@\"'<>`]+)@[\w\[.%${-]",
        _url_password,
    ),
    Rule(
        "url:password",
        r"://[^\s/@:]*:[^\s@\"']*@",
        r"\b(?:postgres(?:ql)?|mysql|mariadb|mongodb|redis|rediss|amqps?|mssql|clickhouse|ldaps?|s?ftp|ssh|smtps?)"
        r"(?:\+[a-z0-9]+)?://[^\s:/?#@\"'<>`]*:([^\s\"'<>`]+)@[A-Za-z0-9\[][\w.-]*(?::\d+)?/",
        _url_password,
    ),
    # A token in the place of the user, as `git clone https://TOKEN@host` has it. What Sentry puts there is public.
    Rule(
        "url:token",
        r"://[^\s/@:]*(?::x-oauth-basic)?@",
        r"https?://([A-Za-z0-9_-]{20,})(?::x-oauth-basic)?@[\w.-]+",
        lambda value, match: "sentry" not in match and is_random(value, 20),
    ),
)

FILES: Final = (
    Rule(
        "netrc:password",
        r"(?i:machine|login)",
        r"(?i:\b(?:machine\s+\S+|default)[\s>+]+login[\s>+]+\S+[\s>+]+password)\s+(\S+)",
        _own_password,
    ),
    Rule(
        "pgpass:password",
        r":\d{4,5}:|:\*:",
        r"(?m)^[>+ \t-]{0,4}(?:[\w.-]+|\*):(?:\d{2,5}|\*):(?:[\w$-]+|\*):[\w.$-]+:([^\s:]+)$",
        _own_password,
    ),
    # crypt(5): what shadow and htpasswd files hold; whoever has it can guess at leisure.
    Rule("hash:bcrypt", r"\$2[abxy]?\$", r"(\$2[abxy]?\$\d\d\$[./A-Za-z0-9]{53})", _hash),
    Rule(
        "hash:crypt",
        r"\$(?:1|5|6|y|7|apr1|gy)\$",
        r"(\$(?:1|5|6|apr1)\$(?:rounds=\d+\$)?[./A-Za-z0-9]{1,16}\$[./A-Za-z0-9]{22,86}|\$g?y\$[./A-Za-z0-9]+\$[./A-Za-z0-9]{1,86}\$[./A-Za-z0-9]{43})",
        _hash,
    ),
    Rule(
        "hash:argon2",
        r"\$argon2",
        r"(\$argon2id?d?\$v=\d+\$[mtp=,\d]+\$[A-Za-z0-9+/]{11,64}\$[A-Za-z0-9+/]{22,})",
        _hash,
    ),
    Rule("hash:ldap", r"\{(?:S?SHA|SMD5)\d*\}", r"(\{(?:S?SHA|SMD5)(?:256|384|512)?\}[A-Za-z0-9+/]{24,}={0,2})", _hash),
    Rule(
        "curl:user", r"\bcurl", r"\bcurl\b[^\n|;]{0,300}?\s(?:-u\s?|--user[ =])[\"']?([^\s:\"']+:[^\s\"']+)", _curl_user
    ),
)

PROTOCOLS: Final = (*KEYS, *TOKENS, *FILES)
