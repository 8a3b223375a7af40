"""`devlore edit` of several memories: by ids, by what `list` and `search` say, with failures, questions and pipes."""

from __future__ import annotations

import json
import os
import pty
import uuid
from pathlib import Path
from typing import Any

import pytest
from cli.tests.desk import PROGRAM, Desk, Desks
from cli.tests.terminal import Terminal
from sdk.python.tests import samples
from sdk.python.tests.scripted import Reply, Scripted
from sdk.python.tests.teams import Joined, TeamServer

from devlore.types import Memory

BOTH = (samples.ID, samples.OTHER)


def ids(many: int) -> list[str]:
    return [str(uuid.UUID(int=number + 1)) for number in range(many)]


def lines(*values: Any) -> str:
    return "".join(json.dumps(value, ensure_ascii=False) + "\n" for value in values)


def methods(scripted: Scripted) -> list[str]:
    return [seen.method for seen in scripted.seen]


def test_each_is_read_and_changed_alike(scripted: Scripted, devlore: Terminal) -> None:
    one, other = samples.memory(version=4, tags=["a"]), samples.memory(id=samples.OTHER, version=7, tags=["b"])
    changed = [one | {"version": 5}, other | {"version": 8}]
    scripted.play(*(Reply(body=body) for body in (one, changed[0], other, changed[1])))
    assert devlore("edit", *BOTH, "--add-tag", "c", "--project", "").out == "2 changed\n"
    sent = scripted.seen[1], scripted.seen[3]
    assert [seen.path.rpartition("/")[2] for seen in sent] == [*BOTH]
    assert [seen.json for seen in sent] == [{"project": None, "tags": [tag, "c"]} for tag in "ab"]
    assert [seen.headers["if-match"] for seen in sent] == ['"4"', '"7"']


def test_what_was_listed_is_changed_as_it_was_listed(scripted: Scripted, devlore: Terminal) -> None:
    one, other = samples.memory(version=4, body="a\u2028b\n"), samples.memory(id=samples.OTHER, version=7, tags=[])
    scripted.play(Reply(body=one | {"version": 5}), Reply(body=other))
    shown = devlore("edit", "-", "--add-tag", "c", "--json", stdin=lines(one, {"memory": other, "score": 0.5}, one))
    assert methods(scripted) == ["PATCH", "PATCH"], "once each, and without asking for what stdin said"
    assert [seen.json["tags"] for seen in scripted.seen] == [["postgres", "c"], ["c"]]
    assert [seen.headers["if-match"] for seen in scripted.seen] == ['"4"', '"7"']
    assert [Memory.model_validate(line).version for line in shown.lines] == [5, 7]
    assert shown.err == ""


def test_stdin_may_mix_ids_and_json_with_little_in_it(scripted: Scripted, devlore: Terminal) -> None:
    first, second, third, fourth = ids(4)
    scripted.play(Reply(body=samples.memory()))
    stdin = f"{first} {second}\r\n\n  {third}\n" + lines({"id": fourth, "title": "only this"})
    assert devlore("edit", "-", "--pin", stdin=stdin).out == "4 unchanged\n"
    assert [s.path.rpartition("/")[2] for s in scripted.seen if s.method == "GET"] == [first, second, third, fourth]
    assert devlore("edit", "-", "--pin", stdin="\n").out == "nothing changed\n"


@pytest.mark.parametrize(
    ("stdin", "says"),
    [
        (f"{samples.ID}\nnope\n", "'nope' is no id"),
        (f"{samples.ID}\n{{oops\n", "Line 2 of stdin is no JSON"),
        ('{"id": "nope"}', "'nope' is no id"),
        ('{"memory": 7}', "'7' is no id"),
        ("{}", "'None' is no id"),
    ],
)
def test_a_line_that_names_nothing_changes_nothing(
    scripted: Scripted, devlore: Terminal, stdin: str, says: str
) -> None:
    for command in (("edit", "-", "--pin"), ("rm", "-")):
        assert says in devlore(*command, stdin=stdin, code=2).err
    assert scripted.seen == []


@pytest.mark.parametrize(
    ("options", "says"),
    [
        ((), "the editor takes one memory at a time"),
        (("--allow-secrets",), "the editor takes one memory at a time"),
        (("--title", "Same"), "for one memory"),
        (("--body", "-"), "for one memory"),
        (("--pin", "--version", "1"), "for one memory"),
    ],
)
def test_what_fits_one_memory_only_is_refused(
    scripted: Scripted, devlore: Terminal, options: tuple[str, ...], says: str
) -> None:
    for named in (BOTH, ("-",)):
        assert says in devlore("edit", *named, *options, stdin=samples.ID, code=2).err
    assert scripted.seen == []


