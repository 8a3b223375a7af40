"""The markdown connector on real folders: what it reads, remembers, and finds gone."""

from __future__ import annotations

import os
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest

from devlore.problems import Invalid
from devlore.types import LinkType, Status, TargetKind
from devlore_server.integration.connectors.markdown import MarkdownConnector
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


async def read(folder: Path, checkpoint: Any = None, **more: Any) -> Pulled:
    return await pull(markdown, {"path": str(folder)}, checkpoint, **more)


async def test_a_note_with_front_matter(notes: Path) -> None:
    write(
        notes,
        "pool.md",
        "---\ntitle: Why the pool runs dry\nkind: insight\ntags: [postgres, '#ops', \"a, b\"]\nproject: The API\n"
        "date: 2025-03-04\nauthor: Ada\n---\n# Another heading\n\nBecause.\n",
    )
    (one,) = (await read(notes)).drafts
    draft = one.draft
    assert (draft.title, draft.kind, draft.project) == ("Why the pool runs dry", "insight", "the-api")
    assert draft.tags == ["postgres", "ops", "a b"]
    assert draft.body == "# Another heading\n\nBecause."
    assert draft.occurred_at == datetime(2025, 3, 4, tzinfo=UTC)
    assert draft.source
    assert (draft.source.external_id, draft.source.author) == (f"{notes}/pool.md", "Ada")
    assert one.status is Status.ACTIVE


async def test_titles_come_from_the_heading_or_the_name(notes: Path) -> None:
    write(notes, "a.md", "```\n# not this\n```\n\n## The *real* `one` ##\n")
    write(notes, "b.md", "Underlined\n==========\n\ntext")
    write(notes, "some_old-name.md", "no heading")
    write(notes, "topic/README.md", "no heading")
    titles = {one.draft.source.external_id: one.draft.title for one in (await read(notes)).drafts if one.draft.source}
    assert [titles[f"{notes}/{name}"] for name in ("a.md", "b.md", "some_old-name.md", "topic/README.md")] == [
        "The real one",
        "Underlined",
        "some old name",
        "topic",
    ]


async def test_edits_deletions_and_renames_are_seen(notes: Path) -> None:
    for name in ("stays", "changes", "goes", "moves"):
        write(notes, f"{name}.md", f"# {name}\n")
    first = await read(notes)
    assert (first.expected, first.restart, first.sweep) == (4, True, True)
    write(notes, "changes.md", "# changed\n")
    (notes / "goes.md").unlink()
    (notes / "moves.md").rename(notes / "moved.md")
    second = await read(notes, first.checkpoint)
    assert sorted(second.titles) == ["changed", "moves"]
    assert sorted(second.deleted) == [f"{notes}/goes.md", f"{notes}/moves.md"]
    assert (second.skipped, second.expected, second.restart, second.sweep) == (1, 2, False, False)
    third = await read(notes, second.checkpoint)
    assert (third.drafts, third.deleted, third.skipped) == ([], [], 3)


async def test_a_file_that_was_only_touched_is_unchanged(notes: Path) -> None:
    path = write(notes, "a.md", "# a\n")
    first = await read(notes)
    os.utime(path, (1, 1))
    second = await read(notes, first.checkpoint)
    assert (second.drafts, second.skipped) == ([], 1)
    assert second.checkpoint["files"]["a.md"][0] == 1_000_000_000


async def test_an_edit_that_keeps_the_size_is_seen(notes: Path) -> None:
    path = write(notes, "a.md", "# one\n")
    first = await read(notes)
    before = path.stat().st_mtime_ns
    path.write_text("# two\n")
    os.utime(path, ns=(before + 1, before + 1))
    assert (await read(notes, first.checkpoint)).titles == ["two"]


async def test_hidden_installed_built_and_ignored_files_are_left_out(tmp_path: Path) -> None:
    repo = Repo(tmp_path / "app")
    for name in (
        ".hidden.md",
        ".git2/a.md",
        "node_modules/a.md",
        "sub/.venv/a.md",
        "dist/a.md",
        "secret.md",
        "tmp/a.md",
    ):
        write(repo.folder, name, "# no")
    write(repo.folder, ".gitignore", "secret.md\ntmp/\n")
    write(repo.folder, "sub/yes.markdown", "# yes")
    write(repo.folder, "no.txt", "# no")
    assert (await read(repo.folder)).titles == ["yes"]
    # Whoever names an ignored folder means it.
    assert (await read(repo.folder / "tmp")).titles == ["no"]


