"""Rules for values assigned to names that say secret: what no provider's own rule has claimed."""

from __future__ import annotations

import re
from typing import Final

from devlore_server.memory.secrets.lookalikes import is_password, is_random
from devlore_server.memory.secrets.rule import Rule

_KEY_OF: Final = (
    r"api|access|auth|private|encryption|signing|secret|master|account|app|client|session|service|shared|hmac"
    r"|cipher|aes"
)
_SECRET_NAME: Final = rf"(?:secret|token|credential|(?:{_KEY_OF})[_-]?key|[_-]pat\b|[_-]dsn\b)"
_PASSWORD_NAME: Final = r"(?:pass(?:word|wd|phrase|code)|passwort|kennwort|contrase|pwd|[_-]pass\b|\bpass\b)"
_QUOTED_SEPARATOR: Final = (
    r"(?:[\"'\]\)\\]{0,4}\s{0,4}(?:[:=]{1,3}|=>|->)\s{0,4}|[\"'],\s{0,2}"
    r"|[\"']\)?\s{0,2},\s{0,2}[\"']?value[\"']?\s?[:=]\s?)"
)
_QUOTED: Final = r"[bru]{0,2}(?:\\?\"([^\"\\\s]+)\\?\"|\\?'([^'\\\s]+)\\?'|`([^`\s]+)`)"
_SEPARATOR: Final = r"(?:[\"'\]]{0,2}[ \t]{0,4}(?::=|=>|==?|:)[ \t]{0,4}\\?)"
_BARE: Final = r"([^\s\"'`,;&<>(){}\[\]\\]+)(?:[\s\"'`,;&<>)}\]\\]|\z)"
_OTHER: Final = re.compile(
    r"(?:type|name|url|uri|id|ids|arn|path|file|field|count|length|size|limit|expir\w*|ttl|version|header|endpoint|regex"
    r"|pattern|policy|prefix|suffix|label|hint|manager|provider|class|format|algorithm|scope|ref|env|var|key_ref"
    r"|selector|placeholder|digest|checksum|fingerprint|public|index|idx|pos|text|error|message)s?$",
    re.IGNORECASE,
)
_PUBLIC: Final = re.compile(r"public|publishable|primary|foreign|tokeni[sz]|csrf_?token_?name", re.IGNORECASE)
_SECRET_ID: Final = re.compile(r"(?:secret|role)[_-]?id$", re.IGNORECASE)
_UUID: Final = re.compile(r"[0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12}", re.IGNORECASE)
_NAME: Final = re.compile(r"[\w.-]+")


def _secret(value: str, match: str) -> bool:
    return _names_a_secret(match) and (is_random(value) or bool(_UUID.fullmatch(value)))


def _names_a_secret(match: str) -> bool:
    name = _NAME.match(match)
    named = name[0].rstrip("-.") if name else ""
    return bool(_SECRET_ID.search(named)) or not (_OTHER.search(named) or _PUBLIC.search(named))


def _quoted_password(value: str, match: str) -> bool:
    return _names_a_secret(match) and is_password(value, quoted=True)


def _bare_password(value: str, match: str) -> bool:
    return _names_a_secret(match) and is_password(value, quoted=False)


ASSIGNMENTS: Final = (
    # A line of an environment file: the value ends where the line does, whatever it holds.
    Rule(
        "assigned:password",
        r"[A-Z_]PASS|PASSW|PWD",
        r"(?m)^[+>-]?[ \t]*(?:export |ENV |set |- )?"
        r"[A-Z][A-Z0-9_]*?(?:PASS(?:W(?:OR)?D|PHRASE)?|PWD)[A-Z0-9_]*=([^\s\"'`]+)$",
        lambda value, match: _names_a_secret(match.partition("=")[0].split()[-1]) and is_password(value, quoted=False),
    ),
    # In a connection string only a semicolon ends a value.
    Rule(
        "assigned:password",
        r"(?i:;\s?(?:password|pwd)\s?=)",
        r"(?i:;\s?(?:password|pwd))\s?=\s?([^;\s\"']+)",
        _bare_password,
    ),
    Rule(
        "assigned:secret", rf"(?i:{_SECRET_NAME})", rf"(?i:{_SECRET_NAME})[\w.-]*{_QUOTED_SEPARATOR}{_QUOTED}", _secret
    ),
    Rule("assigned:secret", rf"(?i:{_SECRET_NAME})", rf"(?i:{_SECRET_NAME})[\w.-]*{_SEPARATOR}{_BARE}", _secret),
    Rule(
        "assigned:password",
        rf"(?i:{_PASSWORD_NAME})",
        rf"(?i:{_PASSWORD_NAME})[\w.-]*{_QUOTED_SEPARATOR}{_QUOTED}",
        _quoted_password,
    ),
    Rule(
        "assigned:password",
        rf"(?i:{_PASSWORD_NAME})",
        rf"(?i:{_PASSWORD_NAME})[\w.-]*{_SEPARATOR}{_BARE}",
        _bare_password,
    ),
    Rule(
        "assigned:password",
        r"(?i:--password|--pass |--token|--api-key|--secret)",
        r"--(?:password|pass|passwd)[ =][\"']?([^\s\"'|;<>]+)",
        _bare_password,
    ),
    Rule(
        "assigned:secret",
        r"(?i:--token|--api-key|--secret|--key)",
        r"--(?:[\w-]*token|api-key|[\w-]*secret|auth-key)[ =][\"']?([^\s\"'|;<>]+)",
        _secret,
    ),
    Rule(
        "assigned:password",
        r"(?i:identified by|password '|<password>|<passwd>|<token>|<secret>|apikey>)",
        r"(?i:identified (?:with \w+ )?by|(?:with )?password) '([^'\s]+)'"
        r"|(?i:<(?:password|passwd|secret|token|api-?key)>)([^<\s]+)<",
        _quoted_password,
    ),
    Rule(
        "assigned:password",
        r"(?i:mysql|mysqldump|sshpass|redis-cli)",
        r"(?:mysql(?:dump|admin)?\b[^\n|;]{0,120}?\s-p|sshpass -p ?|redis-cli\b[^\n|;]{0,80}?\s-a )[\"']?([^\s\"']+)",
        _bare_password,
    ),
)
