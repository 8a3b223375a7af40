"""Decisions that replace each other, from a folder on disk to statuses and links in the memory service."""

from __future__ import annotations

from pathlib import Path

import pytest

from devlore.types import LinkType, Memory, Status
from devlore_server.integration.service import IntegrationService
from devlore_server.kit.auth import Principal
from devlore_server.kit.db import Database
from devlore_server.memory.lifecycle import Lifecycle
from devlore_server.memory.service import MemoryService
from tests.integration.test_markdown_notes import Synced, write

MADR = "---\nstatus: {status}\ndate: {year}-01-01\ndecision-makers: [Ada, Bob]\n---\n# {title}\n\n## Context and Problem Statement\n\nx\n\n## Decision Outcome\n\ny\n{more}"  # noqa: E501
NYGARD = "# {title}\n\nDate: {year}-01-01\n\n## Status\n\n{status}\n\n## Context\n\nx\n\n## Decision\n\ny\n{more}"
OLD_MADR = "# {title}\n\n* Status: {status}\n* Deciders: Ada, Bob\n* Date: {year}-01-01\n\n## Context and Problem Statement\n\nx\n\n## Decision Outcome\n\ny\n{more}"  # noqa: E501
STYLES = {"madr": MADR, "nygard": NYGARD, "old-madr": OLD_MADR}


@pytest.fixture
def adrs(tmp_path: Path) -> Path:
    folder = tmp_path / "docs" / "adr"
    folder.mkdir(parents=True)
    return folder


@pytest.fixture
def synced(
    service: IntegrationService, memories: MemoryService, database: Database, who: Principal, worker: object
) -> Synced:
    return Synced(service, memories, database, who)


def record(folder: Path, number: int, title: str, status: str, *, style: str = "nygard", more: str = "") -> Path:
    text = STYLES[style].format(title=title, status=status, year=2000 + number, more=more)
    return write(folder, f"{number:04}-{title.lower()}.md", text)


def replaced(old: Memory, new: Memory) -> bool:
    return (old.status, old.superseded_by, old.valid_to) == (Status.SUPERSEDED, new.id, new.valid_from)


@pytest.mark.parametrize("style", STYLES)
@pytest.mark.parametrize(
    ("old", "new"),
    [
        ("superseded by [Nats](0002-nats.md)", "accepted"),
        ("superseded by ADR-0002", "accepted"),
        ("accepted", "accepted, supersedes [Kafka](0001-kafka.md)"),
        ("superseded by [Nats](0002-nats.md)", "accepted, supersedes [Kafka](0001-kafka.md)"),
    ],
)
async def test_either_side_or_both_may_say_it_in_any_style(
    adrs: Path, synced: Synced, style: str, old: str, new: str
) -> None:
    record(adrs, 1, "Kafka", f'"{old}"' if style == "madr" else old, style=style)
    record(adrs, 2, "Nats", f'"{new}"' if style == "madr" else new, style=style)
    sync = await synced.sync(adrs)
    assert (sync.state, sync.created, sync.failed) == ("done", 2, 0)
    found = await synced.all()
    assert {memory.kind for memory in found.values()} == {"decision"}
    assert replaced(found["Kafka"], found["Nats"])
    assert found["Nats"].status is Status.ACTIVE
    (link,) = [link for link in await synced.links("Kafka") if link.type is LinkType.SUPERSEDES]
    assert (link.direction, link.memory_id) == ("incoming", found["Nats"].id)


@pytest.mark.parametrize(
    ("status", "expected"),
    [
        ("Accepted", Status.ACTIVE),
        ("Proposed", Status.ACTIVE),
        ("Rejected", Status.INVALIDATED),
        ("Deprecated", Status.SUPERSEDED),
        ("Superseded by ADR-0099", Status.SUPERSEDED),
        ("Whatever", Status.ACTIVE),
    ],
)
@pytest.mark.parametrize("style", STYLES)
async def test_statuses_become_those_of_the_memory(
    adrs: Path, synced: Synced, style: str, status: str, expected: Status
) -> None:
    record(adrs, 1, "Cron", status, style=style)
    await synced.sync(adrs)
    memory = (await synced.all())["Cron"]
    assert (memory.status, memory.superseded_by) == (expected, None)
    assert (memory.valid_to is None) == (expected is Status.ACTIVE)
    assert memory.occurred_at.year == 2001
    if style != "nygard":
        assert memory.source
        assert memory.source.author in ("Ada, Bob", None)


async def test_a_chain_of_three_knows_each_next(adrs: Path, synced: Synced) -> None:
    record(adrs, 1, "Files", "Superseded by [2](0002-queue.md)")
    record(adrs, 2, "Queue", "Superseded by [3](0003-log.md)")
    record(adrs, 3, "Log", "Accepted")
    await synced.sync(adrs)
    found = await synced.all()
    assert replaced(found["Files"], found["Queue"])
    assert replaced(found["Queue"], found["Log"])
    assert found["Log"].status is Status.ACTIVE


