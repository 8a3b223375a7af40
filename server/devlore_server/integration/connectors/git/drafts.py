"""A commit as a memory of kind ``change``."""

from __future__ import annotations

import re
from datetime import UTC, datetime

from devlore.types import TITLE_LIMIT, LinkDraft, MemoryDraft, Source, TargetKind, Trust
from devlore_server.integration.connector import linkable
from devlore_server.integration.connectors.git.history import Commit
from devlore_server.integration.connectors.git.references import links
from devlore_server.integration.connectors.git.repository import Forge
from devlore_server.ports import IngestDraft

LINKED_FILES = 20
_MESSAGE_LIMIT = 100_000
"""Longer messages are generated (squashed histories, imported logs); the rest would drown what they say."""
_PARAGRAPH = re.compile(r"\n[ \t]*\n")
_TIME_LIMIT = 253_370_764_800  # the year 9999


def draft_of(commit: Commit, project: str | None, forge: Forge | None) -> IngestDraft:
    """The memory of a commit: its subject, the rest of its message and the files it changed.

    The sha alone is the external id. It is the same in every clone, fork and worktree, and stays the same when a
    shallow clone is deepened; a name of the repository beside it would not.
    """
    title, rest = _subject(commit.message)
    draft = MemoryDraft(
        title=title or f"Commit {commit.sha[:12]}",
        body=_body(rest, commit),
        kind="change",
        **({"project": project} if project else {}),  # a project given by hand is not taken away
        links=_links(commit, forge),
        source=Source(
            connector="git",
            external_id=commit.sha,
            url=forge.commit_url(commit.sha) if forge else None,
            author=_author(commit),
        ),
        occurred_at=_moment(commit.authored) or _moment(commit.committed),
        trust=Trust.CONNECTOR,
    )
    return IngestDraft(draft)


def _subject(message: str) -> tuple[str, str]:
    lines = message.strip()[:_MESSAGE_LIMIT].replace("\r\n", "\n")
    first, *others = _PARAGRAPH.split(lines, maxsplit=1)
    rest = others[0].strip("\n").rstrip() if others else ""
    subject = " ".join(line.strip() for line in first.splitlines())
    if len(subject) > TITLE_LIMIT:
        return subject[: TITLE_LIMIT - 1] + "…", f"{first}\n\n{rest}".strip()
    return subject, rest


def _body(rest: str, commit: Commit) -> str:
    if not commit.files:
        return rest
    lines = [f"Files changed ({commit.file_count}):", *(f"- {path}" for path in commit.files)]
    if more := commit.file_count - len(commit.files):
        lines.append(f"- and {more} more")
    files = "\n".join(lines)
    return f"{rest}\n\n{files}" if rest else files


def _links(commit: Commit, forge: Forge | None) -> list[LinkDraft]:
    own = LinkDraft(target_kind=TargetKind.COMMIT, target=commit.sha)
    files = [
        LinkDraft(target_kind=TargetKind.FILE, target=path) for path in commit.files[:LINKED_FILES] if linkable(path)
    ]
    return [own, *links(commit.message, forge), *files]


def _author(commit: Commit) -> str | None:
    return " ".join(part for part in (commit.author, f"<{commit.email}>" if commit.email else "") if part)[:500] or None


def _moment(seconds: int | None) -> datetime | None:
    # Clocks of long ago and tools wrote zero, negative and absurd times.
    if seconds is None or not 0 < seconds < _TIME_LIMIT:
        return None
    return datetime.fromtimestamp(seconds, UTC)
