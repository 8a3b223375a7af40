"""`memory.visible` says itself who asks, in one statement: row-level security decides, and nothing stays behind."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from typing import Any, LiteralString
from uuid import UUID

import psycopg
import pytest

from devlore.types import Memory, MemoryDraft, Privacy
from devlore_server.kit.auth import NIL, Principal
from devlore_server.kit.db import Database
from devlore_server.kit.ids import new_id
from devlore_server.kit.log import EventLog
from devlore_server.memory.service import MemoryService

VISIBLE: LiteralString = "SELECT id FROM memory.visible(%s, %s, %s, %s)"
CONTEXT: LiteralString = (
    "SELECT current_setting('app.organisation') AS organisation, current_setting('app.person') AS person,"
    " current_setting('app.teams') AS teams, current_setting('enable_seqscan') AS seqscan"
)
NOBODY = {"organisation": str(NIL), "person": str(NIL), "teams": "{}", "seqscan": "on"}


@pytest.fixture
async def single(database_url: str) -> AsyncIterator[Database]:
    """One connection, which everybody borrows in turn."""
    opened = Database(database_url, max_size=1)
    await opened.open()
    yield opened
    await opened.close()


@pytest.fixture
def service(single: Database) -> MemoryService:
    return MemoryService(single, EventLog(single))


async def stored(service: MemoryService, who: Principal, privacy: Privacy, team: UUID | None = None) -> Memory:
    draft = MemoryDraft(title=f"{privacy.value} of {who.person}", privacy=privacy, team_id=team)
    return (await service.create(who, draft)).memory


async def seen(service: MemoryService, who: Principal, ids: list[UUID]) -> set[UUID]:
    return {memory.id for memory in await service.visible(who, ids)}


async def test_each_sees_what_row_level_security_shows(
    service: MemoryService, who: Principal, other: Principal, stranger: Principal
) -> None:
    (team,) = who.teams
    private = await stored(service, who, Privacy.PRIVATE)
    shared = await stored(service, who, Privacy.TEAM, team)
    public = await stored(service, who, Privacy.PUBLIC)
    ids = [private.id, shared.id, public.id, new_id(), public.id]
    member = Principal(organisation=who.organisation, person=new_id(), teams=frozenset({team, new_id()}))
    assert await seen(service, who, ids) == {private.id, shared.id, public.id}
    assert await seen(service, member, ids) == {shared.id, public.id}
    assert await seen(service, other, ids) == {public.id}
    assert await seen(service, stranger, ids) == set()
    assert len(await service.visible(who, ids)) == 3, "an id asked for twice is answered once"
    assert await service.visible(who, []) == []
    found = {memory.id: memory for memory in await service.visible(who, ids)}
    assert found[shared.id] == await service.get(who, shared.id)


async def test_the_deleted_are_not_seen(service: MemoryService, who: Principal) -> None:
    gone = await stored(service, who, Privacy.PUBLIC)
    await service.delete(who, gone.id)
    assert await service.visible(who, [gone.id]) == []


async def test_nothing_of_the_context_stays_in_the_pooled_connection(
    single: Database, service: MemoryService, who: Principal, stranger: Principal
) -> None:
    private = await stored(service, who, Privacy.PRIVATE)
    for _ in range(8):  # past psycopg's and PostgreSQL's change to a prepared statement and a plan that is kept
        assert await seen(service, who, [private.id]) == {private.id}
        assert await single.statement(CONTEXT) == NOBODY
        assert await single.read("SELECT id FROM memory.memory") == []
        assert await seen(service, stranger, [private.id]) == set()
        async with single.transaction(None) as connection:
            assert await (await connection.execute("SELECT id FROM memory.memory")).fetchall() == []


async def test_nor_after_a_statement_that_failed_or_was_given_up(
    single: Database, service: MemoryService, who: Principal
) -> None:
    await stored(service, who, Privacy.PRIVATE)
    parameters = (who.organisation, who.person, [], [])
    with pytest.raises(psycopg.errors.DivisionByZero):
        await single.read("SELECT 1 / (SELECT count(*) FROM memory.visible(%s, %s, %s, %s))", parameters)
    assert await single.statement(CONTEXT) == NOBODY
    slow: LiteralString = "SELECT pg_sleep(30), v.* FROM (SELECT count(*) FROM memory.visible(%s, %s, %s, %s)) AS v"
    waiting = asyncio.create_task(single.read(slow, parameters))
    await asyncio.sleep(0.2)
    waiting.cancel()
    await asyncio.gather(waiting, return_exceptions=True)
    assert await single.statement(CONTEXT) == NOBODY


async def test_missing_arguments_are_nobody(single: Database, service: MemoryService, who: Principal) -> None:
    """A null would reset a setting to its default; all of it must come to nothing."""
    public = await stored(service, who, Privacy.PUBLIC)
    whole: tuple[Any, ...] = (who.organisation, who.person, [], [public.id])
    assert await single.tuples(VISIBLE, whole) == [(public.id,)]
    for place in range(4):
        assert await single.tuples(VISIBLE, (*whole[:place], None, *whole[place + 1 :])) == []
    assert await single.tuples(VISIBLE, (NIL, NIL, [NIL], [public.id])) == []


async def test_arguments_cannot_say_more_than_they_are(
    single: Database, service: MemoryService, who: Principal
) -> None:
    private = await stored(service, who, Privacy.PRIVATE)
    nobody: tuple[Any, ...] = (who.organisation, new_id(), "{}", [private.id])
    for place, trick in ((1, f"{who.person}' OR true --"), (2, '{"}", "app.person"}'), (2, "{*}"), (0, "%")):
        with pytest.raises(psycopg.errors.DataError):
            await single.tuples(VISIBLE, (*nobody[:place], trick, *nobody[place + 1 :]))
    assert await single.tuples(VISIBLE, nobody) == []


async def test_only_the_application_may_call_it(owner_url: str) -> None:
    async with await psycopg.AsyncConnection.connect(owner_url, autocommit=True) as connection:
        cursor = await connection.execute(
            "SELECT prosecdef, has_function_privilege('devlore_app', oid, 'EXECUTE'), proacl::text LIKE '%%{=X%%'"
            " FROM pg_proc WHERE oid = 'memory.visible(uuid, uuid, uuid[], uuid[])'::regprocedure"
        )
        assert await cursor.fetchone() == (False, True, False)
