"""Links: both directions, once each, never to what the caller cannot see."""

from __future__ import annotations

import pytest

from devlore.events import Event, NearDuplicate, NearDuplicates
from devlore.problems import Invalid, NotFound
from devlore.types import LinkDraft, LinkType, Memory, MemoryDraft, MemoryPatch, Privacy, TargetKind
from devlore_server.kit.auth import Principal
from devlore_server.kit.clock import utc_now
from devlore_server.kit.db import Database, rows
from devlore_server.kit.ids import new_id
from devlore_server.kit.log import EventLog
from devlore_server.memory.links import Links, memory_link
from devlore_server.memory.reactions import MemoryReactions
from devlore_server.memory.service import MemoryService


@pytest.fixture
def service(database: Database, log: EventLog) -> MemoryService:
    return MemoryService(database, log)


@pytest.fixture
def links(database: Database) -> Links:
    return Links(database)


async def remembered(service: MemoryService, who: Principal, **fields: object) -> Memory:
    return (await service.create(who, MemoryDraft(title="A memory", **fields))).memory  # type: ignore[arg-type]


async def test_a_link_is_seen_from_both_ends(service: MemoryService, links: Links, who: Principal) -> None:
    fix, bug = await remembered(service, who), await remembered(service, who)
    link = await links.add(who, fix.id, memory_link(LinkType.FIXES, bug.id))
    assert [(one.id, one.direction) for one in await links.list(who, fix.id, 10)] == [(link.id, "outgoing")]
    assert [(one.id, one.direction) for one in await links.list(who, bug.id, 10)] == [(link.id, "incoming")]
    assert (await service.get(who, fix.id)).version == 1, "a link is not a change of the memory"


async def test_the_same_link_is_stored_once(service: MemoryService, links: Links, who: Principal) -> None:
    memory = await remembered(service, who)
    draft = LinkDraft(type=LinkType.MENTIONS, target_kind=TargetKind.URL, target="https://example.org/a")
    first = await links.add(who, memory.id, draft)
    again = await links.add(who, memory.id, draft.model_copy(update={"note": "other words"}))
    assert again == first
    assert len(await links.list(who, memory.id, 10)) == 1


async def test_listing_pages_without_loss(service: MemoryService, links: Links, who: Principal) -> None:
    memory = await remembered(service, who)
    targets = [f"src/{number}.py" for number in range(7)]
    for target in targets:
        await links.add(who, memory.id, LinkDraft(target_kind=TargetKind.FILE, target=target))
    seen: list[str] = []
    after = None
    while page := await links.list(who, memory.id, 3, after):
        seen += [link.target for link in page]
        after = page[-1].id
    assert seen == targets


async def test_a_draft_brings_its_links(service: MemoryService, links: Links, who: Principal) -> None:
    known = await remembered(service, who)
    drafts = [memory_link(LinkType.DERIVED_FROM, known.id), LinkDraft(target_kind=TargetKind.TICKET, target="API-12")]
    memory = await remembered(service, who, links=drafts)
    held = await links.list(who, memory.id, 10)
    assert {(link.target_kind, link.target) for link in held} == {
        (TargetKind.MEMORY, str(known.id)),
        (TargetKind.TICKET, "API-12"),
    }


async def test_targets_must_be_the_callers_to_see(
    service: MemoryService, links: Links, who: Principal, other: Principal
) -> None:
    mine = await remembered(service, who)
    hidden = await remembered(service, other, privacy=Privacy.PRIVATE)
    answers = []
    for target in (hidden.id, new_id()):
        with pytest.raises(Invalid) as refused:
            await links.add(who, mine.id, memory_link(LinkType.RELATES_TO, target))
        answers.append(refused.value.body())
    assert answers[0] == answers[1]
    for target in (str(mine.id), "not-an-id"):
        with pytest.raises(Invalid) as refused:
            await links.add(who, mine.id, LinkDraft(target_kind=TargetKind.MEMORY, target=target))
        assert refused.value.extra["errors"][0]["pointer"] == "/target"


