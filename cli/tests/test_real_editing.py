"""`devlore edit` and `devlore add` in an editor, at a real server: nobody's words are lost."""

from __future__ import annotations

import re
import sys
from pathlib import Path

import pytest
from cli.tests.terminal import Outcome, Terminal


@pytest.fixture
def memory(real: Terminal, project: str) -> str:
    made = real("add", "Pool size. Ten.", "-p", project, "-t", "db", "-k", "decision", "--json").json
    return str(made["id"])


class Editor:
    """An editor that does what a script says to the file it is given."""

    def __init__(self, folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        self._path = folder / "an editor.sh"
        self._log = folder / "seen.md"
        monkeypatch.setenv("VISUAL", f"'{self._path}' --wait")

    def does(self, script: str) -> None:
        self._path.write_text(f'#!/bin/sh\ncp "$2" "{self._log}"\n{script}\n')
        self._path.chmod(0o755)

    @property
    def seen(self) -> str:
        return self._log.read_text()


@pytest.fixture
def editor(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Editor:
    return Editor(tmp_path, monkeypatch)


def kept(ended: Outcome) -> str:
    found = re.search(r"Your text is kept in (\S+)", ended.err)
    assert found is not None, ended.err
    return Path(found[1]).read_text()


def test_the_editor_shows_what_may_be_changed(real: Terminal, memory: str, editor: Editor, project: str) -> None:
    editor.does("true")
    assert "Nothing changed." in real("edit", memory).err
    front, _, body = editor.seen.removeprefix("---\n").partition("---\n")
    names = [line.partition(":")[0] for line in front.splitlines()]
    assert names == ["title", "kind", "project", "tags", "privacy", "occurred_at", "importance", "pinned"]
    assert body == "\nTen.\n" and f"project: {project}\n" in front


def test_every_field_can_be_changed_at_once(real: Terminal, memory: str, editor: Editor) -> None:
    text = "---\\ntitle: Größe 池\\nkind: insight\\ntags: [a, b]\\nprivacy: public\\nimportance: 0.9\\npinned: true\\n"
    editor.does(f'printf -- "{text}occurred_at: 2020-01-02\\n---\\nTwelve.\\n" > "$2"')
    changed = real("edit", memory, "--json").json
    assert (changed["title"], changed["kind"], set(changed["tags"])) == ("Größe 池", "insight", {"a", "b"})
    assert (changed["privacy"], changed["importance"], changed["pinned"]) == ("public", 0.9, True)
    assert (changed["occurred_at"], changed["body"]) == ("2020-01-02T00:00:00Z", "Twelve.")
    assert (changed["project"], changed["version"]) == (None, 2)


def test_a_conflict_keeps_the_text_and_says_what_to_do(real: Terminal, memory: str, editor: Editor) -> None:
    meanwhile = f'DEVLORE_URL={real.url} {sys.executable} -m devlore_cli edit {memory} --body "Eleven."'
    editor.does(f'{meanwhile} > /dev/null\nsed -i "s/Ten/My twelve/" "$2"')
    ended = real("edit", memory, code=5)
    assert "Somebody else has changed this memory meanwhile." in ended.err
    assert f"devlore diff {memory}" in ended.err
    assert "My twelve." in kept(ended)
    assert real("show", memory, "--json").json["body"] == "Eleven."


def test_what_was_kept_can_be_stored_after_all(real: Terminal, memory: str, editor: Editor, tmp_path: Path) -> None:
    editor.does('sed -i "s/^kind: .*/kind: Not A Kind/; s/Ten/Twelve/" "$2"')
    ended = real("edit", memory, code=2)
    assert "kind: small letters" in ended.err
    text = kept(ended).replace("Not A Kind", "tip")
    (tmp_path / "repaired.md").write_text(text)
    editor.does(f'cp "{tmp_path}/repaired.md" "$2"')
    changed = real("edit", memory, "--json").json
    assert (changed["kind"], changed["body"]) == ("tip", "Twelve.")


@pytest.mark.parametrize(
    ("script", "says"),
    [
        ('sed -i "s/^title: .*/title: [/" "$2"', "cannot be read"),
        ('sed -i "s/^pinned: .*/colour: red/" "$2"', "cannot be edited: colour"),
        ('sed -i "s/^importance: .*/importance: much/" "$2"', "importance: "),
    ],
)
def test_what_cannot_be_stored_is_kept(real: Terminal, memory: str, editor: Editor, script: str, says: str) -> None:
    editor.does(f'{script}\nsed -i "s/Ten/Twelve/" "$2"')
    ended = real("edit", memory, code=2)
    assert says in ended.err
    assert "Twelve." in kept(ended)
    assert real("show", memory, "--json").json["version"] == 1


def test_an_editor_that_fails_changes_nothing(real: Terminal, memory: str, editor: Editor) -> None:
    editor.does('sed -i "s/Ten/Twelve/" "$2"\nexit 3')
    assert "ended with 3; nothing was changed" in real("edit", memory, code=1).err
    assert real("show", memory, "--json").json["body"] == "Ten."


def test_an_old_version_is_refused_before_anything_is_written(real: Terminal, memory: str) -> None:
    real("edit", memory, "--title", "New")
    ended = real("edit", memory, "--title", "Newer", "--version", "1", code=5)
    assert "devlore history" in ended.err
    assert real("edit", memory, "--title", "Newer", "--version", "2", "--json").json["version"] == 3


def test_add_without_text_opens_the_editor(real: Terminal, project: str, editor: Editor) -> None:
    editor.does('printf "# From the editor\\n\\n  indented\\n" > "$2"')
    real.interactive = True
    real("add", "-p", project)
    real.interactive = False
    (made,) = real("list", "-p", project, "--json").lines
    assert (made["title"], made["body"]) == ("From the editor", "  indented")


def test_an_empty_editor_adds_nothing(real: Terminal, project: str, editor: Editor) -> None:
    editor.does("true")
    real.interactive = True
    assert "nothing to remember" in real("add", "-p", project, code=2).err
