"""A team instance on one machine: a process per role and a Redis, watched, each started again when it dies."""

from __future__ import annotations

import asyncio
import os
import shutil
import socket
import sys
import tempfile
import time
from asyncio.subprocess import DEVNULL, PIPE
from collections.abc import Callable, Mapping
from contextlib import AsyncExitStack, nullcontext
from dataclasses import dataclass
from pathlib import Path

import httpx2
import structlog

from devlore_server.app import AlreadyRunning
from devlore_server.app.ownership import first_owner
from devlore_server.app.process import claim_home
from devlore_server.settings import PREFIX, ROLES, BadSettings, Role, Settings

log = structlog.get_logger("devlore.team")

CONNECTIONS = 8
"""Connections of one process: the embedded PostgreSQL takes 60, and there are six."""
PATIENCE = 120.0
"""Seconds everything may take to be ready the first time."""
_CALM = 10.0
_PAUSES = (0.2, 10.0)
# Ends when its standard input does, which is when whoever began it is gone, killed or not; and its group with it.
_GUARD = "while read -r _; do :; done; trap '' TERM; kill 0"


class NotUp(Exception):
    """A part of the instance did not come up."""


@dataclass(frozen=True, slots=True)
class Part:
    """A program to keep running: its command, the variables it gets, and how long it may take to end.

    What it says goes to the file ``log``, else where ours goes.
    """

    name: str
    command: list[str]
    environment: dict[str, str]
    patience: float
    log: Path | None = None

    @property
    def words(self) -> str:
        """Where to read what it said."""
        return "above" if self.log is None else f"in {self.log}"


@dataclass(slots=True)
class Kept:
    """A part that runs; once it ``is_up`` it is started again when it dies."""

    part: Part
    process: asyncio.subprocess.Process
    is_up: bool = False


async def run_team(settings: Settings, organisation: str, say: Callable[[str], None]) -> None:
    """Run every role until cancelled; then end them, the gateway first, the one with the database last.

    Says where the instance answers and, while it has no owner, the link that makes one. Raises BadSettings,
    AlreadyRunning, NotUp.
    """
    addresses = _addresses(settings)
    await _until_free(settings, say)
    _check_ports(addresses)
    say(f"Starting on {settings.home}, a process per role. This takes a moment, the first time more.")
    async with AsyncExitStack() as stack:
        group = await _group(stack)
        redis_url = await _redis(settings, stack, group)
        shared = _shared(settings, addresses, redis_url)
        # The memory role owns the embedded PostgreSQL: the others find it there, and it outlives them.
        order: list[Role] = ["memory", *(role for role in ROLES if role not in ("memory", "gateway")), "gateway"]
        kept: dict[Role, Kept] = {}
        for role in order:
            kept[role] = await _keep(_role(role, addresses[role], shared, settings), stack, group)
            if role == "memory":
                await _until_ready(kept[role], addresses[role])
        for role in order:
            await _until_ready(kept[role], addresses[role])
        say(f"Devlore answers at {settings.origin}.")
        link = await first_owner(settings, organisation)
        if link is not None:
            say(f"Nobody owns {organisation} yet. Its first owner opens this link:\n\n  {link}\n")
        say("Ctrl-C stops it.")
        await asyncio.Event().wait()


def _addresses(settings: Settings) -> dict[Role, str]:
    """Where each role answers: the gateway on the port of the settings, the others on those after it."""
    return {role: f"http://127.0.0.1:{settings.port + place}" for place, role in enumerate(ROLES)}


def _shared(settings: Settings, addresses: Mapping[Role, str], redis_url: str) -> dict[str, str]:
    """The variables of every process: those of this one, and what makes them one instance.

    Whoever watches sees what goes wrong; the rest only where a level was chosen.
    """
    made = {
        "TIER": "team",
        "HOME": str(settings.home),
        "PUBLIC_URL": settings.origin,
        "REDIS_URL": redis_url,
        "SECRET": settings.key().decode(),
        "LOG_LEVEL": settings.log_level if "log_level" in settings.model_fields_set else "warning",
        "DATABASE_CONNECTIONS": str(min(settings.database_connections, CONNECTIONS)),
        **{f"{role.upper()}_URL": url for role, url in addresses.items() if role not in ("gateway", "worker")},
    }
    return dict(os.environ) | {PREFIX + name: value for name, value in made.items()}


def _role(role: Role, address: str, shared: Mapping[str, str], settings: Settings) -> Part:
    port = address.rpartition(":")[2]
    host = settings.host if role == "gateway" else "127.0.0.1"
    command = [sys.executable, "-m", "devlore_server", "serve", "--role", role, "--host", host, "--port", port]
    return Part(role, command, dict(shared), settings.drain_seconds + settings.shutdown_seconds + 20.0)


