"""Every command at a real server: what a person reads, what a program gets with --json, and the exit code."""

from __future__ import annotations

import json
import re
import uuid
from collections.abc import Callable
from typing import Any

import pytest
from cli.tests.terminal import Outcome, Terminal
from pydantic import BaseModel

from devlore.types import Connection, Count, Diff, Link, Memory, SearchHit, SearchStatus, Version

Shape = type[BaseModel] | set[str]
AGE = r"just now \(\d{4}-\d\d-\d\d \d\d:\d\d\)"


def remember(real: Terminal, project: str, text: str, *options: str) -> str:
    return str(real("add", text, "-p", project, "--json", *options).json["id"])


def shaped(shape: Shape, lines: list[Any]) -> None:
    assert lines
    for line in lines:
        if isinstance(shape, set):
            assert set(line) == shape
        else:
            shape.model_validate(line)


# Command → the shape of each JSON line; M and N are ids of two memories, P is their project.
SHAPES: list[tuple[str, Shape]] = [
    ("add Third -p P", Memory),
    ("show M", Memory),
    ("show M --version 1", Memory),
    ("list -p P", Memory),
    ("search pool --project P --wait", SearchHit),
    ("search pool --project P --explain --limit 1", SearchHit),
    ("facets --project P", {"facet", "value", "count"}),
    ("tags", Count),
    ("edit M --title Better", Memory),
    ("history M", Version),
    ("diff M", Diff),
    ("restore M --version 1", Memory),
    ("supersede M --by N", Memory),
    ("reinstate M", Memory),
    ("invalidate M", Memory),
    ("link M #12 --type fixes", Link),
    ("link M #12 --remove", Link),
    ("rm M", {"id", "result"}),
    ("list --deleted -p P", Memory),
    ("restore M", Memory),
    ("rm M --purge --yes", {"id", "result"}),
    ("status", {"url", "version", "tier", "roles", "memories", "search", "syncs"}),
    ("doctor", {"check", "well", "detail", "advice"}),
]


def test_every_command_says_one_json_object_a_line(real: Terminal, project: str) -> None:
    ids = {"P": project, "M": remember(real, project, "The pool ran dry", "-t", project)}
    ids["N"] = remember(real, project, "The pool is sized by cores")
    for text, shape in SHAPES:
        arguments = [ids.get(word, word) for word in text.split()]
        ended = real(*arguments, "--json")
        shaped(shape, ended.lines)
        assert ended.err == "", text


def test_the_state_of_the_indexes_has_a_type(real: Terminal) -> None:
    SearchStatus.model_validate(real("status", "--json").json["search"])


def test_json_keeps_every_character(real: Terminal, project: str) -> None:
    text = 'quote " backslash \\ tab\tbell\x07 \u2028 连接池 🐘 é'
    made = real("add", "-", "--title", "t", "-p", project, "--json", stdin=text).lines[0]
    assert made["body"] == text
    (line,) = real("list", "-p", project, "--json").out.rstrip("\n").split("\n")
    assert json.loads(line)["body"] == text
    assert "连接池" in line


def test_a_memory_in_two_lines(real: Terminal, project: str) -> None:
    shown = real("add", "Pin it. Because.", "-k", "decision", "-p", project, "-t", "db", "-t", "ops", "--pin").out
    assert re.fullmatch(rf"decision  Pin it\. pinned\n  [0-9a-f-]{{36}} · {project} · #db #ops · {AGE}\n", shown)


def test_a_memory_in_full(real: Terminal, project: str) -> None:
    source = (
        "--source",
        "wiki",
        "--source-id",
        project,
        "--source-url",
        "https://w.example/1",
        "--source-author",
        "Ada",
    )
    old = remember(real, project, "Old way. Body\n\n  indented\n", "--occurred-at", "2020-02-03T04:05:06Z", *source)
    new = remember(real, project, "New way", "--importance", "0.9", "--privacy", "public")
    real("supersede", old, "--by", new, "-m", "better")
    shown = real("show", old).out
    rows = dict(re.findall(r"^ *(\w+)  (.+)$", shown.partition("\n\n")[0], re.MULTILINE))
    assert rows["id"] == old
    assert rows["status"] == f"superseded by {new} – better"
    assert re.match(r"\d+ years ago \(2020-02-0", rows["happened"])
    assert rows["source"] == f"wiki · {project} · https://w.example/1 · Ada"
    assert rows["valid"].startswith("2020-02-0")
    assert rows["version"] == "2"
    assert shown.endswith("\n\n  indented\n")
    full = real("show", new).out
    assert "importance  0.9" in full and "privacy  public" in full
    assert f"link  supersedes memory {old}" in full


