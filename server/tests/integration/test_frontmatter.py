"""Front matter as people write it."""

from __future__ import annotations

from datetime import UTC, date, datetime
from typing import Any

import pytest

from devlore_server.integration.connectors.markdown.frontmatter import moment, split


def test_yaml_and_toml_blocks_are_split_off() -> None:
    matter, text = split("---\nTitle: A\nValid_From: 2024-01-02\n---\nbody\n")
    assert (matter.text("title"), matter.moment("valid-from"), text) == (
        "A",
        datetime(2024, 1, 2, tzinfo=UTC),
        "body\n",
    )
    matter, text = split("+++\ntitle = 'B'\ntags = ['x', 'y']\n+++\n\nbody")
    assert (matter.texts("tags"), text) == (["x", "y"], "\nbody")


@pytest.mark.parametrize(
    "text", ["---\n\nA line above.\n", "--- \nno end", "text\n---\na: b\n---\n", "---\n- a\n- b\n---\nx", ""]
)
def test_what_is_no_front_matter_stays_text(text: str) -> None:
    matter, rest = split(text)
    assert (matter.values, matter.fault, rest) == ({}, None, text)


@pytest.mark.parametrize(
    "block",
    ["a: [", "a: !!python/object:os.system x", "a: &x [1]\nb: *x", "a: {" * 2_000, "\ta: b", "a: b: c"],
)
def test_a_block_that_cannot_be_read_says_why(block: str) -> None:
    text = f"---\n{block}\n---\nbody"
    matter, rest = split(text)
    assert matter.values == {}
    assert matter.fault
    assert rest == "body"


def test_values_of_other_shapes_are_passed_over() -> None:
    matter, _ = split("---\ntitle: {a: b}\ntags: [1, true, null, [x], y]\nauthor: 5\n---\n")
    assert matter.text("title") is None
    assert matter.texts("tags") == ["1", "y"]
    assert matter.text("missing", "author") == "5"


@pytest.mark.parametrize(
    ("written", "read"),
    [
        ("2024-05-06", datetime(2024, 5, 6, tzinfo=UTC)),
        ("2024-05-06T07:08:09+02:00", datetime(2024, 5, 6, 5, 8, 9, tzinfo=UTC)),
        ("6th May 2024", datetime(2024, 5, 6, tzinfo=UTC)),
        ("May 6, 2024", datetime(2024, 5, 6, tzinfo=UTC)),
        ("**2024/05/06**", datetime(2024, 5, 6, tzinfo=UTC)),
        (date(2024, 5, 6), datetime(2024, 5, 6, tzinfo=UTC)),
        (datetime(2024, 5, 6, 7), datetime(2024, 5, 6, 7, tzinfo=UTC)),  # noqa: DTZ001 - YAML gives naive times
        ("yesterday", None),
        ("", None),
        (5, None),
        (None, None),
    ],
)
def test_dates(written: Any, read: datetime | None) -> None:
    assert moment(written) == read
