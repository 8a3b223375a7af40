"""One HTTP call as a value: what to send, how to read the answer, and when to send it again."""

from __future__ import annotations

import random
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from typing import Any, Generic, Literal, Protocol, TypeVar
from uuid import uuid4

import httpx2
from pydantic import BaseModel, ValidationError
from pydantic_core import PydanticSerializationError, from_json, to_json

from devlore.problems import (
    Conflict,
    InProgress,
    Invalid,
    NotAllowed,
    NotFound,
    Problem,
    RateLimited,
    Unauthenticated,
    Unavailable,
    from_body,
)

T = TypeVar("T")
T_co = TypeVar("T_co", covariant=True)
M = TypeVar("M", bound=BaseModel)

_AGAIN = frozenset({429, 502, 503, 504})
# A code that will be the same a moment later: sending again only makes the caller wait.
_LASTING = frozenset({"embedder-changed"})
_BY_STATUS: dict[int, type[Problem]] = {
    401: Unauthenticated,
    403: NotAllowed,
    404: NotFound,
    409: Conflict,
    429: RateLimited,
    502: Unavailable,
    503: Unavailable,
    504: Unavailable,
}


class Unreachable(Unavailable):
    """Nothing answers at the server's address, or it stopped answering half-way."""

    code, title = "unreachable", "Devlore does not answer."


class Unreadable(Problem):
    """What answered does not speak this API: another program, or a server of another version."""

    code, title = "unreadable", "The answer is not one of Devlore's."


@dataclass(frozen=True, slots=True)
class Answer:
    """A complete HTTP answer."""

    status: int
    headers: Mapping[str, str]
    content: bytes


class Listing(Protocol[T_co]):
    """What every page looks like: items, and the cursor of the next page or None."""

    @property
    def items(self) -> Sequence[T_co]:
        """The items of this page."""
        ...

    @property
    def next(self) -> str | None:
        """The cursor of the next page."""
        ...


class Lines:
    """Cuts a stream of bytes into lines at LF only: text may hold U+2028, which ``splitlines`` cuts at too."""

    def __init__(self) -> None:
        self._begun: list[bytes] = []

    def feed(self, chunk: bytes) -> list[bytes]:
        """The lines that ``chunk`` completes, without empty ones."""
        *complete, rest = chunk.split(b"\n")
        if not complete:
            self._begun.append(rest)
            return []
        complete[0] = b"".join([*self._begun, complete[0]])
        self._begun = [rest]
        return [line for line in complete if line.strip()]

    def last(self) -> list[bytes]:
        """The line that no LF ended, if any."""
        rest = b"".join(self._begun)
        return [rest] if rest.strip() else []


@dataclass(frozen=True, slots=True)
class Call(Generic[T_co]):
    """A request and the function that reads its answer. The same value is sent again on a retry."""

    method: str
    path: str
    parse: Callable[[Answer], T_co]
    params: tuple[tuple[str, str], ...] = ()
    body: dict[str, Any] | None = None
    headers: Mapping[str, str] = field(default_factory=dict)
    timeout: float | None = None
    repeatable: bool = True
    cursor_in: Literal["params", "body"] = "params"
    signed: bool = True
    """False for what is asked before anybody has signed in: an old credential would have it refused."""

    def after(self, cursor: str) -> Call[T_co]:
        """The same listing from ``cursor`` on."""
        if self.cursor_in == "body":
            return replace(self, body={**(self.body or {}), "cursor": cursor})
        kept = tuple(pair for pair in self.params if pair[0] != "cursor")
        return replace(self, params=(*kept, ("cursor", cursor)))

    def content(self) -> bytes | None:
        """The body as JSON bytes; raises ``Invalid`` for what JSON cannot say, like half a surrogate pair."""
        try:
            return None if self.body is None else to_json(self.body)
        except PydanticSerializationError as error:
            raise Invalid(f"It cannot be sent as JSON: {error}") from error

    def all_headers(self) -> dict[str, str]:
        """The call's own headers and the body's content type."""
        json_type = {} if self.body is None else {"Content-Type": "application/json"}
        return {**json_type, **self.headers}


def keyed(key: str | None) -> dict[str, str]:
    """The header that makes a POST safe to send twice; one fresh key per logical call."""
    return {"Idempotency-Key": key or uuid4().hex}


def one(model: type[M]) -> Callable[[Answer], M]:
    """Read a body as ``model``; fields this version does not know are ignored, so a newer server can be used."""

    def parse(answer: Answer) -> M:
        try:
            return model.model_validate_json(answer.content, extra="ignore")
        except ValidationError as error:
            raise Unreadable(f"It is not a {model.__name__}: {error.errors()[0]['msg']}.") from error

    return parse


def nothing(answer: Answer) -> None:
    """Read an answer that says all it says by its status."""


