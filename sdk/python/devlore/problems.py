"""Every expected failure of Devlore, one class each, rendered as RFC 9457 problems and raised again by the client."""

from __future__ import annotations

from typing import Any, ClassVar

TYPE_PREFIX = "https://devlore.dev/problems/"


class Problem(Exception):
    """An expected failure; ``detail`` says what happened in this case, ``extra`` travels as members."""

    status: ClassVar[int] = 500
    code: ClassVar[str] = "internal"
    title: ClassVar[str] = "Something went wrong on our side."

    def __init__(self, detail: str | None = None, **extra: Any) -> None:
        super().__init__(detail or self.title)
        self.detail = detail
        self.extra = extra

    def body(self) -> dict[str, Any]:
        """The problem as RFC 9457 members."""
        members: dict[str, Any] = {
            "type": TYPE_PREFIX + self.code,
            "title": self.title,
            "status": self.status,
            "code": self.code,
        }
        if self.detail is not None:
            members["detail"] = self.detail
        return members | self.extra


class Invalid(Problem):
    """The input is not valid; ``errors`` name each place by JSON pointer."""

    status, code, title = 422, "invalid", "The input is not valid."


class InvalidQuery(Invalid):
    """A search query cannot be parsed; ``position`` is the offending character, from 0."""

    code, title = "invalid-query", "The query cannot be read."


class HoldsSecret(Invalid):
    """What was sent holds a secret; ``errors`` name each place and the rule that found it, never the secret."""

    code, title = "holds-secret", "This holds a secret and is not stored."


class Malformed(Problem):
    """The body is not what its content type says."""

    status, code, title = 400, "malformed", "The request cannot be read."


class BadCursor(Problem):
    """The cursor was not made by this server, or for another listing."""

    status, code, title = 400, "bad-cursor", "The cursor is not valid for this listing."


class Unauthenticated(Problem):
    """Nobody is signed in."""

    status, code, title = 401, "unauthenticated", "Sign in first."


class SignInFailed(Unauthenticated):
    """The proof is wrong, or of nobody: which of the two is not said."""

    code, title = "sign-in-failed", "This is not right. Check what you entered, and try again."


class SecondFactorRequired(Unauthenticated):
    """The password is right, but too short to be the only proof; sign in with a passkey."""

    code, title = "second-factor-required", "Sign in with your passkey."


class DevicePending(Problem):
    """Nobody has approved the device yet; ask again after ``interval`` seconds. ``error`` is RFC 8628's word for it."""

    status, code, title = 400, "authorization-pending", "Nobody has approved this device yet."


class SlowDown(DevicePending):
    """The device asks too often; from now on ``interval`` seconds lie between two questions."""

    code, title = "slow-down", "Ask less often."


class DeviceRefused(Problem):
    """Somebody refused to let the device sign in."""

    status, code, title = 400, "access-denied", "This sign-in was refused."


class DeviceExpired(Problem):
    """The device's code has expired, was used, or never was."""

    status, code, title = 400, "expired-token", "This code is not good any more; begin again."


class NotAllowed(Problem):
    """The caller may not do this."""

    status, code, title = 403, "not-allowed", "You may not do this."


class StepUpRequired(NotAllowed):
    """This needs a sign-in of the last 15 minutes; prove who you are again, then repeat the request."""

    code, title = "step-up-required", "Prove again who you are."


class NotFound(Problem):
    """It does not exist, or the caller may not see it."""

    status, code, title = 404, "not-found", "There is nothing here."


class MethodNotAllowed(Problem):
    """The path exists, the method does not."""

    status, code, title = 405, "method-not-allowed", "This path does not answer that method."


class TooSlow(Problem):
    """The body stopped coming in."""

    status, code, title = 408, "too-slow", "The request took too long to arrive."


class Misdirected(Problem):
    """The Host header names an address this server does not answer for (RFC 9110 §15.5.20)."""

    status, code, title = 421, "misdirected", "This server does not answer for that host."


class Conflict(Problem):
    """The state does not allow it, e.g. superseding a memory by itself."""

    status, code, title = 409, "conflict", "The current state does not allow this."


class IdempotencyMismatch(Conflict):
    """The Idempotency-Key was used for another request."""

    status, code, title = 422, "idempotency-mismatch", "This Idempotency-Key belongs to another request."


class InProgress(Conflict):
    """The first request with this Idempotency-Key is still running."""

    code, title = "in-progress", "The first request with this key is still running."


class VersionMismatch(Problem):
    """``If-Match`` names a version that is not the current one; ``version`` is."""

    status, code, title = 412, "version-mismatch", "It has changed since you read it."


class TooLarge(Problem):
    """The body is larger than allowed."""

    status, code, title = 413, "too-large", "The request is too large."


class UnsupportedMedia(Problem):
    """The content type is not one this operation reads."""

    status, code, title = 415, "unsupported-media", "This content type is not read here."


class PreconditionRequired(Problem):
    """A change needs ``If-Match`` so that nobody's edit is lost (RFC 6585)."""

    status, code, title = 428, "precondition-required", "Send If-Match with the version you read."


class RateLimited(Problem):
    """Too many requests; ``retry_after`` seconds from now there is room."""

    status, code, title = 429, "rate-limited", "Too many requests."


class Unavailable(Problem):
    """A resource this needs does not answer; nothing was changed."""

    status, code, title = 503, "unavailable", "Something this needs does not answer right now."


class Overdue(Problem):
    """The request took longer than it may; a change it had begun was undone."""

    status, code, title = 504, "overdue", "The answer took too long."


class EmbedderUnavailable(Unavailable):
    """The embedder does not answer."""

    code, title = "embedder-unavailable", "The embedder does not answer."


class EmbedderChanged(Unavailable):
    """The index was built with another model; ``detail`` says what to run."""

    code, title = "embedder-changed", "The index belongs to another embedding model."


def _by_code() -> dict[str, type[Problem]]:
    found: dict[str, type[Problem]] = {}
    pending: list[type[Problem]] = [Problem]
    while pending:
        cls = pending.pop()
        found[cls.code] = cls
        pending.extend(cls.__subclasses__())
    return found


PROBLEMS: dict[str, type[Problem]] = _by_code()
"""Every problem class by its code."""


def from_body(status: int, members: dict[str, Any]) -> Problem:
    """The problem a server sent, as the same class the server raised; unknown codes become ``Problem``."""
    cls = PROBLEMS.get(str(members.get("code")), Problem)
    standard = {"type", "title", "status", "code", "detail"}
    problem = cls(members.get("detail"), **{k: v for k, v in members.items() if k not in standard})
    if cls is Problem:
        problem.extra.setdefault("status", status)
    return problem
