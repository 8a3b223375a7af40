"""What only looks like a secret: placeholders, references to where a secret is kept, names, paths and plain words."""

from __future__ import annotations

import math
import re
from collections import Counter
from itertools import pairwise
from typing import Final

_DUMMY: Final = re.compile(
    r"example|sample|dummy|placeholder|change[-_]?(?:me|it|this)|replace[-_]?(?:me|this|with)|insert[-_]?|redacted"
    r"|removed|hidden|masked|censored|(?<![a-z0-9])(?:your|fake|todo|fixme)|my[-_]?(?:secret|token|key|pass|super)"
    r"|not[-_]?a?[-_]?(?:real|secret)|foobar|deadbeef|notset|undefined|\.\.\.|…|xxxx|\*\*\*|\[\[secret:|0123456789|123456789"
    r"|abcdefgh|987654321",
    re.IGNORECASE,
)
_REPEATED: Final = re.compile(r"(.)\1{5}|^(.{1,4})\2{3,}$")
_REFERENCE: Final = re.compile(
    r"\$\{|\$\(|^\$[A-Za-z_\d]|\{\{|\}\}|^%[A-Za-z_]+%?$|%\(|^<.*>?$|^\{[\w.]*\}?$|^@|^&|^#\{|^:[a-z]"
    r"|^(?:process|os|env|environ|secrets?|vars?|config|settings|self|this|ctx|data|local|module|var|inputs|params"
    r"|args|options|request|req|kwargs|steps|github|matrix|needs|values)\b[.\[]"
    r"|^(?:vault|op|ssm|arn|sops|secretsmanager|keyvault|gcp-sm|awssm|env|file|projects)[:/]"
    r"|^ENC\[|^!(?:vault|Ref|Sub|secret)|^[a-z][a-z\d+.-]*://",
    re.IGNORECASE,
)
_CHAIN: Final = re.compile(r"^[A-Za-z_]\w*(?:(?:\.|::|->)[A-Za-z_]\w*)+$")
_PLAIN_NAME: Final = re.compile(r"^[A-Za-z_]+\d{0,2}$")
_PARTS: Final = re.compile(r"[A-Z]?[a-z]+|[A-Z]+(?![a-z])|\d+")
_VOWEL: Final = re.compile(r"[aeiouy]", re.IGNORECASE)
_CLUSTER: Final = re.compile(r"[bcdfghjklmnpqrstvwxz]{4}", re.IGNORECASE)
_HEX: Final = re.compile(r"^[0-9a-fA-F]+$")
_TOKEN: Final = re.compile(r"^[A-Za-z0-9+/=_.~:%!@#$^*|-]+$")
_SAYS_SO: Final = re.compile(r"^[a-z_-]*passw(?:or)?d[a-z_-]*\d*!?$")
_WEAK: Final = re.compile(
    r"(?:"
    r"password|passwd|passw0rd|passphrase|pass|pwd|secret|token|user|username|admin|administrator|root|guest"
    r"|test|testing|tester|login|postgres|mysql|redis|mongo|rabbitmq|letmein|none|null|nil|true|false|empty"
    r"|string|required|optional|default|value|missing|invalid|wrong|incorrect|unknown|anonymous|foo|bar|baz|qux"
    r"|spam|eggs|hunter|p4ssw0rd|pw|pa55word|abc|qwerty|asdf|asdfasdf|name|correct-horse-battery-staple"
    r")[!\d]*",
    re.IGNORECASE,
)


def entropy(text: str) -> float:
    """Shannon entropy in bits per character, of the characters as they are."""
    counts = Counter(text)
    return -sum(n / len(text) * math.log2(n / len(text)) for n in counts.values()) if text else 0.0


def is_placeholder(value: str) -> bool:
    """Whether somebody wrote this where a secret would be: a dummy, a mask, or a reference to the real one."""
    return bool(_DUMMY.search(value) or _REPEATED.search(value) or _REFERENCE.search(value))


def not_a_placeholder(value: str, _match: str) -> bool:
    """For tokens with a mark of their own: anything but a dummy, a mask, or one character again and again."""
    return not is_placeholder(value) and len(set(value)) >= min(9, len(value) // 3)


def is_wordy(value: str) -> bool:
    """Whether most of it is words, as in names, paths and sentences; random text is not."""
    parts = _PARTS.findall(value)
    words = (part for part in parts if len(part) >= 4 and _VOWEL.search(part) and not _CLUSTER.search(part))
    return sum(map(len, words)) * 2 > len(value)


def is_random(value: str, least: int = 16) -> bool:
    """Whether a value looks drawn at random: long, varied, of letters and digits that take turns."""
    if len(value) < least or not _TOKEN.match(value) or is_placeholder(value) or _CHAIN.match(value):
        return False
    if _HEX.match(value):
        return len(value) >= 20 and not value.isdigit() and entropy(value) >= 2.9
    if not any(c.isdigit() for c in value) or not any(c.isalpha() for c in value):
        return False
    return entropy(value) >= min(3.3, math.log2(len(value)) - 0.75) and not is_wordy(value) and _turns(value) >= 0.15


def is_password(value: str, *, quoted: bool) -> bool:
    """Whether a value assigned to a password could be one: not a word, a dummy, a reference, or code."""
    if not 7 <= len(value) <= 200 or is_placeholder(value) or is_weak(value):
        return False
    kinds = (
        any(c.islower() for c in value)
        + any(c.isupper() for c in value)
        + any(c.isdigit() for c in value)
        + any(not c.isalnum() and c not in "_-./" for c in value)
    )
    if kinds < 2 or (kinds < 3 and not any(c.isdigit() for c in value)):
        return False
    if _CHAIN.match(value):
        return quoted and not is_wordy(value)
    if _PLAIN_NAME.match(value) or value.lower().startswith(("test", "pass", "user", "/", "./", "../")):
        return quoted and len(value) >= 12 and not is_wordy(value)
    return quoted or len(value) >= 8


def is_weak(value: str) -> bool:
    """Whether everybody knows this password: the word itself, a default, a dummy."""
    return bool(_WEAK.fullmatch(value) or _SAYS_SO.match(value))


def _turns(value: str) -> float:
    """How often neighbours are of different kinds (upper, lower, digit), as a share."""
    kinds = ["d" if c.isdigit() else "u" if c.isupper() else "l" for c in value if c.isalnum()]
    return sum(a != b for a, b in pairwise(kinds)) / max(1, len(kinds) - 1)
