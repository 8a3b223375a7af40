"""Failures in words: one clear message on stderr that says what to do, and the exit code."""

from __future__ import annotations

import json
import sys
import traceback
from typing import Any

import click
from pydantic_core import to_jsonable_python

from devlore.authentication import from_environment
from devlore.calls import Unreachable
from devlore.problems import (
    TYPE_PREFIX,
    Conflict,
    DeviceRefused,
    HoldsSecret,
    Invalid,
    InvalidQuery,
    NotAllowed,
    NotFound,
    PreconditionRequired,
    Problem,
    SecondFactorRequired,
    StepUpRequired,
    Unauthenticated,
    VersionMismatch,
)
from devlore.transport import is_loopback
from devlore_cli.output import Screen

EXIT_FAILURE, EXIT_USAGE, EXIT_NOT_FOUND, EXIT_NOT_ALLOWED, EXIT_CONFLICT = 1, 2, 3, 4, 5

_CODES: list[tuple[tuple[type[Problem], ...], int]] = [
    ((NotFound,), EXIT_NOT_FOUND),
    ((NotAllowed, Unauthenticated, DeviceRefused), EXIT_NOT_ALLOWED),
    ((Conflict, VersionMismatch, PreconditionRequired), EXIT_CONFLICT),
    ((Invalid,), EXIT_USAGE),
]


_SLUG = "small letters, digits, dots, dashes and slashes, beginning with a letter or a digit"
_PATTERNS = {
    "kind": "small letters, digits and dashes, beginning with a letter",
    "project": _SLUG,
    "tags": "no comma in it, and no space before it",
    "connector": "small letters, digits, dashes and underscores, beginning with a letter",
    "email": "an address, e.g. ada@example.org",
}
_PLAIN = {
    "Extra inputs are not permitted": "there is no such field",
    "Input should have timezone info": "a time zone is missing, e.g. 2026-03-01T12:00:00Z",
}


class Failure(Exception):
    """A command could not do its work; ``advice`` says what to do about it."""

    def __init__(self, message: str, advice: str | None = None, code: int = EXIT_FAILURE) -> None:
        super().__init__(message)
        self.message = message
        self.advice = advice
        self.code = code


def exit_code(problem: Problem) -> int:
    """The exit code a server's problem stands for."""
    return next((code for classes, code in _CODES if isinstance(problem, classes)), EXIT_FAILURE)


def report(error: Exception, as_json: bool) -> int:
    """Say on stderr what went wrong, as words or as problem JSON; returns the exit code."""
    if isinstance(error, Problem):
        body, code, message = error.body(), exit_code(error), words(error)
    elif isinstance(error, Failure):
        body, code = _body("failed", error.message, advice=error.advice), error.code
        message = error.message + (f"\n{error.advice}" if error.advice else "")
    elif isinstance(error, click.exceptions.NoArgsIsHelpError):
        # The whole page is the answer, so it is not told as a failure of one line.
        if not as_json:
            print(error.format_message(), file=sys.stderr)  # noqa: T201 - the face
            return EXIT_USAGE
        body, code, message = _body("usage", "Name a command; --help lists them."), EXIT_USAGE, ""
    elif isinstance(error, click.UsageError):
        body, code = _body("usage", error.format_message()), EXIT_USAGE
        message = _usage(error)
    elif isinstance(error, click.ClickException):
        body, code, message = _body("failed", error.format_message()), error.exit_code, error.format_message()
    elif isinstance(error, UnicodeEncodeError):
        text = f"This is no text in UTF-8: {error.object[:80]!r}"
        body, code, message = _body("usage", text), EXIT_USAGE, text
    elif isinstance(error, OSError):
        text = f"{error.filename}: {error.strerror}" if error.filename else str(error)
        body, code, message = _body("failed", text), EXIT_FAILURE, text
    else:
        text = f"This is a bug in devlore: {type(error).__name__}: {error}"
        body, code = _body("internal", text), EXIT_FAILURE
        message = f"{text}\n{''.join(traceback.format_exception(error))}"
    _say(body, message, as_json)
    return code


