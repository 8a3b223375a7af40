"""What is erased leaves no word in the answers kept for repeated requests, whoever had asked."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any
from uuid import UUID

import httpx2
import psycopg
import pytest
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.types import Receive, Scope, Send

from devlore.events import Event
from devlore.types import MemoryDraft
from devlore_server.gateway.idempotency import IdempotencyKeys, subject_of
from devlore_server.gateway.individual import Individual
from devlore_server.gateway.reactions import StoredAnswers
from devlore_server.kit.auth import Principal
from devlore_server.kit.clock import utc_now
from devlore_server.kit.db import Database
from devlore_server.kit.ids import new_id
from devlore_server.kit.log import Consumer, EventLog
from devlore_server.memory.service import MemoryService
from devlore_server.subscriptions import GATEWAY_ANSWERS

CANARY = "canary-5d2e"
ID = UUID("0199aa00-0000-7000-8000-0000000000aa")


@asynccontextmanager
async def asking(database: Database, who: Principal, answer: Any) -> AsyncIterator[httpx2.AsyncClient]:
    """A client of a service that always answers the same, behind idempotency keys."""

    async def service(scope: Scope, receive: Receive, send: Send) -> None:
        await Request(scope, receive).body()
        response: Response = JSONResponse(answer, 201, {"Location": f"/v1/things/{CANARY}"})
        await response(scope, receive, send)

    app = Individual(IdempotencyKeys(service, database=database, secret=b"a secret of the tests"), principal=who)
    async with httpx2.AsyncClient(transport=httpx2.ASGITransport(app), base_url="http://localhost") as client:
        yield client


async def post(client: httpx2.AsyncClient, key: str, path: str = "/v1/memories") -> httpx2.Response:
    return await client.post(path, content=b"{}", headers={"Idempotency-Key": key})


def purged(who: Principal, subject: UUID) -> Event:
    return Event(
        id=new_id(),
        type="memory.purged",
        organisation_id=who.organisation,
        subject=subject,
        version=2,
        audience=who.person,
        occurred_at=utc_now(),
        data={},
    )


def answers_with(owner_url: str, word: str) -> int:
    """How many kept answers hold ``word``, in whatever column."""
    with psycopg.connect(owner_url) as owner:
        found = owner.execute(
            "SELECT count(*) FROM gateway.idempotency i WHERE coalesce(convert_from(i.body, 'utf8'), '') LIKE %(w)s"
            " OR coalesce(i.headers::text, '') LIKE %(w)s",
            {"w": f"%{word}%"},
        ).fetchone()
    assert found is not None
    return int(found[0])


async def test_the_words_go_and_the_request_is_still_known(database: Database, who: Principal, owner_url: str) -> None:
    async with asking(database, who, {"id": str(ID), "body": CANARY}) as client:
        await post(client, "k")
        assert answers_with(owner_url, CANARY) == 1
        await StoredAnswers(database).erase([purged(who, ID)] * 2)
        assert answers_with(owner_url, CANARY) == 0
        again = await post(client, "k")
    assert (again.status_code, again.json()["code"], again.json()["original_status"]) == (409, "conflict", 201)
    assert "erased" in again.json()["detail"]
    assert CANARY not in again.text


async def test_other_peoples_answers_about_it_go_too(
    database: Database, who: Principal, other: Principal, stranger: Principal, owner_url: str
) -> None:
    for person in (who, other, stranger):
        async with asking(database, person, {"title": CANARY}) as client:
            await post(client, "k", f"/v1/memories/{ID}/restore")
            await post(client, "another", f"/v1/memories/{new_id()}/restore")
    await StoredAnswers(database).erase([purged(who, ID)])
    assert answers_with(owner_url, CANARY) == 4, "the same id in another organisation is another memory"
    async with asking(database, stranger, {}) as client:
        assert (await post(client, "k", f"/v1/memories/{ID}/restore")).json() == {"title": CANARY}


async def test_an_answer_that_comes_after_the_erasure_is_not_kept(
    database: Database, log: EventLog, who: Principal, owner_url: str
) -> None:
    async with database.transaction(who) as connection:
        await log.append(connection, [purged(who, ID)])
    async with asking(database, who, {"id": str(ID), "body": CANARY}) as client:
        assert CANARY in (await post(client, "k")).text, "who asked in time is answered"
        assert answers_with(owner_url, CANARY) == 0
        assert (await post(client, "k")).status_code == 409


async def test_a_purge_reaches_the_answers_through_the_log(
    database: Database, log: EventLog, who: Principal, owner_url: str
) -> None:
    memories = MemoryService(database, log)
    memory = (await memories.create(who, MemoryDraft(title=CANARY))).memory
    async with asking(database, who, memory.model_dump(mode="json")) as client:
        await post(client, "k")
    consumer = Consumer(log, GATEWAY_ANSWERS.consumer, GATEWAY_ANSWERS.types, StoredAnswers(database).erase)
    running = asyncio.create_task(consumer.run())
    await memories.purge(who, memory.id)
    assert await consumer.wait_for(await log.head(), 30)
    running.cancel()
    assert answers_with(owner_url, CANARY) == 0


async def test_the_owner_can_do_nothing_else_to_answers(
    database: Database, who: Principal, stranger: Principal, owner_url: str
) -> None:
    """Row-level security binds the owner of the table, as whom the erasure runs."""
    async with asking(database, who, {"id": str(ID), "body": CANARY}) as client:
        await post(client, "k")
    with psycopg.connect(owner_url) as owner:
        owner.execute("SET ROLE devlore_owner")
        assert owner.execute("SELECT count(*) FROM gateway.idempotency").fetchone() == (0,)
        assert owner.execute("SELECT gateway.erase(%s, %s)", (who.organisation, [ID])).fetchone() == (0,), "no context"
        owner.execute("SELECT set_config('app.organisation', %s, true)", (str(stranger.organisation),))
        assert owner.execute("SELECT gateway.erase(%s, %s)", (who.organisation, [ID])).fetchone() == (0,)
        owner.execute("SELECT set_config('app.organisation', %s, true)", (str(who.organisation),))
        with pytest.raises(psycopg.errors.InsufficientPrivilege):
            owner.execute("UPDATE gateway.idempotency SET body = 'changed'")


@pytest.mark.parametrize(
    ("path", "body", "subject"),
    [
        ("/v1/memories", b'{"id": "0199aa00-0000-7000-8000-0000000000aa", "title": "x"}', ID),
        ("/v1/memories/0199AA00-0000-7000-8000-0000000000AA/restore", b"", ID),
        ("/v1/memories/urn:uuid:0199aa00-0000-7000-8000-0000000000aa/links", b'{"id": "not this"}', ID),
        ("/v1/memories/0199aa0000007000800000000000 00aa/links", b"{}", None),
        ("/v1/memories/bulk", b'{"items": [{"id": "0199aa00-0000-7000-8000-0000000000aa"}]}', None),
        ("/v1/memories", b'{"id": 7}', None),
        ("/v1/memories", b'["0199aa00-0000-7000-8000-0000000000aa"]', None),
        ("/v1/memories", b"not json \xff", None),
        ("/v1/memories", b"", None),
    ],
)
def test_what_an_answer_is_about(path: str, body: bytes, subject: UUID | None) -> None:
    assert subject_of(path, body) == subject


async def test_of_an_organisation_that_is_gone_no_answer_is_kept(
    database: Database, who: Principal, other: Principal, stranger: Principal, owner_url: str
) -> None:
    for person in (who, other, stranger):
        async with asking(database, person, {"id": str(new_id()), "title": CANARY}) as client:
            assert (await post(client, "of-a-memory")).status_code == 201
            assert (await post(client, "of-nothing", "/v1/organisations")).status_code == 201
    erased = purged(who, who.organisation).model_copy(update={"type": "identity.organisation_erased"})
    for _ in range(2):
        await StoredAnswers(database).erase([erased])
    with psycopg.connect(owner_url) as connection:
        left = connection.execute("SELECT organisation_id, count(*) FROM gateway.idempotency GROUP BY 1").fetchall()
    assert left == [(stranger.organisation, 2)]
