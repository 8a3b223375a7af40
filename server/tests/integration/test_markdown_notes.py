"""Notes as people, tools and mischief write them, through the connector and into the memory service."""

from __future__ import annotations

import os
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest

from devlore.types import ConnectionDraft, Link, Memory, Sync
from devlore_server.integration.connectors.markdown import MarkdownConnector
from devlore_server.integration.connectors.markdown.frontmatter import moment, split
from devlore_server.integration.service import IntegrationService
from devlore_server.kit.auth import Principal
from devlore_server.kit.db import Database
from devlore_server.memory.links import Links
from devlore_server.memory.service import MemoryService
from devlore_server.memory.store.listing import Filters
from tests.integration.conftest import ended
from tests.integration.pulling import Pulled, pull
from tests.integration.repositories import Repo

markdown = MarkdownConnector()


@pytest.fixture
def notes(tmp_path: Path) -> Path:
    folder = tmp_path / "notes"
    folder.mkdir()
    return folder


def write(folder: Path, name: str, text: str | bytes) -> Path:
    path = folder / name
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(text if isinstance(text, bytes) else text.encode())
    return path


async def read(folder: Path, checkpoint: Any = None) -> Pulled:
    return await pull(markdown, {"path": str(folder)}, checkpoint)


async def one(folder: Path, text: str | bytes) -> Pulled:
    write(folder, "a.md", text)
    return await read(folder)


class Synced:
    """A folder and the memories of it."""

    def __init__(self, service: IntegrationService, memories: MemoryService, database: Database, who: Principal):
        self._service, self._memories, self._who = service, memories, who
        self._links = Links(database)

    async def sync(self, folder: Path) -> Sync:
        draft = ConnectionDraft(connector="markdown", config={"path": str(folder)})
        connection, _ = await self._service.connect(self._who, draft)
        return await ended(self._service, self._who, await self._service.sync(self._who, connection.id))

    async def all(self, **filters: Any) -> dict[str, Memory]:
        return {memory.title: memory for memory in await self._memories.page(self._who, Filters(**filters), 200)}

    async def links(self, title: str) -> list[Link]:
        return await self._links.list(self._who, (await self.all())[title].id, 200)


@pytest.fixture
def synced(
    service: IntegrationService, memories: MemoryService, database: Database, who: Principal, worker: object
) -> Synced:
    return Synced(service, memories, database, who)


HUGE = "f" * 5_000


@pytest.mark.parametrize(
    "block",
    [
        "date: 0001-01-01T00:00:00+14:00",
        "date: '9999-12-31T23:59:59-14:00'",
        "date: 9999-12-31",
        "date: 0001-01-01",
        "date: 2024-02-31",
        "date: 2024-01-01T00:00:00+99:00",
        f"title: 0x{HUGE}",
        f"? 0x{HUGE}\n: 1",
        "title: " + ":".join(["59"] * 4_000),
        'title: "half \\ud800"\ntags: ["\\udfff"]\nauthor: "\\ud800"\nproject: "\\ud800"\nkind: "\\ud800"',
        'status: "superseded by [[\\ud800]]"',
        'superseded-by: "[[a\\0b]]"\nstatus: "x\\0y"',
        "title: .inf\ntags: [.nan, 1e400, ~, true]",
        "tags: !!set {a, b}\ntitle: !!binary aGVsbG8=",
        "a: " + "[" * 600,
        "a: &a [1]\nb: *a",
        "? [complex, key]\n: value",
        "<<: {title: merged}",
        "tags: " + ", ".join(f"t{n}" for n in range(300)),
        f"title: {'long ' * 400}\nauthor: {'A' * 2_000}\nproject: {'p' * 500}\nkind: {'k' * 60}",
        "\t- tabs",
        "!!python/object/apply:os.system ['touch /tmp/ran']",
    ],
)
async def test_no_front_matter_costs_more_than_itself(notes: Path, synced: Synced, block: str) -> None:
    write(notes, "odd.md", f"---\n{block}\n---\n# odd\n\ntext\n")
    write(notes, "plain.md", "# plain")
    sync = await synced.sync(notes)
    assert (sync.state, sync.created) == ("done", 2), sync.failures
    assert all(failure.reason.startswith("Its front matter") for failure in sync.failures)
    again = await synced.sync(notes)
    assert (again.unchanged, again.updated, again.created) == (2, 0, 0)


