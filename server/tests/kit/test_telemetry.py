"""What operators see: readiness, metrics by route template, log lines without content, traces when asked for."""

from __future__ import annotations

import asyncio
import logging
import sys
import threading
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import asynccontextmanager
from http.server import BaseHTTPRequestHandler, HTTPServer
from typing import Any

import httpx2
import orjson
import psycopg
import pytest
import structlog
from fastapi import FastAPI
from pydantic import BaseModel, ValidationError
from starlette.responses import PlainTextResponse
from structlog.testing import capture_logs

from devlore_server.kit.http import CatchAll, RequestId, Router, install
from devlore_server.kit.telemetry import (
    REGISTRY,
    Measured,
    configure_logs,
    configure_tracing,
    metrics_route,
)
from devlore_server.kit.telemetry.logs import safe_traceback
from devlore_server.kit.telemetry.traces import ENDPOINT


@asynccontextmanager
async def measuring(slow: float) -> AsyncIterator[httpx2.AsyncClient]:
    """A client of an application to which requests of ``slow`` seconds are slow."""
    app = FastAPI()
    install(app)
    router = Router(prefix="/v1")

    @router.get("/things/{thing_id}")
    async def get_thing(thing_id: str) -> str:
        if thing_id == "slow":
            await asyncio.sleep(0.06)
        if thing_id == "broken":
            raise RuntimeError
        return thing_id

    app.include_router(router)
    app.include_router(metrics_route())
    app.add_middleware(CatchAll)
    app.add_middleware(Measured, slow=slow)
    app.add_middleware(RequestId)
    async with httpx2.AsyncClient(transport=httpx2.ASGITransport(app), base_url="http://localhost") as client:
        yield client


@pytest.fixture
async def measured() -> AsyncIterator[httpx2.AsyncClient]:
    async with measuring(60) as client:
        yield client


def counted(method: str, route: str, status: int) -> float:
    labels = {"method": method, "route": route, "status": str(status)}
    return REGISTRY.get_sample_value("devlore_http_request_seconds_count", labels) or 0.0


async def test_requests_are_counted_by_template(measured: httpx2.AsyncClient) -> None:
    before = counted("GET", "/v1/things/{thing_id}", 200)
    for number in range(5):
        await measured.get(f"/v1/things/{number}")
    assert counted("GET", "/v1/things/{thing_id}", 200) == before + 5


async def test_made_up_paths_and_methods_make_no_new_series(measured: httpx2.AsyncClient) -> None:
    for number in range(3):
        await measured.get(f"/made/up/{number}")
        await measured.request(f"MADE{number}", "/up")
    text = (await measured.get("/metrics")).text
    assert 'route="unmatched"' in text
    assert 'method="OTHER"' in text
    assert "/made/up" not in text
    assert "MADE1" not in text


async def test_an_application_without_routes_names_its_own() -> None:
    async def proxy(scope: Any, receive: Any, send: Any) -> None:
        scope["devlore.route"] = "proxy:memory"
        await PlainTextResponse("")(scope, receive, send)

    transport, before = httpx2.ASGITransport(Measured(proxy)), counted("GET", "proxy:memory", 200)
    async with httpx2.AsyncClient(transport=transport, base_url="http://localhost") as client:
        await client.get("/v1/memories/1")
    assert counted("GET", "proxy:memory", 200) == before + 1


async def test_metrics_are_prometheus_text(measured: httpx2.AsyncClient) -> None:
    answer = await measured.get("/metrics")
    assert answer.headers["content-type"].startswith("text/plain; version=0.0.4")
    assert "# TYPE devlore_http_request_seconds histogram" in answer.text
    assert "process_resident_memory_bytes" in answer.text
    assert "devlore_http_requests_running 1.0" in answer.text


async def test_slow_and_failed_requests_leave_a_line(measured: httpx2.AsyncClient) -> None:
    async with measuring(0.05) as impatient:
        with capture_logs() as lines:
            await measured.get("/v1/things/quick")
            await impatient.get("/v1/things/slow")
            await measured.get("/v1/things/broken")
    assert [(line["route"], line["status"]) for line in lines if line["event"] == "request"] == [
        ("/v1/things/{thing_id}", 200),
        ("/v1/things/{thing_id}", 500),
    ]


def lines(text: str) -> list[dict[str, Any]]:
    return [orjson.loads(line) for line in text.splitlines()]


def test_a_line_is_json_with_its_context(stderr: Callable[[], str]) -> None:
    configure_logs("json", "info")
    structlog.contextvars.bind_contextvars(request_id="r1", organisation="o1", person="p1")
    structlog.get_logger().info("memory_created", memory="m1")
    structlog.get_logger().debug("too_detailed")
    (line,) = lines(stderr())
    assert line.pop("at").endswith("Z")
    assert line == {
        "event": "memory_created",
        "level": "info",
        "memory": "m1",
        "organisation": "o1",
        "person": "p1",
        "request_id": "r1",
    }


def test_contents_and_secrets_stay_out(stderr: Callable[[], str]) -> None:
    configure_logs("json", "info")
    structlog.get_logger().info(
        "connected",
        password="hunter2",
        api_key="hunter2",
        access_token="hunter2",
        Authorization="hunter2",
        body="hunter2",
        query="hunter2",
        url="postgresql://app:hunter2@localhost/x",
        long="x" * 10_000,
        tokens_used=7,
    )
    text = stderr()
    assert "hunter2" not in text
    (line,) = lines(text)
    assert line["url"] == "postgresql://app:[redacted]@localhost/x"
    assert line["tokens_used"] == 7
    assert len(line["long"]) < 1_100


