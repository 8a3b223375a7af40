"""A repeated request gets the first answer only while its person may have it: on the real memory service."""

from __future__ import annotations

import hashlib
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import replace
from typing import Any

import httpx2
import psycopg
import pytest
from fastapi import FastAPI
from starlette.responses import JSONResponse
from starlette.types import ASGIApp, Receive, Scope, Send

from devlore.problems import Unavailable
from devlore_server.gateway.idempotency import IdempotencyKeys
from devlore_server.gateway.individual import Individual
from devlore_server.kit.auth import Principal
from devlore_server.kit.db import Database
from devlore_server.kit.http import CatchAll, install, problem_response
from devlore_server.kit.log import EventLog
from devlore_server.kit.paging import Paging
from devlore_server.memory.api import router
from devlore_server.memory.history import History
from devlore_server.memory.lifecycle import Lifecycle
from devlore_server.memory.links import Links
from devlore_server.memory.service import MemoryService
from devlore_server.memory.transfer import Transfer

SECRET = b"a secret of the tests"
WORDS = "canary-5d2e dries the pool"


class _NoIndex:
    async def wait(self, timeout: float) -> list[str]:
        return []


@pytest.fixture
def service(database: Database, log: EventLog) -> FastAPI:
    """The routes of memories."""
    app = FastAPI(redirect_slashes=False)
    install(app)
    memories, links = MemoryService(database, log), Links(database)
    parts = (memories, History(database), links, Lifecycle(database, log), Transfer(database, log))
    app.include_router(router(*parts, Paging(SECRET), _NoIndex()))
    return app


@asynccontextmanager
async def asking(app: ASGIApp, database: Database, who: Principal, key: str = "k") -> AsyncIterator[httpx2.AsyncClient]:
    """Somebody whose requests all carry one key."""
    keyed = CatchAll(Individual(IdempotencyKeys(app, database=database, secret=SECRET), principal=who))
    transport, headers = httpx2.ASGITransport(keyed), {"Idempotency-Key": key}
    async with httpx2.AsyncClient(transport=transport, base_url="http://localhost", headers=headers) as client:
        yield client


def assert_withheld(answer: httpx2.Response, status: int) -> None:
    assert (answer.status_code, answer.json()["code"], answer.json()["original_status"]) == (409, "conflict", status)
    assert "canary" not in answer.text and "idempotency-replayed" not in answer.headers


@pytest.fixture
def colleague(who: Principal, other: Principal) -> Principal:
    """Another person in the team of ``who``."""
    return replace(other, teams=who.teams)


async def test_a_memory_narrowed_meanwhile_is_not_repeated_to_whom_it_is_hidden_from(
    service: FastAPI, database: Database, who: Principal, colleague: Principal
) -> None:
    (team,) = who.teams
    draft = {"title": WORDS, "privacy": "team", "team_id": str(team)}
    async with asking(service, database, who) as author, asking(service, database, colleague) as http:
        made = (await author.post("/v1/memories", json=draft)).json()
        path, why = f"/v1/memories/{made['id']}/invalidate", {"reason": "it was the proxy"}
        first = await http.post(path, json=why)
        assert (first.status_code, first.json()["title"]) == (200, WORDS)
        again = await http.post(path, json=why)
        assert (again.json(), again.headers["idempotency-replayed"]) == (first.json(), "true")
        narrowed = await author.patch(
            f"/v1/memories/{made['id']}",
            json={"privacy": "private"},
            headers={"If-Match": first.headers["etag"], "Content-Type": "application/merge-patch+json"},
        )
        assert narrowed.status_code == 200, narrowed.text
        assert_withheld(await http.post(path, json=why), 200)
        assert (await author.post("/v1/memories", json=draft)).json() == made, "its author's answer is still theirs"


async def test_whoever_left_the_team_gets_no_answer_of_its_memories(
    service: FastAPI, database: Database, who: Principal, colleague: Principal
) -> None:
    (team,) = who.teams
    async with asking(service, database, who) as author:
        draft = {"title": WORDS, "privacy": "team", "team_id": str(team)}
        path = f"/v1/memories/{(await author.post('/v1/memories', json=draft)).json()['id']}/invalidate"
    async with asking(service, database, colleague) as http:
        assert (await http.post(path, json={"reason": "r"})).status_code == 200
    async with asking(service, database, replace(colleague, teams=frozenset())) as http:
        assert_withheld(await http.post(path, json={"reason": "r"}), 200)