def test_numbers_no_text_can_hold_are_passed_over() -> None:
    matter, text = split(f"+++\ntitle = 0x{HUGE}\nauthor = 7\n+++\nbody")
    assert (matter.text("title"), matter.text("author"), text) == (None, "7", "body")


@pytest.mark.parametrize("value", ["0001-01-01", "9999-12-31", "0001-01-01T00:00:00+14:00", datetime(9999, 1, 1)])  # noqa: DTZ001
def test_dates_at_the_ends_of_time_are_none(value: object) -> None:
    assert moment(value) is None


@pytest.mark.parametrize(
    ("text", "title", "body"),
    [
        ("", "a", ""),
        ("  \n\n", "a", "  "),
        ("---\ntitle: T\n---", "T", ""),
        ("---\r\ntitle: T\r\n---\r\nbody\r\n", "T", "body"),
        (b"\xef\xbb\xbf---\ntitle: T\n---\nbody", "T", "body"),
        ("---\ntitle: T\n---\nbody".encode("utf-16"), "T", "body"),
        ("---\ntitle: T\n---\nbody".encode("utf-16-be").join([b"\xfe\xff", b""]), "T", "body"),
        ("---  \ntitle: 'T'\n---\t\nbody", "T", "body"),
        ("+++\ntitle = 'T'\n[extra]\nx = 1\n+++\nbody", "T", "body"),
        ("---\nTITLE: T\n---\nbody", "T", "body"),
        ("---\ntitle: |\n  two\n  lines\n---\nbody", "two lines", "body"),
        ("---\ntitle: ''\n---\n# Heading\n", "Heading", "# Heading"),
        ("\n---\ntitle: T\n---\nbody", "title: T", "---\ntitle: T\n---\nbody"),
        ("---\njust text\n---\nbody", "just text", "---\njust text\n---\nbody"),
        ("# Läuft\rMac lines\r", "Läuft", "# Läuft\nMac lines"),
        ("# [Link](x.md) and *emphasis* `code`\n", "Link and emphasis code", "# [Link](x.md) and *emphasis* `code`"),
        ("<!-- # no -->\n# 中文标题\n", "中文标题", "<!-- # no -->\n# 中文标题"),
    ],
)
async def test_titles_and_bodies(notes: Path, text: str | bytes, title: str, body: str) -> None:
    (found,) = (await one(notes, text)).drafts
    assert (found.draft.title, found.draft.body) == (title, body)


async def test_a_body_at_the_limit_is_stored_and_one_byte_more_is_a_failure(notes: Path, synced: Synced) -> None:
    write(notes, "fits.md", b"x" * 1_048_576)
    write(notes, "over.md", b"x" * 1_048_577)
    # Counted in the bytes of UTF-8, also for a file that is shorter on disk.
    write(notes, "wide.md", ("漢" * 400_000).encode("utf-16"))
    sync = await synced.sync(notes)
    assert (sync.state, sync.created, sync.failed) == ("done", 1, 2)
    assert {Path(failure.item).name for failure in sync.failures} == {"over.md", "wide.md"}


async def test_links_follow_the_note_as_it_is_edited(notes: Path, synced: Synced) -> None:
    write(notes, "a.md", "# a\n\n[b](b.md) [code](src/x.py#L3)\n")
    write(notes, "b.md", "# b\n")
    await synced.sync(notes)
    assert [link.target for link in await synced.links("a")] == ["b.md", "src/x.py#L3"]
    write(notes, "a.md", "# a\n\n[c](c.md) [code](src/x.py#L3)\n")
    await synced.sync(notes)
    assert sorted(link.target for link in await synced.links("a")) == ["c.md", "src/x.py#L3"]
    write(notes, "a.md", "# a\n\nno links\n")
    await synced.sync(notes)
    assert await synced.links("a") == []


async def test_links_that_lead_nowhere_are_left_out_and_harmless(notes: Path, synced: Synced) -> None:
    far = "漢" * 1_500
    write(
        notes,
        "a.md",
        f"# a\n[1]({far}.md) [2](b%00.md) [3](../../etc/passwd) [4](/abs.md) [5](file:///etc/passwd) [6](#here)"
        " [7](javascript:alert(1)) [8](b%ff.md) [9](<sp ace.md>) [10](b.md?plain=1#x) [11](.) [12](..)\n",
    )
    sync = await synced.sync(notes)
    assert (sync.created, sync.failed) == (1, 0)
    targets = [link.target for link in await synced.links("a")]
    assert "b.md" in targets
    assert not [target for target in targets if "etc" in target or "漢" in target or ":" in target]


