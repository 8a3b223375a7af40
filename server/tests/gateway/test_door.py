"""What the team gateway lets in before it looks at who asks: hosts, origins, preflights, and who may watch."""

from __future__ import annotations

from typing import Any

import httpx2
import psycopg
import pytest

from devlore_server.gateway.hosts import InternalOnly
from devlore_server.gateway.limits import Quotas
from devlore_server.gateway.networks import Networks
from devlore_server.kit.db import Database
from devlore_server.kit.log import EventLog
from devlore_server.kit.telemetry.metrics import Measured
from tests.gateway.gate import ORIGIN, Gate, bearer

APP = "https://app.example"


@pytest.mark.parametrize("host", ["lore.example", "LORE.example", "localhost:7700", "127.0.0.1", "[::1]:7700"])
async def test_our_names_are_answered(gate: Gate, host: str) -> None:
    async with gate.client(Host=host) as client:
        assert (await client.get("/v1/network")).status_code == 200


@pytest.mark.parametrize(
    "host",
    ["evil.example", "lore.example.evil.example", "lore.example:8443", "lore.example@evil.example", "10.0.0.1", ""],
)
async def test_other_names_are_not(gate: Gate, host: str) -> None:
    async with gate.client(Host=host) as client:
        answer = await client.get("/v1/network")
        assert (answer.status_code, answer.json()["code"]) == (421, "misdirected")
        assert ORIGIN in answer.json()["detail"]


@pytest.mark.parametrize("path", ["/healthz", "/readyz"])
async def test_a_load_balancer_asks_by_address(gate: Gate, path: str) -> None:
    async with gate.client(Host="10.0.0.1:7700") as client:
        assert (await client.get(path)).status_code == 200


@pytest.mark.parametrize("origin", ["https://evil.example", "null", "http://lore.example", ORIGIN + ".evil.example"])
@pytest.mark.parametrize("method", ["GET", "POST", "OPTIONS"])
async def test_pages_of_other_origins_are_refused(gate: Gate, origin: str, method: str) -> None:
    async with gate.client(Origin=origin) as client:
        answer = await client.request(method, "/v1/sessions")
    assert answer.status_code == 403
    assert "access-control-allow-origin" not in answer.headers


async def test_a_change_for_another_sites_page_is_refused_without_an_origin_too(gate: Gate) -> None:
    async with gate.client(**{"Sec-Fetch-Site": "cross-site"}) as client:
        assert (await client.post("/v1/sessions", json={})).status_code == 403
        assert (await client.get("/v1/network")).status_code == 200, "following a link"


async def test_a_listed_origin_may_call_with_a_token(database: Database, log: EventLog) -> None:
    gate = Gate(database, log, cors_origins=[APP])
    token = (await gate.owner())["access_token"]
    async with gate.client(Origin=APP) as client:
        asked = {"Access-Control-Request-Method": "PATCH", "Access-Control-Request-Headers": "authorization,if-match"}
        preflight = await client.options("/v1/me", headers=asked)
        assert (preflight.status_code, preflight.headers["access-control-allow-origin"]) == (204, APP)
        assert "PATCH" in preflight.headers["access-control-allow-methods"]
        assert {"Authorization", "If-Match"} <= set(preflight.headers["access-control-allow-headers"].split(", "))
        answer = await client.get("/v1/me", headers=bearer(token))
        assert (answer.status_code, answer.headers["access-control-allow-origin"]) == (200, APP)
        assert "ETag" in answer.headers["access-control-expose-headers"]
        assert answer.headers["vary"] == "Origin"
        for one in (preflight, answer):
            assert "access-control-allow-credentials" not in one.headers
        refused = await client.get("/v1/me")
        assert (refused.status_code, refused.headers["access-control-allow-origin"]) == (401, APP), "readable, too"


async def test_our_own_origin_needs_no_permission_to_read(gate: Gate) -> None:
    async with gate.client(Origin=ORIGIN) as client:
        answer = await client.get("/v1/network")
    assert answer.status_code == 200
    assert "access-control-allow-origin" not in answer.headers


