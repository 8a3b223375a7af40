"""Import and export at real servers: three forms, there and back, and everything that can be wrong with a file."""

from __future__ import annotations

import json
import os
import threading
from pathlib import Path
from typing import Any

import pytest
from cli.tests.terminal import Terminal

from devlore.types import MemoryRecord


def listed(real: Terminal, project: str, *options: str) -> list[dict[str, Any]]:
    lines: list[dict[str, Any]] = real("list", "-p", project, "--all", "--json", *options).lines
    return sorted(lines, key=lambda line: str(line["id"]))


def links(real: Terminal, memory: str) -> set[str]:
    """The links of a memory, without those that search draws."""
    shown = real("show", memory).out.splitlines()
    return {line.strip() for line in shown if line.startswith("        link  ") and "near duplicate" not in line}


def filled(real: Terminal, project: str) -> list[str]:
    """Memories that are hard to carry: odd texts, versions, links both ways, statuses, one deleted."""

    def add(text: str, *options: str) -> str:
        return str(real("add", "-", "-p", project, "--json", *options, stdin=text).lines[0]["id"])

    code = add("Snippet\n\n    def pool():\n        return '---'\n---\n", "-k", "snippet", "--pin", "--importance", "1")
    odd = add("x", "--title", 'no: [yaml] # "here" \u2028\x85 连接池 🐘', "-t", "yes", "-t", "1.0", "-t", "null")
    old = add("We use MySQL", "--occurred-at", "2019-05-06T07:08:09.123456Z", "--privacy", "public")
    new = add("We use PostgreSQL", "-l", "fixes=#12", "-l", f"derived-from={code}", "-l", "https://x.example/a?b=c")
    real("edit", odd, "--body", "second\n\n\n  thought  ")
    real("supersede", old, "--by", new, "-m", "JSON: and more")
    real("invalidate", odd)
    real("rm", add("Deleted thought"))
    return [code, odd, old, new]


@pytest.mark.parametrize("form", ["file", "folder", "stdout"])
def test_what_goes_out_comes_in_the_same(
    real: Terminal, elsewhere: Terminal, project: str, tmp_path: Path, form: str
) -> None:
    ids = filled(real, project)
    before = listed(real, project)
    path = tmp_path / {"file": "all.jsonl", "folder": "notes", "stdout": "piped.jsonl"}[form]
    if form == "stdout":
        path.write_text(real("export", "-", "--project", project).out)
    else:
        assert real("export", str(path), "--project", project).out == f"4 memories to {path}\n"
    assert elsewhere("import", str(path)).out == "4 created\n"
    assert listed(elsewhere, project) == before
    assert [links(elsewhere, memory) for memory in ids] == [links(real, memory) for memory in ids]
    assert elsewhere("import", str(path)).out == "4 unchanged\n"
    back = tmp_path / "back.jsonl"
    elsewhere("export", str(back), "--project", project)
    assert real("import", str(back), "--json").json["unchanged"] == 4


def test_an_export_line_is_a_whole_record(real: Terminal, project: str) -> None:
    filled(real, project)
    records = [MemoryRecord.model_validate(line) for line in real("export", "-", "--project", project).lines]
    versions = {len(record.versions) for record in records}
    assert len(records) == 4 and max(versions) >= 2
    deleted = [MemoryRecord.model_validate(x) for x in real("export", "-", "--project", project, "--deleted").lines]
    assert len(deleted) == 5


def test_a_folder_is_readable_and_can_be_edited_with_any_editor(real: Terminal, project: str, tmp_path: Path) -> None:
    memory = real("add", "Pool size. Ten.", "-p", project, "-t", "db", "--json").json["id"]
    real("export", str(tmp_path / "out"), "--project", project)
    (file,) = (tmp_path / "out").iterdir()
    assert file.name == f"pool-size-{memory}.md"
    text = file.read_text()
    assert text.startswith(f"---\nid: {memory}\n") and "tags: [db]\n" in text and text.endswith("---\n\nTen.\n")


def test_deleted_ones_come_back_only_when_asked_for(
    real: Terminal, elsewhere: Terminal, project: str, tmp_path: Path
) -> None:
    memory = real("add", "Gone", "-p", project, "--json").json["id"]
    real("rm", memory)
    path = tmp_path / "with.jsonl"
    assert real("export", str(path), "--project", project).out == f"0 memories to {path}\n"
    assert real("export", str(path), "--project", project, "--deleted", "--force").out == f"1 memory to {path}\n"
    elsewhere("import", str(path))
    assert [line["id"] for line in listed(elsewhere, project, "--deleted")] == [memory]


BAD = [
    ("{broken", "not JSON"),
    ("[1, 2]", "not a JSON object"),
    ('{"kind": "note"}', "neither a title nor a body"),
    ('{"title": "x", "kind": "Bad Kind"}', "kind: small letters"),
    ('{"title": "x", "colour": "red"}', "colour: there is no such field"),
    ('{"title": "x", "importance": 7}', "importance: "),
    ('{"title": "x", "date": "some day"}', "occurred_at: "),
    ('{"memory": {"id": "nonsense"}}', "memory."),
    ('"\\ud83d"', "not a JSON object"),
]


