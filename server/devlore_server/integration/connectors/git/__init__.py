"""The git connector: commits of a repository on this machine become memories of kind ``change``."""

from __future__ import annotations

import re
from collections.abc import AsyncGenerator
from contextlib import aclosing
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Annotated, Any

from pydantic import BaseModel, ConfigDict, Field, StringConstraints, field_validator

from devlore.problems import Unavailable
from devlore_server.integration.connector import (
    BATCH,
    Batch,
    Checkpoint,
    Origin,
    Place,
    fingerprint,
    folder_at,
    invalid,
    settings_of,
    slug,
)
from devlore_server.integration.connectors.changes import changes
from devlore_server.integration.connectors.git.command import GitFailed, read, stream
from devlore_server.integration.connectors.git.drafts import draft_of
from devlore_server.integration.connectors.git.history import LOG, Commit, Parser
from devlore_server.integration.connectors.git.repository import Repository, boundary, get_repository, present, tips
from devlore_server.ports import IngestDraft

_BATCH_CHARACTERS = 4_000_000
_AGO = re.compile(r"(\d{1,4})\s*(d|day|week|month|year)s?(?:\s+ago)?", re.IGNORECASE)
_DAYS = {"d": 1, "day": 1, "week": 7, "month": 30, "year": 365}
_Branch = Annotated[str, StringConstraints(pattern=r"^[^\s\x00-][^\s\x00]*$", max_length=250)]


class GitSettings(BaseModel):
    """Which commits to read.

    ``branches`` are names or patterns (every local branch and HEAD when empty); ``since`` leaves out older commits.
    """

    model_config = ConfigDict(extra="forbid", frozen=True)

    path: Annotated[str, StringConstraints(pattern=r"^/[^\x00]*$", max_length=4_000)]
    merges: bool = False
    branches: Annotated[list[_Branch], Field(max_length=100)] = []
    since: datetime | None = None

    @field_validator("since", mode="before")
    @classmethod
    def _since(cls, value: Any) -> Any:
        # "3 months ago" is fixed to a moment once, or every sync would read another stretch of history.
        if isinstance(value, str) and (ago := _AGO.fullmatch(value.strip())):
            return datetime.now(UTC) - timedelta(days=int(ago[1]) * _DAYS[ago[2].lower()])
        return value

    @field_validator("since")
    @classmethod
    def _aware(cls, value: datetime | None) -> datetime | None:
        if value is None:
            return None
        return (value if value.tzinfo else value.replace(tzinfo=UTC)).astimezone(UTC).replace(microsecond=0)


@dataclass(slots=True)
class _Pull:
    """One pull: ``read`` are the tips of everything read so far, closed under ancestry."""

    settings: GitSettings
    repository: Repository
    project: str | None
    goal: list[str]
    made_with: str
    boundary: str
    whole: bool = False
    restart: bool = False
    read: set[str] = field(default_factory=set)

    def checkpoint(self, tips: list[str], whole: bool) -> Checkpoint:
        return {"tips": tips, "settings": self.made_with, "boundary": self.boundary, "whole": whole}

    @property
    def filters(self) -> list[str]:
        chosen = [] if self.settings.merges else ["--no-merges"]
        return [*chosen, f"--since={self.settings.since.isoformat()}"] if self.settings.since else chosen


class GitConnector:
    """Reads a repository with the git binary; the checkpoint is the tips that have been read."""

    name = "git"
    local = True

    async def check(self, config: dict[str, Any]) -> Place:
        """Accepts the top of a working tree, a folder in it, or a bare repository."""
        settings = settings_of(GitSettings, config)
        repository = await get_repository(settings.path)
        try:
            everything = await tips(repository.folder, [])
            if everything and settings.branches and not await tips(repository.folder, settings.branches):
                raise invalid("branches", f"No branch of {repository.folder} is named so.")
        except GitFailed as error:
            raise invalid("path", f"git could not read {repository.folder}: {error}") from error
        kept = settings.model_copy(update={"path": repository.folder})
        return Place(
            config=kept.model_dump(mode="json", exclude_defaults=True),
            location=folder_at(repository.folder)[1],
            name=repository.name,
            project=slug(repository.name),
        )

    async def pull(self, origin: Origin, checkpoint: Checkpoint | None) -> AsyncGenerator[Batch, None]:
        """Commits that are new since the checkpoint, oldest first; commits no branch reaches any more as deleted."""
        try:
            pull = await _prepare(origin, checkpoint)
            if not pull.restart:
                async for gone in _gone(pull):
                    yield gone
            yield Batch(expected=await _count(pull), restart=pull.restart)
            async with aclosing(_batches(pull)) as batches:
                async for batch in batches:
                    yield batch
        except GitFailed as error:
            raise Unavailable(f"git could not read {origin.config.get('path')}: {error}") from error
        yield Batch(checkpoint=pull.checkpoint(pull.goal, whole=False), sweep=pull.whole)

    async def watch(self, origin: Origin) -> AsyncGenerator[None, None]:
        """Yields at once and when a branch or HEAD moves."""
        settings = settings_of(GitSettings, origin.config)
        repository = await get_repository(settings.path)
        common = (await read(repository.folder, "rev-parse", "--git-common-dir")).decode("utf-8", "surrogateescape")
        references = Path(repository.folder, common.rstrip("\n"), "refs")

        async def state() -> list[str]:
            try:
                return await tips(repository.folder, settings.branches)
            except GitFailed:
                return []

        async with aclosing(changes(references, state)) as moved:
            async for _ in moved:
                yield

    def summary(self, checkpoint: Checkpoint) -> dict[str, Any]:
        """The tips, or the first twenty of them."""
        return {"tips": checkpoint.get("tips", [])[:20], "complete": not checkpoint.get("whole")}