def test_an_exception_is_logged_without_local_variables(stderr: Callable[[], str]) -> None:
    configure_logs("json", "info")
    hidden = "hunter2"
    try:
        int("x" + hidden[:0])
    except ValueError:
        structlog.get_logger().error("failed", exc_info=True)
    (line,) = lines(stderr())
    assert "test_an_exception_is_logged_without_local_variables" in line["exception"]
    assert "ValueError" in line["exception"]
    assert "exc_info" not in line


def test_other_loggers_write_the_same_lines(stderr: Callable[[], str]) -> None:
    configure_logs("json", "info")
    logging.getLogger("uvicorn.error").warning("listening on %s", "127.0.0.1")
    logging.getLogger("uvicorn.access").info("GET /?q=hunter2")
    address = "postgresql://app:hunter2@localhost"
    try:
        raise RuntimeError(address)
    except RuntimeError:
        logging.getLogger("psycopg.pool").exception("failed")
    text = stderr()
    first, second = lines(text)
    assert (first["event"], first["logger"], first["level"]) == ("listening on 127.0.0.1", "uvicorn.error", "warning")
    assert second["event"] == "failed"
    assert "RuntimeError" in second["exception"]
    assert "hunter2" not in text


def test_the_console_form_is_for_people(stderr: Callable[[], str]) -> None:
    configure_logs("console", "debug")
    try:
        raise KeyError("thing")
    except KeyError:
        structlog.get_logger().exception("failed", memory="m1")
    text = stderr()
    assert "failed" in text
    assert "memory=m1" in text
    assert "KeyError: 'thing'" in text


@pytest.mark.parametrize(
    ("terminal", "no_color", "coloured"), [(True, "", True), (True, "1", False), (False, "", False)]
)
def test_colours_are_for_terminals_whose_people_want_them(
    stderr: Callable[[], str], monkeypatch: pytest.MonkeyPatch, terminal: bool, no_color: str, coloured: bool
) -> None:
    monkeypatch.setenv("NO_COLOR", no_color)
    monkeypatch.setattr(sys.stderr, "isatty", lambda: terminal)
    configure_logs("console", "info")
    structlog.get_logger().warning("part_died", part="memory")
    # Said twice by uvicorn, the second time for terminals and not filled in.
    twice = {"color_message": "Started server process [\x1b[36m%d\x1b[0m]"}
    logging.getLogger("uvicorn.error").info("Started server process [%d]", 7, extra=twice)
    first, second = stderr().splitlines()
    assert ("\x1b" in first, "\x1b" in second) == (coloured, coloured)
    assert "process [7]" in second and "%d" not in second and "color_message" not in second


class Login(BaseModel):
    password: int


def test_messages_that_quote_data_are_summed_up(postgres: str) -> None:
    with pytest.raises(ValidationError) as invalid:
        Login.model_validate({"password": "hunter2"})
    with pytest.raises(psycopg.Error) as refused, psycopg.connect(postgres) as connection:
        connection.execute("CREATE TEMPORARY TABLE person (name text PRIMARY KEY)")
        connection.execute("INSERT INTO person VALUES ('hunter2'), ('hunter2')")
    texts = safe_traceback(invalid.value), safe_traceback(refused.value)
    assert "hunter2" not in texts[0].split("ValidationError:")[1]
    assert "password: int_parsing" in texts[0]
    assert texts[1].endswith("UniqueViolation: SQLSTATE 23505 person_pkey")


def test_causes_and_groups_are_followed() -> None:
    try:
        try:
            raise KeyError("inner")
        except KeyError as error:
            raise ExceptionGroup("both", [ValueError("one"), TypeError("two")]) from error
    except ExceptionGroup as group:
        text = safe_traceback(group)
    for word in ("KeyError: 'inner'", "ValueError: one", "TypeError: two", "caused by"):
        assert word in text


def test_nothing_is_traced_unless_configured() -> None:
    assert configure_tracing("server", {}) is None
    assert configure_tracing("server", {ENDPOINT: " "}) is None


@pytest.fixture
def collector() -> Iterator[tuple[str, list[tuple[str, bytes]]]]:
    """A real HTTP server that keeps what is exported to it."""
    received: list[tuple[str, bytes]] = []

    class Keep(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            received.append((self.path, self.rfile.read(int(self.headers["Content-Length"]))))
            self.send_response(200)
            self.end_headers()

        def log_message(self, *_: Any) -> None:
            pass

    server = HTTPServer(("127.0.0.1", 0), Keep)
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    yield f"http://127.0.0.1:{server.server_port}", received
    server.shutdown()
    server.server_close()
    thread.join()


async def test_requests_are_traced_when_configured(collector: tuple[str, list[tuple[str, bytes]]]) -> None:
    endpoint, received = collector
    tracing = configure_tracing("server", {ENDPOINT: endpoint})
    assert tracing is not None
    app = FastAPI()

    @app.get("/things/{thing_id}")
    async def get_thing(thing_id: str) -> str:
        return thing_id

    transport = httpx2.ASGITransport(tracing.around(app))
    trace = "4bf92f3577b34da6a3ce929d0e0e4736"
    async with httpx2.AsyncClient(transport=transport, base_url="http://localhost") as client:
        await client.get("/things/1", headers={"traceparent": f"00-{trace}-00f067aa0ba902b7-01"})
    await asyncio.to_thread(tracing.close)
    ((path, exported),) = received
    assert path == "/v1/traces"
    assert b"GET /things/{thing_id}" in exported
    assert bytes.fromhex(trace) in exported
    assert b"devlore-server" in exported
