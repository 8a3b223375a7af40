"""``Idempotency-Key`` on POST: a repeated request gets the first one's answer.

Follows draft-ietf-httpapi-idempotency-key-header.

What is guaranteed, per person and key, for 24 hours:

* While the first request runs, a second is refused with 409; it never runs beside it, in whichever process.
* Once the first has answered, the same request gets that answer again, marked ``Idempotency-Replayed: true``, without
  running; another request under the key is refused with 422. Answers of 5xx, and refusals that a later attempt may
  escape (401, 403, 408, 425, 429), free the key instead.
* An answer over 1 MiB, or one that holds a secret (a new key, an invitation), is not kept: its repetition is still
  not run, and says so with 409.
* An answer is repeated to whoever may still have it: with every scope the request was made with, and if it is about a
  memory, who can read that now. Others are told with 409 that it was carried out.
* What an answer is about takes the answer with it: once a memory is erased, the words of every answer about it are
  erased here too (``reactions``), and a repetition is told the same.

What is not: that a request never runs twice. In two cases it may.

* The answer is stored after the service has committed, in a transaction of its own. When the gateway or PostgreSQL
  dies between the two, the key is free again once its lease (30 s, renewed while the request runs) has run out.
* A connection to PostgreSQL that breaks during the service's COMMIT leaves open whether it took place. The request is
  answered with 503 as if it had not, which frees the key.

Nothing is lost or half-written by that (each run is one transaction of its service) but a create may happen twice;
those who cannot have that send ``source.external_id`` as well, which the service itself makes unique. Storing the
answer failing never fails the request.
"""

from __future__ import annotations

import asyncio
import hashlib
import hmac
import re
from collections.abc import Awaitable, Callable, Collection
from contextlib import suppress
from dataclasses import dataclass, field
from uuid import UUID

import orjson
import psycopg
import structlog
from starlette.responses import Response
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from devlore.problems import Conflict, IdempotencyMismatch, InProgress, Malformed, Problem, Unavailable
from devlore_server.gateway import store
from devlore_server.gateway.store import Answer, Claim, Headers, Stored
from devlore_server.kit.db import Database
from devlore_server.kit.http import admitted, problem_response
from devlore_server.kit.ids import new_id

LARGEST_KEPT = 1_048_576
READS = frozenset({"/v1/search"})
"""POSTs that change nothing: repeating them is harmless, and a stored answer would only be stale."""

_SIGN_IN = re.compile(r"/v1/(?:sessions|identity)(?:/|$)")
"""Passwords come in and tokens go out: not even a digest of such a request is kept, so a key does nothing here."""
_SECRET_ANSWERS = re.compile(r"/v1/(?:keys|organisations/[^/]+/invitations)(?:/|$)")
"""Answers that may hold a key or an invitation are not kept, only that they were given."""
_OF_MEMORIES = re.compile(r"/v1/memories(?:/|$)")
_KEPT_FOR = 86_400.0
_LEASE = 30.0
_NOT_KEPT = frozenset({401, 403, 408, 425, 429})
_NOT_STORED_HEADERS = frozenset({b"connection", b"date", b"server", b"transfer-encoding", b"x-request-id"})
_LARGE = 1_048_576
_AWAY = (psycopg.Error, Unavailable)
_BARE = re.compile(rb"[!#-~][!-~]{0,254}")
_QUOTED = re.compile(rb'"((?:[ !#-\[\]-~]|\\["\\])+)"')

_log = structlog.get_logger("devlore.gateway")


