"""What probes are told of a process and of what it needs."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Any

import httpx2
import orjson
from fastapi import FastAPI
from starlette.testclient import TestClient

from devlore_server.kit.db import Database
from devlore_server.kit.telemetry import Resource, configure_logs, health


async def fine() -> None:
    """A resource that answers."""


async def away() -> None:
    raise ConnectionError("redis://:hunter2@10.0.0.7")


async def silent() -> None:
    await asyncio.sleep(60)


async def detailed() -> str:
    return "12 events behind"


def ask(path: str, app: FastAPI) -> httpx2.Response:
    return TestClient(app).get(path)


def app_with(*, timeout: float = 0.05, **resources: Any) -> FastAPI:
    app = FastAPI()
    health(app, resources, timeout=timeout)
    return app


def test_alive_is_alive_whatever_is_away() -> None:
    answer = ask("/healthz", app_with(database=away))
    assert (answer.status_code, answer.json()) == (200, {"status": "alive"})


def test_ready_names_each_resource() -> None:
    answer = ask("/readyz", app_with(database=fine, log=detailed))
    body = answer.json()
    assert (answer.status_code, body["status"], body["degraded"]) == (200, "ready", [])
    assert [(one["name"], one["up"], one["detail"]) for one in body["resources"]] == [
        ("database", True, None),
        ("log", True, "12 events behind"),
    ]
    assert all(one["milliseconds"] >= 0 for one in body["resources"])


async def test_a_resource_is_asked_once_for_all_who_ask_at_the_same_time() -> None:
    """Anybody may ask, as often as they like: it must not take the connections of those who work."""
    asked, answer = 0, asyncio.Event()

    async def slow() -> None:
        nonlocal asked
        asked += 1
        await answer.wait()

    transport = httpx2.ASGITransport(app=app_with(timeout=60, database=slow))
    async with httpx2.AsyncClient(transport=transport, base_url="http://devlore") as client:
        asking = [asyncio.create_task(client.get("/readyz")) for _ in range(20)]
        for _ in range(500):  # turns without input and output: by then all of them wait
            await asyncio.sleep(0)
        answer.set()
        answers = await asyncio.gather(*asking)
        assert ({one.status_code for one in answers}, asked) == ({200}, 1)
        await client.get("/readyz")
    assert asked == 2


def test_without_a_critical_resource_it_is_down() -> None:
    answer = ask("/readyz", app_with(database=away, redis=Resource(away, critical=False)))
    assert (answer.status_code, answer.json()["status"]) == (503, "down")
    assert answer.json()["degraded"] == ["database", "redis"]


def test_without_another_it_is_degraded_and_says_so() -> None:
    answer = ask("/readyz", app_with(database=fine, redis=Resource(away, critical=False)))
    assert (answer.status_code, answer.json()["status"]) == (200, "degraded")
    assert answer.json()["degraded"] == ["redis"]
    assert "hunter2" not in answer.text
    assert "10.0.0.7" not in answer.text


def test_a_resource_that_never_answers_does_not_hold_the_others() -> None:
    body = ask("/readyz", app_with(database=fine, embedder=Resource(silent, critical=False))).json()
    assert body["status"] == "degraded"
    assert body["resources"][1]["detail"] == "no answer within 0.05 s"


async def test_that_one_is_away_is_said_once_and_so_is_its_return(stderr: Callable[[], str]) -> None:
    """Whoever watches asks every few seconds; a day without a resource must not fill the log."""
    configure_logs()
    gone, password = [True, True, True, False, False, True], "hunter-2"

    async def unsteady() -> None:
        if gone[0]:
            raise ConnectionError(f"postgresql://owner:{password}@db is away")

    async def mute() -> None:
        if gone[0]:
            await asyncio.sleep(60)

    app = app_with(unsteady=unsteady, mute=mute)
    async with httpx2.AsyncClient(transport=httpx2.ASGITransport(app), base_url="http://test") as client:
        while gone:
            await client.get("/readyz")
            gone.pop(0)
    lines = [orjson.loads(line) for line in stderr().splitlines()]
    said = [(line["event"], line["resource"]) for line in lines if line["event"].startswith("resource_")]
    for name in ("unsteady", "mute"):
        assert [event for event, of in said if of == name] == ["resource_away", "resource_back", "resource_away"]
    assert password not in repr(lines)


async def test_a_real_database_is_ready_until_it_is_closed(database: Database) -> None:
    app = app_with(database=database.ping)
    async with httpx2.AsyncClient(transport=httpx2.ASGITransport(app), base_url="http://localhost") as client:
        assert (await client.get("/readyz")).status_code in (200, 503)
        await database.close()
        assert (await client.get("/readyz")).status_code == 503
