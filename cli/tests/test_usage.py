"""What is said to a command that cannot be understood, and to an address where nobody answers: no server needed."""

from __future__ import annotations

import uuid
from pathlib import Path

import pytest
from cli.tests.terminal import Terminal
from sdk.python.tests import samples
from sdk.python.tests.scripted import Reply, Scripted

from devlore_cli.drafting import split_title
from devlore_cli.output import quantity

NEEDS_ID = ["show", "edit", "history", "diff", "restore", "invalidate", "reinstate", "rm"]


@pytest.mark.parametrize("command", NEEDS_ID)
@pytest.mark.parametrize("text", ["nope", "01a205f4", "", "01936f00-0000-7000-8000-00000000000g"])
def test_what_is_no_id_is_refused_without_asking_the_server(
    scripted: Scripted, devlore: Terminal, command: str, text: str
) -> None:
    ended = devlore(command, text, code=2)
    assert f"{text!r} is no id" in ended.err and "36 characters" in ended.err
    assert devlore(command, text, "--json", code=2).problem["code"] == "usage"
    assert scripted.seen == []


@pytest.mark.parametrize(
    ("command", "listed"),
    [
        (("sessions", "revoke", "nope"), "devlore sessions list"),
        (("org", "invitations", "--withdraw", "nope"), "devlore org invitations"),
        (("sync", "forget", "nope"), "devlore sync list"),
        (("show", "nope"), "devlore list"),
    ],
)
def test_where_ids_are_shown_is_said(devlore: Terminal, command: tuple[str, ...], listed: str) -> None:
    assert f"36 characters; {listed} shows them." in devlore(*command, code=2).err


