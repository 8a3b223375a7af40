"""Routers, problems and answers over real ASGI: what a client sees when its request is wrong, or the server is."""

from __future__ import annotations

from collections.abc import AsyncIterator
from datetime import UTC, datetime
from typing import Annotated, Any
from uuid import UUID

import httpx2
import orjson
import psycopg
import pytest
import structlog
from fastapi import FastAPI, Query
from hypothesis import given
from hypothesis import strategies as st
from pydantic import BaseModel, ConfigDict, Field, TypeAdapter, ValidationError, field_validator
from structlog.testing import capture_logs

from devlore.problems import Conflict, EmbedderUnavailable, Invalid, NotFound, Problem, RateLimited
from devlore.types import Count, Page
from devlore_server.kit.auth import HEADER, Principal, sign
from devlore_server.kit.clock import utc_now
from devlore_server.kit.http import (
    CatchAll,
    RequestId,
    Router,
    SignedCallers,
    Who,
    encoded,
    install,
    pointed,
    problems,
    requires,
)
from devlore_server.kit.http.rendering import ERRORS_SHOWN, json_pointer
from devlore_server.kit.http.routes import DEPTH_LIMIT, VALUES_LIMIT, parse_json
from devlore_server.kit.signing import SignedAs

SECRET = b"a secret of the test, long enough"
JSON = {"content-type": "application/json"}


class Part(BaseModel):
    model_config = ConfigDict(extra="forbid")
    kind: str
    size: int | str = 0


class Thing(BaseModel):
    model_config = ConfigDict(extra="forbid")
    title: Annotated[str, Field(max_length=10)]
    tags: list[Annotated[str, Field(min_length=1)]] = []
    parts: list[Part] = []
    anything: dict[str, Any] = {}
    numbers: list[int | bool] = []

    @field_validator("title")
    @classmethod
    def _no_shouting(cls, title: str) -> str:
        if title.isupper():
            raise ValueError("no shouting")
        return title


def _router() -> Router:
    router = Router(prefix="/v1")

    @router.post("/things", response_model=Thing, responses=problems(Conflict), dependencies=[requires("things:write")])
    async def create(thing: Thing) -> Any:
        return encoded(thing, 201, {"Location": "/v1/things/1"})

    @router.get("/things", response_model=Page[Count])
    async def find(limit: Annotated[int, Query(ge=1, le=200)] = 50, tag: Annotated[list[int], Query()] = []) -> Any:  # noqa: B006
        return encoded({"limit": limit, "tags": tag})

    @router.get("/things/{thing_id}")
    async def get(thing_id: UUID) -> Any:
        raise NotFound(thing=str(thing_id))

    @router.get("/whoami")
    async def whoami(caller: Who) -> Any:
        return encoded({"person": caller.person, "teams": sorted(map(str, caller.teams))})

    @router.get("/fails/{how}")
    async def fails(how: str) -> Any:
        raise FAILURES[how]

    return router


FAILURES: dict[str, Exception] = {
    "limited": RateLimited(retry_after=7),
    "unforeseen": RuntimeError("the password is hunter2"),
    "database": psycopg.OperationalError("connection to 10.0.0.7 failed"),
    "nul": psycopg.DataError("PostgreSQL text fields cannot contain NUL (0x00) bytes"),
    "task": ExceptionGroup("tasks", [EmbedderUnavailable(), Conflict()]),
    "tasks": ExceptionGroup("tasks", [EmbedderUnavailable(), RuntimeError("hunter2")]),
    "surrogate": Invalid("a lone \ud800 surrogate", errors=[{"pointer": "/\ud800", "detail": "no"}]),
}


@pytest.fixture
def app() -> FastAPI:
    app = FastAPI(redirect_slashes=False)
    install(app)
    app.include_router(_router())
    app.add_middleware(SignedCallers, secret=SECRET)
    app.add_middleware(CatchAll)
    app.add_middleware(RequestId)
    return app


@pytest.fixture
async def anonymous(app: FastAPI) -> AsyncIterator[httpx2.AsyncClient]:
    async with httpx2.AsyncClient(transport=httpx2.ASGITransport(app), base_url="http://localhost") as client:
        yield client


@pytest.fixture
async def client(anonymous: httpx2.AsyncClient, who: Principal) -> httpx2.AsyncClient:
    writer = Principal(who.organisation, who.person, who.teams, frozenset({"things:write"}))
    anonymous.auth = SignedAs(writer, SECRET)
    return anonymous