class IdempotencyKeys:
    """Makes POST requests that carry a key safe to repeat; requests without one pass as they are.

    ``secret`` is the instance's: without it nobody can tell from a stored fingerprint what was sent.
    """

    def __init__(
        self,
        app: ASGIApp,
        *,
        database: Database,
        secret: bytes,
        reads: Collection[str] = READS,
        lease: float = _LEASE,
        kept_for: float = _KEPT_FOR,
        largest: int = LARGEST_KEPT,
    ) -> None:
        self._app = app
        self._database = database
        self._key = hmac.digest(secret, b"devlore idempotency fingerprints v1", hashlib.sha256)
        self._reads = frozenset(reads)
        self._lease = lease
        self._kept_for = kept_for
        self._largest = largest

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        given = _given_keys(scope) if scope["type"] == "http" and scope["method"] == "POST" else []
        caller = admitted(scope)
        if not given or caller is None or scope["path"] in self._reads or _SIGN_IN.match(scope["path"]):
            await self._app(scope, receive, send)
            return
        try:
            claim = Claim(caller, read_key(given), new_id())
        except Malformed as problem:
            await problem_response(problem)(scope, receive, send)
            return
        body = await _whole_body(receive)
        if body is None:
            return  # the sender is gone
        fingerprint = await self._fingerprint(scope, body)
        known = await store.take(self._database, claim, fingerprint, lease=self._lease, keep=self._kept_for)
        if known is None:
            await self._run(claim, scope, _replaying(body, receive), send)
            return
        try:
            answer = _repeated(known) if await self._check(known, claim, fingerprint, scope) else _told(known)
        except Problem as problem:
            answer = problem_response(problem)
        await answer(scope, receive, send)

    async def _check(self, known: Stored, claim: Claim, fingerprint: bytes, scope: Scope) -> bool:
        """Whether the caller may have the answer; raises ``IdempotencyMismatch``, ``InProgress`` when there is none."""
        if not hmac.compare_digest(known.fingerprint, fingerprint):
            raise IdempotencyMismatch
        if known.status is None:
            raise InProgress(retry_after=1)
        if known.body is None or not known.scopes <= claim.who.scopes:
            return False
        of_a_memory = known.subject is not None and known.status < 400 and _OF_MEMORIES.match(scope["path"])
        return not of_a_memory or await self._readable(f"/v1/memories/{known.subject}", scope)

    async def _readable(self, path: str, scope: Scope) -> bool:
        """Whether the caller can read a path now; raises ``Unavailable`` when nobody can say."""
        status = 0

        async def nothing() -> Message:
            return {"type": "http.request", "body": b"", "more_body": False}

        async def note_status(message: Message) -> None:
            nonlocal status
            if message["type"] == "http.response.start":
                status = message["status"]

        reading = {"method": "GET", "path": path, "raw_path": path.encode(), "query_string": b"", "headers": []}
        await self._app({**scope, **reading}, nothing, note_status)
        if status >= 500:
            raise Unavailable("It cannot be told whether this answer is still yours.", retry_after=1)
        return status < 300

    async def _fingerprint(self, scope: Scope, body: bytes) -> bytes:
        """What makes two requests the same: path, query and body."""
        head = b"\0".join((scope["path"].encode("utf-8", "surrogatepass"), scope["query_string"], b""))
        if len(body) > _LARGE:  # a tenth of a second for the largest: other requests must not wait for it
            return await asyncio.to_thread(_digest, self._key, head, body)
        return _digest(self._key, head, body)

    async def _run(self, claim: Claim, scope: Scope, receive: Receive, send: Send) -> None:
        recording = _Recording(send, scope["path"], self._largest, lambda answer: self._settle(claim, answer))
        renewal = asyncio.create_task(self._keep_renewing(claim))
        try:
            await self._app(scope, receive, recording.send)
        except Exception:
            await self._settle(claim, None)
            raise
        finally:
            renewal.cancel()

    async def _keep_renewing(self, claim: Claim) -> None:
        while True:
            await asyncio.sleep(self._lease / 3)
            with suppress(*_AWAY):  # missing one renewal leaves two more
                async with self._database.transaction(claim.who) as connection:
                    await store.renew(connection, claim, self._lease)

    async def _settle(self, claim: Claim, answer: Answer | None) -> None:
        """Keep the answer, or free the key when there is none to keep. Never fails the request that ran."""
        try:
            if answer is None or answer.status >= 500 or answer.status in _NOT_KEPT:
                async with self._database.transaction(claim.who) as connection:
                    await store.release(connection, claim)
            elif not await store.answer(self._database, claim, answer):
                _log.warning("idempotency_claim_lost", claim=str(claim.id))
        except _AWAY as error:
            _log.warning("idempotency_answer_not_kept", error=type(error).__name__)


