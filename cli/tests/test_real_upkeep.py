"""Syncs, their progress and failures, status, doctor and rebuild at a real server."""

from __future__ import annotations

import json
import re
import shutil
import subprocess
import time
from pathlib import Path
from typing import Any

import pytest
from cli.tests.terminal import Terminal

from devlore.client import Client
from devlore.types import Connection, Sync


def git(folder: Path, *arguments: str) -> None:
    who = ["-c", "user.name=Ada", "-c", "user.email=ada@example.org", "-c", "commit.gpgsign=false"]
    subprocess.run(["git", *who, *arguments], cwd=folder, check=True, capture_output=True)


@pytest.fixture
def repository(tmp_path: Path, project: str) -> Path:
    folder = tmp_path / project
    folder.mkdir()
    git(folder, "init", "-q", "-b", "main")
    for number, day in enumerate(("2020-01-01", "2023-01-01", "2026-01-01")):
        # Other tests make the same commits in the same second; the content tells their ids apart.
        (folder / "file.txt").write_text(f"{project} {number}")
        git(folder, "add", ".")
        git(folder, "commit", "-q", "-m", f"Änderung {number}", f"--date={day}T12:00:00Z")
    return folder


def synced(real: Terminal, *arguments: str, code: int = 0) -> Sync:
    return Sync.model_validate(real("sync", *arguments, "--json", code=code).json)


def titles(real: Terminal, project: str) -> set[str]:
    return {line["title"] for line in real("list", "-p", project, "--all", "--json").lines}


def test_a_sync_as_json_is_a_sync(real: Terminal, project: str, repository: Path) -> None:
    ended = synced(real, "git", str(repository), "-p", project)
    assert (ended.state, ended.done, ended.total, ended.created, ended.failed) == ("done", 3, 3, 3, 0)
    assert ended.finished_at is not None and ended.failures == []
    assert titles(real, project) == {"Änderung 0", "Änderung 1", "Änderung 2"}
    connections = [Connection.model_validate(line) for line in real("sync", "list", "--json").lines]
    (mine,) = [connection for connection in connections if connection.project == project]
    assert (mine.connector, mine.config["path"], mine.watch) == ("git", str(repository), False)
    assert f"git  {mine.name}\n  {mine.id} · {project} · {repository} · synced just now" in real("sync", "list").out


def test_a_project_is_named_after_the_repository(real: Terminal, project: str, repository: Path) -> None:
    assert re.fullmatch(r"done: 3 new in \d+ s\n", real("sync", "git", str(repository)).out)
    assert len(titles(real, project)) == 3


def test_the_second_time_only_what_is_new_and_full_reads_it_all(real: Terminal, project: str, repository: Path) -> None:
    synced(real, "git", str(repository), "-p", project)
    again = synced(real, "git", str(repository))
    assert (again.created, again.updated, again.deleted) == (0, 0, 0)
    git(repository, "commit", "-q", "--allow-empty", "-m", "Änderung 3")
    assert synced(real, "git", str(repository)).created == 1
    whole = synced(real, "git", str(repository), "--full")
    assert (whole.created, whole.unchanged) == (0, 4)


def test_rewritten_history_is_followed(real: Terminal, project: str, repository: Path) -> None:
    synced(real, "git", str(repository), "-p", project)
    git(repository, "commit", "-q", "--amend", "-m", "Rewritten")
    assert synced(real, "git", str(repository)).created == 1
    assert "Rewritten" in titles(real, project)


def test_what_cannot_be_synced_says_why(real: Terminal, project: str, repository: Path, tmp_path: Path) -> None:
    assert "not a git repository" in real("sync", "git", str(tmp_path), code=2).err
    assert "does not exist" in real("sync", "markdown", str(tmp_path / "none"), code=2).err
    assert real("sync", "git", str(repository), "--branch", "no-such-branch", code=2).err
    assert real("sync", "git", str(repository), "--since", "whenever", code=2).err


def test_a_note_that_cannot_be_read_is_named_and_the_rest_goes_in(real: Terminal, project: str, tmp_path: Path) -> None:
    (tmp_path / "good.md").write_text("# Good\n")
    (tmp_path / "bad.md").write_text("---\ntitle: [\n---\nBody\n")
    ended = real("sync", "markdown", str(tmp_path), "-p", project, code=1)
    assert "1 failed" in ended.out
    assert "  bad.md: " in ended.err and ended.err.endswith("1 item could not be read; the rest was.\n")
    assert "Good" in titles(real, project)


