"""What a user does, against a real server: remember, find, change, link, delete."""

from __future__ import annotations

import uuid
from pathlib import Path

import pytest
from cli.tests.terminal import Terminal

from devlore.types import Diff, Memory, SearchHit, Version


def remember(real: Terminal, project: str, text: str, *options: str) -> str:
    found = real("add", text, "--project", project, "--json", *options).json
    return str(Memory.model_validate(found).id)


def titles(real: Terminal, project: str, *query: str) -> list[str]:
    hits = real("search", *query, "--project", project, "--wait", "--json").lines
    return [SearchHit.model_validate(hit).memory.title for hit in hits]


def test_what_is_remembered_is_found_with_what_matched(real: Terminal, project: str) -> None:
    text = "We pin psycopg because 3.2.4 leaks prepared statements"
    remember(real, project, text, "--kind", "decision", "--tag", "postgres")
    remember(real, project, "The office has a new coffee machine")
    assert titles(real, project, "psycopg", "leak")[0] == text
    real.interactive = True
    shown = real("search", "prepared", "statements", "--project", project, "--explain").out
    assert "\x1b[1;33m" in shown
    assert "score 0." in shown and "#1 (" in shown


def test_by_meaning_too(real: Terminal, project: str) -> None:
    remember(real, project, "Database sessions were exhausted under load")
    remember(real, project, "The logo is blue now")
    assert titles(real, project, "why", "did", "the", "connection", "pool", "run", "dry")[0].startswith("Database")


def test_a_chinese_sentence_is_found_by_a_word_inside_it(real: Terminal, project: str) -> None:
    remember(real, project, "由于语句泄漏，数据库连接池在高负载下耗尽。")
    assert len(titles(real, project, "连接池")) == 1


def test_filters_in_words_and_options(real: Terminal, project: str) -> None:
    remember(real, project, "Pool ran dry", "--kind", "bug-fix", "--occurred-at", "2025-03-01")
    remember(real, project, "Pool is sized by cores", "--kind", "decision", "--occurred-at", "2024-03-01")
    assert titles(real, project, "pool", "kind:bug-fix") == ["Pool ran dry"]
    assert titles(real, project, "pool", "after:2025-01-01") == ["Pool ran dry"]
    assert titles(real, project, "pool", "--kind", "decision") == ["Pool is sized by cores"]
    assert titles(real, project, "pool", "-cores") == ["Pool ran dry"]
    assert titles(real, project, '"sized by"') == ["Pool is sized by cores"]


def test_a_bad_query_points_at_the_character(real: Terminal) -> None:
    shown = real("search", 'pool "not closed', code=2).err
    assert shown.splitlines()[-1].endswith("^")
    assert real("search", 'pool "not closed', "--json", code=2).problem["code"] == "invalid-query"


def test_editing_by_options_and_the_history_of_it(real: Terminal, project: str) -> None:
    memory = remember(real, project, "First words. And a body.")
    changed = real("edit", memory, "--title", "Better words", "--add-tag", "x", "--json").json
    assert (changed["version"], changed["tags"]) == (2, ["x"])
    versions = [Version.model_validate(line) for line in real("history", memory, "--json").lines]
    assert [version.version for version in versions] == [2, 1]
    diff = Diff.model_validate(real("diff", memory, "--json").json)
    assert {change.field for change in diff.fields} == {"title", "tags"}
    assert "Better words" in real("diff", memory, "1", "2").out
    assert real("restore", memory, "--version", "1", "--json").json["title"] == "First words."
    assert "v3" in real("history", memory).out


