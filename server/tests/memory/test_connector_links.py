"""Links that a connector brings: they go when the source drops them, and nobody else's link goes with them."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any
from uuid import UUID

import pytest

from devlore.events import NearDuplicate
from devlore.types import Link, LinkDraft, LinkType, MemoryDraft, Source, Status, TargetKind
from devlore_server.kit.auth import Principal
from devlore_server.kit.db import Database
from devlore_server.kit.ids import new_id
from devlore_server.kit.log import START, EventLog
from devlore_server.memory.links import Links
from devlore_server.memory.service import MemoryService
from devlore_server.memory.store.listing import Filters
from devlore_server.memory.transfer import Transfer
from devlore_server.ports import Ingest, IngestDraft, IngestResult


def to(*files: str, type: LinkType = LinkType.RELATES_TO) -> list[LinkDraft]:
    return [LinkDraft(type=type, target_kind=TargetKind.FILE, target=file) for file in files]


class Notes:
    """A connector that brings notes with links, and what the memory service holds of them."""

    def __init__(self, service: MemoryService, database: Database, who: Principal) -> None:
        self.links = Links(database)
        self._service = service
        self._who = who

    async def sync(
        self, name: str, links: list[LinkDraft], *, connector: str = "markdown", **more: Any
    ) -> IngestResult:
        source = Source(connector=connector, external_id=name, updated_at=more.pop("updated_at", None))
        draft = MemoryDraft(title=name, source=source, links=links)
        return await self._service.ingest(self._who, Ingest(new_id(), connector, [IngestDraft(draft, **more)]))

    async def id(self, name: str) -> UUID:
        (memory,) = await self._service.page(self._who, Filters(external_id=[name]), 10)
        return memory.id

    async def held(self, name: str) -> list[Link]:
        return await self.links.list(self._who, await self.id(name), 200)

    async def targets(self, name: str) -> list[str]:
        return sorted(link.target for link in await self.held(name))


@pytest.fixture
def notes(service: MemoryService, database: Database, who: Principal) -> Notes:
    return Notes(service, database, who)


async def test_a_link_that_left_the_note_leaves_its_memory(notes: Notes) -> None:
    await notes.sync("a", to("x.md", "y.md", "z.md"))
    kept = {link.target: link.id for link in await notes.held("a")}
    result = await notes.sync("a", to("y.md", "new.md"))
    assert (result.updated, result.unchanged) == (0, 1), "links make no version"
    now = {link.target: link.id for link in await notes.held("a")}
    assert sorted(now) == ["new.md", "y.md"]
    assert now["y.md"] == kept["y.md"], "a link that stays is not made anew"
    await notes.sync("a", [])
    assert await notes.held("a") == []


async def test_a_link_of_another_type_is_another_link(notes: Notes) -> None:
    await notes.sync("a", to("x.md"))
    await notes.sync("a", to("x.md", type=LinkType.MENTIONS))
    assert [link.type for link in await notes.held("a")] == [LinkType.MENTIONS]


async def test_only_the_notes_of_the_batch_lose_links(notes: Notes) -> None:
    await notes.sync("a", to("x.md"))
    await notes.sync("b", to("x.md"))
    await notes.sync("a", [])
    assert await notes.targets("b") == ["x.md"]


async def test_a_persons_link_stays_also_when_the_source_had_it_too(notes: Notes, who: Principal) -> None:
    await notes.sync("a", to("both.md", "theirs.md"))
    id = await notes.id("a")
    (mine,) = to("mine.md")
    (both,) = to("both.md")
    await notes.links.add(who, id, mine)
    await notes.links.add(who, id, both)
    await notes.sync("a", [])
    assert await notes.targets("a") == ["both.md", "mine.md"]
    # And what a person set first does not become the source's when it comes to say the same.
    await notes.sync("a", to("mine.md"))
    await notes.sync("a", [])
    assert await notes.targets("a") == ["both.md", "mine.md"]


async def test_what_a_person_removed_comes_back_only_with_the_next_word_of_the_source(
    notes: Notes, who: Principal
) -> None:
    await notes.sync("a", to("x.md"))
    (link,) = await notes.held("a")
    await notes.links.remove(who, await notes.id("a"), link.id)
    assert await notes.held("a") == []
    await notes.sync("a", to("x.md"))
    assert await notes.targets("a") == ["x.md"]


async def test_links_between_memories_that_the_server_drew_stay(notes: Notes, who: Principal) -> None:
    await notes.sync("new", [])
    await notes.sync("old", to("x.md"), status=Status.SUPERSEDED, superseded_by="new")
    old, new = await notes.id("old"), await notes.id("new")
    await notes.links.note_near_duplicates(who, new, [NearDuplicate(memory_id=old, score=0.9)])
    await notes.sync("old", [], status=Status.SUPERSEDED, superseded_by="new")
    await notes.sync("new", [])
    assert [(link.type, link.target) for link in await notes.held("new")] == [
        (LinkType.SUPERSEDES, str(old)),
        (LinkType.NEAR_DUPLICATE, str(old)),
    ]


async def test_a_connectors_link_to_a_memory_goes_too(notes: Notes) -> None:
    await notes.sync("target", [])
    target = await notes.id("target")
    upper = LinkDraft(target_kind=TargetKind.MEMORY, target=str(target).upper())
    await notes.sync("a", [upper])
    await notes.sync("a", [upper])
    (link,) = await notes.held("a")
    assert (link.target, link.direction) == (str(target), "outgoing")
    await notes.sync("a", [])
    assert await notes.held("target") == []


async def test_an_older_state_of_the_source_removes_nothing(notes: Notes) -> None:
    days = [datetime(2024, 1, day, tzinfo=UTC) for day in (1, 2)]
    await notes.sync("a", to("x.md"), updated_at=days[1])
    await notes.sync("a", [], updated_at=days[0])
    assert await notes.targets("a") == ["x.md"]


async def test_an_item_of_another_connector_is_another_memory(notes: Notes, service: MemoryService) -> None:
    await notes.sync("a", to("x.md"))
    await notes.sync("a", to("y.md"), connector="wiki")
    await notes.sync("a", [], connector="wiki")
    assert await service.count() == 2
    (own,) = [one for one in await service.scan(None, 10) if one.source and one.source.connector == "markdown"]
    assert own.title == "a"


async def test_a_note_that_comes_back_has_the_links_it_comes_back_with(
    notes: Notes, service: MemoryService, who: Principal
) -> None:
    await notes.sync("a", to("x.md"))
    await service.ingest(who, Ingest(new_id(), "markdown", [], deleted=["a"]))
    await notes.sync("a", to("y.md"))
    assert await notes.targets("a") == ["y.md"]


async def test_upserts_by_people_only_add(notes: Notes, service: MemoryService, who: Principal) -> None:
    source = Source(connector="script", external_id="s")
    for file in ("x.md", "y.md"):
        await service.create(who, MemoryDraft(title="s", source=source, links=to(file)))
    assert await notes.targets("s") == ["x.md", "y.md"]


async def test_a_full_batch_loses_its_links_in_one_go(notes: Notes, service: MemoryService, who: Principal) -> None:
    def batch(*files: str) -> Ingest:
        drafts = [
            MemoryDraft(title=f"n{n}", source=Source(connector="markdown", external_id=f"n{n}"), links=to(*files))
            for n in range(500)
        ]
        return Ingest(new_id(), "markdown", [IngestDraft(one) for one in drafts])

    await service.ingest(who, batch(*(f"f{n}.md" for n in range(10))))
    result = await service.ingest(who, batch("f3.md"))
    assert (result.unchanged, result.refused) == (500, [])
    assert await notes.targets("n0") == await notes.targets("n499") == ["f3.md"]


async def test_importing_an_export_does_not_take_links_from_their_source(
    notes: Notes, database: Database, log: EventLog, who: Principal
) -> None:
    await notes.sync("a", to("x.md"))
    transfer = Transfer(database, log)
    records = [record.model_dump(mode="json") async for record in await transfer.export(who)]
    assert [link["target"] for link in records[0]["links"]] == ["x.md"]
    await transfer.take_in(who, records)
    await notes.sync("a", [])
    assert await notes.held("a") == []


async def test_a_change_of_links_alone_tells_no_index(notes: Notes, log: EventLog) -> None:
    await notes.sync("a", to("x.md"))
    await notes.sync("a", to("y.md"))
    told = await log.read(START, ["memory.created", "memory.updated"], 10)
    assert [event.type for _, event in told] == ["memory.created"]
