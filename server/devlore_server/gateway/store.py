"""SQL of the gateway's own table: claims of idempotency keys, and the answers stored under them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import LiteralString
from uuid import UUID

from psycopg.types.json import Jsonb

from devlore_server.kit.auth import Principal
from devlore_server.kit.db import Connection, Database, row

Headers = list[tuple[str, str]]


@dataclass(frozen=True, slots=True)
class Stored:
    """What is known under a key: no ``status`` while the first request runs, no ``body`` when it is not kept.

    ``subject`` is what the answer is about, ``scopes`` what its request was made with.
    """

    fingerprint: bytes
    subject: UUID | None = None
    scopes: frozenset[str] = frozenset()
    status: int | None = None
    headers: Headers = field(default_factory=list)
    body: bytes | None = None


_CLAIM: LiteralString = """
SELECT mine, fingerprint, subject, scopes, status, headers, body FROM gateway.claim(
    %(organisation)s, %(person)s, %(key)s, %(fingerprint)s, %(claim)s, %(lease)s, %(keep)s)
"""

_ANSWER: LiteralString = """
SELECT gateway.answer(
    %(organisation)s, %(person)s, %(key)s, %(claim)s, %(subject)s, %(scopes)s, %(status)s::smallint, %(headers)s,
    %(body)s) AS kept
"""

_RENEW: LiteralString = """
UPDATE gateway.idempotency SET leased_until = clock_timestamp() + make_interval(secs => %(lease)s)
WHERE organisation_id = %(organisation)s AND person_id = %(person)s AND key = %(key)s AND claim = %(claim)s
  AND status IS NULL
"""

_RELEASE: LiteralString = """
DELETE FROM gateway.idempotency
WHERE organisation_id = %(organisation)s AND person_id = %(person)s AND key = %(key)s AND claim = %(claim)s
  AND status IS NULL
"""


@dataclass(frozen=True, slots=True)
class Claim:
    """A request's hold on its caller's key."""

    who: Principal
    key: str
    id: UUID

    def parameters(self) -> dict[str, object]:
        return {
            "organisation": self.who.organisation,
            "person": self.who.person,
            "key": self.key,
            "claim": self.id,
        }


async def take(database: Database, claim: Claim, fingerprint: bytes, *, lease: float, keep: float) -> Stored | None:
    """Claim the key: None when it is now ours, otherwise what is known under it.

    A key is free when nobody used it, when it expired, or when the request that claimed it stopped renewing its
    lease without an answer (then only the same request may take over).
    """
    times = {"fingerprint": fingerprint, "lease": lease, "keep": keep}
    found = await database.statement(_CLAIM, claim.parameters() | times)
    if found is None:  # freed while we looked: for the caller the same as still running
        return Stored(fingerprint)
    if found["mine"]:
        return None
    headers = [(name, value) for name, value in found["headers"] or []]
    scopes = frozenset(found["scopes"] or ())
    return Stored(found["fingerprint"], found["subject"], scopes, found["status"], headers, found["body"])


@dataclass(frozen=True, slots=True)
class Answer:
    """What a request was answered: about ``subject``, if anything; no ``body`` when it was too large."""

    status: int
    headers: Headers
    body: bytes | None
    subject: UUID | None


async def answer(database: Database, claim: Claim, said: Answer) -> bool:
    """Store the answer, without its words when its subject has been erased; False when the claim was lost meanwhile."""
    given = {"subject": said.subject, "status": said.status, "headers": Jsonb(said.headers), "body": said.body}
    asked_with = {"scopes": sorted(claim.who.scopes)}
    found = await database.statement(_ANSWER, claim.parameters() | given | asked_with)
    return bool(found and found["kept"])


async def renew(connection: Connection, claim: Claim, lease: float) -> None:
    """Keep the claim for ``lease`` seconds from now."""
    await connection.execute(_RENEW, claim.parameters() | {"lease": lease})


async def release(connection: Connection, claim: Claim) -> None:
    """Free the key for another attempt."""
    await connection.execute(_RELEASE, claim.parameters())


async def erase(connection: Connection, organisation: UUID, subjects: Sequence[UUID]) -> int:
    """Forget what was answered about these subjects, to whomever in their organisation; how many answers that were."""
    given = {"organisation": organisation, "subjects": list(subjects)}
    found = await row(connection, "SELECT gateway.erase(%(organisation)s, %(subjects)s) AS erased", given)
    return int(found["erased"]) if found else 0


async def erase_all(connection: Connection, organisation: UUID) -> int:
    """Delete every answer given in an organisation, whose context this is; how many there were."""
    found = await row(connection, "SELECT gateway.erase_all(%s) AS erased", (organisation,))
    return int(found["erased"]) if found else 0


async def forget_expired(connection: Connection, most: int) -> int:
    """Delete up to ``most`` expired answers of every organisation; how many there were."""
    found = await row(connection, "SELECT gateway.forget_expired(%(most)s) AS gone", {"most": most})
    return int(found["gone"]) if found else 0