def test_bad_lines_are_named_with_their_numbers_and_the_rest_goes_in(
    real: Terminal, project: str, tmp_path: Path
) -> None:
    file = tmp_path / "mixed.jsonl"
    lines = ['{"title": "First"}', ""]
    for text, _ in BAD:
        lines += [text, json.dumps({"title": f"After {text}"})]
    file.write_text("\n".join(lines))
    ended = real("import", str(file), "-p", project, code=1)
    assert ended.out == f"{len(BAD) + 1} created\n"
    for number, (_, reason) in enumerate(BAD):
        place = f"mixed.jsonl:{3 + 2 * number}: "
        (said,) = [line for line in ended.err.splitlines() if line.startswith(place)]
        assert said.removeprefix(place).startswith(reason)
    assert ended.err.endswith(f"{len(BAD)} items could not be imported; the rest was.\n")
    again = real("import", str(file), "-p", project, "--json", code=1)
    assert (again.json["created"], again.json["unchanged"]) == (0, len(BAD) + 1)
    assert again.json["failures"][0]["place"] == "mixed.jsonl:3"
    assert again.problem["code"] == "failed"


def test_when_nothing_goes_in_nothing_else_is_claimed(real: Terminal, project: str) -> None:
    ended = real("import", "-", "-p", project, stdin="{broken\n", code=1)
    assert ended.out == "nothing imported\n"
    assert ended.err.endswith("1 item could not be imported.\n")


def test_other_programs_dates_and_names_are_understood(real: Terminal, project: str) -> None:
    lines = [
        {"content": "Day. Body", "date": "2021-02-03", "type": "insight", "tags": "a, b"},
        {"text": "Moment", "created": "2021-02-03T04:05:06+02:00"},
    ]
    real("import", "-", "-p", project, stdin="\n".join(map(json.dumps, lines)))
    moment, day = sorted(listed(real, project), key=lambda line: str(line["title"]), reverse=True)
    assert (day["title"], day["body"], day["kind"], set(day["tags"])) == ("Day.", "Body", "insight", {"a", "b"})
    assert day["occurred_at"] == "2021-02-03T00:00:00Z"
    assert moment["occurred_at"] == "2021-02-03T02:05:06Z"


def test_a_folder_of_notes_with_bad_ones(real: Terminal, project: str, tmp_path: Path) -> None:
    (tmp_path / "deep" / ".git").mkdir(parents=True)
    (tmp_path / "deep" / ".git" / "hidden.md").write_text("# Hidden\n")
    (tmp_path / "deep" / "plain-name.MD").write_text("Just text.\n")
    (tmp_path / "front.md").write_text("---\ntitle: Front\ndate: 2022-01-02\nkind: tip\n---\nBody\n")
    (tmp_path / "heading.markdown").write_text("# Heading\n\nText\n")
    (tmp_path / "broken.md").write_text("---\ntitle: [\n---\n")
    (tmp_path / "latin.md").write_bytes(b"\xe9t\xe9")
    (tmp_path / "not-a-note.txt").write_text("# Ignored\n")
    ended = real("import", str(tmp_path), "-p", project, code=1)
    assert ended.out == "3 created\n"
    assert "broken.md: line " in ended.err and "latin.md: not UTF-8 text" in ended.err
    found = {line["title"]: line for line in listed(real, project)}
    assert set(found) == {"plain name", "Front", "Heading"}
    assert (found["Front"]["kind"], found["Front"]["occurred_at"]) == ("tip", "2022-01-02T00:00:00Z")


def test_one_note_is_taken_as_a_note(real: Terminal, project: str, tmp_path: Path) -> None:
    (tmp_path / "note.md").write_text("# One\n\nText\n")
    assert real("import", str(tmp_path / "note.md"), "-p", project, "-t", "x").out == "1 created\n"
    (found,) = listed(real, project)
    assert (found["title"], found["body"], found["tags"]) == ("One", "Text", ["x"])
    (tmp_path / "note.md").write_text("# One\n\nNew text\n")
    assert real("import", str(tmp_path / "note.md"), "-p", project, "-t", "x").out == "1 updated\n"


def test_a_pipe_is_read_once(real: Terminal, project: str, tmp_path: Path) -> None:
    pipe = tmp_path / "pipe"
    os.mkfifo(pipe)
    writer = threading.Thread(target=lambda: pipe.write_text('{"title": "Piped"}\n'), daemon=True)
    writer.start()
    assert real("import", str(pipe), "-p", project).out == "1 created\n"
    writer.join(5)


def test_where_an_export_cannot_go_is_said(real: Terminal, project: str, tmp_path: Path) -> None:
    assert f"There is no folder {tmp_path}/no." in real("export", str(tmp_path / "no" / "a.jsonl"), code=1).err
    file = tmp_path / "there.jsonl"
    file.write_text("mine")
    refused = real("export", str(file), "--json", code=1).problem
    assert (refused["detail"], refused["advice"]) == (f"{file} exists.", "Add --force to write over it.")
    assert file.read_text() == "mine"


def test_a_second_export_of_a_folder_follows_new_titles(real: Terminal, project: str, tmp_path: Path) -> None:
    memory = real("add", "Before", "-p", project, "--json").json["id"]
    real("export", str(tmp_path / "out"), "--project", project)
    real("edit", memory, "--title", "After")
    real("export", str(tmp_path / "out"), "--project", project)
    assert [file.name for file in (tmp_path / "out").iterdir()] == [f"after-{memory}.md"]
