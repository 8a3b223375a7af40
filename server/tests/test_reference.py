"""Nothing is undocumented: the API, problems, events, metrics and settings are generated, complete, and up to date."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any, get_args

import pytest
from jsonschema import Draft202012Validator
from openapi_spec_validator import validate

from devlore import types
from devlore.events import EventType
from devlore.problems import PROBLEMS, Problem
from devlore_server import openapi, reference
from devlore_server.examples import EXAMPLES
from devlore_server.gateway.proxy import destination
from devlore_server.kit.http import Public, RequiredScope
from devlore_server.kit.telemetry import REGISTRY
from devlore_server.subscriptions import SUBSCRIPTIONS

ROOT = Path(__file__).parents[2]
DOCUMENT = openapi.document()
METHODS = ("get", "post", "put", "patch", "delete")
SCOPELESS = {"/healthz", "/readyz", "/metrics", "/openapi.json", "/v1/instance"}
"""Whoever watches or looks for the server asks these, before anybody is known."""
PUBLIC = {
    "GET /",
    "POST /v1/sessions",
    "POST /v1/sessions/refresh",
    "POST /v1/sessions/passkey/options",
    "POST /v1/sessions/passkey",
    "POST /v1/sessions/device",
    "POST /v1/sessions/device/token",
    "POST /v1/identity/sign-up",
    "GET /v1/identity/jwks",
    "POST /v1/invitations/look",
}
"""What there is for somebody who has not signed in: a new one is added here on purpose, or not at all."""


def operations() -> Iterator[tuple[str, dict[str, Any]]]:
    for path, item in DOCUMENT["paths"].items():
        for method in METHODS:
            if method in item:
                yield f"{method.upper()} {path}", item[method]


def resolved(schema: dict[str, Any]) -> dict[str, Any]:
    name = schema.get("$ref", "").rpartition("/")[2]
    return dict(DOCUMENT["components"]["schemas"][name]) if name else schema


def has_example(content: dict[str, Any]) -> bool:
    schema = resolved(content.get("schema", {}))
    return any("example" in key for key in (*content, *schema))


def routes(found: Any) -> Iterator[Any]:
    """Every route, through the routers it was included by, with the dependencies it got on the way."""
    for route in found:
        if hasattr(route, "effective_candidates"):
            yield from routes(route.effective_candidates())
        else:
            yield route


EVERY = pytest.mark.parametrize(("name", "operation"), [pytest.param(n, o, id=n) for n, o in operations()])


def test_the_committed_documents_say_what_the_code_says() -> None:
    assert reference.write(ROOT / "docs", only_check=True) == [], "run: make openapi"


def test_the_description_is_openapi_3_1_and_valid() -> None:
    assert DOCUMENT["openapi"].startswith("3.1")
    validate(DOCUMENT)


def test_operations_have_names_of_their_own() -> None:
    names = [operation["operationId"] for _, operation in operations()]
    assert len(names) == len(set(names))
    assert all(name.isidentifier() for name in names)


@EVERY
def test_every_operation_says_what_it_does(name: str, operation: dict[str, Any]) -> None:
    assert operation["summary"]
    assert operation["tags"][0] in {tag["name"] for tag in DOCUMENT["tags"]}
    for parameter in operation.get("parameters", []):
        assert parameter.get("description") or parameter["in"] == "path", f"{name}: {parameter['name']}"


@EVERY
def test_every_operation_shows_examples(name: str, operation: dict[str, Any]) -> None:
    contents = dict(operation.get("requestBody", {}).get("content", {}))
    for status, response in operation["responses"].items():
        if status.startswith("2"):
            contents |= {f"{status} {kind}": content for kind, content in response.get("content", {}).items()}
    without = [kind for kind, content in contents.items() if "json" in kind and not has_example(content)]
    assert without == [], name


@EVERY
def test_every_operation_declares_its_problems(name: str, operation: dict[str, Any]) -> None:
    if name.split()[1] in SCOPELESS:
        return
    refusals = {status: r for status, r in operation["responses"].items() if not status.startswith(("2", "3"))}
    assert refusals, name
    for status, response in refusals.items():
        content = response["content"]["application/problem+json"]
        for example in content["examples"].values():
            problem = PROBLEMS[example["value"]["code"]]
            assert status in ("default", str(problem.status)), name


def test_every_route_declares_the_scope_it_needs() -> None:
    scoped: dict[str, set[str]] = {}
    public = set()
    for route in routes(openapi.skeleton().routes):
        held = [d.dependency for d in getattr(route, "dependencies", [])]
        scopes = {one.scope for one in held if isinstance(one, RequiredScope)}
        for method in getattr(route, "methods", None) or ():
            scoped[f"{method} {route.path}"] = scopes
            if any(isinstance(one, Public) for one in held):
                public.add(f"{method} {route.path}")
    assert len(scoped) > len(list(operations())) // 2
    bare = {name for name, scopes in scoped.items() if not scopes and name.split()[1] not in SCOPELESS}
    assert bare == public == PUBLIC
    assert set().union(*scoped.values()) <= types.SCOPES


def test_every_path_has_a_role_that_answers_it() -> None:
    nobodys = [path for path in DOCUMENT["paths"] if path not in SCOPELESS and destination(path) is None]
    assert nobodys == []


def test_every_problem_is_documented() -> None:
    text = (ROOT / "docs/api/problems.md").read_text()
    for code, cls in PROBLEMS.items():
        assert f"`{code}`" in text
        assert cls.__doc__
        assert issubclass(cls, Problem)


def test_every_event_is_documented_and_has_a_writer() -> None:
    text = (ROOT / "docs/api/events.md").read_text()
    assert set(reference.EVENTS) == set(get_args(EventType))
    for name in get_args(EventType):
        assert f"`{name}`" in text
    read = {name for subscription in SUBSCRIPTIONS for name in subscription.types}
    assert read <= set(get_args(EventType))
    assert len({s.consumer for s in SUBSCRIPTIONS}) == len(SUBSCRIPTIONS)


def test_every_metric_is_documented() -> None:
    text = (ROOT / "docs/ops/metrics.md").read_text()
    families = [family for family in REGISTRY.collect() if family.name.startswith("devlore_")]
    assert len(families) > 1
    for family in families:
        assert f"`{family.name}`" in text
        assert family.documentation


@pytest.mark.parametrize("name", EXAMPLES)
def test_every_example_is_of_its_type(name: str) -> None:
    if name in DOCUMENT["components"]["schemas"]:
        found = {"$ref": f"#/components/schemas/{name}", "components": DOCUMENT["components"]}
        Draft202012Validator(found).validate(EXAMPLES[name])
    else:
        assert name.startswith("Page_") or hasattr(types, name)
