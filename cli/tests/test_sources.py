"""What can be imported, and how what cannot is named."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from sdk.python.tests import samples

from devlore.types import MemoryRecord
from devlore_cli import documents, sources
from devlore_cli.sources import Bad, Draft, Record

NONE: dict[str, Any] = {"project": None, "tags": []}


def items(*lines: bytes, extra: dict[str, Any] = NONE) -> list[sources.Item]:
    return list(sources.lines(lines, "notes.jsonl", extra))


def draft(value: dict[str, Any], extra: dict[str, Any] = NONE) -> dict[str, Any]:
    (item,) = items(json.dumps(value).encode(), extra=extra)
    assert isinstance(item, Draft)
    return item.value


def test_bad_lines_are_named_and_stop_nobody() -> None:
    found = items(b'{"title": "a"}\n', b"\n", b"{oops\n", b"[]\n", b"{}\n", b'{"title": "b"}')
    assert [type(item) for item in found] == [Draft, Bad, Bad, Bad, Draft]
    assert [item.place for item in found] == [f"notes.jsonl:{n}" for n in (1, 3, 4, 5, 6)]


def test_records_are_told_from_drafts() -> None:
    (record,) = items(json.dumps({"memory": samples.memory(), "versions": [], "links": []}).encode())
    assert isinstance(record, Record)


def test_the_same_line_has_the_same_id() -> None:
    one, two = draft({"title": "a", "body": "x"}), draft({"title": "a", "body": "y"})
    assert one["source"] == draft({"title": "a", "body": "x"})["source"]
    assert one["source"] != two["source"]


def test_an_own_source_is_kept() -> None:
    mine = {"connector": "wiki", "external_id": "7"}
    assert draft({"title": "a", "source": mine})["source"] == mine


def test_other_names_and_forms_are_understood() -> None:
    made = draft({"text": "It broke. Because of the pool.", "type": "bug-fix", "tags": "a, b", "date": "2024-01-01"})
    assert (made["title"], made["body"]) == ("It broke.", "Because of the pool.")
    assert (made["kind"], made["tags"], made["occurred_at"]) == ("bug-fix", ["a", "b"], "2024-01-01T00:00:00+00:00")


def test_project_and_tags_are_added_where_none_is_named() -> None:
    extra = {"project": "api", "tags": ["old"]}
    assert draft({"title": "a", "tags": ["x"]}, extra)["tags"] == ["x", "old"]
    assert draft({"title": "a"}, extra)["project"] == "api"
    assert draft({"title": "a", "project": "web"}, extra)["project"] == "web"


@pytest.fixture
def notes(tmp_path: Path) -> Path:
    (tmp_path / "deep").mkdir()
    (tmp_path / ".hidden").mkdir()
    (tmp_path / ".hidden" / "no.md").write_text("no")
    (tmp_path / "readme.txt").write_text("no")
    (tmp_path / "plain-note.md").write_text("Just text.\n")
    (tmp_path / "deep" / "headed.md").write_text("# A heading\n\nText.\n")
    (tmp_path / "front.md").write_text("---\ntitle: Fronted\ntags: [a]\nkind: decision\nmood: x\n---\nText.\n")
    (tmp_path / "broken.md").write_text("---\ntitle: [x\n---\n")
    (tmp_path / "latin.md").write_bytes(b"\xff\xfe\xfa")
    return tmp_path


def folder(root: Path) -> dict[str, sources.Item]:
    return {item.place: item for item in sources.folder(root, sources.documents_below(root), NONE)}


def test_a_folder_of_markdown(notes: Path) -> None:
    found = folder(notes)
    assert sorted(found) == ["broken.md", "deep/headed.md", "front.md", "latin.md", "plain-note.md"]
    plain, headed, front = found["plain-note.md"], found["deep/headed.md"], found["front.md"]
    assert isinstance(plain, Draft) and plain.value["title"] == "plain note"
    assert isinstance(headed, Draft) and (headed.value["title"], headed.value["body"]) == ("A heading", "Text.")
    assert isinstance(front, Draft) and (front.value["kind"], front.value["tags"]) == ("decision", ["a"])
    assert "mood" not in front.value
    assert isinstance(found["broken.md"], Bad) and isinstance(found["latin.md"], Bad)


def test_an_exported_folder_holds_records(tmp_path: Path) -> None:
    record = MemoryRecord.model_validate({"memory": samples.memory()})
    (tmp_path / "x.md").write_bytes(documents.exported(record).encode())
    (item,) = folder(tmp_path).values()
    assert isinstance(item, Record)
    assert MemoryRecord.model_validate_json(json.dumps(item.value)).memory == record.memory