def test_an_old_version_is_shown_as_it_was(real: Terminal, project: str) -> None:
    memory = remember(real, project, "Before")
    real("edit", memory, "--title", "After")
    assert real("show", memory, "--version", "1").out.startswith("Before\n")
    assert real("show", memory).out.startswith("After\n")
    assert "no version 9" in real("show", memory, "--version", "9", code=3).err


def test_history_and_diff_in_words(real: Terminal, project: str) -> None:
    memory = remember(real, project, "Title. one\ntwo")
    real("edit", memory, "--body", "-", "--add-tag", "x", stdin="one\r\nthree\n")
    real("invalidate", memory, "-m", "was wrong")
    lines = real("history", memory).out.splitlines()
    assert re.fullmatch(rf"v3  status  {AGE} – was wrong \(current\)", lines[0])
    assert [line.split()[0] for line in lines[::2]] == ["v3", "v2", "v1"]
    shown = real("diff", memory, "1", "2").out
    assert shown.startswith("v1 → v2\ntags:\n  - (none)\n  + x\n")
    assert "-two" in shown.splitlines() and "+three" in shown.splitlines()
    assert real("diff", memory, "2", "2").out == "v2 → v2\nNo difference.\n"
    assert "status:\n  - active\n  + invalidated\n" in real("diff", memory).out


def test_an_edit_that_changes_nothing_says_so(real: Terminal, project: str) -> None:
    memory = remember(real, project, "Same", "-t", "a")
    assert "Nothing changed." in real("edit", memory, "--title", "Same", "--add-tag", "a").err
    assert real("show", memory, "--json").json["version"] == 1


def test_tags_are_replaced_added_and_taken_off(real: Terminal, project: str) -> None:
    memory = remember(real, project, "Tagged", "-t", "a", "-t", "b")

    def tags(*options: str) -> list[str]:
        return list(real("edit", memory, "--json", *options).json["tags"])

    assert tags("--add-tag", "c", "--remove-tag", "a") == ["b", "c"]
    assert tags("--tag", "x", "--tag", "y") == ["x", "y"]
    assert tags("--remove-tag", "x", "--remove-tag", "y") == []


def test_several_are_deleted_and_the_missing_are_named(real: Terminal, project: str) -> None:
    ids = [remember(real, project, f"Note {n}") for n in range(3)]
    missing = str(uuid.uuid4())
    ended = real("rm", ids[0], missing, ids[1], code=3)
    assert ended.out == f"deleted {ids[0]}\ndeleted {ids[1]}\n"
    assert missing in ended.err and "list --deleted" in ended.err
    assert real("rm", "-", stdin=f"{ids[2]}\n").out == f"deleted {ids[2]}\n"
    assert real("list", "-p", project).out == ""


def test_what_is_no_id_deletes_nothing(real: Terminal, project: str) -> None:
    memory = remember(real, project, "Stays")
    assert "'nope' is no id" in real("rm", memory, "nope", code=2).err
    assert real("show", memory).out


def test_facets_count_what_matches(real: Terminal, project: str) -> None:
    remember(real, project, "Pool ran dry", "-k", "bug-fix", "-t", "db")
    remember(real, project, "Pool sized", "-k", "decision", "-t", "db", "-t", "ops")
    real("search", "x", "--wait")
    shown = real("facets", "--project", project).out
    assert "kind\n  1  bug-fix\n  1  decision\n" in shown or "kind\n  1  decision\n  1  bug-fix\n" in shown
    assert f"project\n  2  {project}\n" in shown and "tag\n  2  db\n  1  ops\n" in shown
    assert real("facets", "sized", "--project", project, "--by", "kind").out.count("\n") >= 2
    empty = real("facets", "--project", "nothing-here")
    assert (empty.out, empty.err) == ("", "Nothing to count.\n")


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        (("list", "-p", "nothing-here"), "No memories match."),
        (("search", "zzz", "--project", "nothing-here"), "Nothing found."),
        (("list", "--after", "2999-01-01"), "No memories match."),
    ],
)
def test_nothing_is_no_failure_and_goes_to_stderr(real: Terminal, arguments: tuple[str, ...], says: str) -> None:
    ended = real(*arguments)
    assert ended.out == "" and says in ended.err
    assert real(*arguments, "--json").err == ""


