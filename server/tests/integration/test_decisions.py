"""What decision records say of themselves and of each other."""

from __future__ import annotations

import time

import pytest

from devlore.types import Status
from devlore_server.integration.connectors.markdown.decisions import Standing, standing
from devlore_server.integration.connectors.markdown.document import Document
from devlore_server.integration.connectors.markdown.frontmatter import split
from devlore_server.integration.connectors.markdown.kinds import kind_of
from devlore_server.integration.connectors.markdown.succession import Claim, Names, edges, succession

HEAD = "# 7. Something\n\nDate: 2020-01-02\n\n"


def stand(text: str) -> Standing:
    matter, body = split(text)
    return standing(matter, Document(body), decision=True)


def folder(**texts: str) -> dict[str, Claim]:
    """Claims of records named ``n0012_title`` for ``adr/0012-title.md``."""
    claims = {}
    for name, text in texts.items():
        said = stand(text)
        path = f"adr/{name.removeprefix('n').replace('_', '-')}.md"
        claims[path] = Claim(said.status, said.partly, said.statements)
    return claims


@pytest.mark.parametrize(
    ("text", "status"),
    [
        (HEAD + "## Status\n\nAccepted\n\n## Context\n\nWe rejected all others.\n", Status.ACTIVE),
        (HEAD + "## Status\n\n✅ Accepted\n", Status.ACTIVE),
        (HEAD + "## Status\n\n** Approved ** by vote\n", Status.ACTIVE),
        (HEAD + "## Status\n\n🤔 Proposed\n", Status.ACTIVE),
        (HEAD + "## Status\n\nAccepted\n\nSupersedes [3](0003-x.md)\n", Status.ACTIVE),
        (HEAD + "## Status\n\nPartly superseded\n", Status.ACTIVE),
        (HEAD + "## Status\n\n❌ Rejected (see [019](019-x.md))\n", Status.INVALIDATED),
        (HEAD + "## Status\n\n*deprecated*\n", Status.SUPERSEDED),
        (HEAD + "## Status\n\nDeprecated (no superseding ADR)\n", Status.SUPERSEDED),
        (HEAD + "## Status\n\n⌛️ Superseded by [036](036-x.md)\n", Status.SUPERSEDED),
        (HEAD + "## Status\n\nSuperceded by [9. X](0009-x.md)\n", Status.SUPERSEDED),
        (HEAD + "## Status\n\n- Proposed 2019\n- Accepted 2020\n- Superseded 2021\n", Status.SUPERSEDED),
        ("# X\n\nDate: 2018-12-12\nSuperseded: 2019-12-19 by [ADR 14](0014-y.md)\n\n## Context\n", Status.SUPERSEDED),
        ("# X\n\n* Status: rejected\n* Date: 2020\n\n## Context\n", Status.INVALIDATED),
        ("# X\n\n| Status: | rejected |\n|---|---|\n\n## C\n", Status.INVALIDATED),
        ("# X\n\n**Status**: deprecated\n\n## C\n", Status.SUPERSEDED),
        ("Status\n------\n\nRejected\n\nContext\n-------\n\nx\n", Status.INVALIDATED),
        ("---\nstatus: superseded by ADR-0005\n---\n# X\n", Status.SUPERSEDED),
        ("---\nstatus: rejected\n---\n# X\n", Status.INVALIDATED),
        ("---\nsuperseded-by: 5\n---\n# X\n", Status.SUPERSEDED),
        ('---\nstatus: "{proposed | rejected | accepted | deprecated}"\n---\n# X\n', Status.ACTIVE),
        ("+++\nstatus = 'deprecated'\n+++\n# X\n", Status.SUPERSEDED),
    ],
)
def test_statuses(text: str, status: Status) -> None:
    assert stand(text).status is status


def test_a_note_that_is_no_decision_is_believed_in_its_front_matter_only() -> None:
    matter, body = split("---\nstatus: draft\n---\n# Library\n\n## Status\n\nDeprecated\n")
    assert standing(matter, Document(body), decision=False).status is Status.ACTIVE