@pytest.mark.parametrize("options", [("--unpin",), ("--importance", "0"), ("--team", "")])
def test_what_is_nothing_but_was_said_is_a_change(
    scripted: Scripted, devlore: Terminal, options: tuple[str, ...]
) -> None:
    scripted.play(Reply(body=samples.memory()))
    devlore("edit", *BOTH, *options)
    assert methods(scripted) == ["GET", "PATCH"] * 2


def refusing(scripted: Scripted, *refusals: tuple[int, str]) -> None:
    """A server that refuses the first changes, and makes the next one."""
    refused = [Reply(status, samples.problem(status, code)) for status, code in refusals]
    scripted.play(*refused, Reply(body=samples.memory(version=2)))


def test_each_failure_is_said_with_its_id_and_the_rest_is_done(scripted: Scripted, devlore: Terminal) -> None:
    stdin = lines(*(samples.memory(id=id) for id in ids(4)))
    refusing(scripted, (404, "not-found"), (412, "version-mismatch"), (422, "invalid"))
    shown = devlore("edit", "-", "--privacy", "public", stdin=stdin, code=1)
    gone, stale, wrong, last = shown.err.splitlines()
    first, second, third, _ = ids(4)
    assert gone == f"{first}: There is no such memory."
    assert stale.startswith(f"{second}: ") and "devlore show" in stale
    assert wrong.startswith(f"{third}: ")
    assert last == "devlore: 3 memories could not be changed; the rest was."
    assert shown.out == "1 changed\n"


def test_failures_of_one_kind_have_its_exit_code(scripted: Scripted, devlore: Terminal) -> None:
    stdin = lines(*(samples.memory(id=id) for id in ids(3)))
    refusing(scripted, (404, "not-found"), (404, "not-found"))
    shown = devlore("edit", "-", "--pin", "--json", stdin=stdin, code=3)
    problems = [json.loads(line) for line in shown.err.splitlines()]
    assert [one["code"] for one in problems] == ["not-found", "not-found", "failed"]
    assert [one.get("memory_id") for one in problems] == [*ids(2), None]
    assert [line["version"] for line in shown.lines] == [2]
    scripted.play(Reply(412, samples.problem(412, "version-mismatch")))
    assert "nothing changed" in devlore("edit", "-", "--pin", stdin=stdin, code=5).out


def test_what_would_be_wrong_with_every_one_ends_it(scripted: Scripted, devlore: Terminal) -> None:
    refused = Reply(403, samples.problem(403, "not-allowed", detail="This needs the scope memories:write."))
    scripted.play(Reply(body=samples.memory(version=2)), refused)
    stdin = lines(*(samples.memory(id=id) for id in ids(9)))
    shown = devlore("edit", "-", "--pin", stdin=stdin, code=4)
    assert shown.out == "1 changed\n" and "memories:write" in shown.err
    assert len(scripted.seen) == 2


def test_more_than_a_page_is_asked_about(scripted: Scripted, devlore: Terminal) -> None:
    scripted.play(Reply(body=samples.memory()))
    devlore.interactive = True
    asked = devlore("edit", *ids(21), "--pin", stdin="n\n", code=130)
    assert "Change 21 memories? [y/N]" in asked.err and asked.out == ""
    assert scripted.seen == []
    assert devlore("edit", *ids(21), "--pin", stdin="y\n").out == "21 unchanged\n"
    for command in (("edit", *ids(20), "--pin"), ("edit", *ids(21), "--pin", "--yes")):
        assert "[y/N]" not in devlore(*command).err
    devlore.interactive = False
    assert devlore("edit", *ids(21), "--pin").out == "21 unchanged\n", "nobody is there to ask"


def piped_at_a_terminal(url: str, folder: Path, answer: bytes) -> tuple[int, str]:
    """The exit code of an edit of 21 memories by a pipe, at a terminal where somebody answers; and what it showed."""
    (folder / "ids").write_text("\n".join(ids(21)))
    child, terminal = pty.fork()
    if not child:  # a process of its own, whose terminal this is
        os.environ["DEVLORE_URL"] = url
        os.execvp("bash", ["bash", "-c", f"cat {folder}/ids | {' '.join(PROGRAM)} edit - --pin"])
    shown = b""
    while True:
        try:
            part = os.read(terminal, 65_536)
        except OSError:
            break
        shown += part
        if part and b"[y/N]" in shown and answer:
            os.write(terminal, answer)
            answer = b""
    os.close(terminal)
    return os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]), shown.decode()


