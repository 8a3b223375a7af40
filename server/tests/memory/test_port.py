"""``ports.Memories``: one suite for the service itself and for its twin over HTTP."""

from __future__ import annotations

from collections.abc import AsyncIterator
from datetime import timedelta
from random import Random
from uuid import UUID

import httpx2
import pytest
from fastapi import FastAPI

from devlore.problems import NotAllowed, Unauthenticated, Unavailable
from devlore.types import Memory, MemoryDraft, MemoryPatch, Privacy, Source
from devlore_server.kit.auth import Principal, sign
from devlore_server.kit.clock import utc_now
from devlore_server.kit.http import SignedCallers
from devlore_server.kit.ids import new_id
from devlore_server.memory.client import MemoriesClient
from devlore_server.memory.service import Filters, MemoryService
from devlore_server.ports import Ingest, IngestDraft, Memories
from tests.memory.secrets_formats import checked

SECRET = b"the secret of the split topology"


@pytest.fixture(params=["service", "client"])
async def port(request: pytest.FixtureRequest, service: MemoryService, app: FastAPI) -> AsyncIterator[Memories]:
    """The port in one process, and as another process sees it."""
    if request.param == "service":
        yield service
        return
    transport = httpx2.ASGITransport(app=SignedCallers(app, secret=SECRET))
    async with MemoriesClient("http://memory.test", SECRET, transport=transport) as client:
        yield client


async def stored(service: MemoryService, who: Principal, **draft: object) -> Memory:
    return (await service.create(who, MemoryDraft(**draft))).memory


async def test_visible_is_what_the_caller_may_see_and_not_deleted(
    port: Memories, service: MemoryService, who: Principal, other: Principal, stranger: Principal
) -> None:
    source = Source(connector="git", author="Ada", updated_at=utc_now())
    private = await stored(service, who, title="private", tags=["a"], source=source)
    public = await stored(service, who, title="public", privacy=Privacy.PUBLIC)
    deleted = await stored(service, who)
    await service.delete(who, deleted.id)
    ids = [private.id, public.id, deleted.id, new_id()]
    assert sorted(await port.visible(who, ids), key=lambda one: one.id) == [private, public]
    assert await port.visible(other, ids) == [public]
    assert await port.visible(stranger, ids) == []
    assert await port.visible(who, []) == []


async def test_scan_walks_every_organisation_once(
    port: Memories, service: MemoryService, who: Principal, stranger: Principal
) -> None:
    made = {(await stored(service, whose)).id for whose in (who, stranger, who, stranger, who)}
    await service.delete(who, (await stored(service, who)).id)
    assert await port.count() == 5
    seen: list[Memory] = []
    after = None
    while page := await port.scan(after, 2):
        seen += page
        after = (page[-1].organisation_id, page[-1].id)
    assert {one.id for one in seen} == made
    assert [(one.organisation_id, one.id) for one in seen] == sorted((one.organisation_id, one.id) for one in seen)


async def test_a_batch_and_its_checkpoint(port: Memories, service: MemoryService, who: Principal) -> None:
    connection, other_connection = new_id(), new_id()
    draft = MemoryDraft(title="Fix it", kind="change", source=Source(connector="git", external_id="abc"))
    foreign = MemoryDraft(title="Stray", source=Source(connector="web", external_id="x"))
    batch = Ingest(connection, "git", [IngestDraft(draft), IngestDraft(foreign)], checkpoint={"tips": ["abc"]})
    result = await port.ingest(who, batch)
    assert (result.created, result.updated, result.unchanged, result.deleted) == (1, 0, 0, 0)
    assert [external_id for external_id, _ in result.refused] == ["x"]
    again = await port.ingest(who, batch)
    assert (again.created, again.unchanged, len(again.refused)) == (0, 1, 1)
    assert await port.checkpoint(who, connection) == {"tips": ["abc"]}
    assert await port.checkpoint(who, other_connection) is None
    await port.ingest(who, Ingest(connection, "git", [], deleted=["abc", "never"], checkpoint={"tips": []}))
    assert await port.checkpoint(who, connection) == {"tips": []}
    assert await port.count() == 0
    await port.ingest(who, Ingest(connection, "git", []))
    assert await port.checkpoint(who, connection) == {"tips": []}, "no checkpoint leaves the last one"
    await port.forget_checkpoint(who, connection)
    assert await port.checkpoint(who, connection) is None