def test_a_group_says_what_its_commands_do_in_whole_lines(devlore: Terminal, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("COLUMNS", "80")
    for group in ("org", "team", "keys", "sessions", "policy", "sync"):
        page = devlore(group, "--help").out
        assert not [line for line in page.splitlines()[1:] if line.endswith("...")], page


def test_ids_are_taken_in_any_form(scripted: Scripted, devlore: Terminal) -> None:
    scripted.play(Reply(204))
    known = uuid.UUID(samples.ID)
    for text in (str(known), known.hex, str(known).upper(), f" {known} "):
        devlore("rm", text)
    assert {uuid.UUID(seen.path.rpartition("/")[2]) for seen in scripted.seen} == {known}


@pytest.mark.parametrize(
    ("word", "meant"), [("serch", "search"), ("hisotry", "history"), ("exprot", "export"), ("lsit", "list")]
)
def test_a_misspelt_command_is_told_what_was_meant(devlore: Terminal, word: str, meant: str) -> None:
    assert f"No such command {word!r}. Did you mean {meant!r}?" in devlore(word, code=2).err
    assert devlore("xyzzy", code=2).err.startswith("devlore: No such command 'xyzzy'.\n")


@pytest.mark.parametrize("command", [(), ("sync",), ("rebuild",)])
def test_a_group_alone_shows_its_page(devlore: Terminal, command: tuple[str, ...]) -> None:
    ended = devlore(*command, code=2)
    assert ended.out == "" and ended.err.startswith("Usage: devlore") and "Try: " not in ended.err
    assert devlore(*command, "--json", code=2).err


@pytest.mark.parametrize("command", ["search", "facets"])
def test_an_option_that_is_none_is_not_searched_for(scripted: Scripted, devlore: Terminal, command: str) -> None:
    ended = devlore(command, "pool", "--limt", "5", code=2)
    assert "There is no option --limt." in ended.err
    assert "--limt=5" in devlore(command, "pool", "--limt=5", code=2).err
    # One of other commands; here it would leave out every memory that says "n".
    assert "There is no option -n." in devlore(command, "pool", "-n", "5", code=2).err
    assert scripted.seen == []
    scripted.play(Reply(body=samples.hits()))
    devlore(command, '"--no-verify" hook', "-mysql")
    assert scripted.seen[0].json["q"] == '"--no-verify" hook -mysql'


def test_facets_point_at_what_cannot_be_read(scripted: Scripted, devlore: Terminal) -> None:
    scripted.play(Reply(422, samples.problem(422, "invalid-query", detail="A quote is not closed.", position=4)))
    assert devlore("facets", 'say "x', code=2).err.splitlines()[1:] == ['  say "x', "      ^"]


@pytest.mark.parametrize("url", ["nonsense", "localhost:7700", "ftp://127.0.0.1", "//x"])
def test_what_is_no_address_is_said_as_that(devlore: Terminal, url: str) -> None:
    ended = devlore("list", "--url", url, code=1)
    assert "must begin with http:// or https://" in ended.err
    assert "devlore up" not in ended.err and "DEVLORE_URL" in ended.err


def test_only_this_machines_server_can_be_started_by_up(devlore: Terminal, closed: str) -> None:
    assert "Start it with: devlore up" in devlore("list", "--url", closed, code=1).err
    away = devlore("list", "--url", "http://devlore.invalid", code=1).err
    assert "Nothing answers at http://devlore.invalid." in away and "devlore up" not in away


def test_a_missing_memory_is_named(scripted: Scripted, devlore: Terminal) -> None:
    scripted.play(Reply(404, samples.problem(404, "not-found")))
    assert devlore("show", samples.ID, code=3).err == (
        f"devlore: There is no memory {samples.ID}. Deleted ones: devlore list --deleted\n"
    )
    scripted.play(Reply(404, samples.problem(404, "not-found", detail="This memory has no version 9.")))
    assert "no version 9" in devlore("show", samples.ID, "--version", "9", code=3).err


def test_an_empty_instance_says_how_to_begin(scripted: Scripted, devlore: Terminal) -> None:
    scripted.play(Reply(body=samples.page()))
    assert "Begin with: devlore add" in devlore("list").err
    scripted.play(Reply(body=samples.hits()))
    assert "nothing to count yet" in devlore("facets").err


def test_a_finished_rebuild_is_told_as_finished(scripted: Scripted, devlore: Terminal) -> None:
    index = {"name": "search.vector", "state": "ready", "documents": 1, "lag": 0, "parked": 0}
    finished = {"indexes": [index], "embedder": "minilm", "rebuild": {"state": "done", "done": 1, "total": 1}}
    scripted.play(Reply(202, finished))
    assert devlore("rebuild", "search", "--wait").out == "Rebuilt with the embedder minilm.\n"
    failed = finished | {"rebuild": {"state": "failed", "done": 0, "total": 1, "error": "The embedder is away."}}
    replies = [{"version": "0.1.0"}, samples.hits(), failed, samples.page()]
    scripted.play(*(Reply(body=reply) for reply in replies))
    shown = devlore("status").out
    assert "rebuild  failed · 0 of 1 · The embedder is away." in shown
    assert "ready · 1 document\n" in shown


def test_a_home_that_cannot_be_made_is_said(devlore: Terminal, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    monkeypatch.setenv("DEVLORE_HOME", str(tmp_path / "file"))
    ended = devlore("up", code=1)
    assert str(tmp_path / "file") in ended.err and "bug in devlore" not in ended.err


@pytest.mark.parametrize(("count", "said"), [(0, "0 memories"), (1, "1 memory"), (2_000, "2,000 memories")])
def test_quantities_have_their_noun(count: int, said: str) -> None:
    assert quantity(count, "memory", "memories") == said
    assert quantity(1, "item") == "1 item" and quantity(2, "item") == "2 items"


def test_the_indent_of_code_is_kept() -> None:
    assert split_title("Title\n\n    def f():\n        pass\n\n") == ("Title", "    def f():\n        pass")
    assert split_title("One. Two.\n  three") == ("One. Two.", "  three")
