"""Failures in words: one clear message on stderr that says what to do, and the exit code."""

from __future__ import annotations

import json
import sys
import traceback
from typing import Any

import click
from pydantic_core import to_jsonable_python

from devlore.calls import Unreachable
from devlore.problems import (
    TYPE_PREFIX,
    Conflict,
    Invalid,
    InvalidQuery,
    NotAllowed,
    NotFound,
    PreconditionRequired,
    Problem,
    Unauthenticated,
    VersionMismatch,
)
from devlore_cli.output import Screen

EXIT_FAILURE, EXIT_USAGE, EXIT_NOT_FOUND, EXIT_NOT_ALLOWED, EXIT_CONFLICT = 1, 2, 3, 4, 5

_CODES: list[tuple[tuple[type[Problem], ...], int]] = [
    ((NotFound,), EXIT_NOT_FOUND),
    ((NotAllowed, Unauthenticated), EXIT_NOT_ALLOWED),
    ((Conflict, VersionMismatch, PreconditionRequired), EXIT_CONFLICT),
    ((Invalid,), EXIT_USAGE),
]


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
    elif isinstance(error, click.UsageError):
        body, code = _body("usage", error.format_message()), EXIT_USAGE
        message = _usage(error)
    elif isinstance(error, click.ClickException):
        body, code, message = _body("failed", error.format_message()), error.exit_code, error.format_message()
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
        return f"{message}\nStart it with: devlore up"
    if isinstance(problem, InvalidQuery):
        return "\n".join([message, *_pointed_out(problem.extra)])
    if isinstance(problem, VersionMismatch):
        return f"{message}\nLook at it again (devlore show, devlore history) and repeat your change."
    errors = problem.extra.get("errors")
    if isinstance(errors, list) and errors:
        repeated = any(str(e.get("detail")) in message for e in errors)
        listed = [f"  {place(e)}: {e.get('detail', 'not valid')}" for e in errors]
        return "\n".join([problem.title if repeated else message, *listed])
    return message


def place(error: dict[str, Any]) -> str:
    """Where in the input an error is: ``/tags/0`` as ``tags.0``."""
    pointer = str(error.get("pointer") or "").lstrip("#").strip("/")
    return pointer.replace("/", ".").replace("~1", "/").replace("~0", "~") or "input"


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
