"""The gate: whatever somebody writes passes here before it is stored, indexed, logged or answered.

``Screen`` looks at every text of what it is given (a draft, a patch, a link, an exported record), whichever fields
that has. What happens to a secret is the organisation's choice: it is masked by a marker, the write is refused, or it
is stored as it is and tagged.

A marker is ``[[secret:aws:access-key:9f31c2ab]]``: the rule, and 32 bits of an HMAC-SHA-256 of the secret under a key
of the organisation's, so that one secret looks the same wherever it stood and again at the next sync. Nobody gets back
from there to a random secret; whoever may write here could try guesses at a weak password.
"""

from __future__ import annotations

import asyncio
import hashlib
import hmac
import re
import secrets
from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import cache
from itertools import takewhile
from typing import Any, Final, Generic, Literal, TypeVar, cast
from uuid import UUID

from pydantic import BaseModel, ValidationError

from devlore.problems import HoldsSecret, Invalid, NotAllowed
from devlore.types import CONTAINS_SECRET, MemoryDraft
from devlore.types.audit import AuditAction
from devlore_server.kit import audit
from devlore_server.kit.audit import Leaf
from devlore_server.kit.auth import Principal
from devlore_server.kit.db import Connection, Database
from devlore_server.memory.secrets.places import changed, texts
from devlore_server.memory.secrets.policy import SecretsPolicies
from devlore_server.memory.secrets.scan import Finding, Scanner, replaced
from devlore_server.ports import IngestDraft

T = TypeVar("T")

OVERRIDE: Final = "secrets:override"
"""The scope of those who may store a secret as it is."""
_AT_ONCE: Final = 16_384
"""Characters that are read in a millisecond or so; more is read in a thread, so that nobody waits for it."""
_LEAVES: Final[dict[str, AuditAction]] = {
    "redact": "secret.redacted",
    "block": "secret.blocked",
    "flag": "secret.flagged",
    "override": "secret.overridden",
}
_SHOWN: Final = 100
_OURS: Final = re.compile(r"[a-z_]{1,30}|\d+")
_NAMES: Final = ("/external_id", "/superseded_by")

Done = Literal["redact", "block", "flag", "override"]


@dataclass(frozen=True, slots=True)
class Report:
    """Secrets were found, and what was done; ``places`` pairs JSON pointers with rules."""

    done: Done
    places: tuple[tuple[str, str], ...]

    @property
    def rules(self) -> list[str]:
        """The rules that found something."""
        return sorted({rule for _, rule in self.places})

    def leaf(self, target: UUID | None) -> Leaf:
        """What the audit trail keeps: which rules, in how many places; never where exactly, never what."""
        targets = [("memory", target)] if target is not None else []
        return _leaf(self.done, targets, self.rules, len(self.places))

    def problem(self, errors: Sequence[dict[str, str]] = ()) -> HoldsSecret:
        """The refusal: each place and its rule, unless there are ``errors`` that say more."""
        told = errors or [
            {"pointer": pointer, "detail": f"This holds a secret ({rule}).", "rule": rule}
            for pointer, rule in self.places[:_SHOWN]
        ]
        return HoldsSecret(f"{told[0]['pointer']}: {told[0]['detail']}", errors=list(told), rules=self.rules)


@dataclass(frozen=True, slots=True)
class Screened(Generic[T]):
    """What may be stored of a thing (always safe to tell), what was found in it, and why it is refused, if it is."""

    thing: T
    report: Report | None = None
    refused: Invalid | None = None


