"""How memories, links, versions and differences look to people."""

from __future__ import annotations

import re
from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import UUID

import pytest
from cli.tests.terminal import Stream
from sdk.python.tests import samples

from devlore.types import Count, Diff, Link, Memory, SearchHit, Version
from devlore_cli import render
from devlore_cli.output import Screen, columns_of


def memory(**changes: Any) -> Memory:
    return Memory.model_validate(samples.memory(**changes))


def link(**changes: Any) -> Link:
    plain = {"type": "fixes", "target_kind": "ticket", "target": "#12", "note": None, "score": None}
    plain |= {"id": samples.OTHER, "memory_id": samples.ID, "direction": "outgoing", "created_at": samples.MOMENT}
    return Link.model_validate(plain | changes)


@pytest.fixture
def plain() -> Screen:
    return Screen(Stream())


@pytest.fixture
def terminal() -> Screen:
    stream = Stream()
    stream.terminal = True
    return Screen(stream)


def text(screen: Screen) -> str:
    assert isinstance(screen.stream, Stream)
    return screen.stream.text()


def lines(screen: Screen) -> list[str]:
    """What is visible, without colours."""
    return re.sub(r"\x1b\[[\d;]*m", "", text(screen)).splitlines()


def test_a_memory_without_a_title_shows_how_it_begins() -> None:
    assert render.title_of(memory(title="", body="First\nsecond")) == "First second"
    assert render.title_of(memory(title="", body="")) == "(empty)"


def test_a_listed_memory_says_kind_title_id_where_and_when(plain: Screen) -> None:
    then = (datetime.now(UTC) - timedelta(days=3, minutes=1)).isoformat()
    render.listed(plain, memory(occurred_at=then, source={"connector": "git", "author": "Ada <ada@example.org>"}))
    first, second = lines(plain)
    assert first == "decision  Pin psycopg"
    assert second.startswith(f"  {samples.ID} · api · Ada · #postgres · 3 days ago (")


@pytest.mark.parametrize(
    ("changes", "word"),
    [
        ({"pinned": True}, "pinned"),
        ({"status": "invalidated"}, "invalidated"),
        ({"deleted_at": samples.MOMENT}, "deleted"),
    ],
)
def test_what_is_not_ordinary_is_marked(plain: Screen, changes: dict[str, Any], word: str) -> None:
    render.listed(plain, memory(**changes))
    assert lines(plain)[0].endswith(word)


def test_a_long_title_is_cut_on_a_terminal_only(plain: Screen, terminal: Screen) -> None:
    for screen in (plain, terminal):
        render.listed(screen, memory(title="连接池" * 60))
    assert lines(plain)[0].count("连接池") == 60
    assert columns_of(lines(terminal)[0]) <= 100


def test_a_memory_in_full(plain: Screen) -> None:
    shown = memory(
        version=3, status="superseded", status_reason="newer", superseded_by=samples.OTHER, importance=0.9,
        valid_to="2026-04-01T00:00:00Z", source={"connector": "git", "external_id": "abc", "author": "Ada <a@b>"},
        body="Line one\n\n  indented \x1b[31m",
    )  # fmt: skip
    render.shown(plain, shown, [link(), link(direction="incoming", type="near_duplicate", score=0.97)])
    whole = text(plain)
    for part in (
        f"superseded by {samples.OTHER} – newer",
        "git · abc · Ada <a@b>",
        "importance  0.9",
        "fixes ticket #12",
        f"← near duplicate ticket {samples.ID} (0.97)",
        "  indented \ufffd[31m",
    ):
        assert part in whole
    assert "\x1b" not in whole


def test_what_is_shared_says_so(plain: Screen) -> None:
    render.listed(plain, memory())
    render.listed(plain, memory(privacy="public"))
    render.listed(plain, memory(privacy="team", team_id=samples.OTHER))
    places = [line.split(" · ")[1] for line in lines(plain)[1::2]]
    assert places == ["api", "public", "team"]