MISSING: list[Callable[[str], tuple[str, ...]]] = [
    lambda nobody: ("show", nobody),
    lambda nobody: ("show", nobody, "--version", "1"),
    lambda nobody: ("edit", nobody, "--title", "x"),
    lambda nobody: ("history", nobody),
    lambda nobody: ("diff", nobody),
    lambda nobody: ("restore", nobody),
    lambda nobody: ("supersede", nobody, "--by", nobody[:-1] + "0"),
    lambda nobody: ("invalidate", nobody),
    lambda nobody: ("reinstate", nobody),
    lambda nobody: ("link", nobody, "#12"),
    lambda nobody: ("link", nobody, "#12", "--remove"),
    lambda nobody: ("rm", nobody),
    lambda nobody: ("rm", nobody, "--purge", "--yes"),
    lambda nobody: ("sync", "forget", nobody),
]


@pytest.mark.parametrize("command", MISSING)
def test_what_is_not_there_is_three_in_words_and_in_json(
    real: Terminal, command: Callable[[str], tuple[str, ...]]
) -> None:
    nobody = f"{uuid.uuid4()}"[:-1] + "1"
    ended = real(*command(nobody), code=3)
    assert ended.out == "" and ended.err.startswith("devlore: ") and "There is nothing here." not in ended.err
    problem = real(*command(nobody), "--json", code=3).problem
    assert (problem["code"], problem["status"]) == ("not-found", 404)


def conflicts(real: Terminal, project: str) -> list[Outcome]:
    one, two = remember(real, project, "One"), remember(real, project, "Two")
    real("supersede", one, "--by", two)
    commands = [("restore", two), ("reinstate", two), ("supersede", two, "--by", two), ("supersede", two, "--by", one)]
    return [real(*command, "--json", code=None) for command in commands]


def test_what_the_state_forbids_is_five(real: Terminal, project: str) -> None:
    for ended in conflicts(real, project):
        assert (ended.code, ended.problem["status"]) == (5, 409)
        assert ended.problem["detail"]


@pytest.mark.parametrize(
    ("option", "value", "says"),
    [
        ("--kind", "Bad Kind", "kind: small letters"),
        ("--project", "Bad Project", "project: small letters"),
        ("--tag", "a,b", "tags.0: no comma"),
        ("--source", "Bad!", "source.connector: small letters"),
        ("--title", "x" * 501, "title: "),
    ],
)
def test_a_field_that_is_not_valid_is_said_without_a_pattern(
    real: Terminal, option: str, value: str, says: str
) -> None:
    shown = real("add", "x", option, value, code=2).err
    assert says in shown and "pattern" not in shown
    assert real("add", "x", option, value, "--json", code=2).problem["errors"][0]["pointer"].startswith("/")


def test_a_link_that_leads_nowhere_is_refused(real: Terminal, project: str) -> None:
    memory = remember(real, project, "One")
    assert "There is no such memory." in real("link", memory, str(uuid.uuid4()), code=2).err
    assert "cannot link to itself" in real("link", memory, memory, code=2).err
    gone = real("link", memory, "#99", "--remove", code=3)
    assert f"devlore show {memory}" in gone.err


@pytest.mark.parametrize(
    ("target", "said"),
    [
        ("https://x.example/1", "relates to url https://x.example/1"),
        ("0badc0de", "relates to commit 0badc0de"),
        ("src/pool.py:10-20", "relates to file src/pool.py:10-20"),
        ("ABC-12", "relates to ticket ABC-12"),
    ],
)
def test_a_links_target_is_told_by_its_looks(real: Terminal, project: str, target: str, said: str) -> None:
    memory = remember(real, project, f"Linked {project}")
    assert real("link", memory, target).out == f"{said}\n"
    assert f"link  {said}" in real("show", memory).out


def test_what_is_listed_can_be_piped_into_rm(real: Terminal, project: str) -> None:
    for number in range(3):
        remember(real, project, f"Note {number}")
    ids = "\n".join(line["id"] for line in real("list", "-p", project, "--json").lines)
    assert len(real("rm", "-", "--purge", "--yes", "--json", stdin=ids).lines) == 3
    assert real("list", "-p", project, "--deleted", "--json").out == ""


def test_connections_have_a_shape(real: Terminal, project: str, tmp_path: Any) -> None:
    (tmp_path / "a.md").write_text("# A\n")
    real("sync", "markdown", str(tmp_path), "-p", project)
    mine = [line for line in real("sync", "list", "--json").lines if line["project"] == project]
    shaped(Connection, mine)
    assert real("sync", "forget", mine[0]["id"]).out == f"forgotten {mine[0]['id']}\n"
