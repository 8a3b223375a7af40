"""When files were last committed: a fresh clone gives every file the time of the clone."""

from __future__ import annotations

import asyncio
import os
from collections.abc import Iterable
from contextlib import aclosing
from datetime import UTC, datetime

from devlore_server.integration.connectors.git.command import GitFailed, stream

_NAMED = 200
"""Most paths on one command line; beyond, the whole folder is asked for."""
_PATIENCE = 20.0
_LATEST = 253_370_764_799
"""The end of the year 9998: clocks have been wrong by more, memories cannot be."""


async def ages(root: str, paths: Iterable[str]) -> dict[str, datetime]:
    """The author date of the last commit of each path (relative to ``root``) that git knows.

    Stops when every path is found, or after twenty seconds with what there is.
    """
    wanted = set(paths)
    found: dict[str, datetime] = {}
    if not wanted:
        return found
    chosen = sorted(wanted) if len(wanted) <= _NAMED else ["."]
    arguments = (
        "log",
        "-z",
        "--format=tformat:%at%x00",
        "--name-only",
        "--relative",
        "--no-renames",
        "--no-diff-merges",
    )
    quiet = ("--no-ext-diff", "--no-textconv", "--no-color", "--no-show-signature", "--no-notes", "HEAD", "--")
    try:
        async with asyncio.timeout(_PATIENCE), aclosing(stream(root, *arguments, *quiet, *chosen)) as pieces:
            moment: datetime | None = None
            async for tokens in pieces:
                for token in (raw.lstrip(b"\n") for raw in tokens):
                    if token.isdigit():
                        moment = datetime.fromtimestamp(min(int(token), _LATEST), UTC)
                    elif (path := os.fsdecode(token)) in wanted and moment is not None:
                        found.setdefault(path, moment)
                if len(found) == len(wanted):
                    break
    except (GitFailed, TimeoutError):
        pass  # no repository, no commit yet, or a very long history
    return found
