"""Markdown taken apart: prose, headings, sections, facts, links."""

from __future__ import annotations

import pytest

from devlore_server.integration.connectors.markdown.document import Document, plain

TEXT = """# Title

Intro `code` ![shield](https://img/x.svg) end.

```python
# not a heading
[not](a-link.md)
```

~~~~
~~~
still code
~~~~

Second
------

<!-- hidden
# also hidden
-->

### Third ###

* Date: 2020-01-01
text
"""


def test_code_comments_and_images_are_no_prose_and_lines_keep_their_numbers() -> None:
    document = Document(TEXT)
    assert len(document.prose) == len(TEXT.split("\n"))
    prose = "\n".join(document.prose)
    for gone in ("not a heading", "a-link", "still code", "hidden", "shield"):
        assert gone not in prose
    assert [line for line in document.prose if line.startswith("text")] == ["text"]


def test_headings_of_both_styles() -> None:
    document = Document(TEXT)
    assert [(heading.level, heading.text) for heading in document.headings] == [
        (1, "Title"),
        (2, "Second"),
        (3, "Third"),
    ]
    assert document.title == "Title"


@pytest.mark.parametrize(
    "text",
    ["#no space", "    # code", "text\n\n---\n", "- item\n---\n", "| a |\n---\n", "`````\n# x\n", "#" * 7 + " x", ""],
)
def test_what_is_no_heading(text: str) -> None:
    assert Document(text).headings == []


@pytest.mark.parametrize(
    ("heading", "text"),
    [
        ("The *real* `thing`", "The real thing"),
        ("[Linked](x.md) title", "Linked title"),
        ("snake_case stays", "snake_case stays"),
        ("__bold__ and _thin_", "bold and thin"),
        ("***", ""),
    ],
)
def test_a_heading_as_plain_text(heading: str, text: str) -> None:
    assert plain(heading) == text


def test_a_section_ends_at_the_next_heading_of_any_style() -> None:
    assert Document("## Status\n\nAccepted\n\nmore\n\n## Next\n\nx").section("status") == "Accepted\n\nmore"
    assert Document("STATUS:\n---\nDone\n\nNext\n====\nx").section("status") == "Done"
    assert Document("## Status").section("status") == ""
    assert Document("## State").section("status") is None


@pytest.mark.parametrize(
    "line",
    [
        "Date: 2020-01-01",
        "* Date: 2020-01-01",
        "- **Date**: 2020-01-01",
        "**Date:** 2020-01-01",
        "> date : 2020-01-01  ",
        "| Date | 2020-01-01 |",
    ],
)
def test_a_fact_in_the_head(line: str) -> None:
    assert Document(f"# T\n\n{line}\n\n## C\n").fact("date") == "2020-01-01"


def test_a_fact_below_the_head_is_none() -> None:
    assert Document("# T\n\n## C\n\nDate: 2020-01-01\n").fact("date") is None
    assert Document("# T\n\nUpdate: 2020\nDated: x\nDate:\n").fact("date") is None


def test_links_are_decoded_relative_and_told_once() -> None:
    text = "[a](a%20b.md) [again](<a%20b.md>) [c](c.md 'title')\n[x](https://x) [m](mailto:a@b) [r](/root.md) [h](#h)\n"
    assert Document(text + "[d]: d.md").relative_links == ["a b.md", "c.md", "d.md"]
    assert Document("[brackets](a_(b).md)").relative_links == ["a_(b).md"]


def test_reference_definitions_are_known_by_their_label() -> None:
    assert Document("[ADR 12]: ./0012-x.md\n  [other]: <y.md> 'title'").definitions == {
        "adr 12": "./0012-x.md",
        "other": "y.md",
    }