async def test_a_note_that_is_renamed_is_the_old_one_gone_and_a_new_one(notes: Path, synced: Synced) -> None:
    write(notes, "old.md", "# same")
    await synced.sync(notes)
    before = (await synced.all())["same"]
    (notes / "old.md").rename(notes / "new.md")
    sync = await synced.sync(notes)
    assert (sync.created, sync.deleted) == (1, 1)
    after = (await synced.all())["same"]
    assert after.id != before.id
    (notes / "new.md").rename(notes / "old.md")
    await synced.sync(notes)
    assert (await synced.all())["same"].id == before.id, "what comes back is restored"


async def test_names_that_differ_in_case_or_form_are_different_notes(notes: Path) -> None:
    for name in ("a.md", "A.md", "caf\u00e9.md", "cafe\u0301.md", "x.MD", "y.Markdown", "z.txt.md", "q.mdx"):
        write(notes, name, f"# {name}")
    assert len((await read(notes)).ids) == 7


async def test_a_folder_that_becomes_a_file_and_a_file_that_becomes_a_link(notes: Path) -> None:
    write(notes, "x.md/inner.md", "# inner")
    path = write(notes, "y.md", "# y")
    first = await read(notes)
    assert sorted(first.titles) == ["inner", "y"]
    (notes / "x.md" / "inner.md").unlink()
    (notes / "x.md").rmdir()
    write(notes, "x.md", "# now a file")
    path.unlink()
    path.symlink_to("/etc/hostname")
    second = await read(notes, first.checkpoint)
    assert second.titles == ["now a file"]
    assert sorted(second.deleted) == [f"{notes}/x.md/inner.md", f"{notes}/y.md"]


async def test_a_link_to_the_folder_itself_is_followed_and_links_in_it_are_not(tmp_path: Path, notes: Path) -> None:
    write(notes, "a.md", "# a")
    write(tmp_path / "elsewhere", "b.md", "# b")
    (notes / "sub").symlink_to(tmp_path / "elsewhere")
    (tmp_path / "alias").symlink_to(notes)
    assert (await read(tmp_path / "alias")).titles == ["a"]


async def test_what_git_ignores_later_is_gone_and_what_is_tracked_stays(tmp_path: Path) -> None:
    repo = Repo(tmp_path / "app")
    repo.commit("docs", {"kept.md": "# kept", "private/p.md": "# tracked"})
    write(repo.folder, "draft.md", "# draft")
    first = await read(repo.folder)
    assert sorted(first.titles) == ["draft", "kept", "tracked"]
    write(repo.folder, ".gitignore", "draft.md\nprivate/\n*.tmp.md\n")
    write(repo.folder, "x.tmp.md", "# never")
    second = await read(repo.folder, first.checkpoint)
    assert (second.titles, [id.rpartition("/")[2] for id in second.deleted]) == ([], ["draft.md"])
    (repo.folder / ".gitignore").unlink()
    assert sorted((await read(repo.folder, second.checkpoint)).titles) == ["draft", "never"]


async def test_times_no_calendar_has_are_brought_back_into_it(notes: Path) -> None:
    path = write(notes, "a.md", "# a")
    os.utime(path, (-2_000_000_000, -2_000_000_000))
    (found,) = (await read(notes)).drafts
    assert found.draft.occurred_at is not None
    assert found.draft.occurred_at <= datetime(1970, 1, 1, tzinfo=UTC)


async def test_a_note_that_stops_making_a_memory_keeps_the_one_it_had(notes: Path, synced: Synced) -> None:
    path = write(notes, "a.md", "# good")
    await synced.sync(notes)
    path.write_bytes(b"\xff\xfe\xfd")
    sync = await synced.sync(notes)
    assert (sync.state, sync.deleted, [failure.item for failure in sync.failures]) == ("done", 0, ["a.md"])
    again = await synced.sync(notes)
    assert again.failed == 1, "it is told every time until it is mended"
    assert list(await synced.all()) == ["good"]
    path.write_text("# mended")
    await synced.sync(notes)
    assert list(await synced.all()) == ["mended"]


async def test_hundreds_of_broken_files_are_counted_and_a_hundred_told(notes: Path, synced: Synced) -> None:
    for number in range(130):
        write(notes, f"{number:03}.md", b"\xff")
    write(notes, "good.md", "# good")
    sync = await synced.sync(notes)
    assert (sync.state, sync.created, sync.failed, len(sync.failures)) == ("done", 1, 130, 100)
