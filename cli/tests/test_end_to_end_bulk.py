"""Much at once, against a real server: import, export, syncs, upkeep."""

from __future__ import annotations

import json
import subprocess
from pathlib import Path
from typing import Any

import pytest
from cli.tests.terminal import Terminal

from devlore.types import Memory


def listed(real: Terminal, project: str) -> dict[str, dict[str, Any]]:
    return {line["title"]: line for line in real("list", "-p", project, "--all", "--json").lines}


def shown_links(real: Terminal, memory: str) -> list[str]:
    """The links of a memory, without those that search has drawn to other tests' memories."""
    lines = real("show", memory).out.splitlines()
    return [line for line in lines if line.startswith("        link  ") and "near duplicate" not in line]


def prepared(real: Terminal, project: str) -> dict[str, dict[str, Any]]:
    """Two memories with versions, links and statuses."""
    old = real("add", "Old way", "-p", project, "--tag", "a", "--json").json["id"]
    new = real("add", "新的方法", "-p", project, "--link", "fixes=#12", "--occurred-at", "2024-02-03", "--json").json[
        "id"
    ]
    real("edit", old, "--body", "line\u2028separator\n\n---\nend\n")
    real("supersede", old, "--by", new, "-m", "better")
    return listed(real, project)


def test_a_jsonl_export_moves_everything(real: Terminal, elsewhere: Terminal, project: str, tmp_path: Path) -> None:
    before = prepared(real, project)
    file = tmp_path / "all.jsonl"
    assert real("export", str(file), "--project", project, "--json").json["memories"] == 2
    assert elsewhere("import", str(file), "--json").json["created"] == 2
    assert listed(elsewhere, project) == before
    old, new = before["Old way"]["id"], before["新的方法"]["id"]
    there, here = elsewhere("history", old, "--json").lines, real("history", old, "--json").lines
    assert there[1:] == here[1:]
    assert [version["change"] for version in there] == ["imported", *(version["change"] for version in here[1:])]
    assert shown_links(elsewhere, old) == shown_links(real, old) != []
    assert shown_links(elsewhere, new) == shown_links(real, new)
    assert elsewhere("import", str(file), "--json").json["unchanged"] == 2
    assert len(elsewhere("export", "-", "--project", project).lines) == 2


def test_a_folder_export_moves_every_field(real: Terminal, elsewhere: Terminal, project: str, tmp_path: Path) -> None:
    before = prepared(real, project)
    folder = tmp_path / "notes"
    real("export", str(folder), "--project", project)
    assert len(list(folder.glob("*.md"))) == 2
    elsewhere("import", str(folder))
    assert listed(elsewhere, project) == before
    new = before["新的方法"]["id"]
    assert shown_links(elsewhere, new) == shown_links(real, new)


def test_what_was_purged_comes_back_from_an_export(real: Terminal, project: str, tmp_path: Path) -> None:
    memory = real("add", "Back again", "-p", project, "--json").json["id"]
    real("export", str(tmp_path / "all.jsonl"), "--project", project)
    real("rm", memory, "--purge", "--yes")
    real("import", str(tmp_path / "all.jsonl"))
    assert real("show", memory, "--json").json["title"] == "Back again"


def test_loose_lines_go_in_and_bad_ones_are_named(real: Terminal, project: str) -> None:
    lines = [{"title": "Good"}, {"title": "Bad", "kind": "No Kind"}, {"text": "Loose. With a body."}, {"nothing": 1}]
    text = "\n".join(json.dumps(line) for line in lines) + "\n{broken\n"
    shown = real("import", "-", "--project", project, "--tag", "imported", stdin=text, code=1)
    assert shown.out == "2 created\n"
    assert [f"stdin:{n}:" in shown.err for n in (1, 2, 3, 4, 5)] == [False, True, False, True, True]
    found = listed(real, project)
    assert found["Loose."]["body"] == "With a body."
    assert found["Good"]["tags"] == ["imported"]
    again = real("import", "-", "--project", project, "--tag", "imported", "--json", stdin=text, code=1).json
    assert (again["created"], again["unchanged"], again["failed"]) == (0, 2, 3)


def test_many_lines_take_several_requests(real: Terminal, project: str) -> None:
    text = "".join(json.dumps({"title": f"Number {n}"}) + "\n" for n in range(2_300))
    assert real("import", "-", "--project", project, "--json", stdin=text).json["created"] == 2_300
    assert len(real("list", "-p", project, "--all", "--json").lines) == 2_300


