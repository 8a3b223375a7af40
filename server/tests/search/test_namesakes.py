"""One id in two organisations, as an export taken elsewhere leaves it: each is found by its own, and doctor agrees."""

from __future__ import annotations

from typing import Any

from devlore.types import Memory
from devlore_server.kit.auth import Principal
from devlore_server.kit.db import Database
from devlore_server.kit.log import EventLog
from devlore_server.memory.store import memories
from tests.search.conftest import Desk


async def copied(database: Database, log: EventLog, memory: Memory, to: Principal, **fields: Any) -> Memory:
    """Take a memory over into another organisation under its own id, as an import does."""
    copy = memory.model_copy(
        update={"organisation_id": to.organisation, "created_by": to.person, "team_id": None, **fields}
    )
    async with database.transaction(to) as connection:
        assert await memories.insert_many(connection, to, [copy], at=copy.updated_at, change="imported") == {memory.id}
    log.notify()
    return copy


async def test_each_finds_its_own_and_no_change_reaches_the_other(
    desk: Desk, database: Database, log: EventLog, who: Principal, stranger: Principal
) -> None:
    mine = await desk.add(who, "walnut press")
    await copied(database, log, mine, stranger, title="walnut mill")
    await desk.settled()
    assert await desk.titles(who, "walnut") == ["walnut press"]
    assert await desk.titles(stranger, "walnut") == ["walnut mill"]
    assert (await desk.service.check()).problems == []
    await desk.memories.delete(who, mine.id)
    await desk.settled()
    assert await desk.titles(who, "walnut") == []
    assert await desk.titles(stranger, "walnut") == ["walnut mill"]
    assert (await desk.service.check()).problems == []
    await desk.memories.purge(who, mine.id)
    await desk.settled()
    assert await desk.titles(stranger, '"walnut mill"') == ["walnut mill"]
    assert (await desk.service.check()).problems == []


async def test_doctor_sees_which_of_two_namesakes_is_missing(
    desk: Desk, database: Database, log: EventLog, who: Principal, stranger: Principal
) -> None:
    mine = await desk.add(who, "walnut press")
    await copied(database, log, mine, stranger)
    await desk.settled()
    index = desk.parts.replica.current
    assert index is not None
    index.purge([(stranger.organisation, mine.id)])
    index.commit()
    lexical, vector = (await desk.service.check()).indexes
    assert (lexical["missing"], lexical["missing_count"], lexical["documents"]) == ([str(mine.id)], 1, 1)
    assert vector["clean"]
