"""What commit messages refer to."""

from __future__ import annotations

import time

import pytest

from devlore.types import LinkType, TargetKind
from devlore_server.integration.connectors.git.references import MOST, links, tickets
from devlore_server.integration.connectors.git.repository import Forge

ACME = Forge("github.com", "acme/api")


@pytest.mark.parametrize(
    ("message", "expected"),
    [
        ("Fixes #12", {"#12": True}),
        ("fixed: #12, #13 and #14; see #15", {"#12": True, "#13": True, "#14": True, "#15": False}),
        ("Closes gh-7", {"#7": True}),
        ("resolves issue #9", {"#9": True}),
        ("Merge pull request #14813 from x/y", {"#14813": False}),
        ("Add a cache (#33)", {"#33": False}),
        ("Fix bug PROJ-123", {"PROJ-123": True}),
        ("PROJ-123: fix the pool", {"PROJ-123": False}),
        ("see other/repo#5", {"other/repo#5": False}),
        ("Fixes https://github.com/o/r/issues/5", {"o/r#5": True}),
        ("https://gitlab.com/g/s/r/-/merge_requests/8", {"g/s/r!8": False}),
        ("Fix #1.", {"#1": True}),
    ],
)
def test_tickets_are_found_and_told_closed_or_mentioned(message: str, expected: dict[str, bool]) -> None:
    assert tickets(message, None) == expected


@pytest.mark.parametrize(
    "message",
    [
        "Use UTF-8 and SHA-256, RFC-2616, PEP-8, ISO-8859, CVE-2024",
        "colour #000 and #0a0a0a, C#7, &#39;, v1#2",
        "python-3 x-1 lower-12",
        "docs/page.html#3 and #1.5",
        "prefix-ABC-12-suffix",
        "",
    ],
)
def test_what_only_looks_like_a_ticket_is_none(message: str) -> None:
    assert tickets(message, None) == {}


def test_numbers_are_qualified_where_the_repository_is_known() -> None:
    assert tickets("Fixes #1, gh-2, other/x#3, ABC-4", ACME) == {
        "acme/api#1": True,
        "acme/api#2": True,
        "other/x#3": True,
        "ABC-4": True,
    }


def test_reverts_and_picks_are_links_to_commits() -> None:
    found = list(links("Revert x\n\nThis reverts commit 0123abc.\n(cherry picked from commit fedcba9876)", None))
    assert [(link.type, link.target_kind, link.target) for link in found] == [
        (LinkType.CONTRADICTS, TargetKind.COMMIT, "0123abc"),
        (LinkType.DERIVED_FROM, TargetKind.COMMIT, "fedcba9876"),
    ]


def test_a_ticket_both_closed_and_mentioned_is_one_link() -> None:
    (only,) = links("#5: fixes #5", None)
    assert only.type is LinkType.FIXES


def test_release_notes_link_only_the_first() -> None:
    assert len(list(links("\n".join(f"#{n}" for n in range(1, 200)), None))) == MOST


def test_no_message_takes_long() -> None:
    started = time.thread_time()
    for message in ("a" * 100_000, "fix " * 30_000, "a/" * 50_000, "#1, " * 25_000, "fixes " + "#1 and " * 20_000):
        tickets(message, None)
    assert time.thread_time() - started < 5