async def test_links_to_other_places_are_not_followed(notes: Path, tmp_path: Path) -> None:
    write(tmp_path, "outside.md", "# outside")
    write(notes, "inside.md", "# inside")
    (notes / "loop").symlink_to(notes)
    (notes / "out.md").symlink_to(tmp_path / "outside.md")
    (notes / "dangling.md").symlink_to(tmp_path / "nothing.md")
    pulled = await read(notes)
    assert (pulled.titles, pulled.failures) == (["inside"], [])


async def test_what_cannot_be_read_is_a_failure_and_stops_nothing(notes: Path) -> None:
    write(notes, "good.md", "# good")
    write(notes, "latin.md", "# Größe".encode("latin-1"))
    write(notes, "big.md", b"x" * (1024 * 1024 + 1))
    write(notes, "nul.md", b"a\0b")
    write(notes, "utf16.md", "# sixteen".encode("utf-16"))
    write(notes, "bom.md", "\ufeff# bom\r\n\r\ntext\r\n")
    os.mkfifo(notes / "pipe.md")
    pulled = await read(notes)
    assert sorted(pulled.titles) == ["bom", "good", "sixteen"]
    reasons = {failure.item: failure.reason for failure in pulled.failures}
    assert reasons.keys() == {"latin.md", "big.md", "nul.md"}
    assert "UTF" in reasons["latin.md"]
    assert "1 MiB" in reasons["big.md"]
    assert "NUL" in reasons["nul.md"]


async def test_a_note_that_cannot_be_read_any_more_is_kept(notes: Path) -> None:
    write(notes, "a.md", "# a")
    first = await read(notes)
    write(notes, "a.md", b"# \xff broken")
    second = await read(notes, first.checkpoint)
    assert (second.drafts, second.deleted) == ([], [])
    assert [failure.item for failure in second.failures] == ["a.md"]
    assert second.batches[0].present == [f"{notes}/a.md"]
    write(notes, "a.md", "# a again")
    assert (await read(notes, second.checkpoint)).titles == ["a again"]


async def test_a_name_that_is_not_utf8_is_a_failure(notes: Path) -> None:
    with open(os.path.join(os.fsencode(notes), b"b\xffd.md"), "w") as file:
        file.write("# bad")
    pulled = await read(notes)
    assert [failure.item for failure in pulled.failures] == ["b?d.md"]


async def test_front_matter_that_cannot_be_read_costs_only_itself(notes: Path) -> None:
    write(notes, "bad.md", "---\ntitle: [unclosed\n---\n# Still here\n")
    pulled = await read(notes)
    assert pulled.titles == ["Still here"]
    assert "front matter" in pulled.failures[0].reason
    assert "title: [unclosed" in pulled.drafts[0].draft.body


async def test_a_note_no_memory_can_hold_is_a_failure(notes: Path) -> None:
    deep = "/".join(["d" * 200] * 5)
    write(notes, f"{deep}/a.md", "# deep")
    write(notes, "b.md", "# fine")
    pulled = await read(notes)
    assert pulled.titles == ["fine"]
    assert "external_id" in pulled.failures[0].reason
    assert (await read(notes, pulled.checkpoint)).drafts == []


async def test_relative_links_become_file_links(tmp_path: Path) -> None:
    repo = Repo(tmp_path / "app")
    write(
        repo.folder,
        "docs/a.md",
        "[b](b.md) [code](../src/x%20y.py#L3-L9) [site](https://x.org) [top](#top) [up](../../../etc/passwd)\n"
        "`[code](not.md)`\n\n[ref]: ./sub/c.md#part\n\n```\n[in](fence.md)\n```\n",
    )
    (one,) = (await read(repo.folder / "docs")).drafts
    assert [(link.target_kind, link.target) for link in one.draft.links] == [
        (TargetKind.FILE, "docs/b.md"),
        (TargetKind.FILE, "src/x y.py#L3-L9"),
        (TargetKind.FILE, "docs/sub/c.md"),
    ]