def git(folder: Path, *arguments: str) -> None:
    who = ["-c", "user.name=Ada", "-c", "user.email=ada@example.org", "-c", "commit.gpgsign=false"]
    subprocess.run(["git", *who, *arguments], cwd=folder, check=True, capture_output=True)


@pytest.fixture
def repository(tmp_path: Path, project: str) -> Path:
    folder = tmp_path / project
    folder.mkdir()
    git(folder, "init", "-q", "-b", "main")
    for number in range(3):
        # Another test may make the same commits in the same second; the content tells their ids apart.
        (folder / "file.txt").write_text(f"{project} {number}")
        git(folder, "add", ".")
        git(folder, "commit", "-q", "-m", f"Change {number}\n\nFixes #{number}")
    return folder


def test_a_repository_is_read_and_then_only_what_is_new(real: Terminal, project: str, repository: Path) -> None:
    first = real("sync", "git", str(repository), "--project", project, "--json").json
    assert (first["state"], first["created"]) == ("done", 3)
    found = listed(real, project)
    memory = Memory.model_validate(found["Change 1"])
    assert memory.kind == "change"
    assert memory.source is not None and memory.source.author is not None and "Ada" in memory.source.author
    assert "Fixes #1" in memory.body
    (repository / "file.txt").write_text("more")
    git(repository, "commit", "-q", "-am", "Change 3")
    shown = real("sync", "git", str(repository))
    assert "1 new" in shown.out
    assert len(listed(real, project)) == 4
    assert "nothing new" in real("sync", "git", str(repository)).out
    assert sum(str(repository) in json.dumps(line) for line in real("sync", "list", "--json").lines) == 1


def test_a_folder_that_is_no_repository_is_refused(real: Terminal, tmp_path: Path) -> None:
    assert real("sync", "git", str(tmp_path), code=None).code in (1, 2)


def test_notes_are_read_and_their_edits_and_deletions_seen(real: Terminal, project: str, tmp_path: Path) -> None:
    folder = tmp_path / "notes"
    folder.mkdir()
    (folder / "0001-use-redis.md").write_text("# Use Redis\n\n## Status\n\nAccepted\n\n## Context\n\nFast.\n")
    (folder / "idea.md").write_text("---\ntitle: An idea\ntags: [x]\n---\nText.\n")
    assert real("sync", "markdown", str(folder), "--project", project, "--json").json["created"] == 2
    assert listed(real, project)["An idea"]["tags"] == ["x"]
    (folder / "idea.md").write_text("---\ntitle: A better idea\ntags: [x]\n---\nText.\n")
    (folder / "0001-use-redis.md").unlink()
    ended = real("sync", "markdown", str(folder), "--project", project, "--json").json
    assert (ended["updated"], ended["deleted"]) == (1, 1)
    assert list(listed(real, project)) == ["A better idea"]


def test_connections_can_be_forgotten(real: Terminal, project: str, repository: Path) -> None:
    real("sync", "git", str(repository), "--project", project)
    (mine,) = [line for line in real("sync", "list", "--json").lines if line["config"]["path"] == str(repository)]
    real("sync", "forget", mine["id"])
    assert real("sync", "forget", mine["id"], code=3).err
    assert len(listed(real, project)) == 3


def test_the_doctor_is_content_and_status_counts(real: Terminal, project: str) -> None:
    real("add", "One more", "-p", project, "--wait")
    found = real("doctor", "--json").lines
    assert [line for line in found if not line["well"]] == []
    assert {"server", "postgres", "indexes"} <= {line["check"] for line in found}
    status = real("status", "--json").json
    assert status["memories"] >= 1
    assert status["version"]
    assert {index["state"] for index in status["search"]["indexes"]} <= {"ready", "catching-up"}
    assert "memories" in real("status").out


def test_the_index_can_be_built_anew(real: Terminal, project: str) -> None:
    real("add", "Survives a rebuild", "-p", project, "--wait")
    assert real("rebuild", "search", "--wait").out.startswith("Rebuilt with the embedder ")
    assert "rebuild" not in real("status").out
    assert "No rebuild is running." in real("rebuild", "search", "--cancel", code=3).err
    hits = real("search", "rebuild", "--project", project, "--wait", "--json").lines
    assert [hit["memory"]["title"] for hit in hits] == ["Survives a rebuild"]