@pytest.mark.parametrize(
    ("old", "new"),
    [
        ("## Status\n\nSuperseded by [ADR-0012](0012-new.md)\n", ""),
        ('## Status\n\nSuperseded by [ADR-0012](./0012-new.md#decision "title")\n', ""),
        ("## Status\n\nSuperseded by [the new way](https://github.com/a/b/blob/main/adr/0012-new.md)\n", ""),
        ("## Status\n\nSuperceded by ADR 12.\n", ""),
        ("## Status\n\nsuperseeded by ADR-0012\n", ""),
        ("## Status\n\nSuperseded by #12\n", ""),
        ("## Status\n\nSuperseded by 0012\n", ""),
        ("## Status\n\n⌛️ Superseded [0012](0012-new.md)\n", ""),
        ("## Status\n\nReplaced by [12][new]\n\n[new]: 0012-new.md\n", ""),
        ("## Status\n\nSuperseded by [[0012-new]]\n", ""),
        ("## Status\n\nSuperseded by 0012-new.md\n", ""),
        ("Superseded: 2019-12-19 by [ADR 12](0012-new.md)\n\n## Context\n", ""),
        ("---\nstatus: superseded by [ADR-0012](0012-new.md)\n---\n", ""),
        ("---\nstatus: superseded\nsuperseded_by: 0012-new.md\n---\n", ""),
        ("---\nstatus: superseded\nsuperseded-by: [12]\n---\n", ""),
        ("## Status\n\nAccepted\n", "## Status\n\nAccepted\n\nSupersedes [3. Old](0003-old.md)\n"),
        ("## Status\n\nAccepted\n", "## Status\n\nAccepted. Supersedes ADR-3 and ADR-4.\n"),
        ("", "Note: this ADR supersedes [ADR-3](0003-old.md).\n\n## Context\n"),
        ("", "---\nsupersedes:\n  - 0003-old.md\n  - ADR-0004\n---\n"),
        ("", "---\nreplaces: ADR 3\n---\n"),
        ("", "## Context\n\nThis decision supersedes ADR #3, which was wrong.\n"),
    ],
)
def test_supersession_is_found_from_either_side(old: str, new: str) -> None:
    claims = folder(n0003_old=old, n0012_new=new, n0004_other="")
    place = succession(claims)["adr/0003-old.md"]
    assert (place.status, place.successor) == (Status.SUPERSEDED, "adr/0012-new.md")


@pytest.mark.parametrize(
    "text",
    [
        "## Context\n\n[ADR 3](0003-old.md) was superseded by [ADR 4](0004-other.md).\n",
        "* [![status: superseded](https://img/status-superseded_by_ADR_0003.svg)](https://x/0003-old.md)\n",
        "* Bad, because badges (superseded-by-ADR-0003, for each)\n",
        "```\nThis ADR supersedes [3](0003-old.md)\n```\n",
        "<!-- This ADR supersedes [3](0003-old.md) -->\n",
        "This replaces 3 of our tools.\n",
        "This decision supersedes 3 older ones.\n",
        "This supersedes all prior ADRs regarding UEI.\n",
        "## Status\n\nDeprecated (no superseding ADR)\n",
        "## Status\n\nSuperseded by [ADR 3](0003-something-that-is-gone.md)\n",
        "## Status\n\nSuperseded by [ADR 99](0099-nothing.md)\n",
    ],
)
def test_what_is_no_supersession_makes_no_edge(text: str) -> None:
    assert edges(folder(n0003_old="", n0004_other="", n0012_new=text)) == []


@pytest.mark.parametrize(
    ("old", "new"),
    [
        ("", "This ADR in part supersedes [0003](0003-old.md).\n"),
        ("", "Note: this ADR supersedes some aspects of [ADR-3](0003-old.md).\n"),
        ("## Status\n\nPartly superseded\n", "This ADR supersedes [0003](0003-old.md).\n"),
        ("**These IP ranges have been superseded by [ADR #0012](0012-new.md).**\n", ""),
        ("", "## Status\n\nProposed\n\nSupersedes [3](0003-old.md)\n"),
        ("", "## Status\n\nRejected\n\nSupersedes [3](0003-old.md)\n"),
    ],
)
def test_a_part_or_a_proposal_leaves_the_old_record_in_force(old: str, new: str) -> None:
    places = succession(folder(n0003_old=old, n0012_new=new))
    assert (places["adr/0003-old.md"].status, places["adr/0003-old.md"].successor) == (Status.ACTIVE, None)
    assert places["adr/0012-new.md"].replaced_partly == ["adr/0003-old.md"]


