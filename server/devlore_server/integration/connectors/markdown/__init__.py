"""The markdown connector: a folder of notes and decision records, with their front matter, status and succession."""

from __future__ import annotations

import asyncio
import os
from collections.abc import AsyncGenerator
from contextlib import aclosing
from pathlib import Path
from typing import Annotated, Any

from pydantic import BaseModel, ConfigDict, StringConstraints

from devlore_server.integration.connector import (
    Batch,
    Checkpoint,
    Origin,
    Place,
    fingerprint,
    folder_at,
    settings_of,
    slug,
)
from devlore_server.integration.connectors.changes import changes
from devlore_server.integration.connectors.git.repository import Repository, find_repository
from devlore_server.integration.connectors.markdown.folder import ignored_by_git, walk
from devlore_server.integration.connectors.markdown.reading import Folder, Reading
from devlore_server.integration.connectors.markdown.state import remembered


class MarkdownSettings(BaseModel):
    """``identity`` leads the external ids of this folder's notes; found when left out, and kept from then on."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    path: Annotated[str, StringConstraints(pattern=r"^/[^\x00]*$", max_length=4_000)]
    identity: Annotated[str, StringConstraints(pattern=r"^[^\x00]+$", max_length=500)] | None = None


class MarkdownConnector:
    """Reads a folder; the checkpoint is what each file looked like when it was stored."""

    name = "markdown"
    local = True

    async def check(self, config: dict[str, Any]) -> Place:
        """Accepts any folder. In a repository with a remote, notes are named by it: the same in every clone."""
        settings = settings_of(MarkdownSettings, config)
        path, here = folder_at(settings.path)
        repository = await find_repository(path)
        return Place(
            config={"path": path, "identity": settings.identity or _identity(here, repository)},
            location=here,
            name=os.path.basename(here) or here,
            project=slug(repository.name) if repository else None,
        )

    async def pull(self, origin: Origin, checkpoint: Checkpoint | None) -> AsyncGenerator[Batch, None]:
        """Notes that are new or edited, or whose standing changed by another's word; files that are gone as deleted."""
        settings = settings_of(MarkdownSettings, origin.config)
        _, location = folder_at(settings.path)
        repository = await find_repository(settings.path)
        listing = await asyncio.to_thread(walk, settings.path, await ignored_by_git(settings.path))
        # A folder that moved keeps its notes: where it lies does not change what was read.
        made_with = fingerprint({"identity": settings.identity})
        entries = remembered(checkpoint, made_with)
        here = Folder(
            root=settings.path,
            identity=settings.identity or _identity(location, repository),
            base=(base := _base(location, repository)),
            home=base or f"{os.path.basename(location)}/",
            project=origin.project,
            settings=made_with,
        )
        whole = entries is None or bool((checkpoint or {}).get("whole"))
        reading = Reading(here, listing, entries or {}, restart=entries is None, whole=whole)
        async with aclosing(reading.batches()) as batches:
            async for batch in batches:
                yield batch

    async def watch(self, origin: Origin) -> AsyncGenerator[None, None]:
        """Yields at once and when a Markdown file appears, changes or goes."""
        path = settings_of(MarkdownSettings, origin.config).path

        async def state() -> list[Any]:
            try:
                return (await asyncio.to_thread(walk, path, await ignored_by_git(path))).files
            except OSError:
                return []

        async with aclosing(changes(Path(path), state)) as edits:
            async for _ in edits:
                yield

    def summary(self, checkpoint: Checkpoint) -> dict[str, Any]:
        """How many files are known."""
        return {"files": len(checkpoint.get("files", ())), "complete": not checkpoint.get("whole")}


def _base(folder: str, repository: Repository | None) -> str:
    """The folder's path within its repository, with a ``/`` at the end; empty at the top and outside."""
    if repository is None:
        return ""
    inside = os.path.relpath(folder, os.path.realpath(repository.folder))
    return "" if inside == "." or inside.startswith("..") else f"{inside}/"


def _identity(folder: str, repository: Repository | None) -> str:
    if repository is not None and repository.forge is not None:
        forge = repository.forge
        return f"{forge.host}/{forge.path}:{_base(folder, repository)}"
    return f"{folder.rstrip('/')}/"