def test_a_shared_memory_names_its_author_and_its_team(plain: Screen) -> None:
    shared = memory(privacy="team", team_id=samples.OTHER)
    render.shown(plain, shared, [], {shared.created_by: "Ada", UUID(samples.OTHER): "Platform"})
    rows = [line.split() for line in lines(plain)]
    assert ["by", "Ada"] in rows and ["privacy", "team", "Platform"] in rows
    render.shown(plain, shared, [])
    assert f"team {samples.OTHER}" in text(plain)


def test_a_successor_that_is_not_named(plain: Screen) -> None:
    render.shown(plain, memory(status="superseded", status_reason="newer", superseded_by=None), [])
    assert "superseded – newer" in text(plain)


def test_an_ordinary_memory_shows_no_empty_fields(plain: Screen) -> None:
    render.shown(plain, memory(), [])
    names = {line.split()[0] for line in lines(plain)[1:] if line}
    assert not names & {"source", "valid", "importance", "pinned", "deleted", "changed"}


def test_a_long_body_is_wrapped_to_the_terminal(terminal: Screen) -> None:
    render.shown(terminal, memory(body="words " * 100), [])
    assert all(columns_of(line) <= 100 for line in lines(terminal))


def test_versions_say_what_was_done_and_why(plain: Screen) -> None:
    state = {"memory_id": samples.ID, "version": 2, "change": "status", "changed_at": samples.MOMENT}
    state |= {"changed_by": samples.PERSON, "reason": "was wrong", "memory": samples.memory()}
    render.version(plain, Version.model_validate(state), current=True)
    first, second = lines(plain)
    assert first.startswith("v2  status  ")
    assert first.endswith("was wrong (current)")
    assert second.strip() == "Pin psycopg"


def test_a_difference(terminal: Screen) -> None:
    fields = [{"field": "tags", "old": ["a"], "new": []}, {"field": "body", "old": "x", "new": "y"}]
    changed = {
        "memory_id": samples.ID,
        "old_version": 1,
        "new_version": 2,
        "fields": fields,
        "body": "@@ -1 +1 @@\n-x\n+y\n",
    }
    render.difference(terminal, Diff.model_validate(changed))
    assert lines(terminal) == ["v1 → v2", "tags:", "  - a", "  + (none)", "@@ -1 +1 @@", "-x", "+y"]
    assert "\x1b[31m-x\x1b[0m" in text(terminal)
    assert "\x1b[32m+y\x1b[0m" in text(terminal)


def test_no_difference(plain: Screen) -> None:
    same = {"memory_id": samples.ID, "old_version": 1, "new_version": 2, "fields": [], "body": ""}
    render.difference(plain, Diff.model_validate(same))
    assert lines(plain)[-1] == "No difference."


def test_counts_are_aligned(plain: Screen) -> None:
    render.counts(plain, [Count(value="note", count=1_200), Count(value="tip", count=3)], heading="kind")
    assert lines(plain) == ["kind", "  1,200  note", "      3  tip"]


def test_a_hit_whose_title_is_not_the_excerpt_is_not_marked(terminal: Screen) -> None:
    mark = {"field": "title", "excerpt": "other words", "offset": 4, "spans": [[0, 5]]}
    hit = SearchHit.model_validate({"memory": samples.memory(), "score": 1.0, "highlights": [mark]})
    render.hit(terminal, 1, hit)
    assert lines(terminal)[0] == " 1  decision  Pin psycopg"
    assert "\x1b[1;33m" not in text(terminal)
    render.explained(terminal, hit)
    assert len(lines(terminal)) == 2


def test_factors_that_change_nothing_are_not_explained(plain: Screen) -> None:
    legs = [{"leg": "vector", "rank": 2, "score": 0.5, "contribution": 0.25}]
    reasons = {"legs": legs, "factors": {"recency": 1.03, "pinned": 1.0}}
    hit = {"memory": samples.memory(), "score": 0.2575, "highlights": [], "explanation": reasons}
    render.explained(plain, SearchHit.model_validate(hit))
    assert lines(plain) == ["    score 0.2575 = vector #2 (0.500) +0.2500 · recency ×1.030"]