def words(problem: Problem) -> str:
    """A problem as a message for people."""
    message = problem.detail or problem.title
    if isinstance(problem, Unreachable):
        address = str(problem.extra.get("address"))
        own = address.startswith("http") and is_loopback(address)
        elsewhere = "The address comes from --url, DEVLORE_URL or your last sign-in."
        return f"{message}\n{'Start it with: devlore up' if own else elsewhere}"
    if isinstance(problem, InvalidQuery):
        return "\n".join([message, *_pointed_out(problem.extra)])
    if isinstance(problem, VersionMismatch):
        return f"{message}\nLook at it again (devlore show, devlore history) and repeat your change."
    if (advice := _about_signing_in(problem)) is not None:
        return f"{message}\n{advice}"
    errors = problem.extra.get("errors")
    if isinstance(errors, list) and errors:
        repeated = any(str(e.get("detail")) in message for e in errors)
        listed = [f"  {place(e)}: {rule(e)}" for e in errors]
        if isinstance(problem, HoldsSecret):
            listed.append("Take it out; or store it as it is, if you may: --allow-secrets")
        return "\n".join([problem.title if repeated else message, *listed])
    return message


def _about_signing_in(problem: Problem) -> str | None:
    if isinstance(problem, StepUpRequired):
        needed = "It needs a sign-in of the last 15 minutes"
        return (
            f"{needed}, so unset DEVLORE_TOKEN and DEVLORE_KEY." if from_environment() else f"{needed}: devlore login"
        )
    if isinstance(problem, SecondFactorRequired):
        return "Passkeys are used in the browser: devlore login, without --email"
    if isinstance(problem, NotAllowed) and problem.extra.get("scope") == "search:admin":
        return "No role grants it: whoever runs the server has devlore-server rebuild search."
    if isinstance(problem, NotAllowed) and problem.extra.get("scope"):
        return "What you may do: devlore whoami. Who can give you more: devlore org members"
    # Its subclasses are about what was entered, not about who is signed in.
    if type(problem) is not Unauthenticated:
        return None
    if from_environment():
        return "It comes from DEVLORE_TOKEN or DEVLORE_KEY."
    return "Sign in with: devlore login"


def place(error: dict[str, Any]) -> str:
    """Where in the input an error is: ``/tags/0`` as ``tags.0``."""
    pointer = str(error.get("pointer") or "").lstrip("#").strip("/")
    return pointer.replace("/", ".").replace("~1", "/").replace("~0", "~") or "input"


def rule(error: dict[str, Any]) -> str:
    """What is wrong with a field, for people: a pattern they would have to read is said in words."""
    detail = str(error.get("detail") or "not valid")
    if not detail.startswith("String should match pattern"):
        return _PLAIN.get(detail, detail)
    names = [name for name in place(error).split(".") if not name.isdigit()]
    return _PATTERNS.get(names[-1] if names else "", detail)


def _pointed_out(extra: dict[str, Any]) -> list[str]:
    query, position = extra.get("query"), extra.get("position")
    if not isinstance(query, str) or not isinstance(position, int):
        return []
    return [f"  {query}", "  " + " " * position + "^"]


def _usage(error: click.UsageError) -> str:
    hint = f"\nTry: {error.ctx.command_path} --help" if error.ctx is not None else ""
    return error.format_message() + hint


def _body(code: str, detail: str, **extra: Any) -> dict[str, Any]:
    members = {"type": TYPE_PREFIX + code, "title": "The command failed.", "code": code, "detail": detail}
    return members | {name: value for name, value in extra.items() if value is not None}


def _say(body: dict[str, Any], message: str, as_json: bool) -> None:
    if as_json:
        print(json.dumps(to_jsonable_python(body), ensure_ascii=False), file=sys.stderr)  # noqa: T201 - the face
        return
    screen = Screen(sys.stderr)
    first, *rest = message.splitlines() or [""]
    screen.line(f"{screen.style('devlore:', 'red', 'bold')} {first}")
    for line in rest:
        screen.line(line)