@pytest.mark.parametrize("lost", ["memories:write", "memories:read"])
async def test_whoever_lost_a_scope_gets_no_answer(
    service: FastAPI, database: Database, who: Principal, lost: str
) -> None:
    async with asking(service, database, who) as http:
        assert (await http.post("/v1/memories", json={"title": WORDS})).status_code == 201
    async with asking(service, database, replace(who, scopes=who.scopes - {lost})) as http:
        assert_withheld(await http.post("/v1/memories", json={"title": WORDS}), 201)
    async with asking(service, database, replace(who, scopes=who.scopes | {"audit:read"})) as http:
        again = await http.post("/v1/memories", json={"title": WORDS})
        assert (again.status_code, again.headers["idempotency-replayed"]) == (201, "true"), "more is no less"
        assert (await http.get("/v1/memories")).json()["items"] == [again.json()], "and it ran once"


async def test_a_memory_that_was_deleted_is_not_told_again(
    service: FastAPI, database: Database, who: Principal
) -> None:
    async with asking(service, database, who) as http:
        made = await http.post("/v1/memories", json={"title": WORDS})
        assert (await http.delete(made.headers["location"], headers={"If-Match": made.headers["etag"]})).is_success
        assert_withheld(await http.post("/v1/memories", json={"title": WORDS}), 201)


async def test_a_refusal_is_repeated_whatever_became_of_the_memory(
    service: FastAPI, database: Database, who: Principal, stranger: Principal
) -> None:
    async with asking(service, database, who) as http:
        made = (await http.post("/v1/memories", json={"title": WORDS})).json()
    async with asking(service, database, stranger) as http:
        path = f"/v1/memories/{made['id']}/invalidate"
        answers = [await http.post(path, json={"reason": "r"}) for _ in range(2)]
        assert [answer.status_code for answer in answers] == [404, 404]


async def test_while_the_service_is_away_nothing_is_told(database: Database, who: Principal) -> None:
    away = False

    async def service(scope: Scope, receive: Receive, send: Send) -> None:
        made: dict[str, Any] = {"id": "0199aa00-0000-7000-8000-0000000000aa", "title": WORDS}
        answer = problem_response(Unavailable("away")) if away else JSONResponse(made, 201)
        await answer(scope, receive, send)

    async with asking(service, database, who) as http:
        assert (await http.post("/v1/memories", json={})).status_code == 201
        away = True
        answer = await http.post("/v1/memories", json={})
        assert (answer.status_code, answer.headers["retry-after"]) == (503, "1")
        away = False
        assert (await http.post("/v1/memories", json={})).status_code == 201


async def test_a_stored_fingerprint_says_nothing_without_the_secret(
    service: FastAPI, database: Database, who: Principal, owner_url: str
) -> None:
    body = b'{"title": "guess me"}'
    head = b"/v1/memories\0\0"
    async with asking(service, database, who) as http:
        json = {"content-type": "application/json"}
        assert (await http.post("/v1/memories", content=body, headers=json)).status_code == 201
    with psycopg.connect(owner_url) as owner:
        ((kept, scopes),) = owner.execute("SELECT fingerprint, scopes FROM gateway.idempotency").fetchall()
    guessed = hashlib.sha256(len(head).to_bytes(8, "big") + head + body).digest()
    assert len(kept) == 32 and kept != guessed and guessed not in kept
    assert scopes == sorted(who.scopes)
    other = IdempotencyKeys(service, database=database, secret=b"the secret of another instance")
    async with httpx2.AsyncClient(
        transport=httpx2.ASGITransport(Individual(other, principal=who)), base_url="http://localhost"
    ) as http:
        answer = await http.post("/v1/memories", content=body, headers=json | {"Idempotency-Key": "k"})
        assert (answer.status_code, answer.json()["code"]) == (422, "idempotency-mismatch")