async def _redis(settings: Settings, stack: AsyncExitStack, group: int) -> str:
    """The Redis of the settings, or one of this instance's own."""
    if settings.redis_url is not None:
        return settings.redis_url.get_secret_value()
    program = shutil.which("redis-server")
    if program is None:
        raise BadSettings(
            "redis-server is not installed (Debian: apt-get install redis-server), and DEVLORE_REDIS_URL unset."
        )
    # In a folder nobody else enters, and with a path short enough for a socket; nothing in it is worth keeping (marks
    # of a minute, accounts of limits, hints).
    folder = Path(tempfile.mkdtemp(prefix="devlore-redis-"))
    stack.callback(shutil.rmtree, folder, ignore_errors=True)
    answers = folder / "redis.sock"
    options = ["--port", "0", "--unixsocket", str(answers), "--save", "", "--appendonly", "no", "--dir", str(folder)]
    said = settings.home / "redis.log"
    said.unlink(missing_ok=True)
    part = Part("redis", [program, *options, "--loglevel", "warning"], dict(os.environ), 5.0, said)
    kept = await _keep(part, stack, group)
    deadline = time.monotonic() + 10
    while not answers.exists():
        _check_runs(kept)
        if time.monotonic() > deadline:
            raise NotUp(f"redis-server does not answer; what it says is {part.words}.")
        await asyncio.sleep(0.02)
    kept.is_up = True
    return f"unix://{answers}"


async def _until_free(settings: Settings, say: Callable[[str], None]) -> None:
    """Wait for the parts of a team that was killed, which are about to end. Raises AlreadyRunning when they do not."""
    settings.home.mkdir(parents=True, exist_ok=True, mode=0o700)
    deadline, said = time.monotonic() + settings.drain_seconds + settings.shutdown_seconds + 10.0, False
    while True:
        try:
            async with AsyncExitStack() as stack:
                claim_home(settings.model_copy(update={"roles": ROLES}), stack)
                return
        except AlreadyRunning as error:
            if time.monotonic() > deadline:
                raise
            if not said:
                say(f"{error} Waiting for it to end.")
            said = True
        await asyncio.sleep(0.2)


def _check_ports(addresses: Mapping[Role, str]) -> None:
    for role, address in addresses.items():
        port = int(address.rpartition(":")[2])
        try:
            socket.create_server(("127.0.0.1", port)).close()
        except OSError as error:
            raise NotUp(
                f"{role} cannot listen on port {port}: {error.strerror}. DEVLORE_PORT names the first of {len(ROLES)}."
            ) from error


async def _group(stack: AsyncExitStack) -> int:
    """A process group for the parts: told to end when this process has, killed or not. Ctrl-C does not reach it."""
    guard = await asyncio.create_subprocess_exec("sh", "-c", _GUARD, stdin=PIPE, stdout=DEVNULL, process_group=0)

    async def dismiss() -> None:
        guard.kill()
        await guard.wait()

    stack.push_async_callback(dismiss)
    return guard.pid


async def _keep(part: Part, stack: AsyncExitStack, group: int) -> Kept:
    """Start a part and keep it running until `stack` ends; what began last ends first."""
    kept = Kept(part, await _spawn(part, group))
    keeper = asyncio.create_task(_keep_running(kept, group), name=part.name)

    async def end() -> None:
        keeper.cancel()
        await asyncio.gather(keeper, return_exceptions=True)

    stack.push_async_callback(end)
    return kept


async def _keep_running(kept: Kept, group: int) -> None:
    shortest, longest = _PAUSES
    pause = shortest
    try:
        while True:
            since = time.monotonic()
            code = await kept.process.wait()
            if not kept.is_up:
                return  # what stopped it would stop it again
            pause = shortest if time.monotonic() - since >= _CALM else min(2 * pause, longest)
            log.warning("part_died", part=kept.part.name, code=code, again_in=pause)
            await asyncio.sleep(pause)
            kept.process = await _spawn(kept.part, group)
    finally:
        await _end(kept.part, kept.process)


async def _spawn(part: Part, group: int) -> asyncio.subprocess.Process:
    with part.log.open("ab") if part.log is not None else nullcontext() as said:
        return await asyncio.create_subprocess_exec(
            *part.command, env=part.environment, process_group=group, stdout=said, stderr=said
        )


async def _end(part: Part, process: asyncio.subprocess.Process) -> None:
    if process.returncode is not None:
        return
    process.terminate()
    try:
        async with asyncio.timeout(part.patience):
            await process.wait()
    except TimeoutError:
        log.error("part_killed", part=part.name)
        process.kill()
        await process.wait()


async def _until_ready(kept: Kept, address: str) -> None:
    deadline = time.monotonic() + PATIENCE
    async with httpx2.AsyncClient(base_url=address, timeout=2, trust_env=False) as client:
        while True:
            _check_runs(kept)
            try:
                if (await client.get("/readyz")).status_code == 200:
                    kept.is_up = True
                    return
            except httpx2.TransportError:
                pass
            if time.monotonic() > deadline:
                raise NotUp(f"{address} is not ready after {PATIENCE:g} s; its log is above.")
            await asyncio.sleep(0.1)


def _check_runs(kept: Kept) -> None:
    """Raise NotUp for a part that ended before it was up."""
    if kept.process.returncode is not None:
        raise NotUp(f"{kept.part.name} ended before it was ready; what it said is {kept.part.words}.")