async def _prepare(origin: Origin, checkpoint: Checkpoint | None) -> _Pull:
    settings = settings_of(GitSettings, origin.config)
    repository = await get_repository(settings.path)
    pull = _Pull(
        settings,
        repository,
        origin.project,
        goal=await tips(repository.folder, settings.branches),
        made_with=fingerprint(origin.config),
        boundary=await boundary(repository.folder),
    )
    before = checkpoint or {}
    known = await present(repository.folder, before.get("tips", []))
    # Other settings, a deepened clone, or a tip that was collected as garbage: what is gone can only be told by
    # reading everything and comparing.
    comparable = before.get("settings") == pull.made_with and before.get("boundary") == pull.boundary
    if checkpoint is None or not comparable or len(known) < len(before["tips"]):
        pull.whole = pull.restart = True
    else:
        pull.whole = bool(before.get("whole"))
        pull.read = set(known)
    return pull


async def _gone(pull: _Pull) -> AsyncGenerator[Batch, None]:
    """Commits read before that no tip reaches: rewritten, or their branch was deleted."""
    if not pull.read:
        return
    listed = await read(pull.repository.folder, "rev-list", "--stdin", given=_revisions(pull.read, pull.goal))
    shas = listed.decode().split()
    for start in range(0, len(shas), BATCH):
        yield Batch(deleted=shas[start : start + BATCH])


async def _count(pull: _Pull) -> int:
    if not pull.goal:
        return 0
    given = _revisions(pull.goal, pull.read)
    return int(await read(pull.repository.folder, "rev-list", "--count", *pull.filters, "--stdin", given=given))


async def _batches(pull: _Pull) -> AsyncGenerator[Batch, None]:
    if not pull.goal:
        return
    parser, drafts, size = Parser(), list[IngestDraft](), 0
    since = [option for option in pull.filters if option != "--no-merges"]
    # Merges are always listed: without them the tips of what has been read could not be told.
    output = stream(pull.repository.folder, *LOG, *since, given=_revisions(pull.goal, pull.read))
    async with aclosing(output) as pieces:
        async for tokens in pieces:
            for commit in parser.feed(tokens):
                size += _add(pull, commit, drafts)
                if len(drafts) >= BATCH or size > _BATCH_CHARACTERS:
                    yield Batch(drafts=drafts, checkpoint=pull.checkpoint(sorted(pull.read), pull.whole))
                    drafts, size = [], 0
    for commit in parser.end():
        _add(pull, commit, drafts)
    if drafts:
        yield Batch(drafts=drafts, checkpoint=pull.checkpoint(sorted(pull.read), pull.whole))


def _add(pull: _Pull, commit: Commit, drafts: list[IngestDraft]) -> int:
    pull.read.difference_update(commit.parents)
    pull.read.add(commit.sha)
    if len(commit.parents) > 1 and not pull.settings.merges:
        return 0
    drafts.append(draft_of(commit, pull.project, pull.repository.forge))
    return len(drafts[-1].draft.body)


def _revisions(wanted: list[str] | set[str], unwanted: list[str] | set[str]) -> bytes:
    # Full hashes on stdin only: a branch named like an option never reaches a command line.
    return "".join([*(f"{sha}\n" for sha in wanted), *(f"^{sha}\n" for sha in unwanted)]).encode()