async def test_a_link_whose_other_end_becomes_hidden_is_not_shown(
    service: MemoryService, links: Links, who: Principal, other: Principal
) -> None:
    public = await remembered(service, who, privacy=Privacy.PUBLIC)
    private = await remembered(service, other, privacy=Privacy.PRIVATE)
    await links.add(other, private.id, memory_link(LinkType.RELATES_TO, public.id))
    assert len(await links.list(other, public.id, 10)) == 1
    assert await links.list(who, public.id, 10) == []
    await service.delete(other, private.id)
    assert await links.list(other, public.id, 10) == []


async def test_removing(service: MemoryService, links: Links, who: Principal, stranger: Principal) -> None:
    a, b = await remembered(service, who), await remembered(service, who)
    link = await links.add(who, a.id, memory_link(LinkType.RELATES_TO, b.id))
    with pytest.raises(NotFound):
        await links.remove(stranger, a.id, link.id)
    with pytest.raises(NotFound):
        await links.remove(who, a.id, new_id())
    await links.remove(who, b.id, link.id)
    assert await links.list(who, a.id, 10) == []


async def test_a_hidden_link_cannot_be_removed(
    service: MemoryService, links: Links, who: Principal, other: Principal
) -> None:
    """Who once saw a link may know its id; the answer is that of any id."""
    public = await remembered(service, who, privacy=Privacy.PUBLIC)
    theirs = await remembered(service, other, privacy=Privacy.PUBLIC)
    link = await links.add(other, theirs.id, memory_link(LinkType.RELATES_TO, public.id))
    await service.edit(other, theirs.id, MemoryPatch(privacy=Privacy.PRIVATE), None)
    answers = []
    for id in (link.id, new_id()):
        with pytest.raises(NotFound) as refused:
            await links.remove(who, public.id, id)
        answers.append(refused.value.body())
    assert answers[0] == answers[1]
    assert [one.id for one in await links.list(other, theirs.id, 10)] == [link.id]


async def test_purging_a_memory_takes_its_links_along(
    service: MemoryService, links: Links, database: Database, who: Principal, other: Principal
) -> None:
    a, b = await remembered(service, who), await remembered(service, who, privacy=Privacy.PUBLIC)
    theirs = await remembered(service, other)
    await links.add(who, a.id, memory_link(LinkType.RELATES_TO, b.id))
    await links.add(other, theirs.id, memory_link(LinkType.MENTIONS, b.id))
    await service.purge(who, b.id)
    assert await links.list(who, a.id, 10) == []
    async with database.transaction(who) as connection:
        assert await rows(connection, "SELECT id FROM memory.link") == [], "not only hidden"


async def test_near_duplicates_become_links_once(
    service: MemoryService, links: Links, who: Principal, other: Principal
) -> None:
    a, b = await remembered(service, who), await remembered(service, who)
    hidden = await remembered(service, other)
    found = [NearDuplicate(memory_id=id, score=0.97) for id in (b.id, hidden.id, new_id())]
    event = Event(
        id=new_id(),
        type="search.near_duplicates_found",
        organisation_id=who.organisation,
        subject=a.id,
        version=1,
        audience=who.person,
        occurred_at=utc_now(),
        data=NearDuplicates(found=found, seen_by=who.person).model_dump(mode="json"),
    )
    reactions = MemoryReactions(links)
    await reactions.note_near_duplicates([event, event])
    held = await links.list(who, a.id, 10)
    assert [(link.type, link.target, link.score) for link in held] == [
        (LinkType.NEAR_DUPLICATE, str(b.id), pytest.approx(0.97))
    ]
    await links.add(who, a.id, memory_link(LinkType.NEAR_DUPLICATE, b.id))
    assert [link.score for link in await links.list(who, a.id, 10)] == [pytest.approx(0.97)], "a person has no score"
    gone = event.model_copy(update={"subject": new_id()})
    await reactions.note_near_duplicates([gone])
