"""Problems on the wire: every failure becomes ``application/problem+json`` (RFC 9457), rendered in this one place."""

from __future__ import annotations

import http
import re
from collections.abc import Mapping
from typing import Any

import orjson
import psycopg
import structlog
from fastapi import FastAPI, Request
from fastapi.exceptions import RequestValidationError
from starlette.exceptions import HTTPException
from starlette.requests import ClientDisconnect
from starlette.responses import Response

from devlore.problems import (
    TYPE_PREFIX,
    Invalid,
    Malformed,
    MethodNotAllowed,
    NotAllowed,
    NotFound,
    Problem,
    TooLarge,
    Unauthenticated,
    Unavailable,
    UnsupportedMedia,
)
from devlore.types import ProblemBody

MEDIA_TYPE = "application/problem+json"
ERRORS_SHOWN = 100
"""Most validation errors in one answer: a list of a million wrong items must not make a million lines."""

_MEMBER = re.compile(r"[A-Za-z]?[a-z]{1,20}(?:_?[A-Za-z]?[a-z]{1,20}){0,3}|.{1,8}")
_log = structlog.get_logger("devlore.http")
_BY_STATUS: dict[int, type[Problem]] = {
    cls.status: cls
    for cls in (Malformed, Unauthenticated, NotAllowed, NotFound, MethodNotAllowed, TooLarge, UnsupportedMedia)
}


def problem_response(problem: Problem, headers: Mapping[str, str] | None = None) -> Response:
    """The response a problem travels as, with the headers its class calls for."""
    members = problem.body()
    status = int(members["status"])
    sent = dict(headers or {})
    if "retry_after" in problem.extra:
        sent.setdefault("Retry-After", str(problem.extra["retry_after"]))
    if isinstance(problem, Unauthenticated):
        sent.setdefault("WWW-Authenticate", "Bearer")
    return Response(_encode(members), status_code=status, headers=sent, media_type=MEDIA_TYPE)


def problems(*classes: type[Problem]) -> dict[int | str, dict[str, Any]]:
    """For a route's ``responses=``: each class under its status, with one example per class."""
    declared: dict[int | str, dict[str, Any]] = {}
    for cls in classes:
        described = declared.setdefault(cls.status, _declaration(cls.title))
        if described["description"] != cls.title and cls.title not in described["description"]:
            described["description"] += " " + cls.title
        described["content"][MEDIA_TYPE]["examples"][cls.code] = {"summary": cls.title, "value": _example(cls)}
    return declared


def default_problems() -> dict[int | str, dict[str, Any]]:
    """What any route may answer besides what it declares: OpenAPI's ``default`` response."""
    declared = _declaration("Any other failure, as a problem (RFC 9457).")
    declared["content"][MEDIA_TYPE]["examples"]["unavailable"] = {
        "summary": Unavailable.title,
        "value": _example(Unavailable),
    }
    return {"default": declared}


def _declaration(description: str) -> dict[str, Any]:
    schema = {"$ref": f"#/components/schemas/{ProblemBody.__name__}"}
    return {"description": description, "content": {MEDIA_TYPE: {"schema": schema, "examples": {}}}}


def _example(cls: type[Problem]) -> dict[str, Any]:
    if cls is Invalid:
        return cls(errors=[{"pointer": "/title", "detail": "String should have at most 500 characters"}]).body()
    return cls().body()


def install(app: FastAPI) -> None:
    """Make every failure of ``app`` a problem, and describe the problem's schema in its OpenAPI."""
    app.add_exception_handler(RequestValidationError, _on_invalid)
    app.add_exception_handler(HTTPException, _on_http)
    app.add_exception_handler(ClientDisconnect, _on_disconnect)
    for foreseen in (Problem, psycopg.OperationalError, psycopg.DataError):
        app.add_exception_handler(foreseen, _on_foreseen)
    _describe_problem(app)


def _describe_problem(app: FastAPI) -> None:
    generate = app.openapi

    def with_problem_schema() -> dict[str, Any]:
        document = generate()
        schemas = document.setdefault("components", {}).setdefault("schemas", {})
        if ProblemBody.__name__ not in schemas:
            schemas[ProblemBody.__name__] = ProblemBody.model_json_schema()
        return document

    # FastAPI's own way to extend the document is to replace this method.
    app.openapi = with_problem_schema  # type: ignore[method-assign]


async def _on_invalid(_request: Request, error: Exception) -> Response:
    assert isinstance(error, RequestValidationError)
    found = error.errors()
    shown = [describe_error(one, error.body) for one in found[:ERRORS_SHOWN]]
    more = {"more_errors": len(found) - ERRORS_SHOWN} if len(found) > ERRORS_SHOWN else {}
    return problem_response(Invalid(_summary(shown), errors=shown, **more))


