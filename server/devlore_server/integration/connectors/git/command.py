"""Running the git binary: no shell, no hooks, no pager, no network, nothing a repository's own settings could start."""

from __future__ import annotations

import asyncio
import os
from collections.abc import AsyncGenerator
from contextlib import suppress
from typing import Final

from devlore.problems import Unavailable

_CHUNK = 65_536
_PATIENCE = 60.0
_ERROR_TAIL = 2_000

_OPTIONS: Final = (
    "--no-pager",
    "--no-optional-locks",
    "--no-replace-objects",
    "--literal-pathspecs",
    # The person named this folder to be read, whoever owns it; what its settings could run is switched off below.
    *("-c", "safe.directory=*"),
    *("-c", "core.quotepath=off"),
    *("-c", "core.fsmonitor=false"),
    *("-c", "core.hooksPath=/dev/null"),
    *("-c", "log.showSignature=false"),
    # Left out, the files of a first commit would be missing; a list of an order that is gone would end every log.
    *("-c", "log.showRoot=true"),
    *("-c", "diff.orderFile=/dev/null"),
    *("-c", "i18n.logOutputEncoding=UTF-8"),
    *("-c", "protocol.allow=never"),
)


class GitFailed(Exception):
    """git ended with an error; the message is its last words."""


def _environment() -> dict[str, str]:
    # A server started from a hook inherits GIT_DIR and friends, which would point git at another repository.
    kept = {name: value for name, value in os.environ.items() if not name.startswith("GIT_")}
    return kept | {
        "GIT_TERMINAL_PROMPT": "0",
        "GIT_OPTIONAL_LOCKS": "0",
        "GIT_NO_LAZY_FETCH": "1",
        "GIT_CONFIG_NOSYSTEM": "1",
        "GIT_ATTR_NOSYSTEM": "1",
        "LC_ALL": "C",
    }


async def _start(folder: str, arguments: tuple[str, ...], *, fed: bool) -> asyncio.subprocess.Process:
    try:
        return await asyncio.create_subprocess_exec(
            "git",
            "-C",
            folder,
            *_OPTIONS,
            *arguments,
            # A pipe nothing is written to breaks under uvloop when git ends before it is closed.
            stdin=asyncio.subprocess.PIPE if fed else asyncio.subprocess.DEVNULL,
            stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.PIPE,
            env=_environment(),
        )
    except FileNotFoundError:
        raise Unavailable("The git program is not installed on the server, or not on its PATH.") from None


async def read(folder: str, *arguments: str, given: bytes = b"") -> bytes:
    """What git prints, for answers that are short; raises ``GitFailed``."""
    process = await _start(folder, arguments, fed=bool(given))
    try:
        async with asyncio.timeout(_PATIENCE):
            out, errors = await process.communicate(given or None)
    except TimeoutError:
        raise GitFailed(f"git {arguments[0]} did not answer within {_PATIENCE:.0f} seconds") from None
    finally:
        await _end(process)
    if process.returncode:
        raise GitFailed(errors.decode("utf-8", "replace").strip()[-_ERROR_TAIL:] or f"git {arguments[0]} failed")
    return out


async def stream(folder: str, *arguments: str, given: bytes = b"") -> AsyncGenerator[list[bytes], None]:
    """What git prints, as lists of NUL-terminated tokens while it prints them; raises ``GitFailed`` at the end.

    git waits while nobody reads, so memory stays bounded; closing the iterator ends git.
    """
    process = await _start(folder, arguments, fed=bool(given))
    assert process.stdout and process.stderr
    last_words = asyncio.create_task(_tail(process.stderr))
    try:
        if process.stdin is not None:
            # A git that has ended already says why on stderr; uvloop raises RuntimeError for its closed pipe.
            with suppress(BrokenPipeError, ConnectionResetError, RuntimeError):
                process.stdin.write(given)
                await process.stdin.drain()
            process.stdin.close()
        rest = b""
        while chunk := await process.stdout.read(_CHUNK):
            tokens = (rest + chunk).split(b"\0")
            rest = tokens.pop()
            yield tokens
        if rest:
            yield [rest]
        if await process.wait():
            raise GitFailed(await last_words or f"git {arguments[0]} failed")
    finally:
        await _end(process)
        last_words.cancel()


async def _tail(reader: asyncio.StreamReader) -> str:
    kept = b""
    while chunk := await reader.read(_CHUNK):
        kept = (kept + chunk)[-_ERROR_TAIL:]
    return kept.decode("utf-8", "replace").strip()


async def _end(process: asyncio.subprocess.Process) -> None:
    if process.returncode is None:
        with suppress(ProcessLookupError):
            process.kill()
        await process.wait()


def text(raw: bytes) -> str:
    """Bytes of a message, name or path as text: UTF-8, or what old tools wrote instead; never NUL."""
    try:
        decoded = raw.decode("utf-8")
    except UnicodeDecodeError:
        decoded = raw.decode("cp1252", "replace")
    return decoded.replace("\0", "")
