"""Markdown with front matter: exact both ways, and clear when it cannot be read."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any
from uuid import uuid4

import pytest
from hypothesis import given
from hypothesis import strategies as st
from sdk.python.tests import samples

from devlore.types import Link, Memory, MemoryRecord
from devlore_cli import documents
from devlore_cli.documents import BadDocument, Document

TEXT = st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\x00"))


def memory(**changes: Any) -> Memory:
    return Memory.model_validate(samples.memory(**changes))


@given(TEXT)
def test_any_body_comes_back_exactly(body: str) -> None:
    assert documents.read(documents.write({"title": "t"}, body)).body == body


@given(st.dictionaries(st.sampled_from(["title", "kind", "project"]), TEXT.filter(lambda text: "\x00" not in text)))
def test_any_field_comes_back_exactly(fields: dict[str, str]) -> None:
    assert documents.read(documents.write(fields, "body")).fields == fields


def test_a_text_without_front_matter_is_all_body() -> None:
    assert documents.read("# Title\n\n---\n\nx") == Document({}, "# Title\n\n---\n\nx")


def test_front_matter_of_other_programs_is_read() -> None:
    found = documents.read("---\r\ntitle: Use Redis\r\ndate: 2024-05-01\r\ntags: [a, b]\r\n---\r\nBody\r\n")
    assert found.fields == {"title": "Use Redis", "date": datetime(2024, 5, 1, tzinfo=UTC), "tags": ["a", "b"]}
    assert found.body == "Body"


@pytest.mark.parametrize("text", ["---\ntitle: [a\n---\nx", "---\n- a\n---\nx"])
def test_front_matter_that_is_none_is_refused(text: str) -> None:
    with pytest.raises(BadDocument):
        documents.read(text)


def test_what_is_edited_becomes_changes_and_nothing_else() -> None:
    before = memory(tags=["a"], project="api")
    text = documents.for_editing(before).replace("Pin psycopg", "Pin it").replace("3.2.4 leaks.", "It leaks.")
    assert documents.changes(before, documents.read(text)) == {"title": "Pin it", "body": "It leaks."}


def test_an_unchanged_document_changes_nothing() -> None:
    before = memory(body="ends with a break\n", tags=[], project=None)
    assert documents.changes(before, documents.read(documents.for_editing(before))) == {}


def test_a_line_taken_out_clears_the_field() -> None:
    before = memory(project="api")
    text = documents.for_editing(before).replace("project: api\n", "")
    assert documents.changes(before, documents.read(text)) == {"project": None}


def test_a_field_that_cannot_be_edited_is_named() -> None:
    before = memory()
    with pytest.raises(BadDocument, match="mood"):
        documents.changes(before, documents.read(documents.for_editing(before).replace("title:", "mood: x\ntitle:", 1)))


def test_an_exported_document_is_the_record_again() -> None:
    link = {"type": "fixes", "target_kind": "ticket", "target": "#12", "id": str(uuid4()), "memory_id": samples.ID}
    stored = Link.model_validate(link | {"direction": "outgoing", "created_at": samples.MOMENT})
    before = memory(
        title="Quotes: 'and' \"so on\"", tags=["a", "123", "yes"], version=3, body="---\nnot front matter\n---\n",
        source={"connector": "git", "external_id": "abc", "author": "Ada: L", "updated_at": samples.MOMENT},
        importance=0.25, pinned=True, status="invalidated", status_reason="wrong",
    )  # fmt: skip
    found = documents.record_of(documents.read(documents.exported(MemoryRecord(memory=before, links=[stored]))))
    assert found is not None
    again = MemoryRecord.model_validate(found)
    assert again.memory == before
    assert again.links == [stored]


def test_a_foreign_document_is_no_record() -> None:
    assert documents.record_of(Document({"id": "1", "title": "x"}, "")) is None


@pytest.mark.parametrize(
    ("title", "begin"),
    [
        ("Pin psycopg!", "pin-psycopg-"),
        ("../../etc/passwd", "etc-passwd-"),
        ("连接池", "decision-"),
        ("x" * 300, "x" * 60),
    ],
)
def test_file_names_are_readable_and_safe(title: str, begin: str) -> None:
    name = documents.file_name(memory(title=title))
    assert name.startswith(begin)
    assert name.endswith(f"{samples.ID}.md")
    assert "/" not in name
