"""What a leaf says, as JSON, and its hash; no database. The format is final: ``docs/ops/audit.md`` documents it."""

from __future__ import annotations

import hashlib
import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any, Literal, get_args
from uuid import UUID

import orjson

from devlore.types.audit import AuditAction, AuditResult
from devlore_server.kit.ids import new_id

VERSION = 1
"""The version of the format, hashed with the rest."""

PersonalKind = Literal["person", "email", "network"]
ActorType = Literal["person", "system", "nobody"]
KINDS: frozenset[str] = frozenset(get_args(PersonalKind))
"""What is personal data: a leaf holds a pseudonym in its place."""

# JSON in PostgreSQL holds no NUL, and RFC 8785 no lone surrogate.
_UNSTORABLE = re.compile("[\x00\ud800-\udfff]")
_LONGEST = 500
_TARGETS = 2
_WHOLE = 2**53 - 1
_RESERVED = frozenset({"request", "session", "key", "network"})
_NAME = re.compile(r"[a-z][a-z0-9_]*")


@dataclass(frozen=True, slots=True)
class Personal:
    """Somebody in a leaf's context: a person's id, an e-mail address or a network; stored as a pseudonym."""

    kind: PersonalKind
    value: str


Value = str | int | bool | UUID | Personal | Sequence[str] | None
"""What a leaf's context may hold. No floats: their canonical form is where implementations differ."""


@dataclass(frozen=True, slots=True)
class Leaf:
    """One fact to keep. ``targets`` are ``(type, id)``, two at most, which is how many a filter finds a leaf by; those
    of type person, email or network become pseudonyms.

    ``context`` says what is needed to judge it (a role, a reason code, a count), never what somebody wrote.
    """

    action: AuditAction
    targets: Sequence[tuple[str, str | UUID]] = ()
    result: AuditResult = "ok"
    context: Mapping[str, Value] = field(default_factory=dict)

    def __post_init__(self) -> None:
        if len(self.targets) > _TARGETS:
            raise ValueError(f"a leaf has at most {_TARGETS} targets")
        for name in self.context:
            if name in _RESERVED or not _NAME.fullmatch(name):
                raise ValueError(f"a leaf's context has no {name!r}")

    def personal(self) -> Iterator[Personal]:
        """Whom it names."""
        for kind, value in self.targets:
            if kind in KINDS:
                yield personal(kind, value)
        for one in self.context.values():
            if isinstance(one, Personal):
                yield one


Pseudonyms = Mapping[Personal, UUID]


def personal(kind: Any, value: str | UUID) -> Personal:
    """Somebody named by a target."""
    return Personal(kind, _text(str(value)))


def documents(
    leaves: Iterable[Leaf],
    *,
    organisation: UUID,
    at: datetime,
    actor: Mapping[str, Any],
    about: Mapping[str, Any],
    pseudonyms: Pseudonyms,
) -> list[dict[str, Any]]:
    """Leaves as the JSON objects their hashes are made over; ``about`` is what each context says of the request."""
    shared = {"v": VERSION, "organisation": str(organisation), "occurred_at": moment(at), "actor": dict(actor)}
    return [
        shared
        | {
            "id": str(new_id()),
            "action": leaf.action,
            "targets": [_reference(kind, value, pseudonyms) for kind, value in leaf.targets],
            "result": leaf.result,
            "context": {**about, **{name: _plain(value, pseudonyms) for name, value in leaf.context.items()}},
        }
        for leaf in leaves
    ]


def canonical(document: Mapping[str, Any]) -> bytes:
    """A leaf's RFC 8785 (JCS) form, which its hash is the SHA-256 of.

    Where names are ASCII and numbers are integers that a double holds, which is all a leaf may have, sorted names and
    no spaces are that form; writing it so is 20 times faster than the general way.
    """
    return orjson.dumps(document, option=orjson.OPT_SORT_KEYS)


def digest(document: Mapping[str, Any]) -> bytes:
    """A leaf's hash: 32 bytes."""
    return hashlib.sha256(canonical(document)).digest()


def hashed(document: Mapping[str, Any]) -> bytes:
    """A leaf's JSON with its hash as SQL's ``bytea`` reads it."""
    form = canonical(document)
    return b'%b,"hash":"\\\\x%b"}' % (form[:-1], hashlib.sha256(form).hexdigest().encode())


def moment(at: datetime) -> str:
    """RFC 3339 in UTC with exactly six digits of a second."""
    return at.astimezone(UTC).strftime("%Y-%m-%dT%H:%M:%S.%fZ")


def _reference(kind: str, value: str | UUID, pseudonyms: Pseudonyms) -> dict[str, Any]:
    shown = pseudonyms[personal(kind, value)] if kind in KINDS else value
    return {"type": kind, "id": _text(str(shown))}


def _plain(value: Value, pseudonyms: Pseudonyms) -> Any:
    if isinstance(value, Personal):
        return {"type": value.kind, "id": str(pseudonyms[value])}
    if value is None or isinstance(value, bool):
        return value
    if isinstance(value, int):
        return value if abs(value) <= _WHOLE else str(value)
    if isinstance(value, str | UUID):
        return _text(str(value))
    return [_text(one) for one in value]


def _text(value: str) -> str:
    return _UNSTORABLE.sub("\ufffd", value[:_LONGEST])