def the_problem(response: httpx2.Response, status: int, code: str) -> dict[str, Any]:
    """The body of a problem, after checking that it is one."""
    body: dict[str, Any] = response.json()
    assert response.status_code == status, body
    assert response.headers["content-type"] == "application/problem+json"
    assert (body["status"], body["code"]) == (status, code)
    assert body["type"] == f"https://devlore.dev/problems/{code}"
    assert body["title"]
    return body


async def test_a_good_request_is_answered(client: httpx2.AsyncClient) -> None:
    answer = await client.post("/v1/things", json={"title": "short", "tags": ["a"]})
    assert answer.status_code == 201
    assert answer.headers["location"] == "/v1/things/1"
    assert answer.headers["content-type"] == "application/json"
    assert answer.json() == {"title": "short", "tags": ["a"], "parts": [], "anything": {}, "numbers": []}


@pytest.mark.parametrize(
    ("body", "pointers"),
    [
        ({"title": "x", "tags": ["a", "b", "c", ""]}, ["/tags/3"]),
        ({"title": "far too long a title"}, ["/title"]),
        ({}, ["/title"]),
        ({"title": "x", "parts": [{"kind": "a"}, {}]}, ["/parts/1/kind"]),
        ({"title": "x", "parts": [{"kind": "a", "size": []}]}, ["/parts/0/size"] * 2),
        ({"title": "x", "a/b~c": 1}, ["/a~1b~0c"]),
        ({"title": "x", "numbers": [1, "maybe"]}, ["/numbers/1"] * 2),
        ({"title": 3, "tags": "no"}, ["/title", "/tags"]),
        ([], [""]),
    ],
)
async def test_each_wrong_field_is_named_by_a_json_pointer(
    client: httpx2.AsyncClient, body: Any, pointers: list[str]
) -> None:
    problem = the_problem(await client.post("/v1/things", json=body), 422, "invalid")
    assert [error["pointer"] for error in problem["errors"]] == pointers
    assert all(error["detail"] for error in problem["errors"])


async def test_own_validators_speak_in_their_own_words(client: httpx2.AsyncClient) -> None:
    problem = the_problem(await client.post("/v1/things", json={"title": "LOUD"}), 422, "invalid")
    assert problem["errors"] == [{"pointer": "/title", "detail": "no shouting"}]
    assert problem["detail"] == "/title: no shouting"


async def test_what_was_sent_is_never_quoted_back(client: httpx2.AsyncClient) -> None:
    answer = await client.post("/v1/things", json={"title": "hunter2 is my password", "parts": ["hunter2"]})
    the_problem(answer, 422, "invalid")
    assert "hunter2" not in answer.text


async def test_wrong_parameters_are_named(client: httpx2.AsyncClient) -> None:
    problem = the_problem(await client.get("/v1/things?limit=0&tag=1&tag=x"), 422, "invalid")
    assert [(e["parameter"], e["in"]) for e in problem["errors"]] == [("limit", "query"), ("tag", "query")]
    problem = the_problem(await client.get("/v1/things/nobody"), 422, "invalid")
    assert [(e["parameter"], e["in"]) for e in problem["errors"]] == [("thing_id", "path")]


async def test_a_missing_body_is_a_problem_of_the_whole(client: httpx2.AsyncClient) -> None:
    problem = the_problem(await client.post("/v1/things"), 422, "invalid")
    assert problem["errors"] == [{"pointer": "", "detail": "Field required"}]


async def test_a_flood_of_errors_is_cut(client: httpx2.AsyncClient) -> None:
    answer = await client.post("/v1/things", json={"title": "x", "tags": [""] * 5_000})
    problem = the_problem(answer, 422, "invalid")
    assert len(problem["errors"]) == ERRORS_SHOWN
    assert problem["more_errors"] == 5_000 - ERRORS_SHOWN


@pytest.mark.parametrize(
    "body",
    [
        b"{",
        b"nope",
        b"\xff\xfe",
        b'{"title": NaN}',
        b'{"title": Infinity}',
        b'{"title": "\\ud800"}',
        b'{"title": "x"} trailing',
        b'{"anything": ' + b"[" * DEPTH_LIMIT + b"]" * DEPTH_LIMIT + b"}",
        b"[" * 5_000,
        b"[" * 5_000 + b"]" * 5_000,
    ],
)
async def test_what_is_not_json_is_malformed(client: httpx2.AsyncClient, body: bytes) -> None:
    the_problem(await client.post("/v1/things", content=body, headers=JSON), 400, "malformed")


async def test_malformed_json_says_where(client: httpx2.AsyncClient) -> None:
    problem = the_problem(await client.post("/v1/things", content=b'{\n"a": }', headers=JSON), 400, "malformed")
    assert "line 2" in problem["detail"]