async def _on_http(_request: Request, error: Exception) -> Response:
    assert isinstance(error, HTTPException)
    known = _BY_STATUS.get(error.status_code)
    phrase = http.HTTPStatus(error.status_code).phrase
    if error.status_code in (204, 304):
        return Response(status_code=error.status_code, headers=error.headers)
    if known is not None:
        return problem_response(known(error.detail if error.detail != phrase else None), error.headers)
    code = phrase.lower().replace(" ", "-")
    members = {"type": TYPE_PREFIX + code, "title": phrase, "status": error.status_code, "code": code}
    return Response(_encode(members), status_code=error.status_code, headers=error.headers, media_type=MEDIA_TYPE)


async def _on_disconnect(_request: Request, _error: Exception) -> Response:
    return Response(status_code=400)  # the peer is gone; nobody reads this


async def _on_foreseen(_request: Request, error: Exception) -> Response:
    problem = problem_of(error)
    assert problem is not None
    return problem_response(problem)


def problem_of(error: Exception) -> Problem | None:
    """The problem an exception stands for, or None for one that nobody foresaw."""
    if isinstance(error, Problem):
        return error
    if isinstance(error, psycopg.OperationalError):
        _log.warning("database_away", error=type(error).__name__)
        return Unavailable("The database does not answer right now.", retry_after=1)
    if isinstance(error, psycopg.DataError):
        # A net below validation: a value PostgreSQL cannot hold (NUL, out of range) is the caller's, not a crash.
        _log.warning("unstorable_value", error=type(error).__name__)
        return Invalid("A value of the request cannot be stored.")
    if isinstance(error, ExceptionGroup):  # what a TaskGroup makes of a problem in one of its tasks
        inner = [problem_of(one) for one in error.exceptions]
        return inner[0] if all(inner) else None
    return None


def describe_error(error: Mapping[str, Any], body: Any) -> dict[str, str]:
    """One validation error as ``{pointer | parameter + in, detail}``; never the offending value: it may be secret."""
    where, *path = told_path(error)
    detail = str(error["msg"]).removeprefix("Value error, ")
    if where == "body":
        return {"pointer": json_pointer(path, body), "detail": detail}
    return {"parameter": str(path[0]) if path else "", "in": str(where), "detail": detail}


def told_path(error: Mapping[str, Any]) -> list[str | int]:
    """Where a validation error is; the name of a member that should not be there only when it is a plain word or short.

    Such a name is the caller's own text, like a value: it may hold a secret.
    """
    path = list(error["loc"])
    unknown = error["type"] == "extra_forbidden" and not _MEMBER.fullmatch(str(path[-1]))
    return path[:-1] if unknown else path


def json_pointer(path: list[str | int], body: Any) -> str:
    """RFC 6901 pointer of a validation error's location.

    pydantic's locations also name union members and validators, which are no places in the body: a step that
    leads nowhere is kept only as the last one (a missing member).
    """
    steps: list[str] = []
    value = body
    for index, step in enumerate(path):
        named = isinstance(value, dict) and step in value
        numbered = isinstance(value, list) and isinstance(step, int) and step < len(value)
        if named or numbered:
            value = value[step]
        elif not (isinstance(value, dict) and index == len(path) - 1 and isinstance(step, str)):
            continue
        steps.append(str(step).replace("~", "~0").replace("/", "~1"))
    return "".join("/" + step for step in steps)


def pointed(error: Mapping[str, Any], body: Any, prefix: str = "") -> dict[str, str]:
    """A pydantic error (``ValidationError.errors()``) of a part of the body that sits at ``prefix``."""
    detail = str(error["msg"]).removeprefix("Value error, ")
    return {"pointer": prefix + json_pointer(told_path(error), body), "detail": detail}


def _summary(shown: list[dict[str, str]]) -> str:
    first = shown[0]
    place = first.get("pointer") or first.get("parameter") or "the body"
    more = f" (and {len(shown) - 1} more)" if len(shown) > 1 else ""
    return f"{place}: {first['detail']}{more}"


def _encode(members: dict[str, Any]) -> bytes:
    try:
        return orjson.dumps(members, default=str)
    except TypeError:  # lone surrogates: a caller's own words quoted back
        return orjson.dumps(_replaced(members), default=str)


def _replaced(value: Any) -> Any:
    if isinstance(value, str):
        return value.encode("utf-8", "replace").decode()
    if isinstance(value, dict):
        return {_replaced(key): _replaced(inner) for key, inner in value.items()}
    if isinstance(value, list | tuple):
        return [_replaced(inner) for inner in value]
    return value