async def test_the_middle_of_a_chain_may_be_the_last_to_come(adrs: Path, synced: Synced) -> None:
    record(adrs, 3, "Log", "Accepted\n\nSupersedes [2](0002-queue.md)")
    record(adrs, 1, "Files", "Superseded by [2](0002-queue.md)")
    await synced.sync(adrs)
    assert (await synced.all())["Files"].superseded_by is None
    record(adrs, 2, "Queue", "Accepted")
    await synced.sync(adrs)
    found = await synced.all()
    assert replaced(found["Files"], found["Queue"])
    assert replaced(found["Queue"], found["Log"])


async def test_a_circle_leaves_one_record_in_force_as_far_as_it_says_so(adrs: Path, synced: Synced) -> None:
    record(adrs, 1, "A", "Accepted\n\nSupersedes [2](0002-b.md)")
    record(adrs, 2, "B", "Accepted\n\nSupersedes [1](0001-a.md)")
    sync = await synced.sync(adrs)
    assert sync.state == "done"
    found = await synced.all()
    assert sorted(memory.status for memory in found.values()) == [Status.ACTIVE, Status.SUPERSEDED]
    again = await synced.sync(adrs)
    assert (again.updated, again.unchanged) == (0, 2), "and it stays so"


async def test_one_record_may_replace_many_and_many_cannot_replace_one(adrs: Path, synced: Synced) -> None:
    for number, title in ((1, "A"), (2, "B"), (3, "C")):
        record(adrs, number, title, "Accepted")
    record(adrs, 4, "All", "Accepted\n\nSupersedes [1](0001-a.md), [2](0002-b.md) and [3](0003-c.md)")
    record(adrs, 5, "Late", "Accepted\n\nSupersedes [1](0001-a.md)")
    await synced.sync(adrs)
    found = await synced.all()
    assert all(replaced(found[title], found["All"]) for title in "ABC")
    assert found["Late"].status is Status.ACTIVE


async def test_taking_the_word_back_reinstates_the_old_record_and_drops_the_claim(adrs: Path, synced: Synced) -> None:
    record(adrs, 1, "Kafka", "Accepted")
    record(adrs, 2, "Nats", "Accepted\n\nSupersedes [1](0001-kafka.md)")
    await synced.sync(adrs)
    record(adrs, 2, "Nats", "Rejected")
    await synced.sync(adrs)
    found = await synced.all()
    kafka, nats = found["Kafka"], found["Nats"]
    assert (kafka.status, kafka.superseded_by, kafka.valid_to) == (Status.ACTIVE, None, None)
    assert nats.status is Status.INVALIDATED


async def test_a_successor_that_is_deleted_leaves_the_old_record_to_its_own_word(adrs: Path, synced: Synced) -> None:
    record(adrs, 1, "Said", "Superseded by [3](0003-new.md)")
    record(adrs, 2, "Told", "Accepted")
    new = record(adrs, 3, "New", "Accepted\n\nSupersedes [2](0002-told.md)")
    await synced.sync(adrs)
    new.unlink()
    sync = await synced.sync(adrs)
    assert sync.deleted == 1
    found = await synced.all()
    assert (found["Said"].status, found["Said"].superseded_by) == (Status.SUPERSEDED, None)
    assert (found["Told"].status, found["Told"].superseded_by) == (Status.ACTIVE, None)


async def test_a_renamed_successor_is_followed(adrs: Path, synced: Synced) -> None:
    record(adrs, 1, "Old", "Superseded by ADR-0002")
    path = record(adrs, 2, "New", "Accepted")
    await synced.sync(adrs)
    path.rename(adrs / "0002-better-name.md")
    await synced.sync(adrs)
    found = await synced.all()
    assert found["Old"].superseded_by == found["New"].id


async def test_a_person_who_reinstated_a_record_is_not_overruled_by_the_same_words(
    adrs: Path, synced: Synced, database: Database, memories: MemoryService, who: Principal
) -> None:
    record(adrs, 1, "Old", "Superseded by [2](0002-new.md)")
    record(adrs, 2, "New", "Accepted")
    await synced.sync(adrs)
    old = (await synced.all())["Old"]
    await Lifecycle(database, memories._log).reinstate(who, old.id, "We went back.")
    record(adrs, 1, "Old", "Superseded by [2](0002-new.md)", more="\nedited\n")
    await synced.sync(adrs)
    now = (await synced.all())["Old"]
    assert (now.status, now.superseded_by) == (Status.ACTIVE, None)
    assert "edited" in now.body