class Screen:
    """One for all services of a process; ``secret`` is the instance's, without one fingerprints are this process's."""

    def __init__(self, database: Database, secret: bytes | None = None) -> None:
        self.policies = SecretsPolicies(database)
        self._database = database
        self._secret = secret or secrets.token_bytes(32)
        _scanner()  # a tenth of a second, better at the start than in somebody's first request

    async def one(self, who: Principal, thing: T, *, connection: Connection | None = None, at: str = "") -> Screened[T]:
        """``many`` for one thing; what is refused is raised (``HoldsSecret``), with a leaf unless in a transaction.

        ``at`` is where its caller named it, when the thing itself was not in the request.
        """
        (screened,) = await self.many(who, [thing], connection=connection, at=at)
        if screened.refused is not None:
            if connection is None:
                await self.note_refusal(who, screened.refused)
            raise screened.refused
        return screened

    async def many(
        self,
        who: Principal,
        things: Sequence[T],
        *,
        connection: Connection | None = None,
        override: bool = False,
        connector: bool = False,
        at: str = "",
    ) -> list[Screened[T]]:
        """Each thing as it may be stored; with ``override``, or ``allow_secrets`` of a thing, its secrets as they are.

        Both need the scope (``NotAllowed``); what a ``connector`` brings has no such say. Nothing of a thing that holds
        no secret is copied. Ask over ``connection`` inside a transaction.
        """
        wished = [override or (not connector and bool(getattr(thing, "allow_secrets", False))) for thing in things]
        if any(wished) and OVERRIDE not in who.scopes:
            raise NotAllowed(f"Storing secrets needs the scope {OVERRIDE}.", scope=OVERRIDE)
        found = await _found([list(texts(thing)) for thing in things])
        if not found:
            return [Screened(thing) for thing in things]
        action = await self.policies.action(who, connection)
        return [
            self._screened(who, thing, found[index], "override" if wished[index] else action, at)
            if index in found
            else Screened(thing)
            for index, thing in enumerate(things)
        ]

    async def masked(self, who: Principal, listed: Sequence[str]) -> list[str]:
        """Texts with their secrets masked, whatever the policy."""
        found = await _found([[("", text)] for text in listed])
        masked = {index: self._masked(who, raw, some) for index, ((_, raw, some),) in found.items()}
        return [masked.get(index, text) for index, text in enumerate(listed)]

    async def note_refusal(self, who: Principal, problem: Invalid, about: UUID | None = None) -> None:
        """Leave the leaf of a refusal, in a transaction of its own."""
        targets = [("memory", about)] if about is not None else []
        leaf = _leaf("block", targets, problem.extra["rules"], len(problem.extra["errors"]))
        await audit.refusal(self._database, who, leaf)

    def fingerprint(self, organisation: UUID, secret: bytes) -> str:
        """Eight hexadecimal digits that are the same for the same secret in the same organisation."""
        key = hmac.digest(self._secret, b"devlore secret fingerprint v1" + organisation.bytes, hashlib.sha256)
        return hmac.digest(key, secret, hashlib.sha256)[:4].hex()

    def _masked(self, who: Principal, raw: bytes, some: Sequence[Finding]) -> str:
        def marker(one: Finding) -> str:
            return f"[[secret:{one.rule}:{self.fingerprint(who.organisation, one.secret)}]]"

        return replaced(raw, some, marker)

    def _screened(self, who: Principal, thing: T, found: _Found, done: Done, at: str) -> Screened[T]:
        places = ((at or _told(pointer), one.rule) for pointer, _, some in found for one in some)
        report = Report(done, tuple(places))
        # What an item of a source is called must not depend on the policy: it would be another item after a change.
        masked = {
            pointer: self._masked(who, raw, some)
            for pointer, raw, some in found
            if done in ("redact", "block") or pointer.endswith(_NAMES)
        }
        safe = changed(thing, masked)
        if done == "block":
            return Screened(safe, report, report.problem())
        return _checked(_tagged(safe) if done == "flag" else safe, report)


_Found = list[tuple[str, bytes, list[Finding]]]


def _leaf(done: Done, targets: list[tuple[str, UUID]], rules: list[str], places: int) -> Leaf:
    result: Literal["ok", "refused"] = "refused" if done == "block" else "ok"
    return Leaf(_LEAVES[done], targets, result, {"rules": rules, "places": places})


def _told(pointer: str) -> str:
    """The pointer as far as it is made of our words: further down may be a name of the caller's making."""
    steps = takewhile(_OURS.fullmatch, pointer.removeprefix("/draft").split("/")[1:])
    return "".join(f"/{step}" for step in steps)


@cache
def _scanner() -> Scanner:
    return Scanner()


async def _found(listed: Sequence[Sequence[tuple[str, str]]]) -> dict[int, _Found]:
    if sum(len(text) for places in listed for _, text in places) > _AT_ONCE:
        return await asyncio.to_thread(_scan, listed)
    return _scan(listed)


def _scan(listed: Sequence[Sequence[tuple[str, str]]]) -> dict[int, _Found]:
    found: dict[int, _Found] = {}
    for index, places in enumerate(listed):
        raws = [text.encode("utf-8", "surrogatepass") for _, text in places]
        if some := _scanner().find_in(raws):
            found[index] = [(places[place][0], raws[place], findings) for place, findings in some.items()]
    return found


def leaves(screened: Sequence[Screened[Any]], stored: Sequence[UUID | None]) -> list[Leaf]:
    """What the audit trail keeps of things that were stored (each with its memory) or refused."""
    return [
        one.report.leaf(id)
        for one, id in zip(screened, stored, strict=True)
        if one.report is not None and (id is not None or one.refused is not None)
    ]


def _tagged(thing: T) -> T:
    """A draft or an exported record with the tag; a patch gets it when what it changes is known, a link has none."""
    made: Any = thing
    if isinstance(thing, MemoryDraft):
        made = thing.model_copy(update={"tags": with_tag(thing.tags)})
    elif isinstance(thing, IngestDraft):
        made = replace(thing, draft=_tagged(thing.draft))
    elif isinstance(thing, dict) and isinstance(memory := thing.get("memory"), dict):
        made = thing | {"memory": _tagged(memory)}
    elif isinstance(thing, dict) and isinstance(tags := thing.get("tags"), list):
        made = thing | {"tags": with_tag(tags)}
    return cast(T, made)


def with_tag(tags: Sequence[Any]) -> list[Any]:
    """These tags and the one that says that there is a secret."""
    return [*tags, *([] if CONTAINS_SECRET in tags else [CONTAINS_SECRET])]


def _checked(thing: T, report: Report) -> Screened[T]:
    """A marker may be longer than what it stands for: what no longer fits, or must be a plain word, is refused."""
    model = thing.draft if isinstance(thing, IngestDraft) else thing
    try:
        if isinstance(model, BaseModel):
            type(model).model_validate(model.model_dump(exclude_unset=True))
    except ValidationError as error:
        found = error.errors(include_url=False, include_context=False, include_input=False)[:_SHOWN]
        detail = "This holds a secret; with what takes its place it cannot be stored: {}."
        errors = [
            {"pointer": "".join(f"/{step}" for step in one["loc"]), "detail": detail.format(one["msg"])}
            for one in found
        ]
        refused = replace(report, done="block")
        return Screened(thing, refused, refused.problem(errors))
    return Screened(thing, report)