def test_editing_in_the_editor(real: Terminal, project: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    memory = remember(real, project, "Title here. Body here.")
    script = tmp_path / "editor.sh"
    script.write_text('#!/bin/sh\nsed -i "s/Body here/Body there/; s/kind: note/kind: insight/" "$1"\n')
    script.chmod(0o755)
    monkeypatch.setenv("EDITOR", str(script))
    changed = real("edit", memory, "--json").json
    assert (changed["body"], changed["kind"], changed["version"]) == ("Body there.", "insight", 2)


def test_an_edit_of_an_old_version_is_a_conflict(real: Terminal, project: str) -> None:
    memory = remember(real, project, "A")
    real("edit", memory, "--title", "B")
    assert (
        real("edit", memory, "--title", "C", "--version", "1", "--json", code=5).problem["code"] == "version-mismatch"
    )


def test_the_life_of_a_decision(real: Terminal, project: str) -> None:
    old = remember(real, project, "We use MySQL for storage", "--kind", "decision")
    new = remember(real, project, "We use PostgreSQL for storage", "--kind", "decision")
    gone = real("supersede", old, "--by", new, "--reason", "JSON", "--json").json
    assert (gone["status"], gone["superseded_by"]) == ("superseded", new)
    assert titles(real, project, "storage") == ["We use PostgreSQL for storage"]
    assert len(titles(real, project, "storage", "--all-statuses")) == 2
    assert f"superseded by {new} – JSON" in real("show", old).out
    assert real("supersede", old, "--by", old, code=5).err
    real("invalidate", new, "-m", "never built")
    assert titles(real, project, "storage") == []
    real("reinstate", new)
    assert titles(real, project, "storage") == ["We use PostgreSQL for storage"]


def test_links_show_at_both_ends(real: Terminal, project: str) -> None:
    one, two = remember(real, project, "One"), remember(real, project, "Two", "--link", "fixes=#12")
    real("link", one, two, "--type", "contradicts", "--note", "see there")
    assert f"contradicts memory {two} – see there" in real("show", one).out
    assert f"← contradicts memory {one}" in real("show", two).out
    assert "fixes ticket #12" in real("show", two).out
    real("link", one, two, "--remove")
    assert "contradicts" not in real("show", two).out


def test_deleting_restoring_and_purging(real: Terminal, project: str) -> None:
    memory = remember(real, project, "Short-lived thought")
    real("rm", memory)
    assert real("show", memory, code=3).err
    assert titles(real, project, "thought") == []
    assert [line["id"] for line in real("list", "--deleted", "-p", project, "--json").lines] == [memory]
    real("restore", memory)
    assert titles(real, project, "thought") == ["Short-lived thought"]
    real("rm", memory, "--purge", "--yes")
    assert real("restore", memory, code=3).err
    assert titles(real, project, "thought") == []


def test_lists_facets_and_tags(real: Terminal, project: str) -> None:
    for number in range(3):
        remember(real, project, f"Note {number}", "--tag", project)
    remember(real, project, "Fix", "--kind", "bug-fix")
    listed = real("list", "-p", project, "--json").lines
    assert [line["title"] for line in listed] == ["Fix", "Note 2", "Note 1", "Note 0"]
    assert len(real("list", "-p", project, "-n", "2", "--json").lines) == 2
    assert len(real("list", "-p", project, "--all", "-k", "note", "--json").lines) == 3
    real("search", "x", "--wait")
    counts = real("facets", "--project", project, "--by", "kind", "--json").lines
    assert {line["value"]: line["count"] for line in counts} == {"note": 3, "bug-fix": 1}
    assert {"value": project, "count": 3} in real("tags", "--json").lines


def test_the_same_source_again_is_an_update(real: Terminal, project: str) -> None:
    source = ("--source", "wiki", "--source-id", project)
    first = remember(real, project, "Page as it was", *source)
    assert remember(real, project, "Page as it is", *source) == first
    assert real("show", first, "--json").json["title"] == "Page as it is"


def test_what_does_not_exist_is_three_and_what_is_no_id_is_two(real: Terminal) -> None:
    nobody = str(uuid.uuid4())
    for command in ("show", "history", "diff", "invalidate", "rm"):
        assert real(command, nobody, code=3).err.startswith("devlore: ")
    assert real("show", "not-an-id", code=2).err


def test_input_that_is_not_valid_names_its_field(real: Terminal) -> None:
    assert "kind" in real("add", "x", "--kind", "No Kind", code=2).err
