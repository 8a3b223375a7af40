"""The whole gateway of the individual tier around an application: each guard in its place."""

from __future__ import annotations

from collections.abc import AsyncIterator

import httpx2
import pytest
from fastapi import FastAPI

from devlore.types import SCOPES, Model
from devlore_server.gateway.guards import guard
from devlore_server.gateway.individual import ORGANISATION, PERSON
from devlore_server.gateway.limits import Quotas
from devlore_server.kit.db import Database
from devlore_server.kit.http import Router, Who, install, requires
from devlore_server.kit.limit import LocalLimiter, Policy
from devlore_server.kit.telemetry import health, metrics_route


class Thing(Model):
    title: str


def application(database: Database, quotas: Quotas | None = None) -> FastAPI:
    app = FastAPI(redirect_slashes=False)
    install(app)
    router = Router(prefix="/v1")

    @router.post("/things", status_code=201, dependencies=[requires("memories:write")])
    async def create(thing: Thing, who: Who) -> dict[str, str]:
        return {"organisation": str(who.organisation), "person": str(who.person), "title": thing.title}

    @router.get("/broken")
    async def broken() -> None:
        raise RuntimeError("the password is hunter2")

    app.include_router(router)
    app.include_router(metrics_route())
    health(app, {"database": database.ping})
    guard(app, database=database, secret=b"a secret of the tests", limiter=LocalLimiter(), quotas=quotas)
    return app


@pytest.fixture
async def client(database: Database) -> AsyncIterator[httpx2.AsyncClient]:
    transport = httpx2.ASGITransport(application(database))
    async with httpx2.AsyncClient(transport=transport, base_url="http://127.0.0.1:7700") as client:
        yield client


async def test_nobody_signs_in_and_everybody_is_the_same_person(client: httpx2.AsyncClient) -> None:
    answer = await client.post("/v1/things", json={"title": "x"})
    assert answer.status_code == 201
    assert answer.json() == {"organisation": str(ORGANISATION), "person": str(PERSON), "title": "x"}
    assert {"memories:write", "search:admin", "connections:write"} <= SCOPES


async def test_every_answer_carries_id_and_headers_even_a_refusal(client: httpx2.AsyncClient) -> None:
    answers = [
        await client.post("/v1/things", json={"title": "x"}),
        await client.get("/v1/things", headers={"Host": "example.com"}),
        await client.get("/v1/broken"),
        await client.get("/nowhere"),
        await client.post("/v1/things", content=b"x", headers={"Content-Length": str(9 << 20)}),
        await client.get("/healthz"),
        await client.get("/readyz"),
    ]
    assert [answer.status_code for answer in answers] == [201, 421, 500, 404, 413, 200, 200]
    for answer in answers:
        assert answer.headers["x-request-id"]
        assert answer.headers["x-content-type-options"] == "nosniff"


async def test_limits_are_off_unless_given(client: httpx2.AsyncClient, database: Database) -> None:
    assert "ratelimit" not in (await client.get("/nowhere")).headers
    strict = application(database, Quotas(Policy("person", 1), Policy("organisation", 10)))
    transport = httpx2.ASGITransport(strict)
    async with httpx2.AsyncClient(transport=transport, base_url="http://localhost") as limited:
        assert [(await limited.get("/nowhere")).status_code for _ in range(2)] == [404, 429]


async def test_a_foreign_page_spends_nothing(database: Database) -> None:
    strict = application(database, Quotas(Policy("person", 1), Policy("organisation", 10)))
    transport = httpx2.ASGITransport(strict)
    async with httpx2.AsyncClient(transport=transport, base_url="http://localhost") as client:
        for _ in range(3):
            assert (await client.get("/", headers={"Origin": "https://example.com"})).status_code == 403
        assert (await client.get("/nowhere")).status_code == 404


async def test_invalid_input_under_a_key_is_answered_alike(client: httpx2.AsyncClient) -> None:
    headers = {"Idempotency-Key": "k"}
    answers = [await client.post("/v1/things", json={"titel": "x"}, headers=headers) for _ in range(2)]
    assert [answer.status_code for answer in answers] == [422, 422]
    assert answers[0].content == answers[1].content
    assert answers[1].headers["content-type"] == "application/problem+json"
    assert answers[1].headers["idempotency-replayed"] == "true"
    assert answers[0].headers["x-request-id"] != answers[1].headers["x-request-id"]


async def test_requests_are_measured_under_their_template(client: httpx2.AsyncClient) -> None:
    await client.post("/v1/things", json={"title": "x"})
    await client.get("/v1/things", headers={"Host": "example.com"})
    text = (await client.get("/metrics")).text
    assert 'devlore_http_request_seconds_count{method="POST",route="/v1/things",status="201"}' in text
    assert 'route="unmatched",status="421"' in text


async def test_a_lie_in_the_caller_header_changes_nothing(client: httpx2.AsyncClient) -> None:
    headers = {"Devlore-Principal": "forged"}
    answer = await client.post("/v1/things", json={"title": "x"}, headers=headers)
    assert answer.json()["person"] == str(PERSON)