def test_decisions_come_with_their_standing(real: Terminal, project: str, tmp_path: Path) -> None:
    (tmp_path / "0001-mysql.md").write_text(
        "# 1. Use MySQL\n\nDate: 2020-01-02\n\n## Status\n\nSuperseded by [2](0002-postgres.md)\n\n## Context\n\nX.\n"
    )
    (tmp_path / "0002-postgres.md").write_text("# 2. Use PostgreSQL\n\n## Status\n\nAccepted\n\n## Context\n\nY.\n")
    synced(real, "markdown", str(tmp_path), "-p", project)
    found: dict[str, dict[str, Any]] = {
        line["title"]: line for line in real("list", "-p", project, "--all", "--json").lines
    }
    (old,) = [line for title, line in found.items() if "MySQL" in title]
    (new,) = [line for title, line in found.items() if "PostgreSQL" in title]
    assert (old["status"], old["superseded_by"], new["status"]) == ("superseded", new["id"], "active")
    assert {old["kind"], new["kind"]} == {"decision"}


def test_watching_is_switched_on_and_off(real: Terminal, project: str, tmp_path: Path) -> None:
    (tmp_path / "a.md").write_text("# A\n")
    said = real("sync", "markdown", str(tmp_path), "-p", project, "--watch").err
    assert f"stop with: devlore sync markdown {tmp_path} --no-watch" in said
    assert f"markdown  {tmp_path.name} watched" in real("sync", "list").out
    assert "Watching" not in real("sync", "markdown", str(tmp_path), "--no-watch").err
    assert f"markdown  {tmp_path.name} watched" not in real("sync", "list").out


def test_a_forgotten_folder_keeps_its_memories(real: Terminal, project: str, repository: Path) -> None:
    synced(real, "git", str(repository), "-p", project)
    (mine,) = [line for line in real("sync", "list", "--json").lines if line["project"] == project]
    assert real("sync", "forget", mine["id"]).out == f"forgotten {mine['id']}\n"
    gone = real("sync", "forget", mine["id"], code=3).err
    assert f"Nothing is synced as {mine['id']}. What is: devlore sync list" in gone
    assert len(titles(real, project)) == 3


def test_the_doctor_finds_a_sync_whose_folder_is_gone(real: Terminal, project: str, tmp_path: Path) -> None:
    folder = tmp_path / "notes"
    folder.mkdir()
    (folder / "a.md").write_text("# A\n")
    synced(real, "markdown", str(folder), "-p", project)
    shutil.rmtree(folder)
    (mine,) = [line for line in real("sync", "list", "--json").lines if line["project"] == project]
    with Client(real.url) as client:
        run = client.connections.sync(mine["id"])
        deadline = time.monotonic() + 30
        while client.syncs.get(run.id).state in ("queued", "running") and time.monotonic() < deadline:
            time.sleep(0.05)
    check = f"sync {mine['name']}"
    (found,) = [line for line in real("doctor", "--json", code=1).lines if line["check"] == check]
    assert not found["well"] and str(folder) in found["detail"]
    assert found["advice"] == f"Repair it and sync again: devlore sync markdown {folder}"
    real("sync", "forget", mine["id"])
    assert [line for line in real("doctor", "--json", code=None).lines if line["check"] == check] == []


def test_status_in_words_and_numbers(real: Terminal, project: str) -> None:
    real("add", "Counted", "-p", project, "--wait")
    found = real("status", "--json").json
    rows = dict(re.findall(r"^ *(\S+)  (.+)$", real("status").out, re.MULTILINE))
    assert rows["server"].startswith(f"{real.url} · version {found['version']} · individual")
    assert int(rows["memories"].replace(",", "")) >= found["memories"] >= 1
    assert rows["roles"] == ", ".join(found["roles"])
    for name in ("search.lexical", "search.vector"):
        assert re.match(r"(ready|catching-up) · [\d,]+ documents?", rows[name])
    assert "process" not in rows


def test_an_embedder_that_is_none_changes_nothing(real: Terminal) -> None:
    before = real("status", "--json").json["search"]["embedder"]
    refused = real("rebuild", "search", "--embedder", "nonsense", "--wait", code=None)
    assert refused.code in (1, 2) and "fastembed:MODEL" in refused.err
    assert real("status", "--json").json["search"]["embedder"] == before


def test_an_explained_hit_adds_up(real: Terminal, project: str) -> None:
    real("add", "The pool ran dry. Prepared statements leaked.", "-p", project, "--wait")
    shown = real("search", "pool", "leaked", "--project", project, "--explain")
    assert re.search(r"score 0\.\d{4} = .*lexical\S* #1 \([\d.]+\) \+0\.\d{4} · vector #\d+ ", shown.out)
    (hit,) = real("search", "pool", "leaked", "--project", project, "--explain", "--json").lines
    total = sum(leg["contribution"] for leg in hit["explanation"]["legs"])
    for factor in hit["explanation"]["factors"].values():
        total *= factor
    assert json.dumps(hit["score"]) and abs(total - hit["score"]) < 0.01