async def test_answers_are_for_browsers_over_tls(gate: Gate) -> None:
    async with gate.client() as client:
        answers = [await client.get(path) for path in ("/v1/network", "/v1/me", "/nowhere", "/signin")]
    for answer in answers:
        assert answer.headers["strict-transport-security"] == "max-age=31536000"
        assert answer.headers["x-content-type-options"] == "nosniff"
        assert "frame-ancestors 'none'" in answer.headers["content-security-policy"]
        assert answer.headers["x-request-id"]
    assert answers[0].headers["content-security-policy"].startswith("default-src 'none'; frame")
    assert "script-src 'self'" in answers[3].headers["content-security-policy"], "a page runs its own scripts"
    assert "unsafe" not in answers[3].headers["content-security-policy"]


@pytest.mark.parametrize(
    ("address", "forwarded", "status"),
    [
        ("127.0.0.1", None, 200),
        ("10.1.2.3", None, 200),
        ("203.0.113.7", None, 404),
        ("127.0.0.1", "203.0.113.7", 404),
        ("10.1.2.3", "127.0.0.1", 404),
    ],
)
async def test_only_the_inside_reads_metrics(
    database: Database, log: EventLog, address: str, forwarded: str | None, status: int
) -> None:
    gate = Gate(database, log, internal_networks=["10.0.0.0/8"])
    headers = {"X-Forwarded-For": forwarded} if forwarded else {}
    async with gate.client(address, **headers) as client:
        assert (await client.get("/metrics")).status_code == status
        assert (await client.get("/healthz")).status_code == 200


@pytest.mark.parametrize("name", ["Forwarded", "Via", "X-Real-IP", "X-Forwarded-Proto", "X-Forwarded-Host"])
async def test_who_comes_through_a_proxy_of_this_machine_is_not_inside(
    database: Database, log: EventLog, name: str
) -> None:
    async with Gate(database, log).client("127.0.0.1", **{name: "anything"}) as client:
        assert (await client.get("/metrics")).status_code == 404


@pytest.mark.parametrize(
    ("address", "status"), [("127.0.0.1", 200), ("::1", 200), ("10.1.2.3", 200), ("192.168.1.1", 404), ("8.8.8.8", 404)]
)
async def test_a_service_answers_the_other_processes_only(address: str, status: int) -> None:
    async def service(scope: Any, receive: Any, send: Any) -> None:
        await send({"type": "http.response.start", "status": 200, "headers": []})
        await send({"type": "http.response.body", "body": b""})

    app = InternalOnly(service, networks=Networks(["10.0.0.0/8"]))
    transport = httpx2.ASGITransport(app, client=(address, 1))
    async with httpx2.AsyncClient(transport=transport, base_url="http://memory") as client:
        assert (await client.get("/v1/memories")).status_code == status


async def test_guessing_tokens_is_limited_like_anything_else(database: Database, log: EventLog) -> None:
    gate = Gate(database, log, Quotas.per_minute(50))
    async with gate.client(**bearer("a.b.c")) as client:
        answers = [(await client.get("/v1/me")).status_code for _ in range(60)]
    assert answers[:50] == [401] * 50
    assert answers[50:] == [429] * 10


async def test_a_refusal_of_somebody_signed_in_is_in_the_audit_trail(gate: Gate, owner_url: str) -> None:
    owner = await gate.owner()
    async with gate.client(**bearer(owner["access_token"])) as client:
        assert (await client.get("/v1/refused")).status_code == 403
        assert (await client.get("/v1/me")).status_code == 200
    async with gate.client() as client:
        assert (await client.get("/v1/refused")).status_code == 401
    query = "SELECT result, context->>'method', context->>'route' FROM audit.leaf WHERE action = 'access.refused'"
    with psycopg.connect(owner_url) as connection:
        assert connection.execute(query).fetchall() == [("refused", "GET", "/v1/refused")]


async def test_the_access_log_tells_what_was_asked_and_no_secret(
    gate: Gate, capsys: pytest.CaptureFixture[str]
) -> None:
    owner = await gate.owner()
    capsys.readouterr()
    async with gate.client(**bearer(owner["access_token"])) as client:
        await client.get("/v1/me", params={"q": "canary-in-the-query"}, headers={"X-Request-Id": "request-12345"})
        await client.get("/healthz")
    said = capsys.readouterr()
    lines = [line for line in (said.out + said.err).splitlines() if "route" in line]
    assert len(lines) == 1
    for part in ("GET", "/v1/me", "200", "milliseconds", "request-12345", "organisation", "person"):
        assert part in lines[0]
    for secret in ("canary", owner["access_token"][-20:], owner["email"], "203.0.113.7"):
        assert secret not in lines[0]
    assert Measured.__init__.__kwdefaults__["every"] is False, "services behind the gateway do not repeat it"