async def test_unset_fields_stay_unset_on_the_way(port: Memories, service: MemoryService, who: Principal) -> None:
    source = Source(connector="git", external_id="abc")
    await port.ingest(who, Ingest(new_id(), "git", [IngestDraft(MemoryDraft(title="One", source=source))]))
    (memory,) = await port.scan(None, 10)
    await service.edit(who, memory.id, MemoryPatch(pinned=True, importance=0.9), None)
    await port.ingest(who, Ingest(new_id(), "git", [IngestDraft(MemoryDraft(title="Two", source=source))]))
    (memory,) = await port.scan(None, 10)
    assert (memory.title, memory.pinned, memory.importance) == ("Two", True, 0.9)


async def test_checkpoints_belong_to_their_organisation(port: Memories, who: Principal, stranger: Principal) -> None:
    connection = new_id()
    await port.ingest(who, Ingest(connection, "git", [], checkpoint={"tips": ["abc"]}))
    assert await port.checkpoint(stranger, connection) is None
    await port.forget_checkpoint(stranger, connection)
    assert await port.checkpoint(who, connection) == {"tips": ["abc"]}


@pytest.mark.parametrize("path", ["visible", "scan", "count", "ingest", "checkpoint", "forget-checkpoint"])
async def test_internal_routes_answer_services_only(app: FastAPI, who: Principal, path: str) -> None:
    """Neither without a header, nor with a person's, an old or a forged one."""
    transport = httpx2.ASGITransport(app=SignedCallers(app, secret=SECRET))
    internal = Principal(who.organisation, who.person, scopes=frozenset({"internal"}))
    request = ("POST", f"/internal/memories/{path}".encode())
    headers = [
        (None, Unauthenticated.status),
        (sign(who, SECRET, utc_now(), *request), NotAllowed.status),
        (sign(internal, SECRET, utc_now(), "POST", b"/internal/memories/other"), Unauthenticated.status),
        (sign(internal, SECRET, utc_now() - timedelta(minutes=2), *request), Unauthenticated.status),
        (sign(internal, b"another secret altogether", utc_now(), *request), Unauthenticated.status),
    ]
    async with httpx2.AsyncClient(transport=transport, base_url="http://memory.test") as client:
        for value, status in headers:
            sent = {"Devlore-Principal": value} if value else {}
            answer = await client.post(f"/internal/memories/{path}", json={}, headers=sent)
            assert answer.status_code == status


async def test_the_twin_raises_what_the_service_raises(app: FastAPI, who: Principal) -> None:
    transport = httpx2.ASGITransport(app=SignedCallers(app, secret=SECRET))
    async with MemoriesClient("http://memory.test", b"another secret altogether", transport=transport) as client:
        with pytest.raises(Unauthenticated):
            await client.visible(who, [UUID(int=1)])


async def test_a_memory_service_that_is_away_is_unavailable(who: Principal) -> None:
    async with MemoriesClient("http://127.0.0.1:9", SECRET) as client:
        with pytest.raises(Unavailable):
            await client.visible(who, [])


async def test_secrets_beside_the_drafts_are_masked_as_they_are_in_them(
    port: Memories, service: MemoryService, who: Principal
) -> None:
    token = checked(Random(31), "gh" + "p_")
    name, plain = await port.masked(who, [f"notes/{token}.md", "notes/a.md"])
    assert plain == "notes/a.md"
    assert name.startswith("notes/[[secret:github:token:")
    assert await port.masked(who, []) == []
    source = Source(connector="markdown", external_id=f"notes/{token}.md")
    await port.ingest(who, Ingest(new_id(), "markdown", [IngestDraft(MemoryDraft(title="a", source=source))]))
    (memory,) = await service.page(who, Filters(), 10)
    assert memory.source is not None
    assert memory.source.external_id == name
