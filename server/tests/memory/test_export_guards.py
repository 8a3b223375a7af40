"""Who may take memories away in bulk, for how long, and what stays behind of what was public once."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime, timedelta

import pytest

from devlore.problems import Unavailable
from devlore.types import MemoryDraft, MemoryPatch, Privacy
from devlore_server.kit.auth import Principal
from devlore_server.kit.db import Database, rows
from devlore_server.kit.log import EventLog
from devlore_server.memory import transfer as module
from devlore_server.memory.service import MemoryService
from devlore_server.memory.transfer import LONGEST_EXPORT, Transfer

from .conftest import Enter, created


async def test_an_export_needs_a_fresh_sign_in(enter: Enter, who: Principal) -> None:
    await created(enter(who), body="taken away")
    stale = replace(who, session="s", fresh=False)
    refused = await enter(stale).get("/v1/memories/export")
    assert (refused.status_code, refused.json()["code"]) == (403, "step-up-required")
    assert b"taken away" not in refused.content
    assert (await enter(stale).get("/v1/memories")).status_code == 200

    for good in (replace(stale, fresh=True), replace(stale, session=None, key="k")):
        answer = await enter(good).get("/v1/memories/export")
        assert answer.status_code == 200
        assert b"taken away" in answer.content


async def test_an_export_does_not_outlive_its_caller_for_long(
    database: Database, log: EventLog, who: Principal, monkeypatch: pytest.MonkeyPatch
) -> None:
    service = MemoryService(database, log)
    for number in range(3):
        await service.create(who, MemoryDraft(body=f"memory {number}"))
    now = [datetime(2026, 1, 1, tzinfo=UTC)]
    monkeypatch.setattr(module, "_PAGE", 1)
    records = await Transfer(database, log, lambda: now[0]).export(who)
    assert (await anext(records)).memory.body == "memory 0"
    now[0] += LONGEST_EXPORT
    assert (await anext(records)).memory.body == "memory 1"
    now[0] += timedelta(seconds=1)
    with pytest.raises(Unavailable, match="took too long"):
        await anext(records)


async def test_a_once_public_state_goes_with_its_memory(
    database: Database, log: EventLog, who: Principal, other: Principal
) -> None:
    service = MemoryService(database, log)
    memory = (await service.create(who, MemoryDraft(body="for all", privacy=Privacy.PUBLIC))).memory
    await service.edit(who, memory.id, MemoryPatch(body="still for all"), None)
    assert await states(database, other) == ["for all"]
    await service.edit(who, memory.id, MemoryPatch(privacy=Privacy.PRIVATE), None)
    assert await states(database, other) == []
    assert await states(database, who) == ["for all", "still for all"]


async def states(database: Database, who: Principal) -> list[str]:
    """The past states row-level security alone shows somebody."""
    async with database.transaction(who) as connection:
        found = await rows(connection, "SELECT state->>'body' AS body FROM memory.version ORDER BY version")
    return [state["body"] for state in found]