@dataclass(slots=True)
class _Recording:
    """Passes an answer on while keeping a copy, and settles it before the last piece leaves.

    Before, because a client that has seen the whole answer may send the request again at once.
    """

    _send: Send
    _path: str
    _largest: int
    _settle: Callable[[Answer], Awaitable[None]]
    _start: Message | None = None
    _pieces: list[bytes] = field(default_factory=list)
    _size: int = 0

    async def send(self, message: Message) -> None:
        if message["type"] == "http.response.start":
            self._start = message
        elif message["type"] == "http.response.body" and self._start is not None:
            piece = message.get("body", b"")
            self._size += len(piece)
            if self._size <= self._largest:
                self._pieces.append(piece)
            if not message.get("more_body", False):
                kept = self._size <= self._largest and not _SECRET_ANSWERS.match(self._path)
                body = b"".join(self._pieces) if kept else None
                headers = _kept_headers(self._start) if kept else []
                await self._settle(Answer(self._start["status"], headers, body, subject_of(self._path, body or b"")))
        await self._send(message)


def subject_of(path: str, body: bytes) -> UUID | None:
    """What an answer is about: the id in its request's path, otherwise the ``id`` of the object it holds."""
    for part in path.split("/"):
        with suppress(ValueError):
            return UUID(part)
    with suppress(ValueError, TypeError, LookupError, AttributeError):  # not JSON, not an object, or without an id
        return UUID(orjson.loads(body)["id"])
    return None


def _kept_headers(message: Message) -> Headers:
    return [
        (name.decode("latin-1"), value.decode("latin-1"))
        for name, value in message.get("headers", [])
        if name.lower() not in _NOT_STORED_HEADERS
    ]


def _given_keys(scope: Scope) -> list[bytes]:
    return [value for name, value in scope["headers"] if name == b"idempotency-key"]


def read_key(given: list[bytes]) -> str:
    """The key in the header's values: a quoted string (RFC 8941) or, as most clients send it, the bare text.

    Raises ``Malformed`` for several keys, an empty one, one over 255 characters, or one with other than printable
    ASCII.
    """
    if len(given) != 1:
        raise Malformed("Send one Idempotency-Key.")
    value = given[0].strip()
    quoted = _QUOTED.fullmatch(value)
    if quoted is not None:
        value = re.sub(rb"\\(.)", rb"\1", quoted[1])
    elif not _BARE.fullmatch(value):
        raise Malformed("An Idempotency-Key is 1 to 255 printable ASCII characters, such as a UUID.")
    if len(value) > 255:
        raise Malformed("An Idempotency-Key has at most 255 characters.")
    return value.decode("ascii")


async def _whole_body(receive: Receive) -> bytes | None:
    pieces: list[bytes] = []
    while True:
        message = await receive()
        if message["type"] == "http.disconnect":
            return None
        pieces.append(message.get("body", b""))
        if not message.get("more_body", False):
            return pieces[0] if len(pieces) == 1 else b"".join(pieces)


def _replaying(body: bytes, receive: Receive) -> Receive:
    pending: list[Message] = [{"type": "http.request", "body": body, "more_body": False}]

    async def receive_again() -> Message:
        return pending.pop() if pending else await receive()

    return receive_again


def _digest(key: bytes, head: bytes, body: bytes) -> bytes:
    digest = hmac.new(key, len(head).to_bytes(8, "big") + head, hashlib.sha256)
    digest.update(body)
    return digest.digest()


def _repeated(known: Stored) -> Response:
    response = Response(known.body, status_code=known.status or 500)
    response.raw_headers = [(name.encode("latin-1"), value.encode("latin-1")) for name, value in known.headers]
    response.headers["Idempotency-Replayed"] = "true"
    return response


def _told(known: Stored) -> Response:
    refused = Conflict(
        f"The request was carried out (status {known.status}); its answer is not kept (it was too large, held a secret,"
        " or what it was about has been erased), or not yours to have any more.",
        original_status=known.status,
    )
    return problem_response(refused)