def document(answer: Answer) -> dict[str, Any]:
    """Read a JSON object that has no type of its own."""
    try:
        found = from_json(answer.content)
    except ValueError as error:
        raise Unreadable("It is not JSON.") from error
    if not isinstance(found, dict):
        raise Unreadable("It is not a JSON object.")
    return found


def problem_of(answer: Answer) -> Problem:
    """The failure an answer stands for, as the class the server raised."""
    try:
        members = document(answer)
    except Unreadable:
        members = {}
    if "code" in members:
        problem = from_body(answer.status, members)
    else:
        cls = _BY_STATUS.get(answer.status, Problem)
        problem = cls(f"The server answered {answer.status} without saying why.", status=answer.status)
    wait = retry_after(answer)
    if wait is not None:
        problem.extra.setdefault("retry_after", wait)
    return problem


def retry_after(answer: Answer) -> float | None:
    """Seconds until the server wants to be asked again: both forms of Retry-After (RFC 9110)."""
    value = answer.headers.get("retry-after")
    if value is None:
        return None
    if value.isdigit():
        return float(value)
    try:
        moment = parsedate_to_datetime(value)
    except ValueError:
        return None
    aware = moment if moment.tzinfo else moment.replace(tzinfo=UTC)
    return max(0.0, (aware - datetime.now(UTC)).total_seconds())


@dataclass(frozen=True, slots=True)
class Retry:
    """How often and how patiently a call is repeated. Times in seconds.

    Pauses grow from ``first`` by doubling up to ``longest``, each with up to half taken off at
    random so that clients do not come back in step. A Retry-After beyond ``patience`` is not waited for.
    """

    attempts: int = 5
    first: float = 0.1
    longest: float = 5.0
    patience: float = 60.0

    def pause(self, failures: int) -> float:
        """How long to wait after ``failures`` (from 1) failures in a row."""
        full = min(self.longest, self.first * 2.0 ** (failures - 1))
        return full * random.uniform(0.5, 1.0)


class Attempts(Generic[T]):
    """The life of one call over its repetitions: pure decisions, shared by the sync and the async driver."""

    def __init__(self, call: Call[T], retry: Retry, address: str) -> None:
        self._call = call
        self._retry = retry
        self._address = address
        self._failures = 0
        self._maybe_done = False

    def broke(self, error: httpx2.TransportError) -> float:
        """Seconds to wait before sending again after no answer came; raises ``Unreachable`` when it is of no use."""
        never_sent = isinstance(error, httpx2.ConnectError | httpx2.ConnectTimeout | httpx2.PoolTimeout)
        self._failures += 1
        hopeless = isinstance(error, httpx2.UnsupportedProtocol | httpx2.LocalProtocolError)
        if hopeless or self._failures >= self._retry.attempts or not (never_sent or self._call.repeatable):
            raise unreachable(self._address, error) from error
        self._maybe_done |= not never_sent
        return self._retry.pause(self._failures)

    def answered(self, answer: Answer) -> float | None:
        """Seconds to wait before sending again, or None when this answer is the one."""
        if not self._worth_repeating(answer):
            return None
        self._failures += 1
        if self._failures >= self._retry.attempts:
            return None
        self._maybe_done |= answer.status in (502, 504)
        asked = retry_after(answer)
        if asked is None:
            return self._retry.pause(self._failures)
        return asked + self._retry.pause(1) if asked <= self._retry.patience else None

    def result(self, answer: Answer) -> T:
        """The call's result; raises the server's problem."""
        if answer.status < 400:
            return self._call.parse(answer)
        if answer.status == 404 and self._call.method == "DELETE" and self._maybe_done:
            # An earlier attempt whose answer was lost has already deleted it.
            return self._call.parse(Answer(204, {}, b""))
        raise problem_of(answer)

    def _worth_repeating(self, answer: Answer) -> bool:
        if answer.status == 409 and "Idempotency-Key" in self._call.headers:
            return isinstance(problem_of(answer), InProgress)
        if answer.status not in _AGAIN or problem_of(answer).code in _LASTING:
            return False
        # 502 and 504 come from something in between: the server may have done the work.
        return self._call.repeatable or answer.status in (429, 503)


def unreachable(address: str, error: httpx2.TransportError) -> Unreachable:
    """A failure to connect or to get an answer, in words."""
    if isinstance(error, httpx2.TimeoutException):
        return Unreachable(f"{address} did not answer in time.", address=address)
    if isinstance(error, httpx2.UnsupportedProtocol):
        return Unreachable(f"{address!r} is no address: it must begin with http:// or https://.", address=address)
    if isinstance(error, httpx2.ConnectError):
        return Unreachable(f"Nothing answers at {address}.", address=address)
    return Unreachable(f"The connection to {address} broke: {error or type(error).__name__}.", address=address)