async def test_a_bomb_of_tiny_values_is_too_large(client: httpx2.AsyncClient) -> None:
    body = b'{"title": "x", "anything": {"a": [' + b"[]," * VALUES_LIMIT + b"[]]}}"
    the_problem(await client.post("/v1/things", content=body, headers=JSON), 413, "too-large")


async def test_punctuation_in_text_is_no_bomb() -> None:
    text = '[{,"\\' * VALUES_LIMIT
    assert parse_json(orjson.dumps({"text": text})) == {"text": text}


@pytest.mark.parametrize("content_type", ["text/plain", "application/x-www-form-urlencoded", "application/jsonp", ""])
async def test_other_content_types_are_not_read(client: httpx2.AsyncClient, content_type: str) -> None:
    answer = await client.post("/v1/things", content=b'{"title": "x"}', headers={"content-type": content_type})
    the_problem(answer, 415, "unsupported-media")


@pytest.mark.parametrize(
    "content_type", ["application/json", "APPLICATION/JSON; charset=utf-8", "application/merge-patch+json"]
)
async def test_json_in_its_kinds_is_read(client: httpx2.AsyncClient, content_type: str) -> None:
    answer = await client.post("/v1/things", content=b'{"title": "x"}', headers={"content-type": content_type})
    assert answer.status_code == 201


async def test_unknown_paths_and_methods_are_problems(client: httpx2.AsyncClient) -> None:
    the_problem(await client.get("/nowhere"), 404, "not-found")
    the_problem(await client.get("/v1/things/"), 404, "not-found")
    answer = await client.delete("/v1/things")
    the_problem(answer, 405, "method-not-allowed")
    assert set(answer.headers["allow"].split(", ")) <= {"GET", "POST"}


async def test_members_of_a_problem_travel(client: httpx2.AsyncClient) -> None:
    thing = "0195f000-0000-7000-8000-000000000000"
    problem = the_problem(await client.get(f"/v1/things/{thing}"), 404, "not-found")
    assert problem["thing"] == thing


async def test_retry_after_is_sent(client: httpx2.AsyncClient) -> None:
    answer = await client.get("/v1/fails/limited")
    assert the_problem(answer, 429, "rate-limited")["retry_after"] == 7
    assert answer.headers["retry-after"] == "7"


async def test_the_unforeseen_is_logged_and_not_shown(client: httpx2.AsyncClient) -> None:
    with capture_logs(processors=[structlog.contextvars.merge_contextvars]) as lines:
        answer = await client.get("/v1/fails/unforeseen", headers={"x-request-id": "seen-by-me"})
    problem = the_problem(answer, 500, "internal")
    assert "hunter2" not in answer.text
    assert problem["request_id"] == answer.headers["x-request-id"] == "seen-by-me"
    (line,) = [line for line in lines if line["event"] == "unhandled_exception"]
    assert line["request_id"] == "seen-by-me"
    assert line["path"] == "/v1/fails/unforeseen"
    assert isinstance(line["exc_info"], RuntimeError)


async def test_a_database_that_is_away_is_unavailable(client: httpx2.AsyncClient) -> None:
    answer = await client.get("/v1/fails/database")
    the_problem(answer, 503, "unavailable")
    assert answer.headers["retry-after"] == "1"
    assert "10.0.0.7" not in answer.text


async def test_what_postgresql_cannot_hold_is_the_callers_fault(client: httpx2.AsyncClient) -> None:
    the_problem(await client.get("/v1/fails/nul"), 422, "invalid")


async def test_a_problem_in_a_task_is_that_problem(client: httpx2.AsyncClient) -> None:
    the_problem(await client.get("/v1/fails/task"), 503, "embedder-unavailable")
    the_problem(await client.get("/v1/fails/tasks"), 500, "internal")


async def test_lone_surrogates_do_not_break_the_answer(client: httpx2.AsyncClient) -> None:
    problem = the_problem(await client.get("/v1/fails/surrogate"), 422, "invalid")
    assert problem["errors"] == [{"pointer": "/?", "detail": "no"}]


async def test_nobody_is_asked_to_sign_in(anonymous: httpx2.AsyncClient) -> None:
    answer = await anonymous.get("/v1/whoami")
    the_problem(answer, 401, "unauthenticated")
    assert answer.headers["www-authenticate"] == "Bearer"


async def test_a_signed_caller_is_admitted(client: httpx2.AsyncClient, who: Principal) -> None:
    answer = await client.get("/v1/whoami")
    assert answer.json() == {"person": str(who.person), "teams": [str(team) for team in who.teams]}