def test_the_question_is_put_at_the_terminal_while_stdin_is_a_pipe(scripted: Scripted, tmp_path: Path) -> None:
    scripted.play(Reply(body=samples.memory()))
    code, shown = piped_at_a_terminal(scripted.url, tmp_path, b"n\n")
    assert (code, scripted.seen) == (130, []) and "Change 21 memories? [y/N]" in shown
    code, shown = piped_at_a_terminal(scripted.url, tmp_path, b"y\n")
    assert code == 0 and len(scripted.seen) == 42
    assert shown.endswith("21 unchanged\r\n") and "memories" in shown


def test_what_is_listed_and_found_can_be_piped_into_both(real: Terminal, project: str) -> None:
    for number in range(3):
        real("add", f"Pool {number}", "-p", project, "--wait")
    assert real("edit", "-", "-k", "tip", stdin=real("list", "-p", project, "--json").out).out == "3 changed\n"
    assert real("edit", "-", "-k", "tip", stdin=real("list", "-p", project, "--json").out).out == "3 unchanged\n"
    found = real("search", "pool", "--project", project, "--json").out
    assert {line["kind"] for line in real("edit", "-", "--pin", "--json", stdin=found).lines} == {"tip"}
    # Changed since they were found: nobody pins what they have not seen.
    stale = real("edit", "-", "--unpin", stdin=found, code=5)
    assert stale.err.endswith("3 memories could not be changed.\n")
    assert len(real("rm", "-", "--json", stdin=found).lines) == 3
    assert real("list", "-p", project).out == ""


@pytest.fixture
def mary(team: TeamServer) -> Joined:
    return team.join(name=f"Mary {uuid.uuid4().hex[:8]}")


@pytest.fixture
def name(owner: Desk, mary: Joined) -> str:
    """A team of the owner and Mary."""
    made = f"Sharing {uuid.uuid4().hex[:8]}"
    owner("team", "create", made)
    owner("team", "add", made, "me", mary.email)
    return made


def test_a_project_is_shared_with_a_team_in_one_go(
    owner: Desk, desks: Desks, mary: Joined, name: str, team: TeamServer, project: str
) -> None:
    hers, other = desks(mary), desks(team.join(name="Sam"))
    for number in range(3):
        owner("add", f"Note {number}", "-p", project)
    assert hers("list", "-p", project).out == ""
    listed = owner("list", "-p", project, "--all", "--json").out
    assert owner("edit", "-", "--team", name, stdin=listed).out == "3 changed\n"
    assert {line["privacy"] for line in hers("list", "-p", project, "--json").lines} == {"team"}
    assert len(hers("list", "-p", project, "--json").lines) == 3 and other("list", "-p", project).out == ""


def test_an_import_is_shared_where_it_does_not_say_who_sees_it(
    owner: Desk, desks: Desks, mary: Joined, name: str, project: str, tmp_path: Path
) -> None:
    file = tmp_path / "notes.jsonl"
    file.write_text(
        lines({"title": "Silent"}, {"title": "Mine", "privacy": "private"}, {"title": "Null", "team_id": None})
    )
    (tmp_path / "loose").mkdir()
    (tmp_path / "loose" / "a.md").write_text("---\nprivacy: public\n---\n# Everybody's\n")
    assert owner("import", str(file), "-p", project, "--team", name).out == "3 created\n"
    owner("import", str(tmp_path / "loose"), "-p", project, "--privacy", "private")
    found = {line["title"]: line["privacy"] for line in owner("list", "-p", project, "--json").lines}
    assert found == {"Silent": "team", "Null": "team", "Mine": "private", "Everybody's": "public"}
    assert {line["title"] for line in desks(mary)("list", "-p", project, "--json").lines} == {*found} - {"Mine"}
    # What somebody has moved since stays there, unless the import says otherwise.
    silent = owner("list", "-p", project, "--privacy", "team", "--json").out
    owner("edit", "-", "--team", "", stdin=silent)
    assert owner("import", str(file), "-p", project).out == "3 unchanged\n"
    assert owner("import", str(file), "-p", project, "--privacy", "public").out == "2 updated, 1 unchanged\n"
    assert "no team 'nowhere'" in owner("import", str(file), "--team", "nowhere", code=3).err


def test_an_export_says_itself_who_sees_it(real: Terminal, project: str, tmp_path: Path) -> None:
    real("add", "Mine", "-p", project)
    file = tmp_path / "all.jsonl"
    real("export", str(file), "--project", project)
    again = real("import", str(file), "--privacy", "public")
    assert again.out == "1 unchanged\n"
    assert "An export says itself who sees its 1 memory." in again.err
    assert real("import", str(file)).err == ""
