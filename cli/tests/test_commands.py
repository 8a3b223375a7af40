"""Commands against a scripted server: what they send, and what they say to unusual answers."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

import pytest
from cli.tests.terminal import Terminal
from sdk.python.tests import samples
from sdk.python.tests.scripted import Reply, Scripted

from devlore_cli.querying import query_words


def editor(tmp_path: Path, script: str) -> str:
    path = tmp_path / "editor.sh"
    path.write_text(f"#!/bin/sh\n{script}\n")
    path.chmod(0o755)
    return str(path)


def counted(**changes: int) -> dict[str, Any]:
    return {"items": [], "created": 0, "updated": 0, "unchanged": 0, "refused": 0} | changes


def test_add_sends_what_was_said(scripted: Scripted, devlore: Terminal) -> None:
    scripted.play(Reply(201, samples.memory()))
    devlore(
        "add", "Pin psycopg. It leaks.", "--kind", "decision", "--tag", "a", "--tag", "b", "--project", "api", "--pin",
        "--link", "fixes=#12", "--occurred-at", "2026-01-01T00:00:00Z", "--importance", "0.9", "--source", "wiki",
        "--source-id", "7", "--source-url", "https://w/7", "--source-author", "Ada",
    )  # fmt: skip
    assert scripted.seen[0].json == {
        "title": "Pin psycopg.",
        "body": "It leaks.",
        "kind": "decision",
        "project": "api",
        "importance": 0.9,
        "tags": ["a", "b"],
        "links": [{"type": "fixes", "target_kind": "ticket", "target": "#12", "note": None}],
        "pinned": True,
        "source": {"connector": "wiki", "external_id": "7", "url": "https://w/7", "author": "Ada"},
        "occurred_at": "2026-01-01T00:00:00Z",
    }


@pytest.mark.parametrize("arguments", [("add", "-"), ("add",)])
def test_add_reads_stdin(scripted: Scripted, devlore: Terminal, arguments: tuple[str, ...]) -> None:
    scripted.play(Reply(201, samples.memory()))
    devlore(*arguments, stdin="# Heading\n\nText\n")
    assert (scripted.seen[0].json["title"], scripted.seen[0].json["body"]) == ("Heading", "Text")


def test_add_opens_the_editor_on_a_terminal(
    scripted: Scripted, devlore: Terminal, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    status = {"indexes": [], "embedder": "x", "rebuild": None}
    scripted.play(Reply(201, samples.memory()), Reply(body=status), Reply(body=samples.page()))
    monkeypatch.setenv("EDITOR", editor(tmp_path, 'echo "Written here" > "$1"'))
    devlore.interactive = True
    devlore("add")
    assert scripted.seen[0].json["title"] == "Written here"


def test_add_of_nothing_or_a_bad_link_is_a_usage_error(devlore: Terminal) -> None:
    assert "nothing to remember" in devlore("add", "-", stdin=" \n", code=2).err
    assert "--link" in devlore("add", "x", "--link", "nonsense", code=2).err


def test_add_hints_at_near_duplicates_on_a_terminal(scripted: Scripted, devlore: Terminal) -> None:
    link = {"type": "near_duplicate", "target_kind": "memory", "target": samples.OTHER, "note": None, "score": 0.97}
    link |= {"id": samples.ID, "memory_id": samples.ID, "direction": "outgoing", "created_at": samples.MOMENT}
    status = {"indexes": [], "embedder": "x", "rebuild": None}
    other = samples.memory(id=samples.OTHER, title="Pin it")
    scripted.play(Reply(201, samples.memory()), Reply(body=status), Reply(body=samples.page(link)), Reply(body=other))
    devlore.interactive = True
    shown = devlore("add", "Pin psycopg").err
    assert f"Much like {samples.OTHER}: Pin it" in shown
    assert f"devlore supersede {samples.OTHER} --by {samples.ID}" in shown


def test_search_passes_the_query_language_through(scripted: Scripted, devlore: Terminal) -> None:
    scripted.play(Reply(body=samples.hits()))
    devlore("search", "why", "dry", "-mysql", "-kafka", "-http", "kind:bug-fix", "--limit", "3", "--tag", "a")
    sent = scripted.seen[0].json
    assert sent == {"q": "why dry -mysql -kafka -http kind:bug-fix", "limit": 3, "tag": ["a"]}


@pytest.mark.parametrize(
    ("words", "query"),
    [
        (("a", "b"), "a b"),
        (('"a b" -c',), '"a b" -c'),
        (("x", "author:Ada Lovelace"), 'x author:"Ada Lovelace"'),
        (("x", 'author:"Ada"'), 'x author:"Ada"'),
        (("why", "did: it"), "why did: it"),
    ],
)
def test_quotes_that_the_shell_took_are_given_back(words: tuple[str, ...], query: str) -> None:
    assert " ".join(query_words(words)) == query


def test_all_statuses_and_moments(scripted: Scripted, devlore: Terminal) -> None:
    scripted.play(Reply(body=samples.hits()))
    shown = devlore("search", "x", "--all-statuses", "--as-of", "2025-01-01T00:00:00Z", "--explain")
    assert scripted.seen[0].json["status"] == ["any"]
    assert scripted.seen[0].json["as_of"] == "2025-01-01T00:00:00Z"
    assert "Nothing found" in shown.err


def test_hits_are_shown_with_marks_reasons_and_what_is_missing(scripted: Scripted, devlore: Terminal) -> None:
    page = samples.hits(samples.memory(status="superseded", pinned=True))
    found = page["items"][0]
    found["highlights"] = [
        {"field": "title", "excerpt": "Pin psycopg", "offset": 0, "spans": [[4, 11]]},
        {"field": "body", "excerpt": "leaks", "offset": 6, "spans": [[0, 5]]},
    ]
    legs = [{"leg": "lexical", "rank": 1, "score": 2.5, "contribution": 0.5}]
    legs.append({"leg": "vector", "rank": None, "score": None, "contribution": 0.0})
    found["explanation"] = {"legs": legs, "factors": {"recency": 1.05}}
    found["duplicates"] = 2
    found["instead_of"] = {"id": found["memory"]["id"], "title": "Pin\npsycopg2"}
    scripted.play(Reply(body=page | {"degraded": ["vector"]}))
    devlore.interactive = True
    shown = devlore("search", "psycopg", "--explain")
    assert "Pin \x1b[1;33mpsycopg\x1b[0m" in shown.out
    assert "…\x1b[1;33mleaks\x1b[0m…" in shown.out
    plain = re.sub(r"\x1b\[[\d;]*m", "", shown.out)
    assert "lexical #1 (2.500) +0.5000 · vector – +0.0000 · recency ×1.050" in plain
    assert "superseded" in plain and "pinned" in plain and "2 more like it" in plain
    assert "in the place of: Pin psycopg2\n" in plain
    assert "Answered without: vector" in shown.err


def test_search_follows_pages_up_to_the_limit(scripted: Scripted, devlore: Terminal) -> None:
    scripted.play(
        Reply(body=samples.hits(*[samples.memory()] * 100, next="more")),
        Reply(body=samples.hits(*[samples.memory()] * 100)),
    )
    assert len(devlore("search", "x", "--limit", "150", "--json").lines) == 150
    assert scripted.seen[1].json["cursor"] == "more"


def test_a_bad_query_points_at_the_character(scripted: Scripted, devlore: Terminal) -> None:
    scripted.play(Reply(422, samples.problem(422, "invalid-query", detail="A quote is not closed.", position=4)))
    lines = devlore("search", 'say "x', code=2).err.splitlines()
    assert lines[1:] == ['  say "x', "      ^"]


def test_memories_cannot_command_the_terminal(scripted: Scripted, devlore: Terminal) -> None:
    scripted.play(Reply(body=samples.page(samples.memory(title="\x1b]0;owned\x07x", tags=["\x1b[2J"]))))
    assert "\x1b" not in devlore("list").out


def test_list_sends_filters(scripted: Scripted, devlore: Terminal) -> None:
    scripted.play(Reply(body=samples.page()))
    shown = devlore(
        "list", "-k", "decision", "-k", "bug-fix", "--pinned", "--before", "2026-01-01T00:00:00Z", "-n", "5"
    )
    assert scripted.seen[0].query == {
        "kind": ["decision", "bug-fix"],
        "pinned": ["true"],
        "before": ["2026-01-01T00:00:00+00:00"],
        "limit": ["5"],
    }
    assert "No memories match." in shown.err


def test_an_edit_that_comes_too_late_keeps_the_text(
    scripted: Scripted, devlore: Terminal, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    scripted.play(Reply(body=samples.memory()), Reply(412, samples.problem(412, "version-mismatch", version=2)))
    monkeypatch.setenv("EDITOR", editor(tmp_path, 'sed -i "s/3.2.4 leaks/My long work/" "$1"'))
    shown = devlore("edit", samples.ID, code=5).err
    kept = re.search(r"kept in (\S+)", shown)
    assert kept is not None
    assert "My long work" in Path(kept[1]).read_text()
    Path(kept[1]).unlink()
    assert scripted.seen[1].headers["if-match"] == '"1"'
    assert scripted.seen[1].json == {"body": "My long work."}


def test_an_edit_that_cannot_be_read_keeps_the_text(
    scripted: Scripted, devlore: Terminal, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    scripted.play(Reply(body=samples.memory()))
    monkeypatch.setenv("EDITOR", editor(tmp_path, 'sed -i "s/^title:.*/title: [/" "$1"'))
    shown = devlore("edit", samples.ID, code=2).err
    assert "cannot be read" in shown and "kept in" in shown


def test_an_edit_without_a_change_changes_nothing(
    scripted: Scripted, devlore: Terminal, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    scripted.play(Reply(body=samples.memory()))
    monkeypatch.setenv("VISUAL", editor(tmp_path, "true"))
    assert "Nothing changed." in devlore("edit", samples.ID).err
    assert len(scripted.seen) == 1


@pytest.mark.parametrize(("command", "words"), [("exit 1", "ended with 1"), (None, "cannot be started")])
def test_an_editor_that_fails_changes_nothing(
    scripted: Scripted,
    devlore: Terminal,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    command: str | None,
    words: str,
) -> None:
    scripted.play(Reply(body=samples.memory()))
    monkeypatch.setenv("EDITOR", editor(tmp_path, command) if command else "/nowhere/editor")
    assert words in devlore("edit", samples.ID, code=1).err
    assert len(scripted.seen) == 1


def test_edit_by_options(scripted: Scripted, devlore: Terminal) -> None:
    scripted.play(Reply(body=samples.memory(version=4, tags=["a", "b"])))
    devlore("edit", samples.ID, "--body", "-", "--project", "", "--add-tag", "c", "--remove-tag", "a", stdin="New")
    assert scripted.seen[1].json == {"body": "New", "project": None, "tags": ["b", "c"]}
    assert scripted.seen[1].headers["if-match"] == '"4"'


def test_purging_asks_first(scripted: Scripted, devlore: Terminal) -> None:
    scripted.play(Reply(body=samples.memory()))
    assert "--yes" in devlore("rm", samples.ID, "--purge", code=2).err
    devlore.interactive = True
    assert devlore("rm", samples.ID, "--purge", stdin="n\n", code=130).out == ""
    assert all(seen.method == "GET" for seen in scripted.seen)
    scripted.play(Reply(body=samples.memory()), Reply(204))
    assert devlore("rm", samples.ID, "--purge", stdin="y\n").out == f"purged {samples.ID}\n"
    assert scripted.seen[-1].query == {"purge": ["true"]}


def test_rm_reads_ids_from_stdin(scripted: Scripted, devlore: Terminal) -> None:
    scripted.play(Reply(204))
    assert len(devlore("rm", "-", "--json", stdin=f"{samples.ID}\n{samples.OTHER}\n").lines) == 2


def test_link_and_unlink(scripted: Scripted, devlore: Terminal) -> None:
    link = {"type": "fixes", "target_kind": "ticket", "target": "#12", "note": None, "score": None}
    link |= {"id": samples.OTHER, "memory_id": samples.ID, "direction": "outgoing", "created_at": samples.MOMENT}
    scripted.play(Reply(201, link))
    assert devlore("link", samples.ID, "#12", "--type", "fixes").out == "fixes ticket #12\n"
    assert scripted.seen[0].json == {"type": "fixes", "target_kind": "ticket", "target": "#12"}
    scripted.play(Reply(body=samples.page(link)), Reply(204))
    assert "removed" in devlore("link", samples.ID, "#12", "--remove").out
    scripted.play(Reply(body=samples.page()))
    devlore("link", samples.ID, "#13", "--remove", code=3)
    devlore("link", samples.ID, "#13", "--type", "likes", code=2)


def test_import_sends_in_batches_and_names_what_was_refused(
    scripted: Scripted, devlore: Terminal, tmp_path: Path
) -> None:
    file = tmp_path / "notes.jsonl"
    file.write_text("".join(json.dumps({"title": f"n{n}"}) + "\n" for n in range(1_500)) + "{bad\n")
    problem = samples.problem(422, "invalid", errors=[{"pointer": "/items/3/kind", "detail": "no kind"}])
    refused = {"index": 3, "status": 422, "result": "refused", "problem": problem}
    scripted.play(
        Reply(body=counted(created=1_000)), Reply(body=counted(created=499, refused=1) | {"items": [refused]})
    )
    shown = devlore("import", str(file), "--tag", "old", code=1)
    assert [len(seen.json["items"]) for seen in scripted.seen] == [1_000, 500]
    assert shown.out == "1,499 created\n"
    assert "notes.jsonl:1004: kind: no kind" in shown.err
    assert "notes.jsonl:1501: not JSON" in shown.err
    assert "2 items could not be imported; the rest was." in shown.err


def test_an_import_that_breaks_off_says_how_far_it_came(scripted: Scripted, devlore: Terminal, tmp_path: Path) -> None:
    file = tmp_path / "notes.jsonl"
    file.write_text("".join(json.dumps({"title": f"n{n}"}) + "\n" for n in range(1_500)))
    scripted.play(Reply(body=counted(created=1_000)), Reply(500, samples.problem(500, "internal")))
    shown = devlore("import", str(file), code=1)
    assert shown.out == "1,000 created\n"


def test_an_export_never_half_replaces_a_file(scripted: Scripted, devlore: Terminal, tmp_path: Path) -> None:
    file = tmp_path / "all.jsonl"
    file.write_text("before")
    assert "--force" in devlore("export", str(file), code=1).err
    line = (json.dumps({"memory": samples.memory()}) + "\n").encode()
    scripted.play(Reply(body=line * 3, cut_after=len(line) + 10))
    devlore("export", str(file), "--force", code=1)
    assert file.read_text() == "before"
    scripted.play(Reply(body=line * 3))
    assert devlore("export", str(file), "--force", "--json").json["memories"] == 3
    assert len(file.read_text().splitlines()) == 3
    assert list(tmp_path.glob(".*")) == []


def test_an_export_folder_holds_each_memory_once(scripted: Scripted, devlore: Terminal, tmp_path: Path) -> None:
    folder = tmp_path / "out"
    for title in ("Old title", "New title"):
        scripted.play(Reply(body=(json.dumps({"memory": samples.memory(title=title)}) + "\n").encode()))
        devlore("export", str(folder))
    assert [path.name for path in folder.iterdir()] == [f"new-title-{samples.ID}.md"]