async def test_a_forged_caller_is_refused(anonymous: httpx2.AsyncClient, who: Principal) -> None:
    forged = sign(who, b"another secret, as long as ours", utc_now(), "GET", b"/v1/whoami")
    the_problem(await anonymous.get("/v1/whoami", headers={HEADER: forged}), 401, "unauthenticated")
    late = sign(who, SECRET, datetime(2020, 1, 1, tzinfo=UTC), "GET", b"/v1/whoami")
    the_problem(await anonymous.get("/v1/whoami", headers={HEADER: late}), 401, "unauthenticated")


async def test_a_scope_is_required(anonymous: httpx2.AsyncClient, who: Principal) -> None:
    reader = Principal(who.organisation, who.person, who.teams, frozenset({"things:read"}))
    answer = await anonymous.post("/v1/things", json={"title": "x"}, auth=SignedAs(reader, SECRET))
    assert the_problem(answer, 403, "not-allowed")["scope"] == "things:write"
    the_problem(await anonymous.post("/v1/things", json={"title": "x"}), 401, "unauthenticated")


def test_a_required_scope_can_be_read_off() -> None:
    assert requires("things:write").dependency.scope == "things:write"


def test_openapi_declares_what_can_go_wrong(app: FastAPI) -> None:
    document = app.openapi()
    assert document["components"]["schemas"]["ProblemBody"]["properties"]["code"]
    assert "HTTPValidationError" not in document["components"]["schemas"]
    responses = document["paths"]["/v1/things"]["post"]["responses"]
    assert responses.keys() >= {"400", "409", "413", "415", "422", "default"}
    example = responses["422"]["content"]["application/problem+json"]["examples"]["invalid"]["value"]
    assert example["errors"][0]["pointer"] == "/title"
    assert document["paths"]["/v1/whoami"]["get"]["responses"].keys() == {"200", "default"}
    assert app.openapi() is document


def test_problems_of_one_status_are_declared_together() -> None:
    declared = problems(EmbedderUnavailable, NotFound, Problem)
    assert declared.keys() == {503, 404, 500}
    both = problems(Conflict, type("Other", (Conflict,), {"code": "other", "title": "Another."}))
    assert both[409]["content"]["application/problem+json"]["examples"].keys() == {"conflict", "other"}
    assert both[409]["description"].endswith("Another.")


def test_encoded_writes_what_pydantic_writes() -> None:
    moment = datetime(2026, 1, 2, 3, 4, 5, tzinfo=UTC)
    response = encoded({"at": moment, "id": UUID(int=1), "thing": Thing(title="x")}, 202)
    assert response.status_code == 202
    body = orjson.loads(bytes(response.body))
    assert body["at"] == "2026-01-02T03:04:05Z"
    assert body["id"] == str(UUID(int=1))
    assert body["thing"]["title"] == "x"


def test_errors_of_a_part_point_into_the_whole() -> None:
    item = {"title": "x", "tags": [""]}
    with pytest.raises(ValidationError) as caught:
        Thing.model_validate(item)
    found = [pointed(error, item, "/items/4") for error in caught.value.errors()]
    assert [error["pointer"] for error in found] == ["/items/4/tags/0"]


keys = st.text(alphabet="ab~/0é", max_size=3)
bodies = st.recursive(
    st.integers(), lambda inner: st.lists(inner, max_size=3) | st.dictionaries(keys, inner, max_size=3)
)


@given(body=bodies)
def test_a_pointer_to_anything_in_a_body_leads_there(body: Any) -> None:
    for path, value in _places(body):
        pointer = json_pointer(path, body)
        assert _resolve(pointer, body) is value


def _places(value: Any, path: tuple[Any, ...] = ()) -> list[tuple[list[Any], Any]]:
    found: list[tuple[list[Any], Any]] = [(list(path), value)]
    steps = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
    for step, inner in steps:
        found += _places(inner, (*path, step))
    return found


def _resolve(pointer: str, body: Any) -> Any:
    """RFC 6901 §4."""
    for token in pointer.split("/")[1:]:
        step = token.replace("~1", "/").replace("~0", "~")
        body = body[int(step)] if isinstance(body, list) else body[step]
    return body


@given(value=st.recursive(st.none() | st.booleans() | st.text(), lambda inner: st.lists(inner, max_size=4)))
def test_all_json_that_is_not_too_deep_is_read(value: Any) -> None:
    assert parse_json(TypeAdapter(Any).dump_json(value)) == value