def test_a_chain_is_stored_from_its_end_and_a_circle_is_broken() -> None:
    chain = succession(
        folder(
            n0001_a="## Status\n\nSuperseded by ADR 2\n",
            n0002_b="## Status\n\nSuperseded by ADR 3\n",
            n0003_c="## Status\n\nSupersedes ADR 2\n",
        )
    )
    assert [chain[f"adr/{name}.md"].depth for name in ("0001-a", "0002-b", "0003-c")] == [2, 1, 0]
    circle = succession(
        folder(n0001_a="## Status\n\nSuperseded by ADR 2\n", n0002_b="## Status\n\nSuperseded by ADR 1\n")
    )
    assert [circle[path].successor for path in sorted(circle)] == ["adr/0002-b.md", None]


def test_a_number_means_a_neighbour_and_only_one() -> None:
    names = Names(["a/0001-x.md", "b/0001-y.md", "b/0002-z.md", "b/0002-other.md", "b/adr-003-q.md", "2022-01-01-d.md"])
    assert names.find("1", "a/0009.md") == "a/0001-x.md"
    assert names.find("1", "b/0009.md") == "b/0001-y.md"
    assert names.find("2", "b/0009.md") is None
    assert names.find("3", "b/0009.md") == "b/adr-003-q.md"
    assert names.find("2022", "x.md") is None
    assert names.find("../a/0001-x.md\nADR 1", "b/0009.md") == "a/0001-x.md"


@pytest.mark.parametrize(
    ("path", "text", "kind"),
    [
        ("docs/adr/0001-x.md", "# x", "decision"),
        ("doc/architecture/decisions/0001-x.md", "# x", "decision"),
        ("decision-records/2022-02-03-x/README.md", "# x", "decision"),
        ("anywhere/x.md", "## Context and Problem Statement\n\n## Decision Outcome\n", "decision"),
        ("adr-014-project-templates.md", "# x", "decision"),
        ("docs/adr/0000-template.md", "## Context\n\n## Decision\n", "documentation"),
        ("docs/adr/README.md", "# index", "documentation"),
        ("README.md", "# x", "documentation"),
        ("docs/guide/start.md", "# x", "documentation"),
        ("ARCHITECTURE.md", "# x", "architecture"),
        ("meetings/2024-01-02.md", "# x", "meeting"),
        ("2024-01-02-standup.md", "# x", "meeting"),
        ("x.md", "# Sync\n\n## Attendees\n", "meeting"),
        ("incidents/2024-db.md", "# x", "incident"),
        ("design/x.md", "# x", "design"),
        ("x.md", "# x", "note"),
        ("x.md", "---\nkind: runbook\n---\n", "runbook"),
        ("x.md", "---\ntype: post\n---\n", "note"),
        ("x.md", "---\ntype: ADR\n---\n", "decision"),
        ("x.md", "---\nkind: Bug Fix\n---\n", "bug-fix"),
    ],
)
def test_kinds(path: str, text: str, kind: str) -> None:
    matter, body = split(text)
    assert kind_of(path, matter, Document(body)) == kind


def test_no_text_takes_long() -> None:
    started = time.thread_time()
    for text in (
        "[" * 200_000,
        "superseded " * 20_000,
        "supersedes some parts of " * 10_000,
        "# " + "a" * 200_000,
        "![](" * 50_000,
        "`" * 200_000,
        "this " * 50_000 + "supersedes [x](y.md)",
        "<!--" * 50_000,
        "---\n" + "a: b\n" * 10_000,
    ):
        stand(text)
        assert Document(text).relative_links is not None
    assert time.thread_time() - started < 10
