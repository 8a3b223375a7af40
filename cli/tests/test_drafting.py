"""Titles out of texts, links out of words."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from devlore.types import LinkType, TargetKind
from devlore_cli.drafting import is_id, link_type, parse_link, split_title, target_kind

ID = "01936f00-0000-7000-8000-000000000001"


@pytest.mark.parametrize(
    ("text", "title", "body"),
    [
        ("Pin psycopg", "Pin psycopg", ""),
        ("Pin psycopg\n\nIt leaks.", "Pin psycopg", "It leaks."),
        ("# Pin psycopg\n\nIt leaks.\n", "Pin psycopg", "It leaks."),
        ("Pin psycopg. It leaks prepared statements.", "Pin psycopg.", "It leaks prepared statements."),
        ("Version 3.2.4 leaks", "Version 3.2.4 leaks", ""),
        ("连接池耗尽。因为语句泄漏。", "连接池耗尽。", "因为语句泄漏。"),
        ("  \n", "", ""),
    ],
)
def test_the_title_is_the_first_line_or_sentence(text: str, title: str, body: str) -> None:
    assert split_title(text) == (title, body)


def test_a_long_first_line_is_cut_at_a_word_and_kept_whole_in_the_body() -> None:
    text = "word " * 60 + "\nmore"
    title, body = split_title(text)
    assert len(title) <= 120
    assert title.endswith("word…")
    assert body == text.strip()


def test_a_long_line_that_begins_with_a_sentence_keeps_its_rest() -> None:
    title, body = split_title("It broke. " + "because " * 40 + "\nsecond line")
    assert title == "It broke."
    assert body.startswith("because")
    assert body.endswith("second line")


@given(st.text())
def test_no_word_is_lost(text: str) -> None:
    title, body = split_title(text)
    assert len(title) <= 120
    kept = (title + body).replace("…", "")
    assert all(word in kept or word.strip("#…") in kept for word in text.replace("…", " ").split())


@pytest.mark.parametrize(
    ("target", "kind"),
    [
        (ID, TargetKind.MEMORY),
        ("https://example.org/x?y=1", TargetKind.URL),
        ("3f2a9bc", TargetKind.COMMIT),
        ("#12", TargetKind.TICKET),
        ("psf/requests#12", TargetKind.TICKET),
        ("ABC-123", TargetKind.TICKET),
        ("src/app.py:10-20", TargetKind.FILE),
        ("README.md", TargetKind.FILE),
    ],
)
def test_a_targets_looks_say_what_it_is(target: str, kind: TargetKind) -> None:
    assert target_kind(target) is kind


def test_what_looks_like_nothing_is_refused() -> None:
    with pytest.raises(ValueError, match="neither"):
        target_kind("something")


def test_a_link_may_name_its_type() -> None:
    assert parse_link("fixes=#12").type is LinkType.FIXES
    assert parse_link("derived-from=3f2a9bc").type is LinkType.DERIVED_FROM
    plain = parse_link("https://example.org/?a=b")
    assert (plain.type, plain.target) == (LinkType.RELATES_TO, "https://example.org/?a=b")


def test_link_types_are_known_with_either_dash() -> None:
    assert link_type("relates-to") is link_type("relates_to") is LinkType.RELATES_TO
    with pytest.raises(ValueError, match="relates-to"):
        link_type("likes")


def test_ids() -> None:
    assert is_id(ID)
    assert not is_id(ID[:8])
    assert not is_id("{" + ID + "}")