async def test_dates_come_from_the_note_its_name_git_or_the_file(tmp_path: Path) -> None:
    repo = Repo(tmp_path / "app")
    repo.commit("docs", {"adr/0001-a.md": "# 1. A\n\nDate: 2019-05-06\n\n## Context\n\n## Decision\n", "b.md": "# b"})
    committed = int(repo.git("log", "-1", "--format=%at"))
    write(repo.folder, "2021-02-03-c.md", "# c")
    path = write(repo.folder, "d.md", "# d")
    os.utime(path, (1_500_000_000, 1_500_000_000))
    dates = {one.draft.title: one.draft.occurred_at for one in (await read(repo.folder)).drafts}
    assert dates == {
        "1. A": datetime(2019, 5, 6, tzinfo=UTC),
        "b": datetime.fromtimestamp(committed, UTC),
        "c": datetime(2021, 2, 3, tzinfo=UTC),
        "d": datetime.fromtimestamp(1_500_000_000, UTC),
    }


async def test_notes_of_a_published_repository_are_named_alike_in_every_clone(tmp_path: Path) -> None:
    ids = []
    for clone in ("one", "two"):
        repo = Repo(tmp_path / clone)
        repo.git("remote", "add", "origin", "git@github.com:acme/api.git")
        write(repo.folder, "docs/a.md", "# a")
        ids += (await read(repo.folder)).ids + (await read(repo.folder / "docs")).ids
    assert set(ids) == {"github.com/acme/api:docs/a.md"}
    assert (await markdown.check({"path": str(tmp_path / "one")})).project == "api"


async def test_a_folder_that_moves_keeps_its_notes(notes: Path, tmp_path: Path) -> None:
    write(notes, "a.md", "# a")
    place = await markdown.check({"path": str(notes)})
    first = await pull(markdown, place.config)
    notes.rename(tmp_path / "moved")
    second = await pull(markdown, {**place.config, "path": str(tmp_path / "moved")}, first.checkpoint)
    assert (second.drafts, second.deleted, second.skipped) == ([], [], 1)


async def test_an_interrupted_pull_goes_on_and_forgets_no_succession(notes: Path) -> None:
    write(notes, "adr/0001-old.md", "# 1. Old\n\n## Status\n\nAccepted\n")
    first = await read(notes)
    write(notes, "adr/0002-new.md", "# 2. New\n\n## Status\n\nAccepted\n\nSupersedes [1](0001-old.md)\n")
    for number in range(150):
        write(notes, f"adr/{number + 1000}-x.md", f"# {number}")
    half = await read(notes, first.checkpoint, most=2)
    assert "2. New" in half.titles
    assert "1. Old" not in half.titles
    rest = await read(notes, half.batches[0].checkpoint)
    assert rest.named("1. Old").status is Status.SUPERSEDED
    assert (await read(notes, rest.checkpoint)).drafts == []


@pytest.mark.parametrize("path", ["relative/notes", "/nowhere/at/all"])
async def test_a_path_that_is_none_is_refused(path: str) -> None:
    with pytest.raises(Invalid) as refused:
        await markdown.check({"path": path})
    assert refused.value.extra["errors"][0]["pointer"] == "/config/path"


async def test_partly_replaced_decisions_hold_and_are_linked(notes: Path) -> None:
    write(notes, "adr/0001-ranges.md", "# 1. Ranges\n\n## Status\n\nPartly superseded\n")
    write(notes, "adr/0002-more.md", "# 2. More\n\nThis ADR in part supersedes [0001](0001-ranges.md).\n")
    pulled = await read(notes)
    assert pulled.named("1. Ranges").status is Status.ACTIVE
    links = pulled.named("2. More").draft.links
    assert (LinkType.SUPERSEDES, "adr/0001-ranges.md") in [(link.type, link.target) for link in links]


async def test_succession_changes_the_old_note_without_an_edit(notes: Path) -> None:
    write(notes, "adr/0001-old.md", "# 1. Old\n\n## Status\n\nAccepted\n")
    first = await read(notes)
    new = write(notes, "adr/0002-new.md", "---\nstatus: accepted\nsupersedes: ADR-0001\n---\n# New\n")
    second = await read(notes, first.checkpoint)
    assert second.titles == ["New", "1. Old"]
    old = second.named("1. Old")
    assert (old.status, old.superseded_by) == (Status.SUPERSEDED, f"{notes}/adr/0002-new.md")
    assert old.status_reason == "Superseded by adr/0002-new.md"
    new.unlink()
    third = await read(notes, second.checkpoint)
    assert third.deleted == [f"{notes}/adr/0002-new.md"]
    assert [(one.draft.title, one.status, one.superseded_by) for one in third.drafts] == [
        ("1. Old", Status.ACTIVE, None)
    ]
